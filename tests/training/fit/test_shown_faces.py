"""The faces below a run's curves: which epochs are shown, and that a resumed run keeps them."""

from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.face.generic_face import GENERIC_FACE_68
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.measure.face_crops import FaceCrops
from asmnet_kit.training.fit.shown_faces import LABEL, PREDICTION, TILE, ShownFaces

FACE = (GENERIC_FACE_68[:, :2] / 200).astype(np.float32)


class Network:
    """Predicts the generic face, a little to the right of it after each look."""

    name, scheme, input_size, crop_scale = "network", scheme_of(68), 32, 1.2
    looks = 0

    def predict(self, crops: Image) -> Prediction:
        self.looks += 1
        moved = np.array((0.01 * self.looks, 0))
        landmarks = np.repeat(FACE[None], len(crops), axis=0) + moved
        return Prediction(landmarks.astype(np.float32), None)


@pytest.fixture
def crops() -> FaceCrops:
    """Two grey faces; the second lacks the label of a landmark."""
    truth = np.stack([FACE, FACE])
    truth[1, 0] = np.nan
    return FaceCrops(np.full((2, 32, 32, 3), 90, np.uint8), truth, scheme_of(68))


@pytest.mark.parametrize(
    ("epochs", "shown"),
    [(1, [1]), (2, [1, 2]), (4, [1, 2, 3, 4]), (5, [1, 2, 4, 5]), (30, [1, 11, 20, 30])],
)
def test_the_first_and_the_last_epoch_and_some_between_are_shown(
    crops: FaceCrops, tmp_path: Path, epochs: int, shown: list[int]
) -> None:
    faces, network = ShownFaces(crops, tmp_path / "faces.npz"), Network()
    for _ in range(epochs):
        faces.look(network)
    picture, which = faces.picture()
    assert which == shown
    assert picture.shape == (len(shown) * TILE, 2 * TILE, 3)
    for colour in (LABEL, PREDICTION):
        found = (np.abs(picture.astype(int) - colour).sum(axis=2) < 30).reshape(-1, TILE, 2, TILE)
        assert found.any(axis=(1, 3)).all()  # in every face of every row


def test_a_resumed_run_shows_the_epochs_before(crops: FaceCrops, tmp_path: Path) -> None:
    file = tmp_path / "checkpoints" / "faces.npz"
    whole, network = ShownFaces(crops, file), Network()
    for _ in range(3):
        whole.look(network)
        whole.save()
    before = whole.picture()[0]
    resumed = ShownFaces(crops, file, done=2)  # the third epoch's checkpoint was not written
    network.looks = 2
    resumed.look(network)
    again, epochs = resumed.picture()
    assert epochs == [1, 2, 3]
    assert np.array_equal(again, before)


@pytest.mark.parametrize("content", [None, b"no archive", "other faces"])
def test_without_the_earlier_landmarks_only_later_epochs_are_shown(
    crops: FaceCrops, tmp_path: Path, content: bytes | str | None
) -> None:
    file = tmp_path / "faces.npz"
    if content == "other faces":
        np.savez(file, landmarks=np.zeros((2, 8, 98, 2), np.float32))
    elif isinstance(content, bytes):
        file.write_bytes(content)
    faces = ShownFaces(crops, file, done=2)
    faces.look(Network())
    assert faces.picture()[1] == [3]
