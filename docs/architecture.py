"""Writes docs/architecture.md, its pictures, and the rooms in CONTRIBUTING.md.

Rooms, what they hold and which imports which are read from the code. The steps of the journeys are
listed in ``journeys.py`` and checked here: each must exist, and an earlier step must call it, start
it or find it in a table.
"""

import ast
import importlib.util
import sys
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent


def _load(path: Path) -> ModuleType:
    """A Python file that belongs to no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


drawing = _load(DOCS / "drawing.py")
journeys = _load(DOCS / "journeys.py")
guards = _load(ROOT / "tests" / "test_guards.py")  # has the table of rooms

STAGES = ("quantize", "training", "benchmarks", "toolkit")  # as drawn, from the top
STAGE_ARROWS = (
    ("quantize", "training"),
    ("quantize", "toolkit"),
    ("training", "toolkit"),
    ("benchmarks", "toolkit"),
)
# Tables that name what they load as strings: a step that is in one is reached through it.
TABLES = (
    "datasets.formats",
    "training.networks.architectures",
    "benchmarks.targets.registry",
    "base.openers",
)
LONGEST_LINE = 82  # of what a room holds, in the picture
LINE = 100  # of the page
WHOLE = {"break_long_words": False, "break_on_hyphens": False}
CURE = "correct the steps, then run make docs"


QUESTIONS = """\
## Five questions

**Where is the crop?** In the room about faces, `toolkit/face/crop.py`. Training, evaluation and the
phone app use this one formula.

**Where is the file format?** A `.tflite` and what it says about itself: `toolkit/tflite/`. Data
sets: `toolkit/datasets/`, one file for each format, listed in `toolkit/datasets/formats.py`.
Benchmark results: `toolkit/results/results.schema.json`. The run folder:
`toolkit/base/run_folder.py`.

**Where do I add a target?** One file in `benchmarks/targets/`, entered in
`benchmarks/targets/registry.py`; from a package of your own, nothing in the kit
([CONTRIBUTING.md](../CONTRIBUTING.md#a-benchmark-target)).

**Where is ASM-LOSS?** In `training/loss/`. The shape model it needs is about faces and works
without TensorFlow: `toolkit/face/`.

**What may this file import?** Its own room and those below it in the first picture. The table is in
`tests/test_guards.py`, which fails on anything else. TensorFlow: only in `training/` and
`quantize/`. A module named as a string: only in `toolkit/__init__.py`, `toolkit/cli.py` and
`toolkit/base/openers.py`, or in its own room.
"""


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the kit, by its name without ``asmnet_kit.``."""
    return {
        guards.module_of(path): tree
        for folder in guards.FOLDERS
        for path, tree in guards.sources(folder)
    }


def file_of(module: str) -> str:
    """``face.crop`` -> ``toolkit/face/crop.py``; a folder stands for its ``__init__.py``."""
    stem = ROOT / ("" if module.split(".")[0] in guards.STAGES else "toolkit")
    path = stem.joinpath(*module.split("."))
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return found.relative_to(ROOT).as_posix()


def file_of_step(step: Any) -> str:
    """The file that a step is in."""
    return file_of(step.module) if step.name else str(step.at)


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of the kit that a module imports, or names as ``python -m`` takes them."""
    tree = trees()[module]
    names = [*guards.imported_modules(tree), *guards.named_modules(tree)]
    return frozenset(filter(None, map(guards.kit_module, names)))


@cache
def room_arrows() -> frozenset[tuple[str, str]]:
    """(room, room that it imports), as the guard counts them: tables of strings left out."""
    arrows = set()
    for module, tree in trees().items():
        is_table = file_of(module) in guards.TABLES
        names = [*guards.imported_modules(tree), *([] if is_table else guards.named_modules(tree))]
        for used in filter(None, map(guards.kit_module, names)):
            arrows.add((guards.room_of(module) if module else "", guards.room_of(used)))
    return frozenset((room, used) for room, used in arrows if room != used)


def implied(arrow: tuple[str, str], arrows: frozenset[tuple[str, str]]) -> bool:
    """Whether a longer way leads along arrows from one room to the other."""
    start, end = arrow
    todo = [used for room, used in arrows if room == start and used != end]
    seen = set(todo)
    while todo:
        room = todo.pop()
        if room == end:
            return True
        fresh = {used for source, used in arrows if source == room} - seen
        seen |= fresh
        todo += fresh
    return False


def about(module: str) -> str:
    """What a module says of itself: the first sentence of its docstring, in plain text."""
    text = " ".join((ast.get_docstring(trees()[module]) or "").split("\n\n")[0].split())
    sentence = text.split(". ")[0].rstrip(".").replace("``", "")
    return sentence if sentence.endswith("?") else f"{sentence}."


def rooms_of(stage: str) -> list[str]:
    """The rooms of a stage, highest first."""
    return [room for room in reversed(guards.ROOMS) if guards.stage_of(room) == stage]


def folders() -> Iterator[tuple[str, str]]:
    """(folder, what it holds) of each room that is one, by stage, lowest first."""
    for stage in reversed(STAGES):
        for room in reversed(rooms_of(stage)):
            file = file_of(room)
            if room and file.endswith("/__init__.py"):
                yield file.removesuffix("__init__.py"), about(room)


def rooms_table() -> str:
    """Each room in one line, Markdown, for CONTRIBUTING.md."""
    rows = [f"| `{folder}` | {text} |" for folder, text in folders()]
    return "\n".join(["| room | holds |", "|---|---|", *rows])


def between_markers(page: str, content: str) -> str:
    """A page with the content between its markers.

    Raises:
        ValueError: the page has no markers.
    """
    start, end = "<!-- rooms: written by make docs -->", "<!-- end of rooms -->"
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"expected {start} and {end} in the page")
    return f"{before}{start}\n{content}\n{end}{after}"


def house() -> str:
    """The picture of all rooms."""
    arrows = room_arrows()
    stages = []
    for stage in STAGES:
        rooms = rooms_of(stage)
        inside = frozenset(arrow for arrow in arrows if set(arrow) <= set(rooms))
        shown = {room: room.rpartition(".")[2] or "asmnet_kit" for room in rooms}
        shown |= {stage: "__init__", "": "__init__"}
        floors = [
            drawing.Floor(
                name=shown[room],
                about=_shortened(about(room)),
                uses=tuple(
                    shown[used]
                    for used in rooms
                    if (room, used) in inside and not implied((room, used), inside)
                ),
                is_folder=file_of(room).endswith("__init__.py") and shown[room] != "__init__",
            )
            for room in rooms
        ]
        stages.append((stage, floors))
    counts = [
        (a, b, sum((guards.stage_of(x), guards.stage_of(y)) == (a, b) for x, y in arrows))
        for a, b in STAGE_ARROWS
    ]
    return str(drawing.house(stages, counts))


def _shortened(text: str) -> str:
    return textwrap.shorten(text, LONGEST_LINE, placeholder=" …", **WHOLE)


@cache
def names(module: str) -> frozenset[str]:
    """Every name and attribute in a module's code."""
    nodes = list(ast.walk(trees()[module]))
    return frozenset(
        {node.id for node in nodes if isinstance(node, ast.Name)}
        | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    )


@cache
def texts(module: str) -> frozenset[str]:
    """Every string in a module's code."""
    nodes = (node for node in ast.walk(trees()[module]) if isinstance(node, ast.Constant))
    return frozenset(node.value for node in nodes if isinstance(node.value, str))


@cache
def whole_modules(module: str) -> frozenset[str]:
    """Modules that a module imports as such, to start them: ``from asmnet_kit.x import module``."""
    return frozenset(
        f"{node.module}.{alias.name}".removeprefix("asmnet_kit.")
        for node in ast.walk(trees()[module])
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


def defined(module: str) -> set[str]:
    """Functions, classes and constants at the top of a module."""
    names = set()
    for node in trees()[module].body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def reached(step: Any, earlier: Sequence[Any]) -> str:
    """How a journey gets to a step, in words.

    A file of an earlier step, or else one that such a file imports, calls it, starts it as a
    process, or names it in a table.

    Raises:
        ValueError: the step does not exist, or nothing leads to it.
    """
    if step.name and (step.module not in trees() or step.name not in defined(step.module)):
        raise ValueError(f"docs/journeys.py: expected {step.at} in the code, found none; {CURE}")
    if not step.name and not (ROOT / step.at).is_file():
        raise ValueError(f"docs/journeys.py: expected the file {step.at}, found none; {CURE}")
    if step.typed:
        return f"typed: {step.typed}"
    callers = list(dict.fromkeys(s.module for s in reversed(earlier) if s.name))
    callers = [caller for caller in callers if step.by in ("", caller)]
    between = [used for caller in callers for used in sorted(imports(caller) - {step.module})]
    for caller in dict.fromkeys([*callers, *between]):
        if found := _leads_to(caller, step):
            return found
    raise ValueError(
        f"docs/journeys.py: expected an earlier step to lead to {step.at}, none does; {CURE}"
    )


def _leads_to(caller: str, step: Any) -> str | None:
    """How one module leads to a step, in words; None where it does not."""
    file = file_of(caller)
    if not step.name:
        return f"filled in {file}" if Path(step.at).name in texts(caller) else None
    if texts(caller) & {f"asmnet_kit.{step.module}", f"asmnet_kit.{step.at}"}:
        return f"named in {file}" if caller in TABLES else f"started in {file}"
    if caller == step.module:
        return "called in this file" if step.name in names(caller) else None
    if step.name in names(caller) and step.module in imports(caller):
        return f"called in {file}"
    return f"started in {file}" if step.module in whole_modules(caller) else None


def journey(which: Any) -> str:
    """The picture of a journey."""
    stops = [
        drawing.Stop(
            stage=guards.stage_of(step.module) if step.name else step.at.split("/")[0],
            file=file_of_step(step),
            name=step.name,
            about=step.does,
            reached=reached(step, which.steps[:index]),
            gives=f"→ {step.gives}" if step.gives else "",
            begins=bool(step.typed),
        )
        for index, step in enumerate(which.steps)
    ]
    stages = [stage for stage in reversed(STAGES) if any(stop.stage == stage for stop in stops)]
    return str(drawing.journey(which.title, stages, stops))


def page() -> str:
    """docs/architecture.md."""
    arrows = room_arrows()
    up = sum(guards.FLOOR[used] > guards.FLOOR[room] for room, used in arrows)
    parts = [
        "# Architecture",
        "Written by `make docs` from the code and from `docs/journeys.py`. `docs/architecture.py` "
        "checks that every step below exists and that the file of an earlier step, or one that it "
        "imports, calls it, starts it as a process or names it in a table.",
        "## The house",
        "![The rooms of asmnet-kit](architecture-house.svg)",
        "Rooms are folders (and a few files beside them), the highest first: a room imports only "
        "rooms below it. Arrows on the right go from a room to one that it imports; those that a "
        "longer way implies are left out. On the left: how many rooms of one folder use how many "
        f"of another, counted as pairs. In all {len(guards.ROOMS)} rooms and {len(arrows)} arrows, "
        f"{up} of them upwards.",
    ]
    for which in journeys.JOURNEYS:
        rows = [
            f"| {number} | [`{file_of_step(step)}`](../{file_of_step(step)}) "
            f"| {f'`{step.name}`' if step.name else ''} | {step.does} |"
            for number, step in enumerate(which.steps, start=1)
        ]
        parts += [
            f"## {which.title}",
            which.about,
            f"![{which.title}](architecture-{which.key}.svg)",
            "<details><summary>The same as a list, with links</summary>\n\n"
            + "\n".join(["| | file | | |", "|---|---|---|---|", *rows])
            + "\n\n</details>",
        ]
    lines = [part if part[0] in "<!" else textwrap.fill(part, LINE, **WHOLE) for part in parts]
    return "\n\n".join([*lines, QUESTIONS])


def outputs() -> dict[Path, str]:
    """Every file that this script writes, with its content."""
    files = {DOCS / "architecture.md": page(), DOCS / "architecture-house.svg": house()}
    files |= {DOCS / f"architecture-{which.key}.svg": journey(which) for which in journeys.JOURNEYS}
    contributing = ROOT / "CONTRIBUTING.md"
    text = contributing.read_text(encoding="utf-8")
    files[contributing] = between_markers(text, rooms_table())
    return files


if __name__ == "__main__":
    for path, content in outputs().items():
        path.write_text(content, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
