"""docs/integrate.md: the program there gives what ``asmnet-kit predict`` gives."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.face.uncertainty import Calibration
from asmnet_kit.shipping.shipped import find_model

PAGE = Path(__file__).parents[1] / "docs" / "integrate.md"


# Rounding in OpenCV's sampling differs where the kit halves a part of the picture alone: a grey
# level in some pixels, which moves a float output by less than 1e-4 and an int8 one by a level.
@pytest.mark.parametrize(
    ("model", "step"), [("asmnet_nano_synthetic", 0.0036), ("asmnet_plus_people_fp16", 1e-4)]
)
@pytest.mark.parametrize("face", [36.0, 500.0])  # enlarged; halved twice, odd sides
def test_the_program_of_the_page_gives_what_predict_gives(
    tmp_path: Path, model: str, step: float, face: float
) -> None:
    """It reads the crop scale, 1.2 and 1.1, from the model.

    Both are rounded to hundredths when they are printed: 0.01 more.
    """
    noise = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)
    picture = cv2.resize(noise, (1073, 901), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    box = [301.5, 210.25, 301.5 + face, 210.25 + 0.75 * face]
    program = tmp_path / "landmarks.py"
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    program.write_text(code, encoding="utf-8")
    words = [str(find_model(Path(model))), str(tmp_path / "photo.png"), *map(str, box)]
    said = subprocess.run(
        [sys.executable, str(program), *words], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    asked = ["predict", str(tmp_path / "photo.png"), "--model", model, "--json"]
    run = CliRunner().invoke(main, [*asked, "--box", ",".join(map(str, box))])
    assert run.exit_code == 0, run.output
    (kit,) = json.loads(run.stdout)["faces"]
    sure = kit["sigma"] is not None  # then its words and numbers stand behind x and y
    assert all((len(line.split()) > 2) == sure for line in said[:-1])
    landmarks = np.array([line.split()[:2] for line in said[:-1]], float)
    assert np.abs(landmarks - kit["landmarks"]).max() < 0.011 + step * 1.2 * face
    pose = [float(word) for word in said[-1].split()[1::2]]
    assert np.abs(np.array(pose) - list(kit["pose"].values())).max() < 0.011 + step * 90


def test_the_program_of_the_page_says_how_sure_a_model_is_as_predict_does(
    tmp_path: Path, make_tflite: Callable[..., Path]
) -> None:
    """A box of 50 px, so a crop of 60 px; the model says the same of any grey picture."""
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((90, 110, 3), 128, np.uint8))
    calibration = Calibration(0.7, 1, None, "none", "none")
    model = make_tflite(sure=True, int8=True, calibration=calibration)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 62
    program = tmp_path / "landmarks.py"
    program.write_text(code, encoding="utf-8")
    box = ("30", "20", "80", "70")
    words = [sys.executable, str(program), str(model), str(tmp_path / "photo.png"), *box]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    asked = ["predict", str(tmp_path / "photo.png"), "--model", str(model), "--json"]
    run = CliRunner().invoke(main, [*asked, "--box", ",".join(box)])
    (kit,) = json.loads(run.stdout)["faces"]
    rows = [line.split() for line in said[:-1]]
    assert {tuple(row[2::2]) for row in rows} == {("sigma", "visible")}
    sigma, visible = (np.array([float(row[at]) for row in rows]) for at in (3, 5))
    np.testing.assert_allclose(sigma, kit["sigma"], atol=0.011)
    np.testing.assert_allclose(visible, kit["visible"], atol=0.011)
    assert sigma.std() > 0.5 and visible.std() > 0.1
