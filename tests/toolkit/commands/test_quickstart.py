"""``asmnet-kit quickstart``: a whole one, and one that is killed again and again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.files import alone_in
from asmnet_kit.cli import main
from asmnet_kit.commands.quickstart import Plan, begin, steps
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.results.results import load_results
from wording import BUSY

SMALL = ("--faces", "100", "--epochs", "1", "--tune-epochs", "2", "--input-size", "64")
PLAN = Plan(faces=100, epochs=1, tune_epochs=2, input_size=64)
QUANTIZED = "models/asmnet_nano_68_64_qat_w8a8.tflite"

PATIENCE_SECONDS = 900  # of a machine that is busy; far more than any call takes

# Moments, in their order: a file that has just appeared, and what is being done then.
KILLED_AT = {
    "drawing faces": "data/train/face_000003.jpg",
    "training, before its only epoch": "run/config.toml",
    "fine-tuning, after the first of two epochs": f"{QUANTIZED}.unfinished/last.npz",
    "benchmark, after the first of four results": "results/asmnet_nano_68_64_fp32_cpu_1t.json",
}


def quickstart(out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["quickstart", "--out", str(out), *options])


def started(out: Path, log: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, as a shell starts it."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "asmnet_kit", "quickstart", "--out", str(out), *SMALL],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@pytest.fixture
def groups() -> Iterator[list[int]]:
    """Process groups that must be gone after the test, however it ends."""
    begun: list[int] = []
    yield begun
    for group in begun:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def killed_when(appeared: Callable[[], bool], out: Path, log: Path, groups: list[int]) -> None:
    process = started(out, log)
    groups.append(process.pid)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not appeared():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def finished(out: Path, log: Path, groups: list[int]) -> str:
    """What a call that comes to its end wrote to the terminal."""
    process = started(out, log)
    groups.append(process.pid)
    assert process.wait(timeout=PATIENCE_SECONDS) == 0, log.read_text()
    return log.read_text()


@pytest.mark.slow
def test_a_quickstart_that_is_killed_again_and_again_comes_to_its_end(
    tmp_path: Path, groups: list[int]
) -> None:
    """Each call runs the steps up to the next moment undisturbed, so that every step does once."""
    out = tmp_path / "out"
    for moment, name in KILLED_AT.items():
        killed_when((out / name).exists, out, tmp_path / f"{moment}.log", groups)
        assert not (out / "report.html").exists()
    told = finished(out, tmp_path / "last.log", groups)
    assert "train: already done" in told
    assert "Done in" in told
    assert "NME %" in told
    assert {path.name for path in out.iterdir()} == {
        *("quickstart.json", "data", "run", "models", "results", "report.html", "report.md")
    }
    assert [path.suffix for path in (out / "models").iterdir()] == [".tflite", ".tflite"]
    assert not list((out / "data").rglob(".*"))  # what a killed process left half-written
    assert len(load_results([out / "results"])) == 4
    assert len(load_dataset(out / "data", "synthetic").faces) == 100


# Without the minutes of a whole run: which commands a rerun gives after each moment ---------------


def arguments_of(out: Path) -> dict[str, tuple[str, ...]]:
    """Title -> arguments, of the steps that are left to do."""
    return {step.title: step.arguments for step in steps(out, PLAN) if not step.is_done}


def put(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_training_is_resumed_from_the_moment_its_folder_has_a_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "run").mkdir()
    assert "--resume" not in arguments_of(tmp_path)["train"]
    put(tmp_path / "run/config.toml")
    assert "--resume" in arguments_of(tmp_path)["train"]


def test_training_is_done_when_its_manifest_says_so_and_not_when_its_model_is_there(
    tmp_path: Path,
) -> None:
    """The manifest comes last: quantize reads in it what the model is."""
    put(tmp_path / "run/model.keras")
    for content in (None, "", "[]", '{"finished_at": null}'):
        if content is not None:
            put(tmp_path / "run/manifest.json", content)
        assert "train" in arguments_of(tmp_path)
    put(tmp_path / "run/manifest.json", '{"finished_at": "2026-01-01T00:00:00+00:00"}')
    assert "train" not in arguments_of(tmp_path)


def test_fine_tuning_is_resumed_once_it_has_a_checkpoint(tmp_path: Path) -> None:
    put(tmp_path / f"{QUANTIZED}.unfinished/settings.json", "{}")
    assert "--resume" not in arguments_of(tmp_path)["quantize (qat_w8a8)"]
    put(tmp_path / f"{QUANTIZED}.unfinished/last.npz")
    left = arguments_of(tmp_path)
    assert "--resume" in left["quantize (qat_w8a8)"]
    assert "--resume" not in left["quantize (fp32)"]
    put(tmp_path / QUANTIZED)
    assert "quantize (qat_w8a8)" not in arguments_of(tmp_path)


def test_a_benchmark_is_done_with_all_its_results_and_a_report_with_both_its_files(
    tmp_path: Path,
) -> None:
    for recipe in ("qat_w8a8", "fp32"):
        for threads in (2, 1):
            assert "benchmark" in arguments_of(tmp_path)
            put(tmp_path / f"results/asmnet_nano_68_64_{recipe}_cpu_{threads}t.json")
    assert "benchmark" not in arguments_of(tmp_path)
    put(tmp_path / "report.html")
    assert "report" in arguments_of(tmp_path)
    put(tmp_path / "report.md")
    assert set(arguments_of(tmp_path)) == {
        "draw faces",  # sees for itself what is left to do
        *("train", "quantize (fp32)", "quantize (qat_w8a8)"),
    }


def test_a_folder_whose_stamp_was_half_written_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".quickstart.123.part.json").write_text('{"faces": 1')
    begin(tmp_path, PLAN)
    assert json.loads((tmp_path / "quickstart.json").read_text()) == asdict(PLAN)


def test_another_plan_in_the_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    begin(tmp_path, PLAN)
    result = quickstart(tmp_path, *SMALL, "--faces", "200", "--seed", "7")
    assert result.exit_code == 2
    assert "--faces 100 there, 200 asked for; --seed 0 there, 7 asked for)" in result.stderr
    assert "--epochs" not in result.stderr


def test_a_folder_that_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    """It knew no --tune-epochs, which were then what is now the default."""
    plan = asdict(Plan())
    del plan["tune_epochs"]
    put(tmp_path / "quickstart.json", json.dumps(plan))
    begin(tmp_path, Plan())
    result = quickstart(tmp_path, "--tune-epochs", "9")
    assert result.exit_code == 2
    assert f"--tune-epochs {Plan.tune_epochs} there, 9 asked for" in result.stderr


def test_two_quickstarts_do_not_write_into_one_folder(tmp_path: Path) -> None:
    begin(tmp_path, PLAN)
    with alone_in(tmp_path):
        result = quickstart(tmp_path, *SMALL)
    assert result.exit_code == 2
    assert BUSY in result.stderr


def test_the_report_draws_the_landmarks_of_float_and_int8_over_each_other(tmp_path: Path) -> None:
    words = arguments_of(tmp_path)["report"]
    drawn = [Path(words[at + 1]).stem for at, word in enumerate(words) if word == "--faces"]
    assert drawn == ["asmnet_nano_68_64_fp32", "asmnet_nano_68_64_qat_w8a8"]
