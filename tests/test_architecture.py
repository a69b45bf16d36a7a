"""The map of the code: made from the code, up to date, and wrong steps are refused."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

ROOT = Path(__file__).resolve().parents[1]
PATH = re.compile(r"`((?:toolkit|training|quantize|benchmarks|tests|docs)/[\w./]*)`")
LINK = re.compile(r"\]\(([^)#]+)")


@pytest.fixture(scope="module")
def architecture() -> ModuleType:
    """docs/architecture.py, which is a script of no package."""
    return load_script("docs/architecture.py")


def test_the_map_is_up_to_date(architecture: ModuleType) -> None:
    """Pictures, page, and the rooms in CONTRIBUTING, which names every folder."""
    stale = [
        str(path.relative_to(ROOT))
        for path, content in architecture.outputs().items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]
    assert stale == [], "run: make docs"


def test_contributing_says_what_each_room_holds(architecture: ModuleType) -> None:
    rooms = {room.replace(".", "/") for room in architecture.guards.ROOMS}
    folders = {
        f"{path.parent.relative_to(ROOT).as_posix()}/": path
        for folder in architecture.guards.FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
        if path.parent.relative_to(ROOT).as_posix().removeprefix("toolkit/") in rooms
    }
    assert len(folders) > 20
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for folder, init in folders.items():
        says = init.read_text(encoding="utf-8").split("\n")[0].strip('"')
        assert f"| `{folder}` | {says} |" in text


def test_every_path_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = {ROOT / path for path in PATH.findall(page)}
    paths |= {(ROOT / "docs" / path).resolve() for path in LINK.findall(page)}
    assert len(paths) > 40
    assert [str(path) for path in paths if not path.exists()] == []


def test_the_pictures_load_nothing_and_fit_a_page(architecture: ModuleType) -> None:
    pictures = [path for path in architecture.outputs() if path.suffix == ".svg"]
    assert len(pictures) == 4
    for path in pictures:
        text = path.read_text(encoding="utf-8")
        assert ET.fromstring(text).get("width") == "900"
        assert not re.search(r"href|url\(|<script|<image", text)


def test_no_name_in_the_house_runs_into_what_its_room_holds(architecture: ModuleType) -> None:
    drawing = architecture.drawing
    letter = 0.62 * 12  # the widest of the fonts, 12 px
    for text in ET.fromstring(architecture.house()).iter("{http://www.w3.org/2000/svg}text"):
        if "code" in text.attrib["class"].split():
            end = float(text.attrib["x"]) + letter * len(text.text or "")
            assert end < drawing.TEXTS, text.text


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("face.crop:no_such_function", "expected face.crop:no_such_function in the code"),
        ("no.such.module:warp", "expected no.such.module:warp in the code"),
        ("toolkit/no_such_file.j2", "expected the file toolkit/no_such_file.j2"),
        ("drawn_faces.film:film", None),
        ("face.metrics:auc", None),
    ],
)
def test_a_step_that_is_not_there_or_that_nothing_leads_to_is_refused(
    architecture: ModuleType, at: str, reason: str | None
) -> None:
    step = architecture.journeys.Step
    reason = reason or f"expected an earlier step to lead to {at}, none does"
    with pytest.raises(ValueError, match=re.escape(reason)):
        architecture.reached(step(at, ""), [step("face.crop:warp", "")])


def test_a_step_is_reached_by_a_call_a_table_or_a_new_process(architecture: ModuleType) -> None:
    step, reached = architecture.journeys.Step, architecture.reached
    load = step("datasets.registry:load_dataset", "")
    assert reached(step("datasets.folders:walk", ""), [load]) == (
        "called in toolkit/datasets/registry.py"
    )
    assert reached(step("datasets.ibug300w:read", ""), [load]) == (
        "named in toolkit/datasets/formats.py"
    )
    runner = step("benchmarks.runner:benchmark_model", "")
    assert reached(step("benchmarks.worker:main", ""), [runner]) == (
        "started in benchmarks/runner.py"
    )


def test_an_arrow_that_a_longer_way_implies_is_left_out(architecture: ModuleType) -> None:
    arrows = frozenset({("a", "b"), ("b", "c"), ("a", "c")})
    assert architecture.implied(("a", "c"), arrows)
    assert not architecture.implied(("a", "b"), arrows)
