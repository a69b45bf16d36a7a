"""The golden files are what the kit's code gives today, and the phone's core stays plain Kotlin."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "android_demo" / "core" / "src"

# Older OpenCV versions interpolate with weights in steps of 1/32: where neighbours differ by 200
# levels, that is up to 200 / 64 = 3 levels along each axis.
MAX_LEVELS = 6

golden = load_script("android_demo/tools/golden.py")
FOLDER, MAKERS, write_golden = golden.FOLDER, golden.MAKERS, golden.write_golden


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"crops", "poses", "detector"}))
def test_golden_files_are_what_the_kit_gives(name: str) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(MAKERS[name]())), "run: make golden"


def test_golden_faces_are_those_that_the_detector_finds() -> None:
    """But for what kernels of other machines change."""
    stored = json.loads((FOLDER / "detector.json").read_text(encoding="utf-8"))
    made = json.loads(json.dumps(MAKERS["detector"]()))
    assert stored["windows"] == made["windows"]
    for key in ("candidates", "merged", "detections", "detections_of_face"):
        assert len(stored[key]) == len(made[key])
        for old, new in zip(stored[key], made[key], strict=True):
            assert np.allclose(old["box"], new["box"], atol=0.2), key
            assert np.isclose(old["score"], new["score"], atol=0.01), key
    assert np.allclose(stored["landmark_boxes"], made["landmark_boxes"], atol=1e-3)
    pixels = [np.frombuffer(base64.b64decode(g["face"]["rgb"]), np.uint8) for g in (stored, made)]
    assert np.abs(pixels[0].astype(int) - pixels[1]).max() <= MAX_LEVELS


def test_golden_poses_agree_but_for_the_last_bits_of_sine_and_cosine() -> None:
    stored = json.loads((FOLDER / "poses.json").read_text(encoding="utf-8"))
    for old, new in zip(stored["cases"], MAKERS["poses"]()["cases"], strict=True):
        assert np.allclose(old["rotation"], new["rotation"], atol=1e-12)
        assert np.allclose(old["axes"], new["axes"], atol=1e-4)  # float32 near 150


def test_golden_crops_agree_but_for_the_interpolation_of_older_opencv() -> None:
    stored = json.loads((FOLDER / "crops.json").read_text(encoding="utf-8"))
    made = json.loads(json.dumps(MAKERS["crops"]()))
    assert _without_pixels(stored) == _without_pixels(made), "run: make golden"
    for old, new in zip(stored["cases"], made["cases"], strict=True):
        levels = np.abs(_pixels(old["crop"]) - _pixels(new["crop"]))
        assert levels.max() <= MAX_LEVELS, old["name"]


def test_golden_files_are_written_whole(tmp_path: Path) -> None:
    paths = write_golden(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    assert {path.stem for path in paths} == {p.stem for p in (FOLDER).glob("*.json")}


def test_the_core_imports_nothing_of_android() -> None:
    for path in CORE.rglob("*.kt"):
        imports = re.findall(r"^import (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        outside = [
            name for name in imports if not name.startswith(("java.", "kotlin.", "org.junit."))
        ]
        assert outside == [], path


def _without_pixels(crops: dict[str, Any]) -> dict[str, Any]:
    cases = [{k: v for k, v in case.items() if k != "crop"} for case in crops["cases"]]
    return {**crops, "cases": cases}


def _pixels(text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.frombuffer(base64.b64decode(text), np.uint8).astype(np.int64)
