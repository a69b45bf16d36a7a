"""``asmnet-kit compare``: did a change make a model slower or less accurate?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import GateError, UsageError
from asmnet_kit.commands.options import (
    RESULTS,
    InputPath,
    NumberRange,
    OnceCommand,
    OutputPath,
    json_option,
    seed_option,
)

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.comparing.compare import Comparison, Outcome


@click.command(
    cls=OnceCommand, short_help="Fail when new benchmark results are worse than old ones."
)
@click.argument("base", type=InputPath(RESULTS))
@click.argument("new", type=InputPath(RESULTS))
@click.option(
    "--max-slowdown",
    default=1.10,
    show_default=True,
    type=NumberRange(min=0, min_open=True),
    help="Maximum ratio of new to old p50 (of p90 if both are --single-stream).",
)
@click.option(
    "--max-nme-increase",
    default=0.1,
    show_default=True,
    type=NumberRange(min=0),
    help="Maximum increase of NME, in percentage points.",
)
@click.option(
    "--max-pose-increase",
    default=0.2,
    show_default=True,
    type=NumberRange(min=0),
    help="Maximum increase of the mean error of yaw, pitch or roll, in degrees.",
)
@click.option(
    "--max-parity-increase",
    default=0.1,
    show_default=True,
    type=NumberRange(min=0),
    help="Maximum increase of the mean difference from the CPU's landmarks, in pixels of the crop.",
)
@click.option(
    "--across",
    multiple=True,
    type=click.Choice(["machine", "runtime", "target", "protocol", "data"]),
    help="Compare even though this differs; may be given several times.",
)
@click.option(
    "--junit",
    type=OutputPath(dir_okay=False),
    help="Write a JUnit XML file for a CI system.",
)
@click.option(
    "--github", is_flag=True, help="Print GitHub Actions annotations instead of the table."
)
@seed_option
@json_option
def compare(
    base: Path,
    new: Path,
    max_slowdown: float,
    max_nme_increase: float,
    max_pose_increase: float,
    max_parity_increase: float,
    across: tuple[str, ...],
    junit: Path | None,
    github: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Fail when new benchmark results are worse than old ones: compare BASE with NEW.

    \b
    Examples:
      asmnet-kit compare main/ branch/ --max-slowdown 1.05
      asmnet-kit compare old.json new.json --across runtime --junit compare.xml

    BASE and NEW are results or folders of results. The exit code is 1 if something got slower or
    less accurate than the limits allow, or if a result or a figure (accuracy, pose, parity) of BASE
    is missing in NEW. Speed is judged by a 95 % interval of the ratio of medians (of p90 for
    --single-stream): what noise can explain does not fail and is called unclear. Results of
    different machines, runtimes, targets, protocols or data sets are refused with exit code 2, and
    the difference is named; so are results of models that fell back to the CPU.
    """
    from asmnet_kit.base.console import print_json, stderr
    from asmnet_kit.base.files import refuse_overwriting
    from asmnet_kit.benchmarks.comparing.compare import compare as compare_results
    from asmnet_kit.benchmarks.comparing.output import github_lines, write_junit
    from asmnet_kit.results.results import load_results

    if github and as_json:
        raise UsageError("--github and --json exclude each other: both print to stdout")
    before, after = load_results([base]), load_results([new])
    if junit is not None:  # what is in an archive is called as if that were a folder
        read = {place for path, _ in before + after for place in (path, *path.parents)}
        read |= {archive for side in (base, new) for archive in side.glob("*.zip")}
        refuse_overwriting(junit, read, option="--junit")
    outcome = compare_results(
        before,
        after,
        max_slowdown=max_slowdown,
        max_nme_increase=max_nme_increase,
        max_pose_increase=max_pose_increase,
        max_parity_increase=max_parity_increase,
        across=across,
        seed=seed,
    )
    if junit is not None:
        write_junit(outcome, junit)
    if as_json:
        print_json(outcome.to_json())
    elif github:
        print("\n".join(github_lines(outcome)))
    else:
        _print(outcome)
    messages = stderr()
    for comparison in outcome.comparisons:
        for text in comparison.warnings:
            messages.print(f"warning: {comparison.name}: {text}", markup=False, style="yellow")
    if outcome.failed:
        bad = [c for c in outcome.comparisons if c.failed]
        lines = [f"{c.name}: {'; '.join(c.messages)}" for c in bad]
        lines += [f"{name}: missing in {new}" for name in outcome.missing]
        raise GateError("\n".join([f"{len(lines)} regression(s):", *lines]))
    unclear = sum("unclear" in c.verdicts for c in outcome.comparisons)
    told = f", {unclear} unclear: measure these longer" if unclear else ""
    messages.print(f"{len(outcome.comparisons)} compared, no regression{told}.", markup=False)


def _print(outcome: "Outcome") -> None:
    from rich.table import Table
    from rich.text import Text

    from asmnet_kit.base.console import clean, stdout

    table = Table()
    table.add_column("model and target", overflow="fold")
    for heading in ("base p50 ms", "new p50 ms", "ratio (95 %)", "NME %"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for comparison in outcome.comparisons:
        low, high = comparison.interval
        table.add_row(
            Text(clean(comparison.name)),
            f"{comparison.base_p50:.3f}",
            f"{comparison.new_p50:.3f}",
            f"p{comparison.percentile:g} x{comparison.ratio:.3f} ({low:.3f} to {high:.3f})",
            _nme(comparison),
            ", ".join(comparison.verdicts),
        )
    for name in outcome.missing:
        table.add_row(Text(clean(name)), "", "-", "", "", "missing")
    for name in outcome.added:
        table.add_row(Text(clean(name)), "-", "", "", "", "new")
    stdout().print(table)


def _nme(comparison: "Comparison") -> str:
    before, after = comparison.nme
    if before is None or after is None:
        return "-"
    return f"{before:.2f} -> {after:.2f}"
