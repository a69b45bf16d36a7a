"""``asmnet-kit check``: what an accelerator would run of a model, without having one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.commands.options import (
    TFLITE,
    InputPath,
    ModelPath,
    input_shape_option,
    json_option,
    shape_argument,
)

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.checking.check import Check
    from asmnet_kit.benchmarks.edgetpu.log import ModelLog


@click.command(short_help="Predict what an Edge TPU or a GPU would run of a .tflite model.")
@click.argument("model", type=ModelPath(TFLITE))
@click.option(
    "--target",
    type=click.Choice(["edgetpu", "gpu"]),
    default="edgetpu",
    show_default=True,
    help="Accelerator to check against.",
)
@click.option(
    "--compiler-log",
    type=InputPath("the .log of edgetpu_compiler, or what it printed"),
    help="Set what edgetpu_compiler said of this model beside the prediction (edgetpu).",
)
@input_shape_option
@json_option
def check(
    model: Path,
    target: str,
    compiler_log: Path | None,
    input_shape: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Predict which operators of the .tflite MODEL an accelerator would run.

    Needs no accelerator and no compiler. Each operator gets the status that the Edge TPU compiler
    would print, the reason and a cure; latency is an estimate and says how far it may be off. A
    model that is compiled already is taken apart: cached and streamed bytes, instructions, cycles.
    Ends with 0 whatever the verdict: full, partial, none or refused.

    \b
    Examples:
      asmnet-kit check model.tflite --target edgetpu
      asmnet-kit check model.tflite --target gpu --json
      asmnet-kit check model.tflite --compiler-log model_edgetpu.log
    """
    from dataclasses import asdict

    from asmnet_kit.base.console import print_json
    from asmnet_kit.base.errors import UsageError
    from asmnet_kit.benchmarks.checking.check import check_model
    from asmnet_kit.benchmarks.edgetpu.log import read_log

    if compiler_log is not None and target != "edgetpu":
        raise UsageError(f"--compiler-log is for the target edgetpu alone, got {target!r}")
    said = None if compiler_log is None else read_log(compiler_log)
    outcome = check_model(model, target=target, input_shape=input_shape)
    if as_json:
        print_json({**outcome.to_json(), "compiler_log": said and asdict(said)})
    else:
        _print(outcome, said)
    _summarise(outcome)


def _print(outcome: "Check", said: "ModelLog | None") -> None:
    from rich.markup import escape
    from rich.table import Table

    from asmnet_kit.base.console import stdout

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
    for line in [*_facts(outcome), *_compiler_lines(outcome, said)]:
        console.print(line, markup=False)


def _facts(outcome: "Check") -> list[str]:
    """What stands below the table."""
    from asmnet_kit.benchmarks.checking.estimate import STANDARD_CLOCK_HOST

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
            f"libedgetpu1-max ({estimate['label']}: {estimate['low_ms']:.2f} to "
            f"{estimate['high_ms']:.2f} ms; not measured{rest}), "
            f"{standard:.2f} ms with libedgetpu1-std at half the clock"
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


def _compiler_lines(outcome: "Check", said: "ModelLog | None") -> list[str]:
    """What the compiler said, and whether the prediction agrees."""
    from asmnet_kit.base.console import clean

    if said is None:
        return []
    tpu = "an unknown number" if said.tpu_ops is None else said.tpu_ops
    lines = [f"the compiler: {tpu} of {said.total_ops} operators on the Edge TPU"]
    lines += [f"  {clean(row.op)}: {row.count}, {clean(row.status)}" for row in said.table]
    lines += [f"  not understood: {clean(line)}" for line in said.unread]
    if said.total_ops != len(outcome.ops):
        lines.append(
            f"the log is of another model: it has {said.total_ops} operators, this one "
            f"{len(outcome.ops)}"
        )
    elif said.tpu_ops is not None and said.tpu_ops != outcome.mapped:
        lines.append(f"the prediction was wrong: {outcome.mapped} operators")
    elif said.tpu_ops is not None:
        lines.append("the prediction agrees")
    return lines


def _summarise(outcome: "Check") -> None:
    """One line: the verdict and what to do next."""
    from asmnet_kit.base.console import stderr

    counts = f"{outcome.mapped} of {len(outcome.ops)} operators map"
    if outcome.refusal is not None:
        advice = f"{outcome.refusal.reason}. Next: {outcome.refusal.cure}"
    elif outcome.first_blocking is not None:
        advice = f"{counts}. Next: {outcome.first_blocking.cure}"
    elif outcome.target == "edgetpu":
        advice = f"{counts}. Next: compile it with edgetpu_compiler"
    else:
        shape = shape_argument(outcome.input_shape)
        advice = (
            f"{counts}. Next: asmnet-kit benchmark {outcome.model} --target {outcome.target}{shape}"
        )
    stderr().print(f"{outcome.target}: {outcome.verdict}: {advice}", markup=False)
