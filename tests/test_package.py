"""What pip installs: every room with its data files, and nothing that only a checkout needs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asmnet_kit import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "toolkit": "asmnet_kit",
    "training": "asmnet_kit/training",
    "quantize": "asmnet_kit/quantize",
    "benchmarks": "asmnet_kit/benchmarks",
}
ONLY_IN_A_CHECKOUT = ("benchmarks/studies/", "training/studies/", "benchmarks/reference/")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# In a process of its own: setuptools refuses its commands where Python's own distutils came first.
LISTING = """
import json, runpy, sys
import setuptools
from setuptools.dist import Distribution
given = {}
setuptools.setup = lambda **keywords: given.update(keywords)
runpy.run_path("setup.py")
about = {**given, "package_data": json.loads(sys.argv[1]), "script_name": "setup.py"}
command = Distribution(about).get_command_obj("build_py")
command.build_lib = sys.argv[2]
command.ensure_finalized()
print(json.dumps(command.get_outputs(include_bytecode=False)))
"""


SDIST_LISTING = """
import json, runpy, sys
import setuptools
from setuptools.dist import Distribution
given = {}
setuptools.setup = lambda **keywords: given.update(keywords)
runpy.run_path("setup.py")
# By name alone: an older setuptools does not read this pyproject.toml.
package = Distribution({**given, "name": "asmnet-kit", "script_name": "setup.py"})
info = package.get_command_obj("egg_info")
info.egg_base = sys.argv[1]
info.ensure_finalized()
info.run()
print(json.dumps(info.filelist.files))
"""
# Of a repository, not of a source package.
ONLY_IN_GIT = {".gitignore", ".gitattributes", ".dockerignore"}


@pytest.fixture
def installed(tmp_path: Path) -> set[str]:
    """Files of the wheel, as setuptools' build_py lists them for setup.py and pyproject.toml."""
    data = PROJECT["tool"]["setuptools"]["package-data"]
    # An empty name is what setuptools makes of pyproject's "*": every package.
    patterns = {"" if package == "*" else package: globs for package, globs in data.items()}
    command = [sys.executable, "-c", LISTING, json.dumps(patterns), str(tmp_path)]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    outputs = json.loads(listed.stdout.splitlines()[-1])
    return {Path(path).relative_to(tmp_path).as_posix() for path in outputs}


def in_checkout() -> set[str]:
    """Every file of the four folders that belongs into a wheel, under its name there."""
    files = set()
    for folder, package in ROOMS.items():
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            belongs = "__pycache__" not in name and not name.startswith(ONLY_IN_A_CHECKOUT)
            if path.is_file() and belongs:
                files.add(f"{package}/{path.relative_to(ROOT / folder).as_posix()}")
    return files


def test_every_room_is_installed_with_its_data_files_and_no_study(installed: set[str]) -> None:
    assert installed == in_checkout()


def test_the_files_that_a_command_reads_are_installed(installed: set[str]) -> None:
    """By name, so that a folder which moves out of the four is noticed, too."""
    package = "asmnet_kit"
    assert {
        f"{package}/py.typed",
        f"{package}/results/results.schema.json",
        f"{package}/results/report/report.html.j2",
        f"{package}/results/report/report.md.j2",
        f"{package}/results/report/style.css",
        f"{package}/shipping/card.md.j2",
        f"{package}/predict/blazeface/face_detection_short_range.tflite",
        f"{package}/models/LICENSE-WEIGHTS",
        f"{package}/training/recipes/asmnet_plus.toml",
    } <= installed
    models = {Path(name).suffix for name in installed if name.startswith(f"{package}/models/")}
    assert {".tflite", ".npz", ".json", ".md", ".toml"} <= models
    assert not [name for name in installed if {"studies", "tests", "tools"} & {*Path(name).parts}]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Files of the sdist, as setuptools lists them by MANIFEST.in."""
    command = [sys.executable, "-c", SDIST_LISTING, str(tmp_path_factory.mktemp("sdist"))]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(listed.stdout.splitlines()[-1]))


def test_the_sdist_holds_what_git_holds(sdist: set[str]) -> None:
    """So that whoever has it alone can build, test and read everything."""
    asked = ["git", "ls-files", "-z"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not in a repository of git")
    tracked = {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}
    wanted = {n for n in tracked if n not in ONLY_IN_GIT and not n.startswith(".github/")}
    assert sorted(wanted - sdist) == []
    junk = [n for n in sdist if "__pycache__" in n or n.startswith((".venv", "build/"))]
    assert junk == []


def test_the_version_is_stated_once() -> None:
    """``make package-test`` looks at the version of what is built."""
    assert PROJECT["project"]["dynamic"] == ["version"]
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    assert dynamic["version"] == {"attr": "asmnet_kit.__version__"}
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(__version__)}\]", changes, re.MULTILINE)


def test_the_licences_go_with_the_package() -> None:
    licences = ["LICENSE", "toolkit/models/LICENSE-WEIGHTS", "toolkit/people/LICENSE-ASSETS"]
    assert PROJECT["project"]["license-files"] == licences
    for name in PROJECT["project"]["license-files"]:
        assert (ROOT / name).stat().st_size > 500
