"""Whether a speed holds: what the last third of the runs says, which a first minute does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from asmnet_kit.results.noise import median_interval
from asmnet_kit.results.report.charts import Measured, Plot, Series, line_plot
from asmnet_kit.results.report.rows import Row

MOST_LINES = 8  # in one plot
MINUTE_S = 60.0


@dataclass(frozen=True)
class Held:
    """One result, from its first to its last third.

    Attributes:
        length: for example ``30 min sustained`` or ``1000 timed runs``.
        first, last: medians of the thirds, milliseconds.
        ranks: among all, from 1, by the first third and by the last.
        hottest: degrees Celsius, where it was read.
    """

    row: Row
    sustained: bool
    length: str
    first: Measured
    last: Measured
    ranks: tuple[int, int]
    hottest: float | None
    minutes: float | None
    slowdown: float | None

    @property
    def change_percent(self) -> float:
        change = self.last.value / self.first.value - 1 if self.first.value else 0.0
        return round(100 * change, 1) + 0.0  # no -0.0


def held_of(rows: Sequence[Row]) -> list[Held]:
    """The results that compete, the fastest in the last third first; sustained ones before all."""
    thirds = {id(row): _thirds(row) for row in rows}
    ranks: dict[int, tuple[int, int]] = {}
    for sustained in (True, False):
        alike = [row for row in rows if bool(row.result.get("sustained")) == sustained]
        places = [
            {
                id(row): place
                for place, row in enumerate(
                    sorted(alike, key=lambda row: thirds[id(row)][end].value), 1
                )
            }
            for end in (0, 1)
        ]
        ranks |= {id(row): (places[0][id(row)], places[1][id(row)]) for row in alike}
    held = [_held(row, thirds[id(row)], ranks[id(row)]) for row in rows]
    return sorted(held, key=lambda one: (not one.sustained, one.ranks[1]))


def _thirds(row: Row) -> tuple[Measured, Measured]:
    sustained = row.result.get("sustained")
    if sustained:
        values = [window["p50"] for window in sustained["windows"]]
    else:
        values = row.result["timings_ms"]["invoke"]
    third = max(1, len(values) // 3)
    return _median(values[:third]), _median(values[-third:])


def _median(values: Sequence[float]) -> Measured:
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return Measured(middle, median_interval(values))


def _held(row: Row, thirds: tuple[Measured, Measured], ranks: tuple[int, int]) -> Held:
    content = row.result.get("sustained")
    known = [
        window["temperature_celsius"]
        for window in (content or {}).get("windows", ())
        if window.get("temperature_celsius") is not None
    ]
    return Held(
        row=row,
        sustained=bool(content),
        length=f"{content['minutes']:.1f} min sustained"
        if content
        else f"{len(row.result['timings_ms']['invoke'])} timed runs",
        first=thirds[0],
        last=thirds[1],
        ranks=ranks,
        hottest=max(known) if known else None,
        minutes=content["minutes"] if content else None,
        slowdown=content["slowdown"] if content else None,
    )


def sustained_plot(held: Sequence[Held]) -> Plot | None:
    """The curves of sustained runs on one pair of axes, both from 0; None without any."""
    series = [
        Series(
            name=one.row.label,
            points=[
                (window["seconds"] / MINUTE_S, window["p50"])
                for window in one.row.result["sustained"]["windows"]
            ],
            tone=tone,
        )
        for tone, one in enumerate([one for one in held if one.sustained][:MOST_LINES])
    ]
    if not series:
        return None
    return line_plot(series, x_name="minutes", y_name="p50 of 5 s, ms")
