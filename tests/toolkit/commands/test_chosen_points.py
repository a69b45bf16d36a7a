"""A scheme file whose points are chosen from another scheme's (``[from]``), by the commands."""

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from chosen_points import FACES, POINTS, SEVEN, picture, put_seven, whole_face
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.datasets import people
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.generic_face import GENERIC_FACE_98
from asmnet_kit.face.schemes import SCHEME_68, scheme_named
from wording import DETECTOR_BOXES


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """The scheme's file beside a CSV of its points, in boxes around all 68, and 300-W's files."""
    put_seven(tmp_path)
    (tmp_path / "300w").mkdir()
    for number in range(FACES):
        cv2.imwrite(str(tmp_path / f"300w/{number}.png"), picture(number))
        write_pts(tmp_path / f"300w/{number}.pts", whole_face().astype(np.float32))
    return tmp_path


def test_inspect_knows_the_names_lines_and_places_of_chosen_points(seven: Path) -> None:
    call = ("--data", seven / "data", "--format", "csv", "--scheme", seven / "seven.toml")
    result = run("data", "inspect", *call, "--json", "--sheet", seven / "sheet.png")
    assert result.exit_code == 0, result.output
    scheme = json.loads(result.stdout)["scheme"]
    assert scheme["names"] == [SCHEME_68.names[number] for number in POINTS]
    assert sorted(map(sorted, scheme["mirror"])) == [[0, 3], [1, 2], [5, 6]]
    assert scheme["normaliser"] == [0, 3]
    assert scheme["parts"]["left_eye"] == {"points": [0, 1], "draw": "dots"}
    assert [row[2] for row in scheme["positions"]] == [
        SCHEME_68.positions[number][2] for number in POINTS
    ]
    assert scheme["from"] == {"scheme": "68", "points": POINTS}


@pytest.mark.parametrize("to", ["csv", "coco"])
def test_convert_takes_the_chosen_points_out_of_68(seven: Path, to: str) -> None:
    scheme, out = seven / "seven.toml", seven / "out"
    call = ("--data", seven / "300w", "--format", "300w", "--to", to, "--scheme", scheme)
    result = run("data", "convert", *call, "--out", out)
    assert result.exit_code == 0, result.output
    dataset = load_dataset(out, to, scheme=scheme_named(scheme))
    assert (dataset.scheme.name, len(dataset.faces)) == ("seven", 3)
    np.testing.assert_allclose(dataset.faces[0].landmarks, whole_face()[POINTS], atol=0.01)


def test_a_68_point_model_is_measured_on_the_chosen_points(seven: Path, make_tflite) -> None:
    model = make_tflite()  # says the generic face, whatever it is shown
    call = (model, "--data", seven / "data", "--format", "csv", "--scheme", seven / "seven.toml")
    result = run("evaluate", *call, "--boxes", "detector", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["scheme"], content["landmarks"], content["faces"]) == ("seven", 68, 3)
    assert content["normalised_by"] == "distance from left_eye_outer to right_eye_outer"
    assert content["nme_percent"] == pytest.approx(0, abs=0.1)
    refused = run("evaluate", *call)
    assert refused.exit_code == 2 and DETECTOR_BOXES in refused.stderr


def test_68_labelled_points_give_the_box_for_a_comparison_in_seven(
    seven: Path, make_tflite
) -> None:
    call = ("--format", "300w", "--scheme", seven / "seven.toml", "--json")
    result = run("evaluate", make_tflite(), "--data", seven / "300w", *call)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["scheme"], content["boxes"], content["faces"]) == ("seven", "landmarks", 3)


def test_a_68_point_model_is_measured_by_the_box_instead_of_the_eyes(
    seven: Path, make_tflite
) -> None:
    by_box = seven / "by_box.toml"
    by_box.write_text('name = "68-by-box"\nnormaliser = "box"\n\n[from]\nscheme = "68"\n')
    call = (make_tflite(), "--data", seven / "300w", "--format", "300w", "--scheme", by_box)
    result = run("evaluate", *call, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["scheme"], content["faces"]) == ("68-by-box", 3)
    assert "square root of the area" in content["normalised_by"]


def test_98_points_lead_to_points_chosen_from_68(seven: Path) -> None:
    chosen = scheme_named(seven / "seven.toml")
    whole = scheme_named("98").mapped(GENERIC_FACE_98[:, :2], SCHEME_68)
    found = scheme_named("98").mapped(GENERIC_FACE_98[:, :2], chosen)
    np.testing.assert_array_equal(found, whole[POINTS])


def test_fewer_points_follow_from_more_of_the_same_scheme(tmp_path: Path, seven: Path) -> None:
    inner = tmp_path / "inner.toml"
    inner.write_text(f'name = "inner"\n[from]\nscheme = "68"\npoints = {[*range(17, 68)]}\n')
    scheme, chosen = scheme_named(inner), scheme_named(seven / "seven.toml")
    face = whole_face()
    np.testing.assert_allclose(scheme.mapped(face[17:], chosen), face[POINTS], atol=1e-4)
    assert [*scheme.maps] == ["5"]  # all that the five points are made of is there
    assert scheme.closed == {"left_eye", "right_eye", "outer_lip", "inner_lip"}
    assert not scheme.outlines_face and not chosen.leads_to(scheme)


@pytest.mark.parametrize(
    ("jaw", "outlines"), [([0, 4, 8, 12, 16], True), ([0, 1, 2, 14, 15, 16], False)]
)
def test_a_jaw_without_a_chin_does_not_outline_the_face(
    tmp_path: Path, jaw: list[int], outlines: bool
) -> None:
    """The box around it ends at the mouth: a model of whole faces would get other crops."""
    path = tmp_path / "own.toml"
    points = [*jaw, 36, 45]
    path.write_text(f'name = "own"\n[from]\nscheme = "68"\npoints = {points}\n')
    assert scheme_named(path).outlines_face == outlines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SEVEN.replace('"68"', '"67"'), "from.scheme to be one of 5, 19, 21, 29, 68, 98, 106; got"),
        (SEVEN.replace("45, ", "45, 45, "), "different from.points, got 45 twice"),
        (SEVEN.replace("45, ", ""), "got left_eye_outer without right_eye_outer: add it"),
        (SEVEN.replace("45, ", "68, "), "its number 0 to 67; got 68"),
        (SEVEN.replace("36, ", "").replace("45, ", ""), "expected the key normaliser: 68 has"),
        ("points = 8\n" + SEVEN, "expected points = 7, as many as [from] chooses"),
        (SEVEN + "draw = 1\n", "expected [from] with scheme and points"),
        ("from = 68\n" + SEVEN.split("[")[0], "expected [from] with scheme and points"),
    ],
)
def test_a_wrong_choice_is_refused_by_what_is_wrong(seven: Path, text: str, message: str) -> None:
    (seven / "seven.toml").write_text(text)
    call = ("--data", seven / "data", "--format", "csv", "--scheme", seven / "seven.toml")
    result = run("data", "inspect", *call)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_what_the_file_says_itself_goes_before_what_is_inherited(seven: Path) -> None:
    own = SEVEN.replace("\n\n", '\nnormaliser = "box"\nnames = ["a","b","c","d","e","f","g"]\n', 1)
    own += '\n[parts]\neyes = { points = ["a", "b", "c", "d"] }\n'
    (seven / "seven.toml").write_text(own)
    scheme = scheme_named(seven / "seven.toml")
    assert (scheme.normaliser, scheme.names[4]) == ("box", "e")
    assert dict(scheme.parts) == {"eyes": (0, 1, 2, 3), "other": (4, 5, 6)}
    assert scheme.mirror.tolist() == [3, 2, 1, 0, 4, 6, 5]


def test_a_choice_reads_back_from_json(seven: Path) -> None:
    scheme = scheme_named(seven / "seven.toml")
    text = json.dumps(scheme.to_json(), sort_keys=True)
    assert type(scheme).from_json(json.loads(text)) == scheme


def test_faces_are_synthesized_with_the_chosen_points(seven: Path, make_tflite) -> None:
    """The folder gives them, whole and by split, and its 68 and 98 where these are asked for."""
    out, scheme = seven / "drawn", seven / "seven.toml"
    call = ("data", "synthesize", "--count", 6, "--size", 64, "--workers", 1, "--out", out)
    result = run(*call, "--scheme", scheme)
    assert result.exit_code == 0, result.output
    own, whole = (load_dataset(out, "synthetic", points=points) for points in (None, 68))
    assert own.scheme == scheme_named(scheme)
    for face, of_68 in zip(own.faces, whole.faces, strict=True):
        np.testing.assert_array_equal(face.landmarks, of_68.landmarks[POINTS])
    assert run(*call, "--scheme", scheme).exit_code == 0  # nothing is left to draw
    other = run(*call)
    assert other.exit_code == 2 and "made with other arguments" in other.stderr
    for options, points in (((), 7), (("--points", 98), 98), (("--scheme", 5), 5)):
        call = ("--data", out, "--format", "synthetic", *options)
        inspected = run("data", "inspect", *call, "--json")
        assert inspected.exit_code == 0, inspected.output
        assert json.loads(inspected.stdout)["points"] == points
    split = load_dataset(out / "train", "synthetic", scheme=scheme_named(scheme))
    assert split.scheme.name == "seven"
    call = ("--data", out, "--format", "synthetic", "--scheme", scheme, "--json")
    judged = run("evaluate", make_tflite(), *call)  # the folder's 68 points give the boxes
    assert judged.exit_code == 0 and json.loads(judged.stdout)["boxes"] == "landmarks"


def test_synthesize_says_which_schemes_it_can_make(tmp_path: Path) -> None:
    call = ("data", "synthesize", "--count", 1, "--out", tmp_path / "drawn", "--scheme", 21)
    result = run(*call)
    assert result.exit_code == 2 and not (tmp_path / "drawn").exists()
    assert "a map to (68, 98, 5), or a file with points chosen [from] them" in " ".join(
        result.stderr.split()
    )


@pytest.mark.parametrize("to", ["csv", "coco", "300w"])
def test_the_next_line_of_convert_reads_the_copy_with_its_scheme(seven: Path, to: str) -> None:
    scheme, out = scheme_named(seven / "seven.toml"), seven / "out"
    call = ("--data", seven / "300w", "--format", "300w", "--to", to, "--out", out, "--json")
    result = run("data", "convert", *call, "--scheme", seven / "seven.toml")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["scheme_file"] == str(out / "scheme.toml")
    assert scheme_named(out / "scheme.toml") == scheme
    _, following = result.stderr.split("Next: asmnet-kit ")
    following = following.replace("sheet.png", str(seven / "sheet.png"))
    inspected = run(*shlex.split(following), "--json")
    assert inspected.exit_code == 0, inspected.output
    content = json.loads(inspected.stdout)
    assert (content["faces"], content["scheme"]) == (3, scheme.to_json())


def test_coco_keeps_the_names_and_lines_of_a_scheme(seven: Path) -> None:
    (seven / "seven.toml").write_text(SEVEN + "[parts]\nmouth = { points = [5, 4, 6] }\n")
    call = ("--data", seven / "300w", "--format", "300w", "--to", "coco", "--out", seven / "out")
    assert run("data", "convert", *call, "--scheme", seven / "seven.toml").exit_code == 0
    (file,) = (seven / "out/annotations").iterdir()
    (category,) = json.loads(file.read_text())["categories"]
    assert category["keypoints"] == [SCHEME_68.names[number] for number in POINTS]
    assert category["skeleton"] == [[6, 5], [5, 7]]  # counted from 1


def test_a_built_in_scheme_needs_no_file(seven: Path) -> None:
    call = ("--data", seven / "300w", "--format", "300w", "--to", "csv", "--out", seven / "out")
    result = run("data", "convert", *call, "--json")
    assert json.loads(result.stdout)["scheme_file"] is None
    assert "--scheme" not in result.stderr and not (seven / "out/scheme.toml").exists()


@pytest.mark.parametrize("source", ["68", "98"])
def test_people_are_rendered_with_the_labels_that_points_are_chosen_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    scheme = tmp_path / "few.toml"
    numbers = {"68": [36, 45, 30], "98": [60, 72, 54]}[source]
    scheme.write_text(f'name = "few"\n[from]\nscheme = "{source}"\npoints = {numbers}\n')
    rendered: list[int] = []
    # Without a face, so that none takes its second to be rendered.
    monkeypatch.setattr(people, "open_stage", lambda stage: lambda n: rendered.append(n) or [])
    result = run("data", "inspect", "--data", "people", "--format", "people", "--scheme", scheme)
    assert rendered == [int(source)], result.output
