"""docs/benchmark.md's target from another package: written, installed and measured as it says."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmark.md"
FILE = re.compile(r"^`([\w./-]+)`[^`\n]*.*?^```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
QUICK = ("--warmup", "1", "--runs", "5", "--seconds", "0")

# Another package, whose targets differ from the page's in one respect each.
ODD = """
import os, time
from dataclasses import replace
from acme_chip.target import MyChip

class Dying(MyChip):
    def open(self, request):
        os.abort()

class Hanging(MyChip):
    abilities = replace(MyChip.abilities, patience_s=1.0)
    def open(self, request):
        time.sleep(600)

class Unproven(MyChip):
    abilities = replace(MyChip.abilities, accelerator=True)

class Broken(MyChip):
    def problem(self, request=None):
        raise KeyError("firmware")

class Careless(MyChip):
    def measure(self, request, on_progress):
        return replace(super().measure(request, on_progress), target={"threads": None})

class Terse(MyChip):
    def measure(self, request, on_progress):
        return replace(super().measure(request, on_progress), parity={"max": 0.5, "mean": 0.1})

class Idle(MyChip):
    def measure(self, request, on_progress):
        return replace(super().measure(request, on_progress), timings_ms={})

class Absent(MyChip):
    def problem(self, request=None):
        return "no mychip on USB: plug one in"

class Old(MyChip):
    abilities = {"has_devices": True}

NAMES = {"dying": Dying(), "hanging": Hanging(), "unproven": Unproven(), "broken": Broken(),
         "careless": Careless(), "terse": Terse(), "idle": Idle(), "absent": Absent(), "old": Old()}
globals().update(NAMES)
"""
ODD_NAMES = (
    "dying", "hanging", "unproven", "broken", "careless", "terse", "idle", "absent", "old",
)  # fmt: skip


def files_of_the_page() -> dict[str, str]:
    section = PAGE.read_text(encoding="utf-8").split("\n## A target of your own\n", 1)[1]
    return dict(FILE.findall(section))


def commands_of_the_page() -> list[list[str]]:
    section = PAGE.read_text(encoding="utf-8").split("\n## A target of your own\n", 1)[1]
    lines = "".join(CONSOLE.findall(section)).splitlines()
    return [line.removeprefix("$ ").split() for line in lines]


def odd_files() -> dict[str, str]:
    points = "".join(f'{name} = "odd_chips:{name}"\n' for name in ODD_NAMES)
    project = '[project]\nname = "odd-chips"\nversion = "1.0"\n'
    return {
        "pyproject.toml": f'{project}[project.entry-points."asmnet_kit.targets"]\n{points}',
        "odd_chips.py": ODD,
    }


def install(packages: dict[str, dict[str, str]], folder: Path) -> Path:
    """``pip install`` packages, of files by name, into a folder; nothing is downloaded."""
    site, sources = folder / "site", []
    can_build = find_spec("setuptools") is not None and find_spec("wheel") is not None
    for package, files in packages.items():
        for name, text in files.items():
            (folder / package / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / package / name).write_text(text)
        sources.append(folder / package if can_build else wheel(files, folder))
    if find_spec("pip") is None:  # an environment made without it: a wheel is a zip file
        for files in packages.values():
            with zipfile.ZipFile(wheel(files, folder)) as archive:
                archive.extractall(site)
        return site
    words = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    words += ["--disable-pip-version-check", "--target", str(site), *map(str, sources)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return site


def wheel(files: dict[str, str], folder: Path) -> Path:
    """What pip's build tools would make of the package, where they are not installed."""
    project = tomllib.loads(files["pyproject.toml"])["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    info = f"{name}-{version}.dist-info"
    points = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in own.items())
        for group, own in project["entry-points"].items()
    )
    content = {path: text for path, text in files.items() if path.endswith(".py")}
    content |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
    }
    record = io.StringIO()
    csv.writer(record).writerows([path, "", ""] for path in [*content, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in {**content, f"{info}/RECORD": record.getvalue()}.items():
            archive.writestr(inner, text)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's package installed, and the odd one."""
    packages = {"acme-chip": files_of_the_page(), "odd-chips": odd_files()}
    return install(packages, tmp_path_factory.mktemp("packages"))


Kit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kit(site: Path, tmp_path: Path) -> Kit:
    """Types an asmnet-kit command in ``tmp_path``, where ``site``'s packages are installed."""

    def run(*words: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "asmnet_kit", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "300"},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def here(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The same in this process, which starts once; its workers find the packages, too."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def results_in(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: load_result(path) for path in sorted(folder.glob("*.json"))}


def test_the_pages_package_is_measured_by_the_pages_command(
    kit: Kit, make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    pip, command = commands_of_the_page()
    assert pip == ["pip", "install", "./acme-chip"]
    assert command[0] == "asmnet-kit"
    make_tflite("model.tflite", int8=True)
    done = kit(*command[1:], *QUICK)
    assert done.returncode == 0, done.stderr
    results = results_in(tmp_path / "results")
    assert list(results) == ["model_mychip_a_speed-3.json", "model_mychip_b_speed-3.json"]
    for port, result in zip("ab", results.values(), strict=True):
        target = result["target"]
        assert (target["requested"], target["actual"], target["device"]) == ("mychip", "cpu", port)
        assert (target["accelerator"], target["options"]) == (False, {"speed": "3"})
        assert target["threads"] is None

    # The command in a result measures the same again.
    first = results["model_mychip_a_speed-3.json"]
    program, *words = shlex.split(first["command"])
    assert program == "asmnet-kit"
    assert "--threads" not in words
    again = kit(*words, "--json")
    assert again.returncode == 0, again.stderr
    ((_, second),) = json.loads(again.stdout)["results"].items()
    assert (second["command"], second["target"]) == (first["command"], first["target"])


def test_speeds_are_told_apart_by_file_and_by_comparison(
    here: Callable[..., Result], make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    model = make_tflite("model.tflite")
    for speed in (1, 2):
        words = ("--target", "mychip", *QUICK, "--option", f"speed={speed}", "--out", "r")
        assert here("benchmark", model, *words).exit_code == 0
    assert list(results_in(tmp_path / "r")) == [
        "model_mychip_a_speed-1.json",
        "model_mychip_a_speed-2.json",
    ]
    # A side is compared with itself: nothing got slower, and the two speeds are two rows.
    compared = here("compare", "r", "r", "--json")
    assert compared.exit_code == 0, compared.stderr
    names = [row["name"] for row in json.loads(compared.stdout)["comparisons"]]
    assert [name.rpartition(" · ")[2] for name in names] == ["speed=1", "speed=2"]
    files = sorted((tmp_path / "r").iterdir())
    unlike = here("compare", *files)
    assert unlike.exit_code == 2
    assert 'target.options: {"speed": "1"} against {"speed": "2"}' in unlike.stderr
    assert here("report", "r", "--out", "report.html").exit_code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "builtin kernels · speed=1" in page and "builtin kernels · speed=2" in page


def test_parity_may_say_no_more_than_the_schema_asks_for(
    here: Callable[..., Result], make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    done = here("benchmark", make_tflite(), "--target", "terse", *QUICK, "--out", "r")
    assert done.exit_code == 0, done.exception
    (result,) = results_in(tmp_path / "r").values()
    assert result["parity"] == {"max": 0.5, "mean": 0.1}


def test_accuracy_is_measured_through_it(
    here: Callable[..., Result],
    make_tflite: Callable[..., Path],
    make_pts_faces: Callable[[], Path],
    tmp_path: Path,
) -> None:
    data = ("--data", make_pts_faces(), "--format", "300w")
    done = here("benchmark", make_tflite(), "--target", "mychip", *QUICK, *data, "--out", "r")
    assert done.exit_code == 0, done.stderr
    (result,) = results_in(tmp_path / "r").values()
    assert result["accuracy"]["faces"] == 3
    assert result["accuracy"]["measured_with"]["target"] == "mychip"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--target mychip --threads 2", "--threads are the CPU's, which mychip does not"),
        ("--target mychip --affinity 0", "--affinity is for the targets cpu, linux alone"),
        ("--target mychip --profile --no-xnnpack", "it has no --profile and --no-xnnpack"),
        ("--target mychip --device c", "expected --device a or b, got 'c'"),
        ("--target mychip --option speed=9", "option speed: expected one of 1, 2, 3, got '9'"),
        ("--target mychip --option colour=red", "no target has such an option; mychip takes speed"),
        ("--target mychip --option speed", "expected NAME=VALUE, got 'speed'"),
        ("--target mychip --option speed=1 --option speed=2", "expected one value of speed"),
        ("--target mychip --gpu-precision fp16", "--gpu-precision is for the targets gpu,"),
        (
            "--option speed=3",
            "--option speed is for the targets absent, broken, ",
        ),
        ("--target gpu --option gpu_precision=fp8", "expected one of fp32, fp16, got 'fp8'"),
        (
            "--target gpu --gpu-precision fp16 --option gpu_precision=fp16",
            "--gpu-precision and --option gpu_precision are the same",
        ),
        ("--target mychop", "mychip"),  # the list of targets
        ("--target old", "expected abilities of the class Abilities"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_measured(
    here: Callable[..., Result],
    make_tflite: Callable[..., Path],
    tmp_path: Path,
    words: str,
    message: str,
) -> None:
    done = here("benchmark", make_tflite(), *words.split(), "--out", "r")
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "dying",
            "killed by signal 6 without a result; the model is damaged or the runtime cannot take "
            "it. Is the driver of the firmware's version? dmesg says. Its last words:",
        ),
        ("hanging", "did nothing for 1 s"),
        ("unproven", "unproven was asked for, cpu ran the model"),
        ("broken", "target broken: odd-chips's problem() failed (KeyError: 'firmware')"),
        ("careless", "target: 'actual' is a required property"),
        ("idle", "target idle measured no run of the model"),
        ("absent", "no mychip on USB: plug one in"),
    ],
)
def test_what_goes_wrong_in_it_is_one_clear_error(
    here: Callable[..., Result],
    make_tflite: Callable[..., Path],
    tmp_path: Path,
    target: str,
    message: str,
) -> None:
    done = here("benchmark", make_tflite(), "--target", target, *QUICK, "--out", "r")
    assert isinstance(done.exception, SystemExit), done.exception  # else a traceback
    assert done.exit_code == 1, done.output
    assert message in done.stderr
    assert not (tmp_path / "r").exists()


def test_the_doctor_lists_it_with_what_it_says_of_itself(kit: Kit) -> None:
    found = {check["name"]: check for check in json.loads(kit("doctor", "--json").stdout)["checks"]}
    assert found["Target mychip"]["status"] == "ok"
    assert found["Target mychip"]["needed_for"] == "--target mychip"
    assert found["Target absent"]["status"] == "missing"
    assert found["Target absent"]["fix"] == "no mychip on USB: plug one in"
    assert "odd-chips's problem() failed" in found["Target broken"]["fix"]
    assert "expected abilities" in found["Target old"]["fix"]
