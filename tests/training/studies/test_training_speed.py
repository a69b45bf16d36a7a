"""The comparison of training speeds."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.training.networks.build import build
from asmnet_kit.training.networks.counting import macs
from asmnet_kit.training.studies import plain_fit, training_speed
from asmnet_kit.training.studies.plain_fit import PlainFit


def test_plain_training_runs_in_a_process_of_its_own_and_answers_its_speed() -> None:
    """What it says to have trained in a turn fits into the time that the turn took us."""
    with PlainFit("asmnet_nano", points=68, input_size=64, batch_size=4, steps=2) as plain:
        assert plain.pictures == 4 * 2
        for _ in range(2):
            began = time.perf_counter()
            speed = plain.pictures_per_s()
            whole_s = time.perf_counter() - began
            assert 0 < plain.pictures / speed <= whole_s


def test_a_process_that_ended_says_so() -> None:
    with (
        PlainFit("no_such_network", points=68, input_size=64, batch_size=4, steps=2) as plain,
        pytest.raises(RuntimeError, match="ended with code 1"),
    ):
        plain.pictures_per_s()


def test_the_command_compares_the_loop_with_plain_training(
    drawn_faces: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One turn, so each median is that turn's: a ratio, and 6 operations per multiplication."""
    asked: list[dict[str, object]] = []

    class PlainFitOf50:
        """Stands in for the other process, which takes ten seconds to start."""

        def __init__(self, arch: str, **options: int) -> None:
            asked.append({"arch": arch, **options})

        def pictures_per_s(self) -> float:
            return 50.0

        def __enter__(self) -> "PlainFitOf50":
            return self

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(plain_fit, "PlainFit", PlainFitOf50)
    arguments = ["--data", str(drawn_faces(12)), "--format", "300w", "--arch", "asmnet_nano"]
    arguments += ["--input-size", "64", "--batch-size", "4", "--steps", "2", "--turns", "1"]
    run = CliRunner().invoke(training_speed.main, [*arguments, "--json"])
    speed = json.loads(run.stdout)
    starved = speed["data_wait_percent"] > training_speed.MAX_WAIT_PERCENT
    assert run.exit_code == (1 if starved else 0), run.output
    # The same network on the same number of pictures in both.
    assert asked == [
        {"arch": "asmnet_nano", "points": 68, "input_size": 64, "batch_size": 4, "steps": 2}
    ]
    assert speed["plain_pictures_per_s"] == 50
    assert speed["speedup"] == pytest.approx(speed["pictures_per_s"] / 50)
    of_a_picture = 6 * macs(build("asmnet_nano", points=68, input_size=64)) / 1e9
    assert speed["gflop_per_s"] == pytest.approx(speed["pictures_per_s"] * of_a_picture)
    for name in ("data_wait_percent", "cached_wait_percent"):
        assert 0 <= speed[name] < 100
    assert speed["matmul_gflop_per_s"] > 0.1
