"""A fine-tuning that was interrupted goes on, by the command that users type."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.files import alone_in
from asmnet_kit.cli import main
from asmnet_kit.quantize.rounding import finetune as finetune_module
from asmnet_kit.training.fit.monitor import RunMonitor
from wording import BUSY, UNFINISHED_TUNING

NAME = "small_68_64_qat_w8a8.tflite"

Quantize = Callable[..., Result]


@pytest.fixture
def quantize(run_folder: Path, faces: Path) -> Quantize:
    """Calls the command: ``quantize(out, *options)``."""

    def call(out: Path, *options: str) -> Result:
        arguments = ["--data", str(faces), "--format", "csv", "--out", str(out)]
        arguments += ["--recipe", "qat_w8a8", "--calibration-faces", "16", *options]
        return CliRunner().invoke(main, ["quantize", str(run_folder), *arguments])

    return call


def refused(result: Result) -> str:
    """The message of a call that must end with exit code 2 and no traceback."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


class Killed(Exception):
    """Stands for the end of the process."""


def die(*arguments: object, **options: object) -> None:
    raise Killed


def shards(unfinished: Path) -> dict[str, int]:
    """The prepared pictures: name -> when they were written, nanoseconds."""
    return {
        str(path.relative_to(unfinished)): path.stat().st_mtime_ns
        for path in sorted(unfinished.rglob("*.tfrecord"))
    }


def test_a_fine_tuning_that_was_killed_goes_on_to_the_same_file(
    quantize: Quantize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run, recipe and seed: the same bytes, with and without an interruption."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    options = ("--epochs", "2")
    assert quantize(whole, *options).exit_code == 0
    assert [path.name for path in whole.iterdir()] == [NAME]
    expected = (whole / NAME).read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr(RunMonitor, "on_epoch_end", die)  # after the checkpoint of the first epoch
        assert isinstance(quantize(resumed, *options).exception, Killed)
    unfinished = resumed / f"{NAME}.unfinished"
    assert (unfinished / "last.npz").exists() and not list(resumed.glob("*.tflite"))
    again = refused(quantize(resumed, *options))
    assert UNFINISHED_TUNING in again and "--resume" in again
    other = refused(quantize(resumed, *options, "--seed", "1", "--resume"))
    assert "the same settings" in other
    with alone_in(unfinished):
        for more in ((), ("--resume",)):
            busy = refused(quantize(resumed, *options, *more))
            assert BUSY in busy

    settings = json.loads((unfinished / "settings.json").read_text())
    settings["packages"]["numpy"] = "1.0"
    (unfinished / "settings.json").write_text(json.dumps(settings))
    result = quantize(resumed, *options, "--resume")
    assert result.exit_code == 0, result.output
    assert "packages changed since this fine-tuning began" in result.stderr
    assert "numpy 1.0, now" in result.stderr and "tensorflow" not in result.stderr
    assert "ranges: in the last epoch the farthest moved by" in result.stdout
    assert (resumed / NAME).read_bytes() == expected
    assert not unfinished.exists()
    nothing = refused(quantize(resumed, *options, "--resume"))
    assert "no fine-tuning to resume" in nothing


def test_prepared_pictures_wait_beside_the_file_and_are_used_again(
    quantize: Quantize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a kill within the first epoch, when there is no checkpoint yet."""
    with monkeypatch.context() as patch:
        patch.setattr(finetune_module, "fit", die)
        assert isinstance(quantize(tmp_path, "--epochs", "1").exception, Killed)
    unfinished = tmp_path / f"{NAME}.unfinished"
    assert not (unfinished / "last.npz").exists()
    prepared = shards(unfinished)
    assert {name.split("/")[-2] for name in prepared} == {"train", "val_crops"}

    seen = []
    fit = finetune_module.fit

    def watched(*arguments: object, **options: object) -> object:
        seen.append(shards(unfinished))
        return fit(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(finetune_module, "fit", watched)
    result = quantize(tmp_path, "--epochs", "1", "--resume")
    assert result.exit_code == 0, result.output
    assert seen == [prepared]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
