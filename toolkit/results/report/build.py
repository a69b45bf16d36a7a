"""Turns benchmark results into a report: what it says is decided here and drawn in templates.

The page is one file: styles, charts and faces are inline, nothing is loaded from anywhere. Its one
script filters and sorts; the page's policy lets no other run, and without it everything is there.
"""

import hashlib
import re
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from asmnet_kit import __version__
from asmnet_kit.base.console import clean
from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import write_text
from asmnet_kit.base.reading import open_file
from asmnet_kit.results.checks import Kept
from asmnet_kit.results.noise import runs_needed, too_few_runs
from asmnet_kit.results.report import text
from asmnet_kit.results.report.charts import Axis, Plot
from asmnet_kit.results.report.curves import Sparsification, ced_plot, sparsifications
from asmnet_kit.results.report.details import (
    Drift,
    Gate,
    Profile,
    Sure,
    drifts,
    gates,
    profiles,
    sure_models,
)
from asmnet_kit.results.report.faces import Gallery
from asmnet_kit.results.report.history import Past, history_of
from asmnet_kit.results.report.holding import Held, held_of, sustained_plot
from asmnet_kit.results.report.lineage import Lineage, lineage_of
from asmnet_kit.results.report.machines import machines_of
from asmnet_kit.results.report.ranking import (
    Choice,
    choices_of,
    distinct_accuracies,
    headline,
    tiles,
)
from asmnet_kit.results.report.rows import MatrixRow, Row, matrix_of, newest_of, rows_of
from asmnet_kit.results.results import PERCENTILES, SAME_BITS, Result

# What every version of the templates has written near the beginning.
HTML_SIGNATURE = re.compile(rb'<meta name="generator" content="asmnet-kit ')
MARKDOWN_SIGNATURE = re.compile(
    rb"\d results?, [\d,]+ models?, [\d,]+ machines?; written .* by asmnet-kit "
)
SIGNED_BYTES = 1 << 16  # the title, which comes before it, may be long
DEFAULT_TITLE = "Benchmark report"
OPEN_ROWS = 24  # charts shown at once; more are there, folded
MOST_CARDS = 100  # of models and profiles; the results hold them all
# The schema lets nothing else be read from these; a profile is cleaned where it is shown.
NUMBERS = ("timings_ms", "summary", "sustained", "profile")
FELL_BACK = (
    "an accelerator was requested but the CPU ran the model: not in the headline and comparisons"
)


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
    choices: list[Choice]
    accuracies: list[Row]
    warnings: list[tuple[str, list[str]]]
    gaps: list[tuple[str, list[str]]]
    machines: list[tuple[str, dict[str, Any]]]
    runtimes: list[tuple[str, str, int]]
    models: list[dict[str, Any]]
    commands: list[str]
    subsets: list[str]
    sure: list[Sure]
    ced: Plot | None
    sparsifications: list[Sparsification]
    drifts: list[Drift]
    gallery: Gallery | None
    held: list[Held]
    sustained: Plot | None
    profiles: list[Profile]
    gates: list[Gate]
    parities: list[tuple[str, dict[str, Any], bool]]  # the last: bits too alike to be true
    placements: list[tuple[str, dict[str, Any]]]
    checks: list[Kept]
    lineage: Lineage
    history: list[Past]


def write_report(
    results: Sequence[tuple[Path, Result]],
    out: Path,
    *,
    title: str = DEFAULT_TITLE,
    device: str = "",
    gallery: Gallery | None = None,
    past: Sequence[tuple[Path, Result]] = (),
    checks: Sequence[Kept] = (),
) -> tuple[Path, Path]:
    """Write ``out`` (HTML) and the same in Markdown beside it.

    Args:
        results: as ``asmnet_kit.results.results.load_results`` returns them, at least one.
        device: the one that matters, or words of its name.
        gallery: faces with the models' landmarks.
        past: earlier results, for the history alone.
        checks: what compilers said, as ``asmnet_kit.results.checks.load_checks`` returns it.

    Raises:
        UsageError: no device, or several, are called so; something else than a report is there.

    Returns:
        The two paths.
    """
    out, beside = report_files(out)
    report = build_report(
        results,
        out.parent,
        title=title,
        device=device,
        gallery=gallery,
        past=past,
        checks=checks,
    )
    write_text(out, render(report, "report.html.j2"))
    write_text(beside, render(report, "report.md.j2"))
    return out, beside


def report_files(out: Path) -> tuple[Path, Path]:
    """The page and its Markdown, of which neither replaces anything but an earlier report.

    Args:
        out: of the page.

    Raises:
        UsageError: one of them is there and no report.
        OSError: it cannot be read.
    """
    beside = out.with_suffix(".md")
    for path, signature in ((out, HTML_SIGNATURE), (beside, MARKDOWN_SIGNATURE)):
        if path.is_file() and path.stat().st_size:
            with open_file(path, limit=sys.maxsize) as file:
                start = file.read(SIGNED_BYTES)
            if not signature.search(start):
                raise UsageError(
                    f"{path} is no report of the kit and would be overwritten: choose another --out"
                )
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
        "wilson": text.wilson,
        "ms": text.milliseconds,
        "size": text.size,
        "percent": text.percent,
        "plural": text.plural,
        "known": text.known,
        "breakable": text.breakable,
        "md": text.markdown,
    }
    script = environment.get_template("script.js").render()
    digest = hashlib.sha256(script.encode()).digest()
    return environment.get_template(template).render(
        report=report,
        OPEN_ROWS=OPEN_ROWS,
        MOST_CARDS=MOST_CARDS,
        RUNS_NEEDED={name: runs_needed(percent) for name, percent in PERCENTILES.items()},
        script=Markup(script),
        script_hash=f"sha256-{b64encode(digest).decode('ascii')}",
    )


def build_report(
    results: Sequence[tuple[Path, Result]],
    folder: Path,
    *,
    title: str = DEFAULT_TITLE,
    device: str = "",
    gallery: Gallery | None = None,
    past: Sequence[tuple[Path, Result]] = (),
    checks: Sequence[Kept] = (),
) -> Report:
    """Decide what a report says.

    Args:
        folder: where the report will be; links to the results are relative to it.
        device, gallery, past, checks: as for ``write_report``.

    Raises:
        UsageError: no device, or several, are called so.
    """
    cleaned = [(path, _cleaned(result)) for path, result in results]
    machine_names, machines = machines_of([result for _, result in cleaned])
    axis = Axis.over([v for _, r in cleaned for v in _ends(r["timings_ms"]["invoke"])])
    rows = rows_of(cleaned, folder, machine_names, axis)
    columns = list(dict.fromkeys(row.column for row in rows))
    competing = [row for row in rows if not row.fell_back]
    with_nme = [row for row in rows if row.nme is not None]
    fallen = [row.label for row in rows if row.fell_back]
    labelled = [(row.label, row.result) for row in rows]
    accuracies = distinct_accuracies(with_nme)
    newest = newest_of(competing)
    held = held_of([row for row in newest if row.times_device])
    return Report(
        title=str(clean(title)),
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        kit_version=__version__,
        headline=headline(newest),
        tiles=tiles(newest),
        columns=columns,
        matrix=matrix_of(rows, columns),
        rows=rows,
        axis=axis,
        choices=choices_of(newest, device),
        accuracies=accuracies,
        warnings=[(FELL_BACK, fallen)] * bool(fallen) + _grouped(rows, "warnings"),
        gaps=_grouped(rows, "notes") + _too_few(rows) + _missing(rows),
        machines=machines,
        runtimes=_runtimes(rows),
        models=_models(rows),
        commands=_commands(rows),
        subsets=_subsets(with_nme),
        sure=sure_models([(row.label, row.result["accuracy"] or {}) for row in accuracies]),
        ced=ced_plot(accuracies),
        sparsifications=sparsifications(accuracies),
        drifts=drifts(rows),
        gallery=gallery,
        held=held,
        sustained=sustained_plot(held),
        profiles=profiles(labelled, most=MOST_CARDS),
        gates=gates(labelled),
        parities=[
            (label, r["parity"], SAME_BITS in r["warnings"]) for label, r in labelled if r["parity"]
        ],
        placements=[
            (label, r["target"]["edgetpu"]) for label, r in labelled if r["target"].get("edgetpu")
        ],
        checks=list(checks),
        lineage=lineage_of(rows),
        history=_history(past, cleaned, folder),
    )


def _cleaned(result: Result) -> Result:
    """What is text in it without what breaks a page; the thousands of numbers are none."""
    return {key: value if key in NUMBERS else clean(value) for key, value in result.items()}


def _history(
    past: Sequence[tuple[Path, Result]], present: Sequence[tuple[Path, Result]], folder: Path
) -> list[Past]:
    """Of all results together, in which machines have one name; a file is in it once."""
    if not past:
        return []
    together = {path.resolve(): (path, result) for path, result in present}
    together |= {path.resolve(): (path, _cleaned(result)) for path, result in past}
    results = list(together.values())
    names, _ = machines_of([result for _, result in results])
    axis = Axis.over([v for _, r in results for v in _ends(r["timings_ms"]["invoke"])])
    rows = rows_of(results, folder, names, axis, files_apart=False)
    return history_of([row for row in rows if not row.fell_back])


def _ends(samples: list[float]) -> tuple[float, float]:
    """The range of the samples; a clock that read 0 ms counts as its resolution."""
    return max(min(samples), 1e-5), max(max(samples), 1e-5)


def _grouped(rows: Sequence[Row], key: str) -> list[tuple[str, list[str]]]:
    return text.grouped([(s, row.label) for row in rows for s in row.result.get(key, [])])


def _too_few(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    told = [(too_few_runs(len(row.result["timings_ms"]["invoke"])), row.label) for row in rows]
    return text.grouped([(sentence, label) for sentence, label in told if sentence])


def _missing(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """What a result can hold and these do not."""
    absent: dict[str, Callable[[Result], bool]] = {
        "accuracy on a data set (benchmark --data DIR --format F)": lambda r: r["accuracy"] is None,
        "difference from the CPU's outputs (targets other than cpu)": lambda r: (
            r["parity"] is None and r["target"]["requested"] != "cpu"
        ),
        "outputs of the timed runs compared with the CPU's (results of this version)": lambda r: (
            not r.get("output_check")
        ),
        "whether the speed holds (benchmark --sustained MINUTES)": lambda r: not r.get("sustained"),
        "interval of the NME (results of this version with 30 or more faces)": (
            lambda r: bool(r["accuracy"]) and not r["accuracy"].get("nme_interval_percent")
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
    """Facts of each model file; of those that get a card, the metadata's figures by name."""
    models: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row.key in models:
            continue
        facts = row.result["model"]
        flat: dict[str, str] = {}
        if len(models) < MOST_CARDS:
            metadata = facts.get("metadata") or {}
            for key in ("landmarks", "input", "crop", "outputs", "source", "metrics", "licence"):
                flat |= _flat(key, metadata.get(key))
            flat |= _flat("adapter", facts.get("adapter"))
        models[row.key] = {**facts, "flat": flat}
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
