"""The rows of a report: one for each result, and the matrix of models by targets."""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from asmnet_kit.results.machine import machine_fingerprint
from asmnet_kit.results.noise import intervals
from asmnet_kit.results.report import text
from asmnet_kit.results.report.charts import Axis, Measured, histogram_path
from asmnet_kit.results.results import Result, completed, fell_back, stands_in

SHORT_HASH = 8


@dataclass(frozen=True)
class Row:
    """One result as the report shows it.

    Attributes:
        fell_back: the CPU ran what an accelerator was asked for; such a row competes with none.
        stands_in: a software GPU or TFLM on a PC: such a row competes in accuracy, not in speed.
        intervals: 95 %, of p50, p90 and p99, milliseconds; None of too few runs.
        variant: target, threads, kernels, a size that ``--input-shape`` gave, and the options and
            devices in which results differ: with the machine, the matrix' column.
        stages: (name, milliseconds, percent of their sum), pre to post.
    """

    path: Path
    link: str
    result: Result
    model: str
    variant: str
    machine: str
    p50: float
    nme: float | None
    fell_back: bool
    stands_in: bool
    intervals: dict[str, list[float] | None]
    histogram: str
    marks: list[tuple[str, float]]
    stages: list[tuple[str, float, float]]

    @property
    def label(self) -> str:
        return f"{self.model} · {self.column}"

    @property
    def times_device(self) -> bool:
        """Whether its times are those of the device that was asked for."""
        return not (self.fell_back or self.stands_in)

    @property
    def column(self) -> str:
        """Of the matrix."""
        return f"{self.variant} · {self.machine}" if self.machine else self.variant

    def ends(self, percentile: str) -> tuple[float, float] | None:
        """The 95 % interval of p50, p90 or p99, milliseconds; None of too few runs."""
        found = self.intervals[percentile]
        return None if found is None else (found[0], found[1])

    @property
    def p90(self) -> Measured:
        """Milliseconds."""
        return Measured(self.result["summary"]["p90"], self.ends("p90"))

    @property
    def error(self) -> Measured | None:
        """The NME, percent; None without accuracy."""
        if self.nme is None:
            return None
        ends = self.result["accuracy"].get("nme_interval_percent")
        return Measured(self.nme, (ends[0], ends[1]) if ends else None)

    @property
    def key(self) -> tuple[str, str]:
        """Alike for results of one model file: its name and its content."""
        return self.model, self.result["model"]["sha256"]


@dataclass(frozen=True)
class Cell:
    """One model on one target: the newest result, how many there are, and its bar's length."""

    row: Row
    repeats: int
    bar: float
    best: bool


@dataclass(frozen=True)
class MatrixRow:
    """A line of the matrix; a None among ``cells`` was not measured."""

    model: str
    facts: dict[str, Any]
    nme: float | None
    cells: list[Cell | None]


def rows_of(
    results: Sequence[tuple[Path, Result]],
    folder: Path,
    machine_names: dict[str, str],
    axis: Axis,
    *,
    files_apart: bool = True,
) -> list[Row]:
    """A row for each result, in their order.

    Args:
        folder: where the report will be.
        machine_names: by fingerprint; a row names its machine where there are several.
        axis: of all rows' histograms.
        files_apart: different files of one name get part of their hash into it.
    """
    rows: list[Row] = []
    alone = [result for _, result in results]
    names = _model_names(alone) if files_apart else {}
    telling = _telling_options(alone)
    twins = _labels_of_twins(alone)
    for path, result in results:
        nme = (result["accuracy"] or {}).get("nme_percent")
        target = result["target"]
        fallen = fell_back(target)
        stages = _stages(result)
        frame_ms = sum(ms for _, ms in stages)
        machine = machine_fingerprint(result["machine"])
        name = machine_names[machine]
        variant = _variant(result, telling)
        if label := twins.get((machine, target["requested"], target.get("device") or "")):
            variant = f"{variant} · {label}"
        rows.append(
            Row(
                path=path,
                # "./" keeps a file named like "javascript:..." a file.
                link="./" + quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix())),
                result=result,
                model=names.get(result["model"]["sha256"], result["model"]["name"]),
                variant=variant,
                machine=name if len(set(machine_names.values())) > 1 else "",
                p50=result["summary"]["p50"],
                nme=nme,
                fell_back=fallen,
                stands_in=stands_in(target),
                intervals=intervals(result["timings_ms"]["invoke"]),
                histogram=histogram_path(result["timings_ms"]["invoke"], axis),
                marks=[(p, axis.at(result["summary"][p])) for p in ("p50", "p90", "p99")],
                stages=[
                    (stage, ms, round(100 * ms / frame_ms, 2) if frame_ms else 0.0)
                    for stage, ms in stages
                ],
            )
        )
    return rows


def _model_names(results: Sequence[Result]) -> dict[str, str]:
    """By sha256, of models whose name another file bears, too."""
    files: dict[str, dict[str, None]] = {}
    for result in results:
        files.setdefault(result["model"]["name"], {})[result["model"]["sha256"]] = None
    return {
        sha256: f"{name} ({sha256[:SHORT_HASH]})"
        for name, hashes in files.items()
        if len(hashes) > 1
        for sha256 in hashes
    }


def _stages(result: Result) -> list[tuple[str, float]]:
    """What a frame costs, in order; stages that were not measured are left out."""
    timings = result["timings_ms"]
    stages = [
        ("pre", timings["pre"]),
        ("invoke", result["summary"]["p50"]),
        ("post", timings["post"]),
    ]
    return [(name, ms) for name, ms in stages if ms is not None]


def _telling_options(results: Sequence[Result]) -> set[str]:
    """Names of the targets' own options without which two ways to measure a model look alike.

    Results of earlier versions do not say which options were given.
    """
    alike: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for result in results:
        if (options := result["target"].get("options")) is not None:
            machine = machine_fingerprint(result["machine"])
            key = (result["model"]["sha256"], machine, _variant(result))
            alike.setdefault(key, []).append(options)
    return {
        name
        for given in alike.values()
        for name in {name for options in given for name in options}
        if len({options.get(name) for options in given}) > 1
    }


def _labels_of_twins(results: Sequence[Result]) -> dict[tuple[str, str, str], str]:
    """By (machine, target, device), of devices of one kind, whose results else look alike.

    A device is called as its file of devices calls it, if no other one of them is.
    """
    kinds: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        target = result["target"]
        if device := target.get("device"):
            key = (machine_fingerprint(result["machine"]), target["requested"])
            names = kinds.setdefault(key, {})
            names[device] = target.get("device_name") or names.get(device, "")
    return {
        (*key, device): name if name and list(names.values()).count(name) == 1 else device
        for key, names in kinds.items()
        if len(names) > 1
        for device, name in names.items()
    }


def _variant(result: Result, telling: Collection[str] = ()) -> str:
    """For example ``cpu · 1 thread · XNNPACK``.

    Args:
        telling: options of the target that are told, where the result has them.
    """
    target = result["target"]
    words = [target["requested"]]
    if target["actual"] != target["requested"]:
        words[0] = f"{target['requested']} (ran on {target['actual']})"
    if target["threads"]:
        words.append(text.plural(target["threads"], "thread"))
    if target.get("tool"):
        words.append(target["tool"])
    if target.get("affinity"):
        words.append(f"CPUs {', '.join(map(str, target['affinity']))}")
    words.append(target["delegate"] or "builtin kernels")
    options = target.get("options") or {}
    words += [f"{name}={options[name]}" for name in sorted(options) if name in telling]
    size = result["protocol"].get("input_shape")  # given for an input that the file leaves open
    if size:
        words.append("x".join(map(str, size)))
    return " · ".join(words)


def newest_of(rows: Sequence[Row]) -> list[Row]:
    """The newest row of each model file on each target, in the rows' order.

    A row without accuracy, or without a sustained run, has the last one of that file there.
    """
    newest: dict[tuple[tuple[str, str], str], Row] = {}
    last: dict[tuple[tuple[str, str], str], int] = {}
    dated = sorted(enumerate(rows), key=lambda item: str(item[1].result.get("measured_at", "")))
    for place, row in dated:
        at = (row.key, row.column)
        newest[at] = _completed(row, newest[at]) if at in newest else row
        last[at] = place
    return [newest[at] for at, _ in sorted(last.items(), key=lambda item: item[1])]


def _completed(row: Row, earlier: Row) -> Row:
    result = completed(row.result, earlier.result)
    return replace(row, nme=(result["accuracy"] or {}).get("nme_percent"), result=result)


def matrix_of(rows: Sequence[Row], columns: Sequence[str]) -> list[MatrixRow]:
    """A line for each model file, with the newest result of each of ``columns``."""
    newest = {(row.key, row.column): row for row in newest_of(rows)}
    repeats = Counter((row.key, row.column) for row in rows)
    slowest = max(row.p50 for row in newest.values())
    matrix = []
    for key in dict.fromkeys(row.key for row in rows):
        found = {column: newest.get((key, column)) for column in columns}
        measured = [row for row in found.values() if row]
        competing = [row.p50 for row in measured if row.times_device]
        cells = [
            Cell(
                row=row,
                repeats=repeats[key, column],
                bar=round(100 * row.p50 / slowest, 2) if slowest else 0.0,
                best=len(competing) > 1 and row.times_device and row.p50 == min(competing),
            )
            if row
            else None
            for column, row in found.items()
        ]
        known = [row.nme for row in measured if row.nme is not None]
        matrix.append(
            MatrixRow(
                model=key[0],
                facts=measured[0].result["model"],
                nme=known[0] if known else None,
                cells=cells,
            )
        )
    return matrix
