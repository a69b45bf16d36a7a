"""Curves of accuracy: how many faces are within an error, what is left without the least sure."""

from collections.abc import Sequence
from dataclasses import dataclass

from asmnet_kit.results.report.charts import Axis, Plot, Series, line_plot
from asmnet_kit.results.report.rows import Row

MOST_LINES = 8  # in one plot
MOST_MODELS = 6  # with a sparsification curve of their own
KINDS = ("points", "faces")
BY_SIGMA, BY_ERROR = "by sigma", "by the true error"


@dataclass(frozen=True)
class Sparsification:
    """How the error falls without the least sure, of one model."""

    label: str
    plots: list[tuple[str, Plot]]


def ced_plot(rows: Sequence[Row]) -> Plot | None:
    """Cumulative error distributions on one pair of axes; None where no result carries one."""
    series: list[Series] = []
    for row in rows:
        curve = row.result["accuracy"].get("ced")
        if curve:
            points = list(zip(curve["nme_percent"], curve["faces_percent"], strict=False))
            series.append(Series(name=row.label, points=points, tone=len(series)))
    if not series:
        return None
    return line_plot(
        series[:MOST_LINES],
        x_name="NME, %",
        y_name="faces within this error, %",
        y_axis=Axis(0.0, 100.0, False, (0.0, 20.0, 40.0, 60.0, 80.0, 100.0)),
    )


def sparsifications(rows: Sequence[Row]) -> list[Sparsification]:
    """Of the models that say how sure they are.

    Results of earlier versions hold four points of the curve and no bound below it.
    """
    found: list[Sparsification] = []
    for row in rows:
        if len(found) == MOST_MODELS:
            break
        accuracy = row.result["accuracy"]
        curves = accuracy.get("sparsification")
        few = (accuracy.get("uncertainty") or {}).get("sparsification_percent")
        plots = []
        for kind in KINDS:
            series = []
            if curves:
                for by in (BY_SIGMA, BY_ERROR):
                    points = list(
                        zip(curves["dropped_percent"], curves[kind].get(by, ()), strict=False)
                    )
                    if points:
                        series.append(Series(name=by, points=points, dashed=by == BY_ERROR))
            elif few:
                points = sorted((float(share), value) for share, value in few[kind].items())
                series.append(Series(name=BY_SIGMA, points=points))
            if any(value is not None for line in series for _, value in line.points):
                x_name = f"least sure {kind} dropped, %"
                plots.append((kind, line_plot(series, x_name=x_name, y_name="mean error, %")))
        if plots:
            found.append(Sparsification(row.label, plots))
    return found
