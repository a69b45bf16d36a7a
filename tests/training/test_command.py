"""``asmnet-kit train`` from the outside: what it prints, its exit codes, and being killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.training.command import LOSSES
from asmnet_kit.training.loss.losses import LOSSES as LOSS_KINDS

SMALL = ("--arch", "asmnet_nano", "--input-size", "64", "--batch-size", "8", "--epochs", "4")


@pytest.fixture(scope="module")
def data(drawn_faces: Callable[..., Path]) -> Path:
    return drawn_faces(train=16, val=4)


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_the_losses_offered_are_those_there_are() -> None:
    assert set(LOSSES) == set(LOSS_KINDS)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_resumes_to_the_weights_of_an_undisturbed_one(
    data: Path, tmp_path: Path
) -> None:
    source = ("--data", str(data), "--format", "300w", *SMALL)
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    command = [sys.executable, "-m", "asmnet_kit", "train", *source, "--out", str(killed)]
    log = tmp_path / "killed.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    checkpoint = killed / "checkpoints" / "last.npz"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, log.read_text()

    resumed = train("--resume", "--out", killed)
    assert resumed.exit_code == 0, resumed.output
    whole = train(*source, "--out", undisturbed)
    assert whole.exit_code == 0, whole.output
    assert resumed.stdout == whole.stdout  # the validation figures
    assert "validation NME" in whole.stdout
    assert "Next: asmnet-kit quantize" in whole.stderr
    one, other = (np.load(run / "checkpoints" / "last.npz") for run in (killed, undisturbed))
    assert one.files == other.files
    for name in one.files:
        if name != "history":  # which holds timings
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "300w", "--data", "{data}", "--sampling", "big=2"), "--sampling: expected"),
        (("--format", "300w", "--data", "{data}", "--clips", "big"), "--clips: expected subsets"),
        ((), "expected --data and --format"),
        (("--format", "300w"), "expected --data"),
        (("--format", "300w", "--data", "{data}", "--input-size", "100"), "multiple of 16"),
        (("--format", "300w", "--data", "{data}", "--split", "test"), "refused"),
        (("--format", "300w", "--data", "{data}", "--split", "other"), "no split 'other'"),
        (("--format", "300w", "--data", "{data}", "--batch-size", "32"), "one batch of 32"),
        (("--resume",), "no run to resume"),
        (("--format", "tiff"), "'tiff' is not one of"),
    ],
)
def test_a_wrong_call_exits_with_2_and_says_what_was_expected(
    arguments: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    filled = [argument.format(data=data) for argument in arguments]
    result = train(*filled, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "run").exists()  # so that the mended call may use the same --out


def test_an_empty_folder_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = train("--data", tmp_path / "empty", "--format", "300w", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "no faces of format 300w" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_exits_with_1_and_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "run"
    result = train("--data", data, "--format", "300w", *SMALL, "--out", out)
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert str(out) in result.stderr
