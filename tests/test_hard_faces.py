"""The figure of hard faces: chosen by its rules alone, small enough for a page."""

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from scripts import load_script

from asmnet_kit.people.render import draw
from asmnet_kit.predict.picture import FacePrediction

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "uncertainty_hard_faces.jpg"


@pytest.fixture(scope="module")
def hard_faces() -> ModuleType:
    """docs/hard_faces.py, which is a script of no package."""
    return load_script("docs/hard_faces.py")


def test_each_rule_takes_the_hardest_faces_that_no_earlier_rule_took(hard_faces) -> None:
    hardness = [
        {"turned": turned, "dark": dark}
        for turned, dark in [(10, 5), (80, 9), (80, 1), (70, 7), (0, 8), (0, 8)]
    ]
    assert hard_faces.hard_ones(hardness, each=2) == {"turned": [1, 2], "dark": [4, 5]}


def test_an_error_is_in_percent_of_the_box_and_a_dark_face_is_harder(
    hard_faces, monkeypatch
) -> None:
    monkeypatch.setattr(hard_faces, "SIDE", 64)
    person = draw(51, 0, 64)
    box = hard_faces.landmark_box(person.landmarks68)
    side = max(box[2] - box[0], box[3] - box[1])
    off = FacePrediction(box, None, person.landmarks68 + np.float32([0, side / 10]), None, None)
    marked = hard_faces.Marked(person, off, off)
    assert marked.error(off) == pytest.approx(10, abs=0.01)
    assert -255 < marked.hardness["darkest"] < 0
    assert marked.hardness["turned furthest"] == pytest.approx(abs(person.pose[0]))
    sheet = hard_faces.sheet([marked], {"darkest": [0]})
    assert sheet.shape == (hard_faces.HEADING + 64, 2 * 64, 3)


def test_the_picture_of_the_page_holds_twelve_faces_twice(hard_faces) -> None:
    assert PICTURE.stat().st_size <= 300_000
    picture = cv2.imread(str(PICTURE))
    rows = 4 * (hard_faces.HEADING + hard_faces.SIDE)
    assert picture.shape == (rows, 2 * hard_faces.EACH * hard_faces.SIDE, 3)
    assert f"]({PICTURE.name})" in (ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8")
