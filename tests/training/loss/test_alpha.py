"""The weight of the ASM term by epoch."""

import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.training.loss.alpha import alpha, constant_value


def test_alpha_falls_at_the_thirds() -> None:
    assert [alpha(i, 9, "paper") for i in range(9)] == [2, 2, 2, 1, 1, 1, 0.5, 0.5, 0.5]
    # l = 10: i < 3.33 and i < 6.67.
    assert [alpha(i, 10, "paper") for i in range(10)] == [2] * 4 + [1] * 3 + [0.5] * 3
    assert alpha(0, 1, "paper") == 2
    assert [alpha(i, 2, "paper") for i in range(2)] == [2, 1]


def test_a_constant_alpha_does_not_change() -> None:
    assert {alpha(i, 5, "constant:0.25") for i in range(5)} == {0.25}
    assert constant_value("constant:0") == 0
    assert constant_value("paper") is None


@pytest.mark.parametrize(
    "schedule", ["", "Paper", "constant", "constant:", "constant:-1", "constant:nan"]
)
def test_an_unknown_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(UsageError, match="'paper' or 'constant:V'"):
        alpha(0, 3, schedule)


@pytest.mark.parametrize("epoch", [-1, 3])
def test_an_epoch_outside_the_training_is_refused(epoch: int) -> None:
    with pytest.raises(UsageError, match="an epoch from 0 to 2"):
        alpha(epoch, 3, "paper")
