"""Who is first: the headline, the tiles and the scatter; and whose accuracies can be ranked."""

import json
from collections.abc import Sequence

from asmnet_kit.results.report import text
from asmnet_kit.results.report.charts import Scatter, scatter
from asmnet_kit.results.report.rows import Row
from asmnet_kit.results.results import unlike_faces


def headline(rows: Sequence[Row]) -> list[str]:
    """What a reader in a hurry should know, in one or two sentences, of rows that compete."""
    if not rows:
        return ["The CPU ran every model that an accelerator was asked for: nothing to compare."]
    fastest = min(rows, key=lambda row: row.p50)
    low, high = fastest.result.get("intervals_ms", {}).get("p50", (None, None))
    between = (
        f" (95 % interval {text.milliseconds(low)} to {text.milliseconds(high)})" if low else ""
    )
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
        sentences.append("The NMEs are of different faces: none is called the lowest.")
    elif ranked and len(models) > 1:
        best = min(ranked, key=lambda row: (row.nme, row.p50))
        if best.key == fastest.key:
            sentences.append("It is the most accurate one, too.")
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
        sentences.append("Accuracy was not measured (benchmark --data does).")
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


def scatter_of(rows: Sequence[Row]) -> Scatter | None:
    """Latency against NME; None where there are not two points, or NMEs that do not compare."""
    points = [(row.p50, row.nme) for row in rows if row.nme is not None]
    return scatter(points) if len(points) > 1 and of_the_same_faces(rows) else None


def of_the_same_faces(rows: Sequence[Row]) -> bool:
    """Whether the NMEs of ``rows`` can be ranked: of one data set, in boxes of one kind."""
    return not unlike_faces([row.result["accuracy"] or {} for row in rows])


def distinct_accuracies(rows: Sequence[Row]) -> list[Row]:
    """One row for each accuracy: results that differ in threads alone share one."""
    distinct: dict[str, Row] = {}
    for row in rows:
        key = json.dumps([row.key, row.machine, row.result["accuracy"]], sort_keys=True)
        distinct.setdefault(key, row)
    return list(distinct.values())
