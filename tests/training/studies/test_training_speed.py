"""The comparison of training speeds."""

import pytest

from asmnet_kit.training.studies.plain_fit import PlainFit


def test_plain_training_runs_in_a_process_of_its_own_and_answers_its_speed() -> None:
    with PlainFit("asmnet_nano", points=68, input_size=64, batch_size=4, steps=2) as plain:
        assert plain.pictures == 8
        assert plain.pictures_per_s() > 0
        assert plain.pictures_per_s() > 0


def test_a_process_that_ended_says_so() -> None:
    with (
        PlainFit("no_such_network", points=68, input_size=64, batch_size=4, steps=2) as plain,
        pytest.raises(RuntimeError, match="ended with code 1"),
    ):
        plain.pictures_per_s()
