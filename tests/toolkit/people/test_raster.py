"""The rasteriser: which pixels triangles cover."""

import numpy as np

from asmnet_kit.people.raster import rasterise


def test_triangles_out_of_view_cover_nothing():
    """A thing may be held outside of the picture, or be seen from behind alone."""
    depth = np.ones(3, np.float32)
    for x in ([-9, -5, -7], [0, 0, 0]):
        found = rasterise(np.float32(x), np.float32([1, 2, 5]), depth, np.array([[0, 1, 2]]), 8)
        assert len(found.pixels) == 0


def test_a_triangle_covers_the_pixel_centres_inside_it_and_interpolates_its_depth():
    """The right triangle (0, 0), (4, 0), (0, 4): 5 + 4 + 3 + 2 + 1 centres, clockwise."""
    x, y = np.float32([0, 4, 0]), np.float32([0, 0, 4])
    found = rasterise(x, y, np.float32([1, 3, 1]), np.array([[0, 1, 2]]), 8)
    assert len(found.pixels) == 15
    column = found.pixels % 8
    np.testing.assert_allclose(found.depth, 1 + column / 2, atol=1e-6)
