"""``asmnet-kit new``: every step of the project runs, on few drawn faces."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.cli import main
from asmnet_kit.training.recipe_files import read_recipe, shipped

FILES = {
    ".gitignore", ".github/workflows/model.yml", "Makefile", "README.md", "data/README.md",
    "recipe.toml",
}  # fmt: skip
# The least that trains, quantizes and measures: seconds each.
TINY = {
    "TRAIN_OPTIONS": "--epochs 1 --input-size 64 --batch-size 8 --augmentation light",
    "QUANTIZE": "ptq_w8a8",
    "QUANTIZE_OPTIONS": "--calibration-faces 8",
    "BENCHMARK_OPTIONS": "--runs 5 --seconds 0",
    "FORMAT": "synthetic",
}


def new(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["new", *arguments])


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def make(project: Path, *targets: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kit = f"{shlex.quote(sys.executable)} -m asmnet_kit"
    settings = [f"{name}={value}" for name, value in {"KIT": kit, **variables}.items()]
    return subprocess.run(
        ["make", "--no-print-directory", *targets, *settings],
        cwd=project, capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 40 drawn faces, its path with a blank."""
    folder = tmp_path_factory.mktemp("projects") / "my model"
    assert new(str(folder)).exit_code == 0
    faces = ["data", "synthesize", "--count", "60", "--size", "96"]
    drawn = CliRunner().invoke(main, [*faces, "--out", str(folder / "data" / "faces")])
    assert drawn.exit_code == 0, drawn.output
    return folder


def test_it_writes_a_project_and_says_what_comes_next(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    done = new(str(folder), "--format", "300w", "--recipe", "asmnet_plus")
    assert done.exit_code == 0
    assert f"Next: cd {folder}" in done.stderr
    assert files_of(folder) == FILES
    assert (folder / "README.md").read_text().startswith("# mine\n")
    assert "FORMAT   := 300w\n" in (folder / "Makefile").read_text()
    for name in FILES:
        text = (folder / name).read_text(encoding="utf-8")
        assert not [word for word in ("@name@", "@format@", "@recipe@") if word in text]


@pytest.mark.parametrize("recipe", shipped())
def test_the_recipe_is_the_kits_own(tmp_path: Path, recipe: str) -> None:
    assert new(str(tmp_path / "mine"), "--recipe", recipe).exit_code == 0
    mine = read_recipe(str(tmp_path / "mine" / "recipe.toml"))
    assert mine.settings == read_recipe(recipe).settings


def test_a_folder_that_holds_something_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = new(str(tmp_path))
    assert (done.exit_code, files_of(tmp_path)) == (2, {"notes.txt"})
    assert "expected a new or empty folder for the project" in done.output
    assert new(str(tmp_path / "notes.txt")).exit_code == 2
    (tmp_path / "empty").mkdir()
    assert new(str(tmp_path / "empty")).exit_code == 0


def test_the_renderer_is_no_format_of_a_project(tmp_path: Path) -> None:
    assert new(str(tmp_path / "mine"), "--format", "people").exit_code == 2
    assert not (tmp_path / "mine").exists()


def test_make_alone_lists_the_steps_and_the_readme_has_them_all(project: Path) -> None:
    said = make(project).stdout
    steps = [line.split()[1] for line in said.splitlines()]
    assert steps[:2] == ["help", "look"]
    readme = (project / "README.md").read_text(encoding="utf-8")
    told = set(steps) - {"help", "ci", "clean"}
    assert [step for step in told if f"`make {step}`" not in readme] == []


def test_a_fresh_repository_is_a_place_for_a_project(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert new(str(tmp_path)).exit_code == 0
    assert files_of(tmp_path) == FILES


def test_names_with_a_dash_or_the_words_of_the_templates_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = new("--", "-lead")
    assert done.exit_code == 0 and "Next: cd ./-lead," in done.stderr
    assert new("x@format@y").exit_code == 0
    assert (tmp_path / "x@format@y" / "README.md").read_text().startswith("# x@format@y\n")


# A kit that writes down how it was called, and makes empty files where the real one makes models.
FAKE_KIT = """#!/bin/sh
echo "$*" >> calls
step=$1
while [ $# -gt 0 ]; do
  case $1 in --out) out=$2;; --recipe) recipe=$2;; esac; shift
done
case $step in train|quantize|benchmark) mkdir -p "$out";; esac
case $step in
  train) touch "$out/model.keras" "$out/config.toml";;
  quantize) touch "$out/nano_$recipe.tflite";;
esac
"""


@dataclass(frozen=True)
class Steps:
    """Runs make in a project with the kit above."""

    folder: Path
    kit: Path

    def __call__(self, *targets: str, **settings: str) -> list[str]:
        """The calls of the kit; last what make said, if it failed."""
        (self.folder / "calls").write_text("")
        done = make(self.folder, *targets, **{"KIT": f"sh {self.kit}", **settings})
        calls = (self.folder / "calls").read_text().splitlines()
        return [*calls, done.stderr] if done.returncode else calls


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    folder, kit = tmp_path / "project", tmp_path / "kit.sh"
    assert new(str(folder)).exit_code == 0
    kit.write_text(FAKE_KIT)
    return Steps(folder, kit)


def kinds(calls: list[str]) -> list[str]:
    return [call.split()[0] for call in calls]


def test_a_step_runs_again_when_its_settings_changed_and_only_then(
    steps: Steps,
) -> None:
    assert kinds(steps("benchmark")) == ["train", "quantize", "quantize", "benchmark"]
    assert steps("benchmark") == []
    (call,) = steps("benchmark", TARGET="gpu")
    assert "--target gpu" in call
    assert kinds(steps("benchmark")) == ["benchmark"]  # back to the CPU
    calls = steps("benchmark", QUANTIZE="ptq_w8a8", QUANTIZE_OPTIONS="--keep-float 'a b'")
    assert kinds(calls) == ["quantize", "quantize", "benchmark"]
    assert "models/first/nano_ptq_w8a8.tflite" in calls[-1] and "qat_w8a8" not in calls[-1]
    again = {"QUANTIZE": "ptq_w8a8", "QUANTIZE_OPTIONS": "--keep-float 'a b'"}
    assert steps("benchmark", **again) == []
    makefile = steps.folder / "Makefile"
    makefile.write_text(makefile.read_text().replace("TARGET   := cpu", "TARGET   := edgetpu"))
    assert kinds(steps("benchmark", **again)) == ["benchmark"]
    assert steps("clean") == []
    assert kinds(steps("benchmark", **again)) == ["benchmark"]  # runs and models stay


def test_each_run_has_models_and_results_of_its_own(steps: Steps) -> None:
    steps("report")
    calls = steps("report", RUN="second")
    assert kinds(calls) == ["train", "quantize", "quantize", "benchmark", "report"]
    assert not [call for call in calls if "first" in call]
    assert kinds(steps("report")) == ["report"]
    (refused,) = steps("report", RUN="runs/second")
    assert "expected RUN to be a name" in refused


def test_landmarks_of_ones_own_are_said_where_labels_are_read(steps: Steps) -> None:
    """The run keeps them for what follows."""
    calls = steps("look", "benchmark", SCHEME="fox.toml")
    assert ["--scheme fox.toml" in call for call in calls] == [True, True, False, False, False]
    (refused,) = steps("train")
    assert "runs/first was trained with other settings" in refused


def test_a_run_that_was_trained_with_other_settings_is_refused(
    steps: Steps,
) -> None:
    steps("train")
    (refused,) = steps("report", DATA="elsewhere")
    assert "runs/first was trained with other settings" in refused
    assert "--data data/faces" in refused and "--data elsewhere" in refused
    recipe = steps.folder / "recipe.toml"
    recipe.write_text(recipe.read_text() + "# changed")
    (refused,) = steps("train")
    assert "RUN=second" in refused
    (steps.folder / "runs" / "first.settings").unlink()
    assert steps("train") == []


@pytest.mark.long
def test_the_whole_way_runs_and_what_is_made_is_not_made_again(project: Path) -> None:
    looked = make(project, "look", **TINY)
    assert looked.returncode == 0, looked.stderr
    done = make(project, "report", "check", **TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {
        "data/sheet.png", "runs/first/curves.png",
        "results/first/report.html", "results/first/report.md",
        "models/first/asmnet_nano_68_64_fp32.tflite",
        "models/first/asmnet_nano_68_64_ptq_w8a8.tflite",
    } <= files_of(project)  # fmt: skip
    assert len(list((project / "results" / "first").glob("*.json"))) == 2

    again = make(project, "quantize", "report", **TINY)
    assert " train " not in again.stdout + again.stderr
    assert " quantize " not in again.stdout + again.stderr

    listed = make(project, "runs", **TINY)
    assert "recipe" in listed.stdout and "ptq_w8a8" in listed.stdout

    checked = make(project, "ci", **TINY)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    page = make(project, "app", **TINY)
    if litert_js.missing(litert_js.default_folder()):
        assert litert_js.HOW_TO_GET in page.stderr
    else:
        assert (project / "app" / "index.html").is_file(), page.stderr
    assert make(project, "clean").returncode == 0
    assert not (project / "results").exists() and (project / "models").is_dir()


def test_the_workflow_runs_what_the_makefile_has(project: Path) -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((project / ".github/workflows/model.yml").read_text())
    runs = [step["run"] for step in workflow["jobs"]["model"]["steps"] if "run" in step]
    assert "make ci" in runs
    assert make(project, "--dry-run", "ci").returncode == 0


def test_git_keeps_models_and_leaves_out_pictures(project: Path) -> None:
    """By git itself, where it is there."""
    try:
        subprocess.run(["git", "init", "-q"], cwd=project, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git")
    names = [
        "data/faces/a.png",
        "data/README.md",
        "models/first/a.tflite",
        "runs/first/model.keras",
    ]
    asked = subprocess.run(
        ["git", "check-ignore", *names], cwd=project, capture_output=True, text=True, check=False
    )
    assert asked.stdout.split() == ["data/faces/a.png", "runs/first/model.keras"]
