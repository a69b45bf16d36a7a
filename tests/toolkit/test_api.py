"""The Python API: what docs/api.md and docstrings show runs, threads agree, errors are clear."""

import ast
import doctest
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import asmnet_kit
from asmnet_kit import api
from asmnet_kit.cli import main
from asmnet_kit.face.pictures import Image
from asmnet_kit.people.fixed_sets import person_to_measure_on

ROOT = Path(__file__).resolve().parents[2]
SMALL = "asmnet_nano_people"


@pytest.fixture(scope="module")
def person() -> Image:
    """A rendered person of 160 x 160 pixels."""
    return person_to_measure_on(3, size=160, points=68).picture.read()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, person: Image) -> Path:
    """A folder with what the examples name: a photograph, a film and labelled faces."""
    folder = tmp_path_factory.mktemp("place")
    bgr = np.ascontiguousarray(person[..., ::-1])
    for name in ("people.png", "photo.jpg"):
        cv2.imwrite(str(folder / name), bgr)
    film = cv2.VideoWriter(
        str(folder / "film.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, bgr.shape[1::-1]
    )
    for _ in range(4):
        film.write(bgr)
    film.release()
    drawn = ["data", "synthesize", "--count", "40", "--size", "120", "--out", str(folder / "faces")]
    assert CliRunner().invoke(main, drawn).exit_code == 0
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


# What it says it does -----------------------------------------------------------------------------


def test_a_model_loaded_with_other_landmarks_is_measured_as_the_command_does(here: Path) -> None:
    """Its crops are those of all its own landmarks; the box around five is another one."""
    five = asmnet_kit.load(SMALL, scheme="5")
    measured = asmnet_kit.evaluate(five, "faces", "synthetic").scores
    words = [
        "evaluate",
        SMALL,
        "--data",
        "faces",
        "--format",
        "synthetic",
        "--scheme",
        "5",
        "--json",
    ]
    told = json.loads(CliRunner().invoke(main, words).stdout)
    assert measured.nme_percent == pytest.approx(told["nme_percent"])
    with pytest.raises(asmnet_kit.UsageError, match="load it without scheme="):
        asmnet_kit.benchmark(five, data="faces", format="synthetic")


def test_the_examples_of_the_page_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        run_block(code, names)
    said = capsys.readouterr().out
    assert len(re.findall(r"^\d 1 \[", said, re.MULTILINE)) == 4  # a face in each frame
    assert re.search(r"^NME \d+\.\d\d % over 4 faces$", said, re.MULTILINE)
    assert re.search(r"^\d+\.\d\d ms on \S", said, re.MULTILINE)
    assert "no_such_model" in said
    assert [path.suffix for path in (here / "results").iterdir()] == [".json"]
    assert (here / "drawn.png").stat().st_size > 1000


def run_block(code: str, names: dict[str, Any]) -> None:
    """Run code of a page as one would type it, statement after statement."""
    exec(compile(code, "docs/api.md", "exec"), names)


def test_the_examples_of_the_docstrings_run(here: Path) -> None:
    failed, tried = doctest.testmod(api)
    assert (failed, tried > 10) == (0, True)


def test_the_page_lists_every_name(here: Path) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in asmnet_kit.__all__ if f"`{name}" not in page] == []


def test_type_checkers_and_programs_see_the_same_names() -> None:
    stub = ast.parse((ROOT / "toolkit" / "__init__.pyi").read_text(encoding="utf-8"))
    told = {
        alias.asname
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == set(asmnet_kit.__all__) == set(api.__all__)
    assert all(getattr(asmnet_kit, name) is getattr(api, name) for name in asmnet_kit.__all__)
    assert set(asmnet_kit.__all__) <= set(dir(asmnet_kit))
    assert (ROOT / "toolkit" / "py.typed").is_file()


def test_the_import_loads_nothing_and_no_name_loads_tensorflow() -> None:
    script = (
        "import sys, asmnet_kit\n"
        "heavy = [m for m in ('numpy', 'cv2', 'ai_edge_litert', 'click') if m in sys.modules]\n"
        f"asmnet_kit.load({SMALL!r}), asmnet_kit.Tracker, asmnet_kit.benchmark\n"
        "print(heavy, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "[] False"


def test_it_predicts_what_the_command_prints(here: Path) -> None:
    ran = CliRunner().invoke(main, ["predict", "people.png", "--model", SMALL, "--json"])
    assert ran.exit_code == 0, ran.output
    faces = asmnet_kit.load(SMALL).predict("people.png")
    assert [face.to_json() for face in faces] == json.loads(ran.stdout)["faces"]


def test_a_scheme_maps_the_landmarks(person: Image) -> None:
    plain, mapped = asmnet_kit.load(SMALL), asmnet_kit.load(SMALL, scheme="5")
    box = plain.predict(person)[0].box
    assert mapped.scheme.points == 5
    assert mapped.predict(person, [box])[0].landmarks.shape == (5, 2)
    with pytest.raises(asmnet_kit.UsageError, match="outline a face"):
        asmnet_kit.Tracker(mapped)


def test_a_view_of_reversed_channels_predicts_what_its_copy_does(person: Image) -> None:
    model = asmnet_kit.load(SMALL)
    bgr = np.ascontiguousarray(person[..., ::-1])
    (one,), (other,) = model.predict(bgr[..., ::-1]), model.predict(person)
    assert np.array_equal(one.landmarks, other.landmarks)


# Threads ------------------------------------------------------------------------------------------


def test_threads_that_share_a_model_get_what_one_thread_gets(person: Image) -> None:
    model = asmnet_kit.load(SMALL)
    boxes = [[40 + 3 * step, 45, 118 + step, 130 - 2 * step] for step in range(16)]
    alone = [model.predict(person, [box])[0] for box in boxes]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            together = list(pool.map(lambda box: model.predict(person, [box])[0], boxes))
            for one, other in zip(alone, together, strict=True):
                assert np.array_equal(one.landmarks, other.landmarks)
                assert (one.confidence, one.plausibility) == (other.confidence, other.plausibility)
        detected = list(pool.map(lambda _: model.predict(person)[0].box.tolist(), range(8)))
    assert all(box == detected[0] for box in detected)


def test_trackers_of_several_threads_may_share_a_model(person: Image) -> None:
    model = asmnet_kit.load(SMALL)
    moved = [np.roll(person, shift, axis=1) for shift in (0, 2, 4, 6)]

    def follow(_: int) -> list[list[float]]:
        tracker = asmnet_kit.Tracker(model, detect_every=2)
        found = [tracker.update(frame, index / 25) for index, frame in enumerate(moved)]
        return [faces[0].face.landmarks.ravel().tolist() for faces in found]

    alone = follow(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == alone for found in pool.map(follow, range(4)))


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((8, 9), np.uint8), r"in RGB, got uint8 \[8, 9\]"),
        (np.zeros((8, 9, 4), np.uint8), r"in RGB, got uint8 \[8, 9, 4\]"),
        (np.zeros((8, 9, 3), np.float32), r"0 to 255; got float32 \[8, 9, 3\]"),
        (np.zeros((0, 9, 3), np.uint8), r"got uint8 \[0, 9, 3\]"),
        ([[1, 2, 3]], "got list"),
        ([[1, 2], [3]], "got list"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_picture_is_refused_by_shape_and_type(image: Any, words: str) -> None:
    model = asmnet_kit.load(SMALL)
    for call in (model.predict, lambda image: asmnet_kit.Tracker(model).update(image, 0.0)):
        with pytest.raises(asmnet_kit.UsageError, match=words):
            call(image)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([10, 10, 50, 50], r"got \[4\]; one box is \[\["),
        ([[10, 10, 50]], r"got \[1, 3\]"),
        ([[50, 10, 10, 50]], "x0 < x1 and y0 < y1, got 50, 10, 10, 50"),
        ([[10, 10, float("nan"), 50]], "x0 < x1 and y0 < y1, got 10, 10, nan, 50"),
        ([[0, 0, 1e30, 1e30]], "got 0, 0, 1e.30, 1e.30: give pixels"),
        ([[0, 0, 1e39, float("inf")]], "got 0, 0, 1e.39, inf"),
        ([[0, 0, 10**400, 1]], r"expected boxes as \[K, 4\]"),
        ([[1, 2, 3, 4], [1]], r"expected boxes as \[K, 4\] numbers x0, y0, x1, y1: "),
        ("left", r"expected boxes as \[K, 4\]"),
        ([[900, 900, 990, 990]], "in the picture of 160 x 160"),
    ],
)
def test_what_are_no_boxes_is_refused(person: Image, boxes: Any, words: str) -> None:
    with pytest.raises(asmnet_kit.UsageError, match=words):
        asmnet_kit.load(SMALL).predict(person, boxes)


def test_no_boxes_are_no_faces(person: Image) -> None:
    assert asmnet_kit.load(SMALL).predict(person, []) == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda place: asmnet_kit.load("no_such_model"), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.load(place / "gone.tflite"), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.load(place / "photo.jpg"), asmnet_kit.ModelError),
        (lambda place: asmnet_kit.load(SMALL, scheme="69"), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.load(SMALL, threads=0), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.read_image(place / "gone.jpg"), asmnet_kit.DatasetError),
        (lambda place: asmnet_kit.load(SMALL).predict(place / "film.mp4"), asmnet_kit.DatasetError),
        (
            lambda place: asmnet_kit.load(SMALL).predict(place / "photo.jpg", min_score=2),
            asmnet_kit.UsageError,
        ),
        (lambda place: asmnet_kit.Tracker(SMALL, detect_every=0), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.evaluate(SMALL, place / "gone", "300w"), asmnet_kit.KitError),
        (lambda place: asmnet_kit.evaluate(SMALL, place / "faces", "nope"), asmnet_kit.UsageError),
        (
            lambda place: asmnet_kit.evaluate(SMALL, place / "faces", "synthetic", split="nope"),
            asmnet_kit.UsageError,
        ),
        (lambda place: asmnet_kit.benchmark(SMALL, target="nope"), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.benchmark(SMALL, runs=0), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.benchmark(SMALL, device="usb:0"), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.benchmark(SMALL, options={"a": "b"}), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.benchmark(SMALL, data=place / "faces"), asmnet_kit.UsageError),
        (lambda place: asmnet_kit.benchmark(place / "photo.jpg"), asmnet_kit.ModelError),
    ],
)
def test_every_mistake_is_one_of_the_kits_errors(
    place: Path, call: Callable[[Path], Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        call(place)
    assert isinstance(raised.value, asmnet_kit.KitError)
    assert len(str(raised.value)) > 20


def test_an_argument_of_a_wrong_type_is_refused_by_name(person: Image) -> None:
    model = asmnet_kit.load(SMALL)
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (asmnet_kit.load, {}),
        (model.predict, {"image": person}),
        (model.draw, {"image": person, "faces": []}),
        (asmnet_kit.Tracker, {"model": model}),
        (asmnet_kit.Tracker(model).update, {"image": person, "seconds": 0.0}),
        (asmnet_kit.evaluate, {"model": model, "data": "faces", "format": "synthetic"}),
        (asmnet_kit.benchmark, {"model": model}),
        (asmnet_kit.read_image, {"path": "gone.jpg"}),
    ]
    tried = 0
    for call, given in calls:
        for name in inspect.signature(call).parameters:
            for value in (object(), b"text", [None], float("nan"), 2j):
                with pytest.raises(asmnet_kit.UsageError) as raised:
                    call(**{**given, name: value})
                said = str(raised.value)
                assert "expected" in said and ("got" in said or name == "boxes"), said
                assert said.startswith(
                    (f"{name}: ", "expected a path, or a picture", "expected box")
                )
                tried += 1
    assert tried > 100


@pytest.mark.parametrize(
    ("argument", "value"),
    [("threads", True), ("runs", 1.5), ("min_seconds", "2"), ("min_seconds", -1), ("data", "a\0b"),
     ("options", {"runtime": 3}), ("target", 3), ("threads", -1)],
)  # fmt: skip
def test_a_value_of_a_near_type_is_refused_too(argument: str, value: Any) -> None:
    with pytest.raises(asmnet_kit.UsageError, match=f"^{argument}: expected .*got "):
        asmnet_kit.benchmark(SMALL, **{argument: value})


def test_numbers_of_numpy_are_numbers(person: Image) -> None:
    model = asmnet_kit.load(SMALL, threads=np.int64(1))  # type: ignore[arg-type]
    assert len(model.predict(person, min_score=np.float32(0.5))) == 1  # type: ignore[arg-type]
    tracker = asmnet_kit.Tracker(model, smoothing=np.True_)  # type: ignore[arg-type]
    assert len(tracker.update(person, np.float64(0.0))) == 1


def test_errors_name_arguments_and_no_options_of_the_command(place: Path) -> None:
    five = asmnet_kit.load(SMALL, scheme="5")
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: asmnet_kit.load(SMALL, adapter="gone"), "adapter="),
        (lambda: asmnet_kit.benchmark(SMALL, device="usb:0"), "device="),
        (lambda: asmnet_kit.benchmark(SMALL, options={"gpu_precision": "fp16"}), 'options["gpu'),
        (lambda: asmnet_kit.benchmark(SMALL, options={"nope": "1"}), "options nope"),
        (lambda: asmnet_kit.benchmark(SMALL, target="linux"), "device=user@host"),
        (lambda: asmnet_kit.evaluate(five, place / "gone", "people"), 'data="people"'),
        (lambda: asmnet_kit.evaluate(SMALL, place / "faces", "synthetic", subset="x"), "split="),
    ]
    for call, words in calls:
        with pytest.raises(asmnet_kit.KitError) as raised:
            call()
        assert words in str(raised.value) and "--" not in str(raised.value)


# The faces that are drawn, the frames that are followed -------------------------------------------


def test_faces_of_a_tracker_are_drawn_and_those_of_other_landmarks_are_not(person: Image) -> None:
    model = asmnet_kit.load(SMALL)
    tracked = asmnet_kit.Tracker(model).update(person, 0.0)
    drawn = model.draw(person, tracked)
    assert np.array_equal(drawn, model.draw(person, [one.face for one in tracked]))
    five = asmnet_kit.load(SMALL, scheme="5").predict(person)
    with pytest.raises(asmnet_kit.UsageError, match=r"expected 68 landmarks.*got 5"):
        model.draw(person, five)
    with pytest.raises(asmnet_kit.UsageError, match=r"of one face \[face\]"):
        model.draw(person, five[0])  # type: ignore[arg-type]


def test_frames_go_forward_in_time(person: Image) -> None:
    tracker = asmnet_kit.Tracker(SMALL)
    tracker.update(person, 1.0)
    assert tracker.update(person, 1.0)
    with pytest.raises(asmnet_kit.UsageError, match="each film a Tracker of its own"):
        tracker.update(person, 0.96)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        getattr(asmnet_kit, "lod")  # noqa: B009 - as a program would spell it wrong


def test_a_shape_model_that_cannot_judge_costs_the_plausibility_and_a_warning(
    make_tflite: Callable[..., Path], tmp_path: Path, person: Image
) -> None:
    path = make_tflite("mine.tflite")
    path.with_suffix(".npz").write_bytes(b"no archive")
    with pytest.warns(UserWarning, match="going on without plausibility"):
        model = asmnet_kit.load(path)
    assert model.predict(person, [[10, 10, 90, 90]])[0].plausibility is None


def test_the_benchmark_measures_accuracy_where_data_is_given(here: Path) -> None:
    result = asmnet_kit.benchmark(
        SMALL, runs=5, min_seconds=0, data="faces", format="synthetic", out="with_accuracy"
    )
    assert result["accuracy"]["faces"] == 4
    (written,) = (here / "with_accuracy").iterdir()
    assert json.loads(written.read_text()) == result
