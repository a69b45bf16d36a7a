"""Whether a list of latencies can be trusted, and since when they are steady."""

from collections.abc import Sequence

import numpy as np

# Above these a reader should not trust differences of a few percent. Chosen from quiet machines,
# where p90 / p50 stays below 1.1 and the first and last third of the runs agree within 3 %.
MAX_SPREAD = 1.25  # p90 / p50
MAX_DRIFT = 0.10  # of the median, between the first and the last third
MIN_DRIFT_RUNS = 30  # fewer say nothing about drift

# The first runs are this much slower than the others where the warm-up was too short.
FIRST_RUNS, MAX_FIRST = 5, 1.25
# A clock that counts in steps gives few different times; of one in steps of 10 ns, as kept, a
# hundred runs of a microsecond give dozens.
MIN_CLOCK_RUNS, MIN_DIFFERENT = 100, 10

STEADY_RUNS = 10  # times are steady when two medians of this many runs agree ...
STEADY_SHARE = 0.02  # ... within this share


def steady(times: Sequence[float]) -> bool:
    """Do the last runs take as long as those before them? Of too few runs nobody can say."""
    if len(times) < 2 * STEADY_RUNS:
        return True
    last = float(np.median(times[-STEADY_RUNS:]))
    earlier = float(np.median(times[-2 * STEADY_RUNS : -STEADY_RUNS]))
    return abs(last - earlier) <= STEADY_SHARE * earlier


def instability(samples_ms: Sequence[float]) -> list[str]:
    """Reasons, in sentences, why these samples may not repeat; empty when there are none."""
    values = np.asarray(samples_ms, np.float64)
    reasons = []
    p50, p90 = (float(np.percentile(values, q)) for q in (50, 90))
    if p50 > 0 and p90 / p50 > MAX_SPREAD:
        reasons.append(
            f"unstable: p90 is {100 * (p90 / p50 - 1):.0f} % above p50; "
            f"close other programs and measure again"
        )
    if len(values) >= MIN_DRIFT_RUNS:
        begin, rest = float(np.median(values[:FIRST_RUNS])), float(np.median(values[FIRST_RUNS:]))
        if rest > 0 and begin / rest > MAX_FIRST:
            reasons.append(
                f"the warm-up was too short: the first {FIRST_RUNS} timed runs took "
                f"{100 * (begin / rest - 1):.0f} % longer than the others; raise --warmup"
            )
        third = len(values) // 3
        first, last = float(np.median(values[:third])), float(np.median(values[-third:]))
        if first > 0 and abs(last / first - 1) > MAX_DRIFT:
            reasons.append(
                f"drifting: the median of the last third of the runs is "
                f"{100 * (last / first - 1):+.0f} % off the first third's; "
                f"the clock frequency or the load changed"
                f"{' (throttled by heat or power?)' if last > first else ''}"
            )
    different = len(np.unique(values))
    if len(values) >= MIN_CLOCK_RUNS and different < MIN_DIFFERENT:
        reasons.append(
            f"the clock is too coarse: {len(values)} runs have {different} different times; "
            f"differences below one of its steps say nothing"
        )
    return reasons
