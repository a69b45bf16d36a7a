"""docs/benchmark.md and docs/examples: what they tell to type works, in that order."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.results.results import save_result
from doc_commands import commands_of, context_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmark.md"
WORKFLOW = ROOT / "docs" / "examples" / "benchmark.yml"

# What a command with one of these words needs is not here: it is read as the command line reads it.
DEVICES = ("android", "linux", "edgetpu", "gpu", "mychip")
MINUTES = ("--sustained", "--single-stream")


def is_here(words: list[str]) -> bool:
    """Whether this machine can run it, within seconds."""
    if words[1] != "benchmark":
        return True
    targets = [words[i + 1].partition(":")[0] for i, word in enumerate(words) if word == "--target"]
    return not set(targets) & set(DEVICES) and not set(words) & set(MINUTES)


@pytest.fixture
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_tflite: Callable[..., Path],
    make_pts_faces: Callable[[], Path],
    make_result: Callable[..., dict[str, Any]],
) -> Path:
    """Where a reader of the guide stands: a model, faces, and results of earlier days."""
    model = make_tflite("model.tflite", int8=True)
    for copy in ("any", "deeplabv3_mnv2_dm05_pascal_quant", "out/model_edgetpu"):
        (tmp_path / copy).parent.mkdir(exist_ok=True)
        shutil.copy(model, tmp_path / f"{copy}.tflite")
    make_pts_faces()
    (tmp_path / "in.tensors").touch()
    (tmp_path / "devices.toml").write_text('[devices.here]\ntargets = ["cpu"]\n')
    (tmp_path / "out" / "model_edgetpu.log").touch()
    for name, nme in (("old", 5.0), ("new", 5.0), ("past/monday", 5.0), ("past/tuesday", 5.0)):
        save_result(tmp_path / name / "m_cpu_1t.json", make_result(nme=nme))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_guide_works(folder: Path) -> None:
    run, read = [], []
    for words in commands_of(PAGE.read_text(encoding="utf-8")):
        if (words[1] == "check" and "--compiler-log" in words) or not is_here(words):
            with context_of(words):
                read.append(words)
            continue
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}"
        run.append(words[1])
    assert {"doctor", "check", "benchmark", "report", "compare"} <= set(run)
    assert len(read) >= 5  # a GPU, a phone, a board, an Edge TPU, half an hour


def steps_of(workflow: str) -> list[tuple[str, str]]:
    """(name, script) of each step that runs a script."""
    found = []
    name = ""
    lines = workflow.splitlines()
    for number, line in enumerate(lines):
        if match := re.match(r"(\s*)- name: (.*)", line):
            name = match[2]
        if match := re.match(r"(\s*)run: (.*)", line):
            if match[2] != "|":
                found.append((name, match[2]))
                continue
            deeper = len(match[1]) + 2
            script = []
            for following in lines[number + 1 :]:
                if following.strip() and not following.startswith(" " * deeper):
                    break
                script.append(following[deeper:])
            found.append((name, "\n".join(script)))
    return found


def test_the_workflow_is_yaml_of_the_shape_that_actions_take() -> None:
    """Strict enough without a YAML parser: what is nested is indented by two, tabs are none."""
    text = WORKFLOW.read_text(encoding="utf-8")
    assert "\t" not in text
    lines = [
        line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    indents = [len(line) - len(line.lstrip()) for line in lines]
    assert all(indent % 2 == 0 for indent in indents)
    for line, indent, before, above in zip(lines[1:], indents[1:], indents, lines, strict=False):
        if indent > before:  # only below a key without a value, a list item, or in a script
            assert above.rstrip().endswith((":", "|")) or above.lstrip().startswith("- "), line
    top = [
        line.partition(":")[0] for line, indent in zip(lines, indents, strict=True) if not indent
    ]
    assert top == ["name", "on", "permissions", "jobs"]
    assert [name for name, _ in steps_of(text)] == [
        "Install",
        "Check where the operators run",
        "Audit the files",
        "Measure both sides",
        "Report",
        "Compare",
    ]
    for used in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"actions/[\w-]+@v\d+", used)


def test_a_yaml_parser_reads_the_workflow_as_this_test_does() -> None:
    yaml = pytest.importorskip("yaml")
    text = WORKFLOW.read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["benchmark"]["steps"]
    scripts = [step["run"].strip() for step in steps if "run" in step]
    assert scripts == [script.strip() for _, script in steps_of(text)]


def test_the_scripts_of_the_workflow_run_as_bash_runs_them(
    tmp_path: Path, make_tflite: Callable[..., Path]
) -> None:
    model = make_tflite(int8=True)
    for side in ("base", "new"):
        (tmp_path / side / "models").mkdir(parents=True)
        shutil.copy(model, tmp_path / side / "models" / "face.tflite")
    summary = tmp_path / "summary.md"
    kit = tmp_path / "bin" / "asmnet-kit"
    kit.parent.mkdir()
    kit.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m asmnet_kit "$@"\n')
    kit.chmod(0o755)
    environment = {
        "PATH": f"{kit.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    for name, script in steps_of(WORKFLOW.read_text(encoding="utf-8")):
        if name == "Install":
            assert script == "pip install asmnet-kit"
            continue
        # A measurement of microseconds on a busy machine: slower is no fault of the workflow.
        script = script.replace("asmnet-kit compare ", "asmnet-kit compare --max-slowdown 1000 ")
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert "# Benchmark of this pull request" in summary.read_text(encoding="utf-8")
    assert (tmp_path / "compare.xml").exists()
