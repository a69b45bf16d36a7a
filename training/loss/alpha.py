"""How strongly the smoothed truth pulls, by epoch (Eq. 10). Needs no TensorFlow."""

import math

from asmnet_kit.base.errors import UsageError

PAPER = "paper"
CONSTANT = "constant:"
PAPER_ALPHAS = (2.0, 1.0, 0.5)  # first, second and last third of the epochs


def alpha(epoch: int, epochs: int, schedule: str) -> float:
    """The weight of L_asm in Eq. 9 during one epoch.

    Args:
        epoch: i of Eq. 10, 0 for the first epoch.
        epochs: l of Eq. 10, the length of the whole training.
        schedule: ``paper`` is Eq. 10: 2 while i < l/3, 1 while i < 2l/3, then 0.5.
            ``constant:V`` is V in every epoch.

    Raises:
        UsageError: the schedule is unknown, its value is negative or not a number, or the epoch
            is outside the training.
    """
    value = constant_value(schedule)
    if not 0 <= epoch < epochs:
        raise UsageError(f"expected an epoch from 0 to {epochs - 1}, got {epoch}")
    if value is not None:
        return value
    return PAPER_ALPHAS[3 * epoch // epochs]  # integers: l/3 itself falls into the second third


def constant_value(schedule: str) -> float | None:
    """V of ``constant:V``, or None for the paper's schedule; checks a schedule without a training.

    Raises:
        UsageError: neither of both.
    """
    if schedule == PAPER:
        return None
    if schedule.startswith(CONSTANT):
        try:
            value = float(schedule.removeprefix(CONSTANT))
        except ValueError:
            value = math.nan
        if math.isfinite(value) and value >= 0:
            return value
    raise UsageError(
        f"expected an alpha schedule 'paper' or 'constant:V' with V of at least 0, such as "
        f"'constant:1'; got {schedule!r}"
    )
