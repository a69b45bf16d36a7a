"""Who is first: the headline, the tiles, the choice on each device; and whose NMEs compare."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from asmnet_kit.base.errors import UsageError
from asmnet_kit.results.report import text
from asmnet_kit.results.report.charts import CLOSE, Scatter, scatter
from asmnet_kit.results.report.rows import Row
from asmnet_kit.results.results import unlike_faces

NO_DEVICE = "No speed is ranked: the times of a software GPU and of TFLM on a PC are no device's."
MOST_TOLD = 4  # models in a sentence
CURVES = ("ced", "sparsification")  # of an accuracy: alike where its figures are


def headline(rows: Sequence[Row]) -> list[str]:
    """What a reader in a hurry should know, in one or two sentences.

    Args:
        rows: the newest ones that compete (``rows.newest_of``).
    """
    if not rows:
        return ["Accelerators were requested, but the CPU ran every model: nothing to compare."]
    timed = [row for row in rows if row.times_device]
    fastest = min(timed, key=lambda row: row.p50) if timed else None
    sentences = [_of_speed(fastest, len({row.key for row in timed})) if fastest else NO_DEVICE]
    ranked = [row for row in rows if row.nme is not None]
    if not ranked:
        sentences.append("Accuracy was not measured (use benchmark --data).")
    elif not of_the_same_faces(ranked):
        sentences.append("The NMEs are of different faces, so they are not ranked.")
    elif len({row.key for row in rows}) > 1:
        sentences.append(_of_accuracy(ranked, fastest))
    return sentences


def _of_speed(fastest: Row, models: int) -> str:
    between = " (not enough runs for an interval)"
    if ends := fastest.ends("p50"):
        low, high = map(text.milliseconds, ends)
        between = f" (95 % interval {low} to {high})"
    speed = (
        f"{fastest.model} takes {text.milliseconds(fastest.p50)} ms{between} for one run "
        f"on {fastest.column.replace(' · ', ', ')}"
    )
    if fastest.nme is not None:
        speed += f", with an NME of {text.percent(fastest.nme)} %"
    return f"Fastest of {models} models: {speed}." if models > 1 else f"{speed}."


def _of_accuracy(ranked: Sequence[Row], fastest: Row | None) -> str:
    if len({row.key for row in ranked}) == 1:
        return "No other model's accuracy was measured."
    best = min(ranked, key=lambda row: (row.nme, not row.times_device, row.p50))
    if fastest is not None and best.key == fastest.key:
        return "It is also the most accurate one."
    told = f"Most accurate: {best.model} with an NME of {text.percent(best.nme or 0.0)} %"
    if fastest is None or not best.times_device:
        return f"{told}."
    if best.machine != fastest.machine:
        return f"{told}, which takes {text.milliseconds(best.p50)} ms on {best.machine}."
    slower = best.p50 / fastest.p50 if fastest.p50 else 0.0
    return f"{told}, at {text.factor(slower)} times the latency."


def tiles(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(what, figure, whose) of the extremes.

    Args:
        rows: the newest ones that compete.
    """
    if not rows:
        return []
    shown = []
    if timed := [row for row in rows if row.times_device]:
        fastest = min(timed, key=lambda row: row.p50)
        busiest = max(timed, key=lambda row: row.result["summary"]["runs_per_second"])
        rate = f"{busiest.result['summary']['runs_per_second']:.0f}"
        shown += [
            ("fastest, p50", f"{text.milliseconds(fastest.p50)} ms", fastest.label),
            ("most runs per second", rate, busiest.label),
        ]
    smallest = min(rows, key=lambda row: (row.result["model"]["size_bytes"], row.p50))
    size = text.size(smallest.result["model"]["size_bytes"])
    shown.append(("smallest file", size, smallest.model))
    ranked = [row for row in rows if row.nme is not None]
    if ranked and of_the_same_faces(ranked):
        best = min(ranked, key=lambda row: (row.nme, row.p50))
        shown.append(("lowest NME", f"{text.percent(best.nme or 0.0)} %", best.label))
    return shown


@dataclass(frozen=True)
class Choice:
    """Which model to ship on one device: its chart, whose dots are numbered as ``rows`` are.

    Attributes:
        device: target, threads, kernels and machine: a column of the matrix.
        verdict: a sentence for a reader in a hurry.
    """

    device: str
    rows: list[Row]
    scatter: Scatter
    verdict: str


def choices_of(rows: Sequence[Row], device: str = "") -> list[Choice]:
    """A choice for each device on which two models or more can be ranked.

    Args:
        rows: the newest ones that compete.
        device: the one that matters, or words of its name: it comes first. By default the device
            with the most models does.

    Raises:
        UsageError: no device, or several, have these words.
    """
    ranked = [row for row in rows if row.error is not None and row.times_device]
    by_device: dict[str, list[Row]] = {}
    for row in ranked:
        by_device.setdefault(row.column, []).append(row)
    first = _device_named(device, list(dict.fromkeys(row.column for row in rows)))
    choices = [
        _choice(column, on_it)
        for column, on_it in by_device.items()
        if len(on_it) > 1 and of_the_same_faces(on_it)
    ]
    return sorted(choices, key=lambda choice: (choice.device != first, -len(choice.rows)))


def _device_named(words: str, columns: Sequence[str]) -> str:
    if not words:
        return ""
    wanted = words.lower().split()
    found = [column for column in columns if all(word in column.lower() for word in wanted)]
    if words in columns:
        found = [words]
    if len(found) != 1:
        raise UsageError(
            f"expected --device to name one of these, got {words!r}, which "
            f"{f'{len(found)} are' if found else 'none is'}: {'; '.join(columns)}"
        )
    return found[0]


def _choice(device: str, rows: list[Row]) -> Choice:
    chart = scatter([(row.p90, row.error) for row in rows if row.error is not None])
    front = sorted(
        (row for row, dot in zip(rows, chart.dots, strict=True) if dot.on_front),
        key=lambda row: row.p90.value,
    )
    close = sum(dot.standing == CLOSE for dot in chart.dots)
    told = [
        f"{row.model} ({text.milliseconds(row.p90.value)} ms, {text.percent(row.nme or 0.0)} %)"
        for row in front[:MOST_TOLD]
    ]
    more = len(front) - len(told)
    verdict = f"No other model is both faster and more accurate than {', '.join(told)}"
    verdict += f" and {more} more" if more else ""
    if close:
        verdict += f"; {text.plural(close, 'other')} may be as good (within the noise)"
    return Choice(device, rows, chart, f"{verdict}.")


def of_the_same_faces(rows: Sequence[Row]) -> bool:
    """Whether the NMEs of ``rows`` can be ranked: of one data set, in boxes of one kind."""
    return not unlike_faces([row.result["accuracy"] or {} for row in rows])


def distinct_accuracies(rows: Sequence[Row]) -> list[Row]:
    """One row for each accuracy: results that differ in threads alone share one."""
    distinct: dict[str, Row] = {}
    for row in rows:
        figures = {k: v for k, v in row.result["accuracy"].items() if k not in CURVES}
        key = json.dumps([row.key, row.machine, figures], sort_keys=True)
        distinct.setdefault(key, row)
    return list(distinct.values())
