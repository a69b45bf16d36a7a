"""The comparison of training speeds."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.training.networks.build import build
from asmnet_kit.training.networks.counting import macs
from asmnet_kit.training.studies.plain_fit import PlainFit
from asmnet_kit.training.studies.training_speed import MAX_WAIT_PERCENT, main


def test_plain_training_runs_in_a_process_of_its_own_and_answers_each_turn() -> None:
    """Its seconds are of this turn: they pass while it is waited for."""
    with PlainFit("asmnet_nano", points=68, input_size=64, batch_size=4, steps=2) as plain:
        assert plain.pictures == 8
        for _ in range(2):
            asked = time.perf_counter()
            seconds = plain.pictures / plain.pictures_per_s()
            assert 0 < seconds < time.perf_counter() - asked


def test_a_process_that_ended_says_so() -> None:
    with (
        PlainFit("no_such_network", points=68, input_size=64, batch_size=4, steps=2) as plain,
        pytest.raises(RuntimeError, match="ended with code 1"),
    ):
        plain.pictures_per_s()


@pytest.mark.slow
def test_the_figures_of_the_comparison_agree_with_each_other(
    drawn_faces: Callable[..., Path],
) -> None:
    """One turn counts, so medians are its own figures, and each follows from the others."""
    network = ("--arch", "asmnet_nano", "--input-size", "64", "--batch-size", "4")
    data = ("--data", str(drawn_faces(8)), "--format", "300w")
    result = CliRunner().invoke(main, [*data, *network, "--steps", "2", "--turns", "1", "--json"])
    speed = json.loads(result.stdout)
    assert speed["speedup"] == pytest.approx(
        speed["pictures_per_s"] / speed["plain_pictures_per_s"]
    )
    # A picture costs 2 operations for each multiply-accumulate, forward and twice backward.
    flop = 6 * macs(build("asmnet_nano", points=68, input_size=64))
    assert speed["gflop_per_s"] == pytest.approx(speed["pictures_per_s"] * flop / 1e9)
    assert 0 <= speed["data_wait_percent"] <= 100
    assert result.exit_code == (speed["data_wait_percent"] > MAX_WAIT_PERCENT)
