"""The 1 € filter: smooths what trembles when it is still, and follows when it moves.

Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems" (CHI 2012). A first-order low-pass whose cut-off rises with speed. For a value
x, T seconds after the last one, with ^ for what is filtered:

    alpha(f) = 1 / (1 + tau / T),   tau = 1 / (2 pi f)
    dx       = (x - x^_last) / T
    dx^      = alpha(f_d) dx + (1 - alpha(f_d)) dx^_last
    f        = f_min + beta |dx^|
    x^       = alpha(f) x + (1 - alpha(f)) x^_last

The authors' package (OneEuroFilter 0.2 on PyPI) filters one number per object in Python: 136
objects for a face. This filters arrays; a test compares the two. The phone app's
``OneEuroFilter.kt`` is the same filter.
"""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError

MAX_GAP_SECONDS = 0.5  # after a longer one the last value says nothing any more


class OneEuroFilter:
    """Filters arrays of one shape, every number on its own.

    Args:
        min_cutoff_hz: cut-off at rest; lower trembles less and lags more.
        beta: Hz by which the cut-off rises for a speed of one ``scale`` per second; higher lags
            less in motion.
        speed_cutoff_hz: of the speed's own low-pass; 1 Hz is the paper's.
    """

    def __init__(self, *, min_cutoff_hz: float, beta: float, speed_cutoff_hz: float = 1.0) -> None:
        if not (min_cutoff_hz > 0 and speed_cutoff_hz > 0 and beta >= 0):
            raise UsageError(
                "expected cut-offs above 0 and a beta of at least 0, got "
                f"{min_cutoff_hz}, {speed_cutoff_hz} and {beta}"
            )
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._speed_cutoff_hz = speed_cutoff_hz
        self._last: tuple[float, NDArray[np.float64], NDArray[np.float64]] | None = None

    def update(
        self,
        values: NDArray[np.floating],
        seconds: float,
        *,
        scale: float = 1.0,
        trust: NDArray[np.floating] | float = 1.0,
    ) -> NDArray[np.float32]:
        """The filtered values.

        The first values, and those after time stood still, ran backwards or jumped by more than
        ``MAX_GAP_SECONDS``, come back as they are.

        Args:
            values: any shape, the same in every call.
            seconds: when they were measured.
            scale: what a speed is counted in, in the unit of the values: the size of the face
                makes the same settings serve near and far ones.
            trust: 0..1, of the shape of ``values`` or one that broadcasts to it: what the cut-off
                is multiplied by. A value that is trusted half is followed half as fast.
        """
        x = np.asarray(values, np.float64)
        elapsed = 0.0 if self._last is None else seconds - self._last[0]
        if self._last is None or not 0 < elapsed <= MAX_GAP_SECONDS:
            self._last = (seconds, x, np.zeros_like(x))
            return x.astype(np.float32)
        _, last, last_speed = self._last
        speed_share = _alpha(np.float64(self._speed_cutoff_hz), elapsed)
        speed = last_speed + speed_share * ((x - last) / (scale * elapsed) - last_speed)
        cutoff_hz = trust * (self._min_cutoff_hz + self._beta * np.abs(speed))
        share = _alpha(np.asarray(cutoff_hz, np.float64), elapsed)
        filtered = last + share * (x - last)
        self._last = (seconds, filtered, speed)
        return np.asarray(filtered, np.float32)

    def reset(self) -> None:
        """Forget the past: the next values come back as they are."""
        self._last = None


def _alpha(
    cutoff_hz: NDArray[np.float64] | np.float64, elapsed: float
) -> NDArray[np.float64] | np.float64:
    """The share of a new value in a first-order low-pass."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff_hz * elapsed))
