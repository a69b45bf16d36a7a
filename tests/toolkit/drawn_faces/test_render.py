"""The generic 3-D face and the renderer of synthetic faces."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import alone_in
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces import head, noise, render, skin
from asmnet_kit.drawn_faces.raster import Grid, rasterise
from asmnet_kit.drawn_faces.render import POSE_LIMITS, pose_of, synthesize
from asmnet_kit.drawn_faces.shape import random_shape
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.crop import Crop, landmark_box
from asmnet_kit.face.generic_face import GENERIC_FACE_68, GENERIC_FACE_98, SAME_POINTS
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98
from wording import BUSY, OTHER_ARGUMENTS


def faces(count, *, seed=11, size=64):
    return list(synthesize(count, seed=seed, size=size))


def contents(folder):
    """Every file of a folder: relative name -> bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# --- the generic face ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("face", "scheme"), [(GENERIC_FACE_68, SCHEME_68), (GENERIC_FACE_98, SCHEME_98)]
)
def test_the_generic_face_is_its_own_mirror_image(face, scheme):
    np.testing.assert_allclose(face[scheme.mirror] * (-1, 1, 1), face, atol=1e-12)


def test_the_generic_face_has_the_documented_frame_and_size():
    left, right = GENERIC_FACE_68[[36, 45]]
    np.testing.assert_allclose((left + right) / 2, 0, atol=1e-12)  # the origin
    assert right[0] - left[0] == 90
    assert GENERIC_FACE_68[:, 2].argmin() == 30  # the tip of the nose is nearest to the camera
    assert GENERIC_FACE_68[:, 1].argmax() == 8  # y points down: the chin is lowest


def test_both_schemes_agree_where_they_mean_the_same_place():
    assert len(SAME_POINTS) == 68 - 8  # all but two points on each lid
    in_68, in_98 = SAME_POINTS.T
    np.testing.assert_array_equal(GENERIC_FACE_68[in_68], GENERIC_FACE_98[in_98])


def test_the_generic_face_has_the_measures_that_its_docstring_gives():
    """In millimetres, after Farkas; x to the right, y down, z away from the camera."""
    face = GENERIC_FACE_68
    width = {name: abs(face[a, 0] - face[b, 0]) for name, a, b in (
        ("outer eye corners", 36, 45), ("inner eye corners", 39, 42), ("cheekbones", 0, 16),
        ("mouth", 48, 54),
    )}  # fmt: skip
    assert width == {
        "outer eye corners": 90, "inner eye corners": 34, "cheekbones": 140, "mouth": 52,
    }  # fmt: skip
    mouth_y = face[[48, 54], 1].mean()
    assert mouth_y - face[33, 1] == pytest.approx(21, abs=1)  # the base of the nose
    assert face[8, 1] - mouth_y == pytest.approx(43, abs=1)  # the chin
    assert face[31:36, 2].mean() - face[30, 2] == pytest.approx(20, abs=1)  # the tip of the nose
    assert face[57, 1] - face[51, 1] == pytest.approx(17, abs=1)  # lips


def test_the_generic_face_has_the_proportions_of_annotated_photographs(shared):
    """Frontal 300-W shapes: below 4 % of the eye distance per point after a similarity fit."""
    shapes = np.load(shared / "data" / "300w_train_shapes.npz")["points"].astype(float)
    eyes = np.linalg.norm(shapes[:, 45] - shapes[:, 36], axis=1)
    to_left, to_right = (np.linalg.norm(shapes[:, 30] - shapes[:, i], axis=1) for i in (39, 42))
    frontal = shapes[np.abs(to_left - to_right) / eyes < 0.08]
    mirrored = frontal[:, SCHEME_68.mirror] * (-1, 1)
    mean = np.mean([fitted(shape, GENERIC_FACE_68) for shape in (*frontal, *mirrored)], axis=0)
    error = np.linalg.norm(mean - GENERIC_FACE_68[:, :2], axis=1)
    assert error.mean() / 90 < 0.04


def fitted(shape, face):
    """A 2-D shape, moved, turned and scaled onto the front view of a 3-D face."""
    a, b = shape - shape.mean(axis=0), face[:, :2] - face[:, :2].mean(axis=0)
    z, w = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    turned = z * (np.vdot(z, w) / np.vdot(z, z))
    return np.stack([turned.real, turned.imag], axis=1) + face[:, :2].mean(axis=0)


# --- the head -----------------------------------------------------------------------------------


def test_the_skin_passes_through_every_landmark():
    """The spline interpolates; 0.01 mm is float32 rounding of weights on coordinates of 200 mm."""
    controls = head.controls()
    skin_points = head.weights_at(controls.plane) @ controls.positions
    landmarks = head.LANDMARK_CONTROLS
    np.testing.assert_allclose(
        skin_points[:landmarks], controls.positions[:landmarks], rtol=0, atol=0.01
    )


def test_controls_come_in_mirrored_pairs():
    controls = head.controls()
    mirrored = controls.positions[controls.mirror] * (-1, 1, 1)
    np.testing.assert_allclose(mirrored, controls.positions, atol=1e-4)


def test_a_shut_eye_is_nearly_a_line_and_a_relaxed_one_is_10_mm_tall():
    for seed in range(300):
        shape = random_shape(np.random.default_rng(seed))
        if shape.closed == (1.0, 1.0):
            # 0.5 mm are left by the blink, 1.1 mm is the standard deviation of the unevenness.
            gap = np.linalg.norm(shape.positions[66] - shape.positions[62])
            assert gap < 0.5 + 3 * 1.1
            return
    pytest.fail("no face in 300 had both eyes shut")


# --- the rasteriser -----------------------------------------------------------------------------


def flat_grid(*quads):
    """Quads from (x0, 2) to (x1, 18) at a depth, each in two rows of its own."""
    x = np.array([[x0, x1] for x0, x1, _ in quads for _ in range(2)], np.float32)
    y = np.array([[row, row] for _ in quads for row in (2, 18)], np.float32)
    depth = np.repeat([[depth] * 2 for _, _, depth in quads], 2, axis=0).astype(np.float32)
    drawn = (np.arange(len(x) - 1) % 2 == 0)[:, None]
    return Grid(x, y, depth, drawn, np.zeros((len(x), 1), bool))


def test_a_pixel_shows_the_nearest_quad():
    raster = rasterise(flat_grid((8, 16, 1.0), (2, 18, 5.0)), 20)
    assert raster.cells[10, 12, 1] < 1  # the near one, row 0, in front
    assert raster.cells[10, 4, 1] > 2  # the far one, row 2, beside it
    assert not raster.covered[0, 0]


def test_cell_coordinates_are_affine_in_the_pixel():
    """x = 2 is column 0, x = 18 column 1: x = 6 is column 0.25; y = 14 is row 0.75."""
    raster = rasterise(flat_grid((2, 18, 1.0)), 20)
    np.testing.assert_allclose(raster.cells[14, 6], (0.25, 0.75), atol=1e-5)


def test_a_closed_surface_is_not_seen_from_behind():
    from_behind = flat_grid((18, 2, 1.0))
    assert not rasterise(from_behind, 20).covered.any()
    both = dataclasses.replace(from_behind, two_sided=np.ones((2, 1), bool))
    assert rasterise(both, 20).covered.any()


# --- synthetic faces ----------------------------------------------------------------------------


def test_a_face_depends_on_seed_and_number_alone():
    alone = next(synthesize(1, seed=11, size=64, start=2))
    third = faces(3)[2]
    np.testing.assert_array_equal(alone.image, third.image)
    np.testing.assert_array_equal(alone.landmarks98, third.landmarks98)
    assert (next(synthesize(1, seed=12, size=64, start=2)).image != third.image).any()


def test_arrays_have_the_documented_shapes_and_types():
    face = faces(1, size=80)[0]
    assert face.image.shape == (80, 80, 3)
    assert face.image.dtype == np.uint8
    assert face.landmarks68.shape == (68, 2)
    assert face.landmarks98.shape == (98, 2)
    assert {a.dtype for a in (face.landmarks68, face.landmarks98, face.pose)} == {np.dtype("f4")}


def test_both_schemes_of_a_drawn_face_agree():
    in_68, in_98 = SAME_POINTS.T
    for face in faces(5):
        np.testing.assert_array_equal(face.landmarks68[in_68], face.landmarks98[in_98])


def test_poses_fill_the_documented_range_and_gather_at_its_middle():
    poses = np.array([pose_of(5, index) for index in range(600)])
    assert (np.abs(poses) <= POSE_LIMITS).all()
    # A normal variable cut off at 3 standard deviations keeps 0.987 of that deviation, L / 3; that
    # of its mean over 600 draws is 0.0134 L: five times that.
    assert (np.abs(poses.mean(axis=0)) < 0.067 * np.array(POSE_LIMITS)).all()
    np.testing.assert_allclose(poses.std(axis=0), 0.329 * np.array(POSE_LIMITS), rtol=0.1)
    # 1.6 % of them lie beyond 2.4 standard deviations: about ten of each angle.
    assert (np.abs(poses).max(axis=0) > 0.8 * np.array(POSE_LIMITS)).all()


def test_the_pose_can_be_had_without_drawing():
    for face in faces(3):
        np.testing.assert_array_equal(face.pose, pose_of(11, face.index))


def test_crops_of_the_usual_scale_stay_inside_the_picture():
    for face in faces(30):
        box = landmark_box(np.concatenate([face.landmarks68, face.landmarks98]))
        crop = Crop.from_box(box, size=64, scale=CROP_SCALE)
        corners = np.array(crop.centre) + crop.side / 2 * np.array([[-1, -1], [1, 1]])
        assert (corners >= -0.5 - 1e-3).all()
        assert (corners <= 63.5 + 1e-3).all()


@pytest.fixture
def plain(monkeypatch):
    """Only the pose, the shape and the landmarks' own marks are left in a picture."""
    monkeypatch.setattr(render, "OCCLUDED_SHARE", 0.0)
    monkeypatch.setattr(render, "GLASSES_SHARE", 0.0)
    monkeypatch.setattr(render.scenery, "photograph", photograph_plainly)


def photograph_plainly(picture, rng, size):
    return np.clip(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), 0, 255).astype(
        np.uint8
    )


def fixed_pose(monkeypatch, yaw, pitch, roll):
    monkeypatch.setattr(render, "_random_pose", lambda rng: np.array([yaw, pitch, roll], float))


def middle(face, indices):
    return face.landmarks68[list(indices)].mean(axis=0)


def test_the_signs_of_the_angles_hold_in_drawn_faces(plain, monkeypatch):
    """yaw > 0: nose to the image's right; pitch > 0: nose up; roll > 0: clockwise."""
    for seed in range(3):
        fixed_pose(monkeypatch, 40, 0, 0)
        turned = faces(1, seed=seed)[0]
        eyes = middle(turned, (36, 39, 42, 45))
        assert turned.landmarks68[30, 0] > eyes[0] + 2
        fixed_pose(monkeypatch, 0, 30, 0)
        up = faces(1, seed=seed)[0]
        fixed_pose(monkeypatch, 0, -30, 0)
        down = faces(1, seed=seed)[0]
        heights = [
            (f.landmarks68[30, 1] - middle(f, (36, 39, 42, 45))[1])
            / (f.landmarks68[8, 1] - middle(f, (36, 39, 42, 45))[1])
            for f in (up, down)
        ]
        assert heights[0] < heights[1]  # with the nose up its tip comes nearer to the eyes
        fixed_pose(monkeypatch, 0, 0, 30)
        rolled = faces(1, seed=seed)[0]
        assert rolled.landmarks68[45, 1] > rolled.landmarks68[36, 1] + 2  # right eye lower


def marked(monkeypatch, controls, colour=(255, 0, 255)):
    """Paint discs of 2 mm on the texture at control points, unlit, over everything else."""
    paint = skin.paint

    def with_marks(look, shape, rng, scale):
        painted = paint(look, shape, rng, scale)
        painted[:] = 0
        for control in controls:
            place = head.grid_position(head.controls().plane[control]) * scale
            centre = np.rint(place * 16).astype(int).tolist()
            radius = round(16 * 0.5 * scale)
            cv2.circle(painted, centre, radius, colour, -1, cv2.LINE_AA, 4)
        return painted

    monkeypatch.setattr(render.skin, "paint", with_marks)


@pytest.mark.parametrize(("in_68", "in_98"), [(36, 60), (45, 72), (8, 16), (48, 76), (20, 36)])
@pytest.mark.parametrize("pose", [(0, 0, 0), (25, -15, 20), (-30, 20, -35)])
def test_landmarks_lie_where_the_renderer_draws_them(plain, monkeypatch, pose, in_68, in_98):
    """A disc painted on the skin at a landmark has its centroid at the label.

    The disc's radius is half a grid cell (2.5 mm, about 2 pixels here). Where the skin curves away
    a disc's centroid moves by a fraction of that; one pixel of 160 bounds it.
    """
    marked(monkeypatch, [in_98])
    fixed_pose(monkeypatch, *pose)
    monkeypatch.setattr(render, "other_parts", lambda shape, look, rng: [])
    face = faces(1, seed=3, size=160)[0]
    red, green, blue = (face.image[..., c].astype(float) for c in range(3))
    mark = np.clip(np.minimum(red, blue) - green, 0, None)
    near = np.zeros_like(mark)
    x, y = np.rint(face.landmarks68[in_68]).astype(int)
    near[max(y - 6, 0) : y + 7, max(x - 6, 0) : x + 7] = 1
    mark = np.where(mark > 12, mark, 0) * near
    assert mark.sum() > 0
    rows, columns = np.mgrid[:160, :160]
    centroid = np.array([(mark * columns).sum(), (mark * rows).sum()]) / mark.sum()
    assert np.abs(centroid - face.landmarks68[in_68]).max() < 1.0


def test_the_far_cheek_of_a_turned_face_is_labelled_on_its_outline(plain, monkeypatch):
    """At 50 degrees of yaw the 3-D jaw line of the far cheek is hidden behind the cheek."""
    fixed_pose(monkeypatch, 50, 0, 0)
    visible = [relative_x(face) for face in faces(4)]
    first_candidate = np.repeat(
        render._jaw_candidates()[:: render.JAW_CANDIDATES], render.JAW_CANDIDATES, axis=0
    )
    monkeypatch.setattr(render, "_jaw_candidates", lambda: first_candidate)
    exact = [relative_x(face) for face in faces(4)]
    for outline, jaw in zip(visible, exact, strict=True):
        assert (outline[10:17] >= jaw[10:17] - 1e-3).all()
        assert (outline[11:16] - jaw[11:16]).mean() > 0.15  # of the distance eye to mouth
        np.testing.assert_allclose(outline[:6], jaw[:6], atol=0.02)  # the near cheek stays


def relative_x(face):
    """x of the jaw from the near eye's corner, in distances from there to the mouth's corner."""
    eye, mouth = face.landmarks68[36], face.landmarks68[48]
    return (face.landmarks68[:17, 0] - eye[0]) / np.linalg.norm(mouth - eye)


@pytest.mark.parametrize(
    "arguments", [{"size": 20}, {"size": 600}, {"seed": -1}, {"start": -1}, {"count": -1}]
)
def test_impossible_arguments_are_refused(arguments):
    count = arguments.pop("count", 1)
    with pytest.raises(UsageError, match="expected"):
        synthesize(count, **{"seed": 0, **arguments})


# --- the written folder -------------------------------------------------------------------------


def test_the_folder_does_not_depend_on_the_number_of_workers(tmp_path, monkeypatch):
    write_faces(tmp_path / "one", DRAWN, count=6, seed=4, size=48, val_share=0.2, test_share=0.2)
    write_faces(
        tmp_path / "two", DRAWN, count=6, seed=4, size=48, val_share=0.2, test_share=0.2, workers=2
    )
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    assert sum(name.endswith(".jpg") for name in one) == 6
    assert json.loads(one["dataset.json"])["counts"] == {"train": 4, "val": 1, "test": 1}


def test_an_interrupted_call_is_continued(tmp_path):
    write_faces(tmp_path / "whole", DRAWN, count=4, seed=4, size=48)
    write_faces(tmp_path / "part", DRAWN, count=4, seed=4, size=48)
    for lost in (tmp_path / "part" / "train").glob("face_000002.*"):
        lost.unlink()
    done = []
    write_faces(
        tmp_path / "part",
        DRAWN,
        count=4,
        seed=4,
        size=48,
        progress=lambda *state: done.append(state),
    )
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    assert done[-1] == (4, 4)


@pytest.mark.parametrize("lost", ["face_000002.jpg", "face_000001.pts", "face_000000.pts98"])
def test_a_face_that_a_power_cut_left_without_content_is_drawn_again(tmp_path, lost):
    """The name can reach the disk before the content."""
    write_faces(tmp_path / "whole", DRAWN, count=4, seed=4, size=48)
    write_faces(tmp_path / "part", DRAWN, count=4, seed=4, size=48)
    (tmp_path / "part/train" / lost).write_bytes(b"")
    write_faces(tmp_path / "part", DRAWN, count=4, seed=4, size=48)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_half_written_files_of_a_killed_call_are_in_nobodys_way(tmp_path):
    write_faces(tmp_path / "whole", DRAWN, count=2, seed=4, size=48)
    (tmp_path / "part").mkdir()
    (tmp_path / "part/.dataset.123.part.json").write_text('{"schema')
    write_faces(tmp_path / "part", DRAWN, count=2, seed=4, size=48)
    (tmp_path / "part/train/.face_000000.123.part.jpg").write_bytes(b"half")
    (tmp_path / "part/train/face_000000.jpg").unlink()
    write_faces(tmp_path / "part", DRAWN, count=2, seed=4, size=48)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_two_calls_do_not_draw_into_one_folder(tmp_path):
    with alone_in(tmp_path), pytest.raises(UsageError, match=BUSY):
        write_faces(tmp_path, DRAWN, count=1, seed=0, size=48)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_anything_else_in_it_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="new or empty folder"):
        write_faces(tmp_path, DRAWN, count=1, seed=0, size=48)
    assert [file.name for file in Path(tmp_path).iterdir()] == ["notes.txt"]


def test_a_folder_of_other_arguments_is_refused(tmp_path):
    write_faces(tmp_path, DRAWN, count=1, seed=0, size=48)
    with pytest.raises(UsageError, match=OTHER_ARGUMENTS):
        write_faces(tmp_path, DRAWN, count=1, seed=1, size=48)


def test_a_folder_of_an_earlier_kit_which_named_no_kind_is_continued(tmp_path):
    write_faces(tmp_path, DRAWN, count=1, seed=0, size=48)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    description = json.loads((tmp_path / "dataset.json").read_text())
    del description["arguments"]["kind"]
    (tmp_path / "dataset.json").write_text(json.dumps(description | {"complete": False}))
    next(tmp_path.rglob("*.jpg")).unlink()
    write_faces(tmp_path, DRAWN, count=1, seed=0, size=48)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == whole


@pytest.mark.parametrize(
    "arguments", [{"count": 0}, {"workers": 0}, {"val_share": -0.1}, {"test_share": 0.95}]
)
def test_impossible_counts_and_shares_are_refused_before_anything_is_written(tmp_path, arguments):
    with pytest.raises(UsageError, match="expected"):
        write_faces(tmp_path / "out", DRAWN, **{"count": 1, "seed": 0, "size": 48, **arguments})
    assert not (tmp_path / "out").exists()


def test_noise_of_pictures_larger_than_its_tile_repeats():
    """Large pictures with an object before the face had no noise left at their border."""
    for size in (noise.TILE, noise.TILE + 1, 3 * noise.TILE):
        window = noise.tile(np.random.default_rng(1), size, size, "coarse")
        assert window.shape == (size, size)
    np.testing.assert_array_equal(window[: noise.TILE], window[noise.TILE : 2 * noise.TILE])
