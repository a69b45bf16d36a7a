"""A scheme of one's own with 68 points, which are not 300-W's: no command may think they are."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.face.schemes import SCHEME_68, scheme_named
from asmnet_kit.face.shape_model.align import generic_reference
from made_labels import coco_json, put, put_picture

# Numbered from the face's left to its right, where 300-W numbers the other way round.
ORDER = SCHEME_68.mirror
FACE = (generic_reference(68) * 60 + (64, 60))[ORDER]
FORMATS = ("coco", "labelme", "csv")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.toml").write_text('name = "own"\npoints = 68\nnormaliser = [45, 36]\n')
    for name in FORMATS:
        put_picture(tmp_path / name / "images/a.png", 0)
    put(tmp_path / "coco/all.json", coco_json([("a.png", FACE)]))
    line = {"label": "face", "points": (FACE + 0.5).tolist(), "shape_type": "linestrip"}
    text = json.dumps({"imagePath": "images/a.png", "shapes": [line]})
    put(tmp_path / "labelme/a.json", text)
    columns = ",".join(f"{axis}{n}" for n in range(68) for axis in "xy")
    cells = ",".join(map(str, FACE.ravel().tolist()))
    put(tmp_path / "csv/all.csv", f"file,{columns}\nimages/a.png,{cells}\n")
    return tmp_path


@pytest.mark.parametrize("format", FORMATS)
def test_left_and_right_are_judged_by_the_scheme_that_is_named(own: Path, format: str) -> None:
    call = ("data", "inspect", "--data", own / format, "--format", format)
    result = run(*call, "--scheme", own / "own.toml", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["faces"] == 1
    taken_for_300w = run(*call, "--json")  # whose left is these points' right
    assert taken_for_300w.exit_code == 1
    assert json.loads(taken_for_300w.stdout)["faces"] == 0


def test_a_model_of_other_68_points_labels_no_photographs_as_300w(own: Path, make_tflite) -> None:
    model = make_tflite(scheme=scheme_named(own / "own.toml"))
    call = ("data", "label", "--photos", own / "coco/images", "--model", model)
    result = run(*call, "--out", own / "labelled")
    assert result.exit_code == 2 and not (own / "labelled").exists()
    assert "got one of 68 (own)" in " ".join(result.stderr.split())
