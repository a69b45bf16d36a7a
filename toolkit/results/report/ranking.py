"""Who is first: the headline, the tiles, the choice on each device; and whose NMEs compare."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from asmnet_kit.base.errors import UsageError
from asmnet_kit.results.report import text
from asmnet_kit.results.report.charts import CLOSE, Scatter, scatter
from asmnet_kit.results.report.rows import Row, newest_of
from asmnet_kit.results.results import unlike_faces

MOST_TOLD = 4  # models in a sentence
CURVES = ("ced", "sparsification")  # of an accuracy: alike where its figures are


def headline(rows: Sequence[Row]) -> list[str]:
    """What a reader in a hurry should know, in one or two sentences, of rows that compete."""
    if not rows:
        return ["Accelerators were requested, but the CPU ran every model: nothing to compare."]
    fastest = min(rows, key=lambda row: row.p50)
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
    sentences = [f"{speed}."]
    models = {row.key for row in rows}
    if len(models) > 1:
        sentences[0] = f"Fastest of {len(models)} models: {sentences[0]}"
    ranked = [row for row in rows if row.nme is not None]
    if not of_the_same_faces(ranked):
        sentences.append("The NMEs are of different faces, so they are not ranked.")
    elif ranked and len(models) > 1:
        best = min(ranked, key=lambda row: (row.nme, row.p50))
        if len({row.key for row in ranked}) == 1:
            sentences.append("No other model's accuracy was measured.")
        elif best.key == fastest.key:
            sentences.append("It is also the most accurate one.")
        else:
            slower = best.p50 / fastest.p50 if fastest.p50 else 0.0
            cost = (
                f"at {text.factor(slower)} times the latency"
                if best.machine == fastest.machine
                else f"which takes {text.milliseconds(best.p50)} ms on {best.machine}"
            )
            sentences.append(
                f"Most accurate: {best.model} with an NME of {text.percent(best.nme or 0.0)} %, "
                f"{cost}."
            )
    if not ranked:
        sentences.append("Accuracy was not measured (use benchmark --data).")
    return sentences


def tiles(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(what, figure, whose) of the extremes among rows that compete."""
    if not rows:
        return []
    fastest = min(rows, key=lambda row: row.p50)
    smallest = min(rows, key=lambda row: (row.result["model"]["size_bytes"], row.p50))
    busiest = max(rows, key=lambda row: row.result["summary"]["runs_per_second"])
    ranked = [row for row in rows if row.nme is not None]
    shown = [
        ("fastest, p50", f"{text.milliseconds(fastest.p50)} ms", fastest.label),
        (
            "most runs per second",
            f"{busiest.result['summary']['runs_per_second']:.0f}",
            busiest.label,
        ),
        ("smallest file", text.size(smallest.result["model"]["size_bytes"]), smallest.model),
    ]
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
        rows: that compete.
        device: the one that matters, or words of its name: it comes first. By default the device
            with the most models does.

    Raises:
        UsageError: no device, or several, have these words.
    """
    ranked = [row for row in newest_of(rows) if row.error is not None]
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
