"""The project's rules about itself: arrows, light help, documented commands, no risky calls."""

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from asmnet_kit.base.openers import OPENERS
from asmnet_kit.cli import COMMANDS, main
from asmnet_kit.commands.options import NumberRange, PluginChoice, may_repeat
from asmnet_kit.datasets.formats import FORMATS
from asmnet_kit.training.networks.architectures import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("toolkit", "training", "quantize", "benchmarks")

# The rooms of asmnet_kit, lowest first: a room may import those above it in this list, never those
# below. A room is a folder, or a file that stands beside the folders of its stage.
ROOMS = (
    "",  # asmnet_kit itself: the version
    "base",
    "machine",
    "models",
    "results",
    "face",
    "datasets",
    "tflite",
    "adapters",
    "shipping",
    "drawn_faces",
    "people",
    "predict",
    "measure",
    "doctor",
    "api",
    "commands",
    "cli",
    "__main__",
    "benchmarks",
    "benchmarks.options",
    "benchmarks.protocol",
    "benchmarks.words",
    "benchmarks.timing",
    "benchmarks.checking",
    "benchmarks.edgetpu",
    "benchmarks.browser",
    "benchmarks.targets",
    "benchmarks.worker",
    "benchmarks.runner",
    "benchmarks.devices",
    "benchmarks.call",
    "benchmarks.single",
    "benchmarks.shelf",
    "benchmarks.live",
    "benchmarks.batch",
    "benchmarks.comparing",
    "benchmarks.commands",
    "benchmarks.studies",
    "training.environment",
    "training",
    "training.private_doors",
    "training.dashboard_page",
    "training.dashboard",
    "training.catalogue",
    "training.manifest",
    "training.subset_options",
    "training.batch",
    "training.cluster",
    "training.devices",
    "training.recipes",
    "training.foreign",
    "training.loss",
    "training.fit",
    "training.networks",
    "training.config",
    "training.recipe_files",
    "training.runs",
    "training.runs_command",
    "training.project",
    "training.new_command",
    "training.data",
    "training.folder",
    "training.run",
    "training.job",
    "training.worker",
    "training.supervised",
    "training.command",
    "training.studies",
    "quantize",
    "quantize.private_doors",
    "quantize.converter_settings",
    "quantize.source",
    "quantize.ranges",
    "quantize.convert",
    "quantize.rounding",
    "quantize.recipes",
    "quantize.gates",
    "quantize.run",
    "quantize.own_regression",
    "quantize.calls",
    "quantize.command",
)
FLOOR = {room: floor for floor, room in enumerate(ROOMS)}

# Which stage may import which: quantize -> training -> toolkit <- benchmarks.
STAGES = ("training", "quantize", "benchmarks")
USES = {
    "toolkit": {"toolkit"},
    "training": {"toolkit", "training"},
    "quantize": {"toolkit", "training", "quantize"},
    "benchmarks": {"toolkit", "benchmarks"},
}

# These tables name what they load as strings; nothing else may.
TABLES = {"toolkit/__init__.py", "toolkit/cli.py", "toolkit/base/openers.py"}
MODULE_NAME = re.compile(r"asmnet_kit(\.\w+)+(:\w+)?")
FILES_IN_TOOLKIT = 6  # at most, beside its rooms

# The modules that may touch private parts of other packages, through ``PrivateDoor``.
DOORS = {
    "benchmarks/timing/litert_library.py",
    "quantize/private_doors.py",
    "toolkit/tflite/litert_private.py",
    "training/private_doors.py",
}
# Where packages keep what is not public: tensorflow.python, tf_keras.src, tf_keras.__internal__.
PRIVATE_FOLDERS = {"python", "src", "__internal__"}
ATTRIBUTE_CALLS = {"getattr", "setattr", "hasattr", "delattr"}

TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization"}
HEAVY = ("numpy", "cv2", "scipy", "rich", "jinja2", "ai_edge_litert", "tensorflow", "matplotlib")


def sources(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)  # may be modules


def arrows() -> dict[str, set[str]]:
    """Module -> modules of the kit that it imports, at the top, in functions, for types."""
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for path, tree in sources(folder):
            names = set(imported_modules(tree))
            for node in ast.walk(tree):  # from asmnet_kit.face import crop
                if isinstance(node, ast.ImportFrom) and node.module:
                    names |= {f"{node.module}.{alias.name}" for alias in node.names}
            module = module_of(path)
            found[module] = set(filter(None, map(kit_module, names))) - {module}
    return found


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Some modules each of which imports the next, the last being the first; [] where none do."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module not in done:
            for imported in sorted(graph.get(module, ())):
                if circle := visit(imported, [*way, module]):
                    return circle
        done.add(module)
        return []

    return next(filter(None, (visit(module, []) for module in sorted(graph))), [])


def named_modules(tree: ast.Module) -> Iterator[str]:
    """Modules of the kit that stand in strings, as importlib and ``python -m`` take them."""
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and MODULE_NAME.fullmatch(value):
            yield value.partition(":")[0]


def module_of(path: Path) -> str:
    """``toolkit/face/crop.py`` -> ``face.crop``; an ``__init__.py`` stands for its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "toolkit" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}


def room_of(module: str) -> str:
    """The room of a module, given without ``asmnet_kit.``: its longest beginning that is a room."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (room := ".".join(parts[:length])) in FLOOR:
            return room
    raise AssertionError(f"{module} is in no room: enter its folder or file in ROOMS")


def stage_of(room: str) -> str:
    first = room.partition(".")[0]
    return first if first in STAGES else "toolkit"


def kit_module(name: str) -> str | None:
    """``asmnet_kit.face.crop.Crop`` -> ``face.crop``; None for another package's."""
    package, _, rest = name.partition(".")
    if package != "asmnet_kit":
        return None
    while rest and rest not in MODULES:
        rest = rest.rpartition(".")[0]
    return rest


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_imported_from_a_room_above(folder: str) -> None:
    """By statement, or by a string that importlib or a new process may be given."""
    for path, tree in sources(folder):
        inner = room_of(module_of(path)) if module_of(path) else ""
        is_table = str(path.relative_to(ROOT)) in TABLES
        names = [*imported_modules(tree), *([] if is_table else named_modules(tree))]
        for module in filter(None, map(kit_module, names)):
            outer = room_of(module)
            assert FLOOR[outer] <= FLOOR[inner], f"{path} ({inner}) takes {module} from above"
            assert stage_of(outer) in USES[stage_of(inner)], f"{path} takes {module}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_that_is_installed_uses_a_study(folder: str) -> None:
    """Studies are left out of the wheel (setup.py): an import of one breaks where pip put it."""
    for path, tree in sources(folder):
        if "studies" not in path.relative_to(ROOT).parts:
            used = [n for n in (*imported_modules(tree), *named_modules(tree)) if ".studies" in n]
            assert used == [], path


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither at their top nor inside functions: who reads one need not read the other first."""
    assert circle_in({"a": {"b"}, "b": {"c", "d"}, "c": {"d"}, "d": set()}) == []
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in(arrows()) == []


def test_every_room_is_there_and_no_file_lies_beside_the_rooms_of_toolkit() -> None:
    assert {room_of(module) for module in MODULES if module} | {""} == set(ROOMS)
    assert len(list((ROOT / "toolkit").glob("*.py"))) <= FILES_IN_TOOLKIT


def test_the_two_tables_name_what_is_there() -> None:
    """A name in a string breaks no import: each is loaded here."""
    for target in [*(lazy.target for lazy in COMMANDS.values()), *OPENERS.values()]:
        module, attribute = target.split(":")
        assert hasattr(importlib.import_module(module), attribute), target


@pytest.mark.parametrize("folder", ["toolkit", "benchmarks"])
def test_light_folders_import_no_tensorflow(folder: str) -> None:
    for path, tree in sources(folder):
        for module in imported_modules(tree):
            assert module.split(".")[0] not in TENSORFLOW, f"{path} imports {module}"


def is_private(name: str) -> bool:
    return (name.startswith("_") and not name.startswith("__")) or name == "__internal__"


def defined_names(tree: ast.Module) -> set[str]:
    """What a module defines itself: functions, classes, variables, attributes of ``self``."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return names


def is_private_import(name: str) -> bool:
    """Whether a dotted name leads into what a package, or another module, keeps to itself."""
    package, *parts = name.split(".")
    if package in ("__future__", "_typeshed"):  # the language's own
        return False
    foreign = package != "asmnet_kit"
    return any(map(is_private, [package, *parts])) or (foreign and bool(PRIVATE_FOLDERS & {*parts}))


def private_uses(tree: ast.Module) -> Iterator[str]:
    """Uses of what another module or package keeps to itself, as text."""
    own = defined_names(tree)
    for node in ast.walk(tree):
        found = []
        if isinstance(node, ast.Attribute):
            inside = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found = [ast.unparse(node)] if is_private(node.attr) and not inside else []
            found = [] if node.attr in own else found
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ATTRIBUTE_CALLS:
            name = node.args[1] if len(node.args) > 1 else None
            private = isinstance(name, ast.Constant) and is_private(str(name.value))
            found = [ast.unparse(node)] if private else []
        elif isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            names = [prefix + alias.name for alias in node.names]
            found = [f"import {name}" for name in names if is_private_import(name)]
        yield from (f"{node.lineno}: {use}" for use in found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_private_parts_of_other_packages_stand_behind_doors(folder: str) -> None:
    """So that a release that moves them breaks one module, with a message."""
    for path, tree in sources(folder):
        if str(path.relative_to(ROOT)) not in DOORS:
            assert list(private_uses(tree)) == [], path


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("model._nodes_by_depth", "1: model._nodes_by_depth"),
        ("hasattr(layer, '_generator')", "1: hasattr(layer, '_generator')"),
        ("from tensorflow.python.ops import math", "1: import tensorflow.python.ops.math"),
        ("import tf_keras.src.backend", "1: import tf_keras.src.backend"),
        ("from ai_edge_litert import _wrapper", "1: import ai_edge_litert._wrapper"),
        ("tf_keras.__internal__.layers", "1: tf_keras.__internal__"),
        ("self._x = other._x", None),  # the same class may look into another of its objects
        ("self._inherited", None),
        ("from __future__ import annotations", None),
        ("x.__class__", None),
    ],
)
def test_the_guard_of_the_doors_sees(code: str, use: str | None) -> None:
    assert list(private_uses(ast.parse(code))) == ([] if use is None else [use])


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_code_runs_text_or_unpickles(folder: str) -> None:
    for path, tree in sources(folder):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                assert not names & {"pickle", "marshal", "shelve", "dill"}, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "os.system", "yaml.load"}, path
                for keyword in node.keywords:
                    risky = keyword.arg in {"shell", "allow_pickle"}
                    constant = isinstance(keyword.value, ast.Constant) and keyword.value.value
                    assert not (risky and constant), f"{path}:{node.lineno}"


# A generated __eq__ of a dataclass compares arrays element by element and raises, and so does its
# __hash__: two of them are equal if they are one, or the class says when.
def array_names() -> set[str]:
    """Names of types that are arrays, or hold some: ``Points = NDArray[np.float32]``."""
    names, before = {"NDArray", "ndarray"}, 0
    assigned = [
        (node.targets[0].id, ast.unparse(node.value))
        for folder in FOLDERS
        for _, tree in sources(folder)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Subscript | ast.Name | ast.BinOp)
    ]
    while before != len(names):
        before = len(names)
        names |= {name for name, value in assigned if names & set(re.findall(r"\w+", value))}
    return names


def dataclasses_of(tree: ast.Module) -> Iterator[tuple[ast.ClassDef, str]]:
    """Each dataclass, and its decorator as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for decorator in map(ast.unparse, node.decorator_list):
                if decorator.split("(")[0] in {"dataclass", "dataclasses.dataclass"}:
                    yield node, decorator


@pytest.mark.parametrize("folder", FOLDERS)
def test_dataclasses_with_arrays_say_when_they_are_equal(folder: str) -> None:
    arrays = array_names()
    assert {"Points", "Image", "Box"} <= arrays
    for path, tree in sources(folder):
        for node, decorator in dataclasses_of(tree):
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            words = {w for f in fields for w in re.findall(r"\w+", ast.unparse(f.annotation))}
            own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            if words & arrays:
                assert "eq=False" in decorator or {"__eq__", "__hash__"} <= own, (
                    f"{path}: {node.name} holds arrays: write @dataclass(..., eq=False), or __eq__ "
                    "and __hash__"
                )


def test_the_installed_package_leaks_no_bare_folder_names() -> None:
    """``import training`` works nowhere: the folders exist inside asmnet_kit alone."""
    script = f"import importlib.util as u; print([n for n in {FOLDERS!r} if u.find_spec(n)])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "[]"


def command_paths() -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = [()]
    for name, lazy in COMMANDS.items():
        paths.append((name,))
        command = lazy.load()
        if isinstance(command, click.Group):
            paths += [(name, child) for child in command.list_commands(click.Context(command))]
    return paths


@pytest.mark.parametrize("path", command_paths(), ids=lambda path: " ".join(path) or "asmnet-kit")
def test_help_loads_nothing_heavy(path: tuple[str, ...]) -> None:
    """Importing numpy alone costs more than the 0.3 s that --help may take."""
    script = (
        "import json, sys\n"
        "from asmnet_kit.cli import main\n"
        f"main({[*path, '--help']!r}, standalone_mode=False)\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        child = command.get_command(click.Context(command), name)
        assert child is not None
        command = child
    return command


@pytest.mark.parametrize("path", command_paths()[1:], ids=" ".join)
def test_every_command_takes_the_formats_and_architectures_of_other_packages(
    path: tuple[str, ...],
) -> None:
    tables = {"--format": FORMATS, "--arch": ARCHITECTURES}
    for parameter in command_at(path).params:
        for option in tables.keys() & set(parameter.opts):
            assert isinstance(parameter.type, PluginChoice), option
            assert parameter.type.table is tables[option]


@pytest.mark.parametrize("path", command_paths()[1:], ids=" ".join)
def test_every_limited_number_refuses_nan(path: tuple[str, ...]) -> None:
    for parameter in command_at(path).params:
        if isinstance(parameter.type, click.FloatRange):
            assert isinstance(parameter.type, NumberRange), parameter.opts


@pytest.mark.parametrize("path", command_paths()[1:], ids=" ".join)
def test_an_option_that_holds_one_value_is_told_where_it_stands_twice(
    path: tuple[str, ...],
) -> None:
    for option in command_at(path).params:
        if isinstance(option, click.Option) and not may_repeat(option):
            words = [option.opts[-1], *["1"] * option.nargs] * 2
            result = CliRunner().invoke(main, [*path, *words, "--help"])
            assert result.exit_code == 0
            assert f"{words[0]} is given twice: only the last one counts" in result.stderr


@pytest.mark.parametrize("path", command_paths()[1:], ids=" ".join)
def test_every_command_and_option_explains_itself(path: tuple[str, ...]) -> None:
    command = command_at(path)
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts}"
    if not isinstance(command, click.Group):
        purpose, example, *_ = command.help.split("\n\n")
        assert len(purpose) <= 250, "say in a sentence or two what it is for"
        assert "Example" in example, "expected an example below what the command is for"
        assert f"asmnet-kit {' '.join(path)}" in example


def test_the_command_reference_is_up_to_date() -> None:
    """docs/commands.md is written by ``make docs``; a changed option must change it too."""
    # In a process of its own: click keeps the --help of a command as it was first asked for.
    code = "import runpy; print(runpy.run_path('docs/commands.py')['page'](), end='')"
    page = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == page, "run: make docs"


def test_the_readme_shows_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"asmnet-kit {name}" not in readme]
    assert missing == []
