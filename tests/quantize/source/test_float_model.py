"""A run's settings and faces, on data that may be other than the run's own."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.quantize.source import float_model
from asmnet_kit.quantize.source.float_model import FaceData, FloatModel
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.sources import Sources

# Every option that hangs together with a teacher, a validation folder or subsets of the data.
CONFIGS = (
    {},
    {"val_share": 0.2},
    {"val_data": "faces/val"},
    {"sampling": "ytf=0.5,aflw=2", "clips": "ytf"},
    {"teacher": "teacher.npz"},
    {"teacher": "teacher.npz", "teacher_share": "ytf=0.5", "fill_weight": 0.4},
    {"teacher": "teacher.npz", "teacher_calibrate": "aflw,mtfl=aflw", "val_data": "faces/val"},
)


def model_of(config: TrainConfig, **facts: Any) -> FloatModel:
    known = {"dataset_fingerprint": None, "validation_fingerprint": None, **facts}
    return FloatModel(
        path=Path("runs/first"),
        predictor=SimpleNamespace(scheme=SCHEME_68, input_size=112),  # type: ignore[arg-type]
        architecture="asmnet",
        config=config,
        shape_model=None,
        sha256="",
        licence=None,
        **known,
    )


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("format", ["csv", "records"])
@pytest.mark.parametrize("options", CONFIGS)
def test_a_runs_settings_make_sense_together_on_any_data(
    options: dict[str, Any], format: str, taught: bool
) -> None:
    config = TrainConfig(data="faces", format="csv", **options).validated()
    source = model_of(config)
    source.config_for(format).validated()
    source.config_on(FaceData(Path("other"), format), taught=taught).validated()


def dataset(*names: str) -> Dataset:
    points = np.zeros((68, 2), np.float32)
    faces = tuple(Face(name, PictureFile(Path("none") / name), points) for name in names)
    return Dataset("faces", "csv", SCHEME_68, faces)


TRAIN, VAL, OTHER = dataset("a.jpg", "b.jpg"), dataset("c.jpg"), dataset("d.jpg")


def shifted(faces: Dataset) -> Dataset:
    """The same pictures with other labels, as a teacher changes them."""
    moved = (replace(face, landmarks=face.landmarks + 1) for face in faces.faces)
    return replace(faces, faces=tuple(moved))


@pytest.mark.parametrize(
    ("train", "val", "warns"),
    [
        (TRAIN, VAL, False),
        (shifted(TRAIN), VAL, False),  # validated on the run's own faces
        (TRAIN, OTHER, False),  # validated on faces apart from those trained on
        (OTHER, TRAIN, True),
        (dataset("a.jpg"), dataset("b.jpg"), True),  # another subset, held out anew
    ],
)
def test_a_warning_comes_where_neither_side_is_the_runs_own(
    train: Dataset,
    val: Dataset,
    warns: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = Sources(train, val, "the split val")
    monkeypatch.setattr(float_model, "choose_sources", lambda config, **_: chosen)
    config = TrainConfig(data="faces", format="csv")
    known = {
        "dataset_fingerprint": TRAIN.fingerprint(),
        "validation_fingerprint": VAL.fingerprint(),
    }
    assert model_of(config, **known).sources(FaceData(Path("faces"), "csv")) is chosen
    assert ("may be among the validation faces" in capsys.readouterr().err) is warns
    # Nothing is known of the data of a .keras file: nothing is said.
    model_of(config).sources(FaceData(Path("faces"), "csv"))
    assert capsys.readouterr().err == ""
