"""``asmnet-kit audit``: the calibration it prints; models whose input takes too much memory."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.limits import MAX_INPUT_SIZE
from asmnet_kit.cli import main
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.shipping.shipped import model_named
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata

SIDE = 16_384  # 800 MB for each crop: less than the 2 GB of a tensor


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((100, 100, 3), 128, np.uint8))
    write_pts(folder / "a.pts", (generic_reference(68) * 40 + 50).astype(np.float32))
    return folder


def refused(result: Result) -> str:
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1, result.output
    return result.stderr


def test_a_model_from_elsewhere_with_a_giant_input_gets_no_crops(
    make_op_model: Callable[..., Path], faces: Path
) -> None:
    giant = (1, SIDE, SIDE, 3)
    model = make_op_model({"op": "RELU", "into": giant, "shape": giant})
    data = ("--data", str(faces), "--format", "300w")
    result = CliRunner().invoke(main, ["audit", str(model), *data])
    assert f"at most {MAX_INPUT_SIZE} pixels" in refused(result)
    assert CliRunner().invoke(main, ["audit", str(model)]).exit_code == 0


def test_metadata_with_a_giant_input_is_refused() -> None:
    with pytest.raises(ModelError, match=f"at most {MAX_INPUT_SIZE} pixels, got {SIDE}"):
        ModelMetadata(architecture="a", landmarks=68, input_size=SIDE, recipe="none")


def test_the_numbers_that_a_program_needs_are_printed() -> None:
    """docs/integrate.md has them from here: the crop's scale and the factor of the sigmas."""
    model = model_named("asmnet_plus_people")
    about = read_metadata(model.path)
    assert about is not None and about.calibration is not None
    result = CliRunner().invoke(main, ["audit", model.name])
    printed = " ".join(result.stdout.split())
    assert f"crop {about.crop_scale:g} times" in printed
    assert f"sigmas times {about.calibration.factor:.6g}" in printed
    result = CliRunner().invoke(main, ["audit", "asmnet_nano_synthetic"])
    assert "sigmas" not in result.stdout
