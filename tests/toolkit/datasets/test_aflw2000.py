"""Reading AFLW2000-3D and 300W-LP."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.aflw2000 import pose_from_stored
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.pose import rotation_matrix

POINTS = np.stack([100.0 + np.arange(68), 200.0 + np.arange(68) % 9, np.zeros(68)])  # [3, 68]


def put(
    path: Path,
    *,
    key: str = "pt3d_68",
    points: np.ndarray = POINTS,
    pose: tuple[float, ...] = (0.1, -0.5, 0.2, 0.0, 0.0, 0.0, 1.0),
) -> None:
    """``path`` (a picture's name) and its .mat; ``pose`` is pitch, yaw, roll in radians."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((300, 300, 3), np.uint8))
    savemat(path.with_suffix(".mat"), {key: points, "Pose_Para": np.array([pose])})


def test_points_are_1_based_and_depth_is_dropped(tmp_path: Path) -> None:
    put(tmp_path / "image00002.jpg")
    (face,) = load_dataset(tmp_path, "aflw2000").faces
    assert face.landmarks.shape == (68, 2)
    assert face.landmarks[0].tolist() == [99.0, 199.0]
    assert face.name == "image00002.jpg"


@pytest.mark.parametrize(
    ("stored_degrees", "ours"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((20, 0, 0), (0, 20, 0)),  # stored pitch, yaw, roll; ours yaw, pitch, roll
        ((0, 30, 0), (-30, 0, 0)),
        ((0, 0, 15), (0, 0, 15)),
    ],
)
def test_a_turn_about_one_axis_keeps_its_angle_and_only_yaw_its_sign_changes(
    stored_degrees: tuple[float, ...], ours: tuple[float, ...]
) -> None:
    pitch, yaw, roll = np.radians(stored_degrees)
    np.testing.assert_allclose(pose_from_stored(pitch, yaw, roll), ours, atol=1e-4)


def test_a_compound_pose_is_the_same_rotation_in_both_conventions() -> None:
    """3DDFA's matrix, written out literally, moved into the frame with y down and z away."""
    x, y, z = np.radians([25.0, -40.0, 15.0])
    rx = np.array([[1, 0, 0], [0, np.cos(x), np.sin(x)], [0, -np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), np.sin(z), 0], [-np.sin(z), np.cos(z), 0], [0, 0, 1]])
    flip = np.diag([1.0, -1.0, -1.0])
    expected = flip @ rx @ ry @ rz @ flip
    yaw, pitch, roll = pose_from_stored(x, y, z).astype(float)
    # float32 angles of up to 180 degrees are good to 1e-5 degrees, 2e-7 rad.
    np.testing.assert_allclose(rotation_matrix(yaw, pitch, roll), expected, atol=1e-6)


def test_subsets_are_the_usual_ranges_of_yaw(tmp_path: Path) -> None:
    for name, yaw in (("a", 10), ("b", -45), ("c", 80), ("d", 95)):
        put(tmp_path / f"{name}.jpg", pose=(0.0, np.radians(yaw), 0.0, 0, 0, 0, 1))
    put(tmp_path / "e.jpg", pose=(np.radians(120), 0.0, 0.0, 0, 0, 0, 1))
    dataset = load_dataset(tmp_path, "aflw2000")
    assert [face.subsets for face in dataset.faces] == [
        ("yaw_0_30", "pose_99"),
        ("yaw_30_60", "pose_99"),
        ("yaw_60_90", "pose_99"),
        ("pose_99",),
        ("yaw_0_30",),
    ]


def test_300w_lp_has_pt2d_and_a_folder_of_copies(tmp_path: Path) -> None:
    put(tmp_path / "AFW/AFW_1_0.jpg", key="pt2d", points=POINTS[:2])
    put(tmp_path / "AFW_Flip/AFW_1_0.jpg", key="pt2d", points=POINTS[:2])
    (tmp_path / "landmarks/AFW").mkdir(parents=True)
    savemat(tmp_path / "landmarks/AFW/AFW_1_0_pts.mat", {"pts_2d": POINTS[:2].T})
    dataset = load_dataset(tmp_path, "300w_lp", max_bad_share=0)
    assert [face.name for face in dataset.faces] == ["AFW/AFW_1_0.jpg", "AFW_Flip/AFW_1_0.jpg"]
    assert [face.subsets[-1] for face in dataset.faces] == ["afw", "afw_flip"]
    assert dataset.faces[0].landmarks[0].tolist() == [99.0, 199.0]


def test_damaged_files_are_problems_with_reasons(tmp_path: Path) -> None:
    put(tmp_path / "good.jpg")
    put(tmp_path / "few.jpg", points=POINTS[:, :67])
    put(tmp_path / "nan.jpg", points=POINTS * np.nan)
    put(tmp_path / "posenan.jpg", pose=(float("nan"), 0.0, 0.0))
    put(tmp_path / "sparse.jpg", key="pt2d", points=POINTS[:2, :21])  # AFLW's 21 points
    put(tmp_path / "text.jpg", key="pt2d", points=np.array(["no numbers"]))
    put(tmp_path / "nothing.jpg", key="other")
    put(tmp_path / "lonely.jpg")
    (tmp_path / "lonely.jpg").unlink()
    put(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.mat").write_bytes(b"this is no MATLAB file" * 20)
    cv2.imwrite(str(tmp_path / "noise.jpg"), np.zeros((4, 4, 3), np.uint8))
    dataset = load_dataset(tmp_path, "aflw2000", max_bad_share=0.95)
    reasons = {problem.name.removesuffix(".mat"): problem.reason for problem in dataset.problems}
    assert [face.name for face in dataset.faces] == ["good.jpg"]
    assert "got shape (3, 67)" in reasons["few"]
    assert "not finite" in reasons["nan"]
    assert "Pose_Para" in reasons["posenan"]
    assert "got shape (2, 21)" in reasons["sparse"]
    assert "expected numbers" in reasons["text"]
    assert "found neither" in reasons["nothing"]
    assert "no picture lonely.jpg" in reasons["lonely"]
    assert "expected a MATLAB file" in reasons["cut"]
    assert "expected a MATLAB file" in reasons["noise"]
    with pytest.raises(DatasetError, match="9 of 10 faces are unusable"):
        load_dataset(tmp_path, "aflw2000")
