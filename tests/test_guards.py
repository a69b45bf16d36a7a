"""The project's rules about itself: arrows, light help, documented commands, no risky calls."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from asmnet_kit.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("toolkit", "training", "quantize", "benchmarks")

# What each folder may import of the others: quantize -> training -> toolkit <- benchmarks.
ARROWS = {
    "toolkit": {"toolkit"},
    "training": {"toolkit", "training"},
    "quantize": {"toolkit", "training", "quantize"},
    "benchmarks": {"toolkit", "benchmarks"},
}
STAGES = ("training", "quantize", "benchmarks")
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
            if node.module == "asmnet_kit":
                yield from (f"asmnet_kit.{alias.name}" for alias in node.names)


def folder_of(module: str) -> str:
    """The folder that holds a module: stages have their own, the rest is toolkit."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in STAGES else "toolkit"


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_follow_the_arrows(folder: str) -> None:
    for path, tree in sources(folder):
        for module in imported_modules(tree):
            if module.split(".")[0] == "asmnet_kit":
                assert folder_of(module) in ARROWS[folder], f"{path} imports {module}"


@pytest.mark.parametrize("folder", ["toolkit", "benchmarks"])
def test_light_folders_import_no_tensorflow(folder: str) -> None:
    for path, tree in sources(folder):
        for module in imported_modules(tree):
            assert module.split(".")[0] not in TENSORFLOW, f"{path} imports {module}"


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


@pytest.mark.parametrize("path", command_paths()[1:], ids=" ".join)
def test_every_command_and_option_explains_itself(path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        child = command.get_command(click.Context(command), name)
        assert child is not None
        command = child
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts}"
    if not isinstance(command, click.Group):
        assert f"asmnet-kit {' '.join(path)}" in command.help, "the help has no example"


def test_the_command_reference_is_up_to_date() -> None:
    """docs/commands.md is written by ``make docs``; a changed option must change it too."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == reference.page(), (
        "run: make docs"
    )


def test_the_readme_shows_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"asmnet-kit {name}" not in readme]
    assert missing == []
