def test_triangles_out_of_view_cover_nothing():
    """A thing may be held outside of the picture, or be seen from behind alone."""
    depth = np.ones(3, np.float32)
    for x in ([-9, -5, -7], [0, 0, 0]):
        found = rasterise(np.float32(x), np.float32([1, 2, 5]), depth, np.array([[0, 1, 2]]), 8)
        assert len(found.pixels) == 0
