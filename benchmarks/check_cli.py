"""``asmnet-kit check``: what an accelerator would run of a model, without having one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.options import TFLITE, ModelPath, json_option

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.check import Check


@click.command(short_help="Predict what an Edge TPU or a GPU would run of a .tflite model.")
@click.argument("model", type=ModelPath(TFLITE))
@click.option(
    "--target",
    type=click.Choice(["edgetpu", "gpu"]),
    default="edgetpu",
    show_default=True,
    help="Accelerator to check against.",
)
@json_option
def check(model: Path, target: str, as_json: bool) -> None:
    """Predict which operators of the .tflite MODEL an accelerator would run.

    Needs no accelerator and no compiler. Each operator gets the status that the Edge TPU compiler
    would print, the reason and a cure; latency is an estimate and says how far it may be off. A
    model that is compiled already is taken apart: cached and streamed bytes, instructions, cycles.
    Ends with 0 whatever the verdict: full, partial, none or refused.

    \b
    Examples:
      asmnet-kit check model.tflite --target edgetpu
      asmnet-kit check model.tflite --target gpu --json
    """
    from asmnet_kit.benchmarks.check import check_model
    from asmnet_kit.console import print_json

    outcome = check_model(model, target=target)
    if as_json:
        print_json(outcome.to_json())
    else:
        _print(outcome)
    _summarise(outcome)


def _print(outcome: "Check") -> None:
    from rich.markup import escape
    from rich.table import Table

    from asmnet_kit.console import stdout

    table = Table()
    table.add_column("operator")
    table.add_column("count", justify="right")
    table.add_column("status", overflow="fold")
    table.add_column("reason and cure", overflow="fold")
    for row in outcome.grouped():
        why = f"{row['reason']}. Cure: {row['cure']}." if row["reason"] else ""
        table.add_row(escape(row["op"]), str(row["count"]), row["status"], escape(why))
    console = stdout()
    console.print(table)
    for line in _facts(outcome):
        console.print(line, markup=False)


def _facts(outcome: "Check") -> list[str]:
    """What stands below the table."""
    from asmnet_kit.benchmarks.edgetpu.estimate import STANDARD_CLOCK_HOST

    lines = []
    first = outcome.first_blocking
    if first is not None and outcome.compiled is None:
        lines.append(f"first blocking operator: {first.op.name} (operator {first.op.index})")
    estimate = outcome.estimate
    if estimate is not None:
        left_out = estimate["cpu_ops_not_included"]
        rest = f"; {left_out} operator(s) on the CPU not included" if left_out else ""
        standard = estimate["hosts_ms"][STANDARD_CLOCK_HOST]
        lines.append(
            f"latency: {estimate['milliseconds']:.2f} ms on {estimate['host']} with "
            f"libedgetpu1-max ({estimate['label']}: {estimate['low_ms']:.2f} to {estimate['high_ms']:.2f} ms; "
            f"not measured{rest}), {standard:.2f} ms with libedgetpu1-std at half the clock"
        )
    if outcome.compiled is not None:
        inside = outcome.compiled.to_json()
        cycles = inside["cycles"]
        lines.append(
            f"inside the compiled model: {inside['subgraphs']} Edge TPU subgraph(s), "
            f"{inside['cached_parameter_bytes']} bytes of parameters cached, "
            f"{inside['streamed_parameter_bytes']} streamed, "
            f"{inside['instruction_bytes']} bytes of instructions, "
            f"{'unknown' if cycles is None else cycles} cycles; "
            f"on the CPU: {', '.join(inside['cpu_ops']) or 'nothing'}"
        )
    return [*lines, *outcome.notes]


def _summarise(outcome: "Check") -> None:
    """One line: the verdict and what to do next."""
    from asmnet_kit.console import stderr

    counts = f"{outcome.mapped} of {len(outcome.ops)} operators map"
    if outcome.refusal is not None:
        advice = f"{outcome.refusal.reason}. Next: {outcome.refusal.cure}"
    elif outcome.first_blocking is not None:
        advice = f"{counts}. Next: {outcome.first_blocking.cure}"
    elif outcome.target == "edgetpu":
        advice = f"{counts}. Next: compile it with edgetpu_compiler"
    else:
        advice = f"{counts}. Next: asmnet-kit benchmark {outcome.model} --target {outcome.target}"
    stderr().print(f"{outcome.target}: {outcome.verdict}: {advice}", markup=False)
