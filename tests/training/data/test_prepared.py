"""A run's prepared faces: crops that stay what they are, poses that are fitted once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.datasets.base import Face, PictureFile
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.crop import Crop
from asmnet_kit.face.pose import pose_from_landmarks
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data import prepared
from asmnet_kit.training.data.batches import crop_of
from asmnet_kit.training.data.prepared import cut_face, prepared_faces
from asmnet_kit.training.data.sources import Sources

SIZE = 64


@pytest.fixture(scope="module")
def faces(drawn_faces: Callable[..., Path]) -> Sources:
    train, val = (load_dataset(drawn_faces(count), "300w") for count in (6, 3))
    return Sources(train, val, "")


def config() -> TrainConfig:
    return TrainConfig(data="", format="300w", input_size=SIZE)


@pytest.mark.parametrize("side", [30.0, 70.0, 333.0])
def test_the_crop_of_a_cut_face_is_the_crop_of_the_face(side: float, tmp_path: Path) -> None:
    """Of a small face, which is enlarged, and of large ones, which are halved, at a border too."""
    random = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.png"), random.integers(0, 256, (400, 400, 3), np.uint8))
    points = (random.uniform(-0.5, 0.5, (68, 2)) * side + (300.3, 180.7)).astype(np.float32)
    box = np.array([150, 20, 440, 350], np.float32)
    face = Face("a.png", PictureFile(tmp_path / "a.png"), points, detector_box=box)
    cut = cut_face(face, SIZE)
    expected = crop_of(face, SIZE)
    np.testing.assert_array_equal(
        crop_of(cut, SIZE).cut(cut.picture.read()), expected.cut(face.picture.read())
    )
    # Fractions of the crop are the same; float32 pixels below 64 leave 4e-6 / 64.
    np.testing.assert_allclose(
        crop_of(cut, SIZE).to_fractions(cut.landmarks), expected.to_fractions(points), atol=1e-6
    )
    assert cut.detector_box is not None
    by_box = [Crop.from_box(b, size=SIZE).centre for b in (cut.detector_box, box)]
    moved = expected.matrix[:, :2] @ by_box[1] + expected.matrix[:, 2]
    np.testing.assert_allclose(by_box[0], moved, atol=1e-3)


def test_validation_crops_lose_nothing_in_their_shard(faces: Sources, tmp_path: Path) -> None:
    with prepared_faces(faces, tmp_path, config()) as (_, val):
        for before, after in zip(faces.val.faces, val.faces, strict=True):
            np.testing.assert_array_equal(
                crop_of(after, SIZE).cut(after.picture.read()),
                crop_of(before, SIZE).cut(before.picture.read()),
            )
            assert after.pose is None  # no label, so evaluate says where its truth comes from


def test_poses_are_fitted_when_faces_are_prepared_and_kept(
    faces: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = replace(faces.train.faces[0], pose=np.array([1, 2, 3], np.float32))
    train = replace(faces.train, faces=(labelled, *faces.train.faces[1:]))
    sources = replace(faces, train=train)

    def poses() -> list[list[float]]:
        with prepared_faces(sources, tmp_path, config()) as (prepared_train, _):
            return [face.pose.tolist() for face in prepared_train.faces]

    fitted = [pose_from_landmarks(face.landmarks, train.scheme).tolist() for face in train.faces]
    assert poses() == [[1, 2, 3], *fitted[1:]]

    def fitted_again(face: Face, *, scheme: Scheme) -> None:
        raise AssertionError(f"{face.name}: a resumed run has its poses")

    monkeypatch.setattr(prepared, "pose_of", fitted_again)
    assert poses() == [[1, 2, 3], *fitted[1:]]


def test_without_a_folder_of_its_own_nothing_stays(faces: Sources) -> None:
    with prepared_faces(faces, None, config()) as (train, _):
        folder = Path(train.faces[0].picture.name).parent
        assert folder.exists()
    assert not folder.exists()


def test_prepared_data_is_used_where_it_is(faces: Sources, tmp_path: Path) -> None:
    train, val = (replace(side, format="records") for side in (faces.train, faces.val))
    records = replace(faces, train=train, val=val)
    with prepared_faces(records, tmp_path, config()) as prepared:
        assert prepared == (train, val)
    assert not any(tmp_path.iterdir())


def test_a_large_crop_of_a_prepared_face_shows_the_photograph_and_no_black_border(
    faces: Sources, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((600, 600, 3), 200, np.uint8))
    points = np.random.default_rng(0).uniform(270, 330, (68, 2)).astype(np.float32)
    face = Face("a.png", PictureFile(tmp_path / "a.png"), points)
    sources = Sources(replace(faces.train, faces=(face,)), replace(faces.val, faces=(face,)), "")
    large = replace(config(), crop_scale=3.0)
    with prepared_faces(sources, tmp_path / "run", large) as both:
        for dataset in both:
            (prepared_face,) = dataset.faces
            crop = crop_of(prepared_face, SIZE, large.crop_scale).cut(prepared_face.picture.read())
            assert crop.min() >= 198  # a JPEG's rounding
