"""Turns benchmark results into a report: what it says is decided here and drawn in templates.

The page is one file: styles and charts are inline, nothing is loaded from anywhere, no script runs.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from asmnet_kit import __version__
from asmnet_kit.base.files import write_text
from asmnet_kit.results.report import text
from asmnet_kit.results.report.charts import Axis, Scatter, histogram_path, scatter
from asmnet_kit.results.report.details import Profile, Sustained, profiles, sustained_runs
from asmnet_kit.results.results import Result, fell_back, unlike_faces

DEFAULT_TITLE = "Benchmark report"
OPEN_ROWS = 24  # charts shown at once; more are there, folded
FELL_BACK = (
    "the CPU ran what an accelerator was asked for: left out of the headline and the comparisons"
)

# Facts that change from run to run do not make it another machine.
VOLATILE_FACTS = (
    "load_average",
    "frequency_mhz",
    "memory_available_bytes",
    "usable_cores",
    "temperature_celsius",
    "battery",
)


@dataclass(frozen=True)
class Row:
    """One result as the report shows it.

    Attributes:
        fell_back: the CPU ran what an accelerator was asked for; such a row competes with none.
        number: in the scatter's legend, or None without accuracy.
        variant: target, threads and kernels: with the machine, the matrix' column.
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
    number: int | None
    histogram: str
    marks: list[tuple[str, float]]
    stages: list[tuple[str, float, float]]

    @property
    def label(self) -> str:
        return f"{self.model} · {self.variant}" + (f" · {self.machine}" if self.machine else "")


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


@dataclass(frozen=True)
class Report:
    """Everything the templates use."""

    title: str
    created: str
    kit_version: str
    headline: list[str]
    tiles: list[tuple[str, str, str]]
    columns: list[str]
    matrix: list[MatrixRow]
    rows: list[Row]
    axis: Axis
    scatter: Scatter | None
    ranked: list[Row]
    accuracies: list[Row]
    warnings: list[tuple[str, list[str]]]
    gaps: list[tuple[str, list[str]]]
    machines: list[tuple[str, dict[str, Any]]]
    runtimes: list[tuple[str, str, int]]
    models: list[dict[str, Any]]
    commands: list[str]
    subsets: list[str]
    profiles: list[Profile]
    sustained: list[Sustained]
    parities: list[tuple[str, dict[str, Any]]]
    placements: list[tuple[str, dict[str, Any]]]


def write_report(
    results: Sequence[tuple[Path, Result]], out: Path, *, title: str = DEFAULT_TITLE
) -> tuple[Path, Path]:
    """Write ``out`` (HTML) and the same in Markdown beside it.

    Args:
        results: as ``asmnet_kit.results.results.load_results`` returns them, at least one.

    Returns:
        The two paths.
    """
    report = build_report(results, out.parent, title=title)
    beside = out.with_suffix(".md")
    write_text(out, render(report, "report.html.j2"))
    write_text(beside, render(report, "report.md.j2"))
    return out, beside


def render(report: Report, template: str) -> str:
    """A report as text. HTML is escaped by default; Markdown by the filter ``md``."""
    environment = Environment(
        loader=PackageLoader("asmnet_kit.results.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "ms": text.milliseconds,
        "size": text.size,
        "percent": text.percent,
        "plural": text.plural,
        "known": text.known,
        "breakable": text.breakable,
        "md": text.markdown,
    }
    return environment.get_template(template).render(report=report, OPEN_ROWS=OPEN_ROWS)


def build_report(
    results: Sequence[tuple[Path, Result]], folder: Path, *, title: str = DEFAULT_TITLE
) -> Report:
    """Decide what a report says.

    Args:
        folder: where the report will be; links to the results are relative to it.
    """
    cleaned = [(path, text.clean(result)) for path, result in results]
    machine_names, machines = _machines([result for _, result in cleaned])
    axis = Axis.over([v for _, r in cleaned for v in _ends(r["timings_ms"]["invoke"])])
    rows = _rows(cleaned, folder, machine_names, axis)
    columns = list(dict.fromkeys(_column(row) for row in rows))
    competing = [row for row in rows if not row.fell_back]
    ranked = [row for row in competing if row.nme is not None]
    with_nme = [row for row in rows if row.nme is not None]
    fallen = [row.label for row in rows if row.fell_back]
    labelled = [(row.label, row.result) for row in rows]
    return Report(
        title=str(text.clean(title)),
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        kit_version=__version__,
        headline=_headline(competing),
        tiles=_tiles(competing),
        columns=columns,
        matrix=_matrix(rows, columns),
        rows=rows,
        axis=axis,
        scatter=_scatter(ranked),
        ranked=ranked,
        accuracies=_distinct_accuracies(with_nme),
        warnings=[(FELL_BACK, fallen)] * bool(fallen) + _grouped(rows, "warnings"),
        gaps=_grouped(rows, "notes") + _missing(rows),
        machines=machines,
        runtimes=_runtimes(rows),
        models=_models(rows),
        commands=_commands(rows),
        subsets=_subsets(with_nme),
        profiles=profiles(labelled),
        sustained=sustained_runs(labelled),
        parities=[(label, r["parity"]) for label, r in labelled if r["parity"]],
        placements=[
            (label, r["target"]["edgetpu"]) for label, r in labelled if r["target"].get("edgetpu")
        ],
    )


def _ends(samples: list[float]) -> tuple[float, float]:
    """The range of the samples; a clock that read 0 ms counts as its resolution."""
    return max(min(samples), 1e-5), max(max(samples), 1e-5)


def _rows(
    results: Sequence[tuple[Path, Result]], folder: Path, machine_names: dict[str, str], axis: Axis
) -> list[Row]:
    rows: list[Row] = []
    number = 0
    for path, result in results:
        nme = (result["accuracy"] or {}).get("nme_percent")
        target = result["target"]
        fallen = fell_back(target["requested"], target["actual"])
        if nme is not None and not fallen:
            number += 1
        stages = _stages(result)
        frame_ms = sum(ms for _, ms in stages)
        name = machine_names[_fingerprint(result["machine"])]
        rows.append(
            Row(
                path=path,
                # "./" keeps a file named like "javascript:..." a file.
                link="./" + quote(Path(os.path.relpath(path, folder)).as_posix()),
                result=result,
                model=result["model"]["name"],
                variant=_variant(result),
                machine=name if len(set(machine_names.values())) > 1 else "",
                p50=result["summary"]["p50"],
                nme=nme,
                fell_back=fallen,
                number=None if nme is None or fallen else number,
                histogram=histogram_path(result["timings_ms"]["invoke"], axis),
                marks=[(p, axis.at(result["summary"][p])) for p in ("p50", "p90", "p99")],
                stages=[
                    (stage, ms, round(100 * ms / frame_ms, 2) if frame_ms else 0.0)
                    for stage, ms in stages
                ],
            )
        )
    return rows


def _stages(result: Result) -> list[tuple[str, float]]:
    """What a frame costs, in order; stages that were not measured are left out."""
    timings = result["timings_ms"]
    stages = [
        ("pre", timings["pre"]),
        ("invoke", result["summary"]["p50"]),
        ("post", timings["post"]),
    ]
    return [(name, ms) for name, ms in stages if ms is not None]


def _variant(result: Result) -> str:
    """For example ``cpu · 1 thread · XNNPACK``."""
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
    return " · ".join(words)


def _column(row: Row) -> str:
    return f"{row.variant} · {row.machine}" if row.machine else row.variant


def _key(row: Row) -> tuple[str, str]:
    return row.model, row.result["model"]["sha256"]


def _matrix(rows: Sequence[Row], columns: Sequence[str]) -> list[MatrixRow]:
    newest: dict[tuple[tuple[str, str], str], Row] = {}
    repeats: Counter[tuple[tuple[str, str], str]] = Counter()
    for row in sorted(rows, key=lambda row: str(row.result.get("measured_at", ""))):
        newest[_key(row), _column(row)] = row
        repeats[_key(row), _column(row)] += 1
    slowest = max(row.p50 for row in newest.values())
    matrix = []
    for key in dict.fromkeys(_key(row) for row in rows):
        found = {column: newest.get((key, column)) for column in columns}
        measured = [row for row in found.values() if row]
        competing = [row.p50 for row in measured if not row.fell_back]
        cells = [
            Cell(
                row=row,
                repeats=repeats[key, column],
                bar=round(100 * row.p50 / slowest, 2) if slowest else 0.0,
                best=len(competing) > 1 and not row.fell_back and row.p50 == min(competing),
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


def _headline(rows: Sequence[Row]) -> list[str]:
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
        f"on {_column(fastest).replace(' · ', ', ')}"
    )
    if fastest.nme is not None:
        speed += f", with an NME of {text.percent(fastest.nme)} %"
    sentences = [f"{speed}."]
    models = {_key(row) for row in rows}
    if len(models) > 1:
        sentences[0] = f"Fastest of {len(models)} models: {sentences[0]}"
    ranked = [row for row in rows if row.nme is not None]
    if not _of_the_same_faces(ranked):
        sentences.append("The NMEs are of different faces: none is called the lowest.")
    elif ranked and len(models) > 1:
        best = min(ranked, key=lambda row: (row.nme, row.p50))
        if _key(best) == _key(fastest):
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


def _tiles(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(what, figure, whose) of the extremes among rows that compete."""
    if not rows:
        return []
    fastest = min(rows, key=lambda row: row.p50)
    smallest = min(rows, key=lambda row: (row.result["model"]["size_bytes"], row.p50))
    busiest = max(rows, key=lambda row: row.result["summary"]["runs_per_second"])
    ranked = [row for row in rows if row.nme is not None]
    tiles = [
        ("fastest, p50", f"{text.milliseconds(fastest.p50)} ms", fastest.label),
        (
            "most runs per second",
            f"{busiest.result['summary']['runs_per_second']:.0f}",
            busiest.label,
        ),
        ("smallest file", text.size(smallest.result["model"]["size_bytes"]), smallest.model),
    ]
    if ranked and _of_the_same_faces(ranked):
        best = min(ranked, key=lambda row: (row.nme, row.p50))
        tiles.append(("lowest NME", f"{text.percent(best.nme or 0.0)} %", best.label))
    return tiles


def _distinct_accuracies(rows: Sequence[Row]) -> list[Row]:
    """One row for each accuracy: results that differ in threads alone share one."""
    distinct: dict[str, Row] = {}
    for row in rows:
        key = json.dumps([_key(row), row.machine, row.result["accuracy"]], sort_keys=True)
        distinct.setdefault(key, row)
    return list(distinct.values())


def _scatter(rows: Sequence[Row]) -> Scatter | None:
    points = [(row.p50, row.nme) for row in rows if row.nme is not None]
    return scatter(points) if len(points) > 1 and _of_the_same_faces(rows) else None


def _of_the_same_faces(rows: Sequence[Row]) -> bool:
    """Whether the NMEs of ``rows`` can be ranked: of one data set, in boxes of one kind."""
    return not unlike_faces([row.result["accuracy"] or {} for row in rows])


def _grouped(rows: Sequence[Row], key: str) -> list[tuple[str, list[str]]]:
    return text.grouped([(s, row.label) for row in rows for s in row.result.get(key, [])])


def _missing(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """What a result can hold and these do not."""
    absent: dict[str, Callable[[Result], bool]] = {
        "accuracy on a data set (benchmark --data DIR --format F)": lambda r: r["accuracy"] is None,
        "difference to the CPU reference (a target other than cpu)": lambda r: (
            r["parity"] is None and r["target"]["requested"] != "cpu"
        ),
        "time of each operator (benchmark --profile)": lambda r: r["profile"] is None,
        "size of the model's tensor arena": lambda r: r["memory"]["model_arena_bytes"] is None,
    }
    gaps = []
    for what, is_absent in absent.items():
        labels = [row.label for row in rows if is_absent(row.result)]
        if labels:
            gaps.append((what, labels))
    return gaps


def _fingerprint(machine: dict[str, Any]) -> str:
    fixed = {k: v for k, v in machine.items() if k not in VOLATILE_FACTS}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def _machines(
    results: Sequence[Result],
) -> tuple[dict[str, str], list[tuple[str, dict[str, Any]]]]:
    """Names by fingerprint (A, B ...), and the facts of each machine."""
    names: dict[str, str] = {}
    machines = []
    for result in results:
        fingerprint = _fingerprint(result["machine"])
        if fingerprint not in names:
            names[fingerprint] = f"machine {len(names) + 1}"
            machines.append((names[fingerprint], _shown_facts(result["machine"])))
    return names, machines


def _shown_facts(machine: dict[str, Any]) -> dict[str, str]:
    """A machine's facts as text; what is unknown is left out."""
    shown = {}
    for key, value in machine.items():
        if value in (None, [], ""):
            continue
        name = key.removesuffix("_bytes").removesuffix("_mhz").replace("_", " ")
        if key.endswith("_bytes") and isinstance(value, (int, float)):
            shown[name] = f"{value / 1e9:.1f} GB"
        elif key.endswith("_mhz"):
            shown[name] = f"{value} MHz"
        elif isinstance(value, list):
            shown[name] = ", ".join(str(item) for item in value)
        else:
            shown[name] = str(value)
    return shown


def _runtimes(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    counts = Counter(
        (
            f"{row.result['runtime']['name']} {row.result['runtime']['version']}",
            row.result["runtime"]["kernels"],
        )
        for row in rows
    )
    return [(name, kernels, count) for (name, kernels), count in counts.most_common()]


def _models(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Facts of each model file, with its metadata's figures flattened to (name, text) pairs."""
    models: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        facts = row.result["model"]
        metadata = facts.get("metadata") or {}
        flat: dict[str, str] = {}
        for key in ("landmarks", "input", "crop", "outputs", "source", "metrics", "licence"):
            flat |= _flat(key, metadata.get(key))
        models.setdefault(_key(row), {**facts, "flat": flat})
    return list(models.values())


def _flat(key: str, value: Any) -> dict[str, str]:
    if value is None or value == {}:
        return {}
    if isinstance(value, dict):
        flat: dict[str, str] = {}
        for name, item in value.items():
            flat |= _flat(f"{key}.{name}", item)
        return flat
    if isinstance(value, float):
        return {key: f"{value:.6g}"}
    return {key: str(value)}


def _commands(rows: Sequence[Row]) -> list[str]:
    commands = dict.fromkeys(str(row.result.get("command", "")) for row in rows)
    return [command for command in commands if command]


def _subsets(rows: Sequence[Row]) -> list[str]:
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys((row.result["accuracy"] or {}).get("per_subset") or {})
    return list(names)
