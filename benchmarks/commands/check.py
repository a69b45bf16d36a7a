"""``asmnet-kit check``: what an accelerator would run of a model, without having one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asmnet_kit.benchmarks.options import parse_named_options
from asmnet_kit.commands.options import (
    TFLITE,
    InputPath,
    ModelPath,
    OnceCommand,
    input_shape_option,
    json_option,
    shape_argument,
)

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.edgetpu.log import ModelLog

ALL = "all"
EDGETPU = "edgetpu"
UNKNOWN = "-"

Outcome = dict[str, Any]  # the JSON of benchmarks.checking.check.Check, or its "error"


@click.command(
    cls=OnceCommand, short_help="Predict what accelerators would run of a .tflite model."
)
@click.argument("model", type=ModelPath(TFLITE))
@click.option(
    "--target",
    metavar="NAME",
    help="edgetpu, gpu, ethosu (Arm's compiler Vela; ethosu:u55-128, ethosu:u85-512 and so on), "
    "tflm (TensorFlow Lite Micro), browser (LiteRT.js), npu (a phone chip's compiler) or all.  "
    "[default: all, in one table]",
)
@click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parse_named_options,
    help="An option of the target, such as system_config and memory_mode of ethosu or soc of npu; "
    "may be given several times.",
)
@click.option(
    "--compiler-log",
    type=InputPath("the .log of edgetpu_compiler, or what it printed"),
    help="Log of edgetpu_compiler for this model, to compare with the prediction (edgetpu).",
)
@input_shape_option
@json_option
def check(
    model: Path,
    target: str | None,
    options: dict[str, str],
    compiler_log: Path | None,
    input_shape: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Predict which operators of the .tflite MODEL an accelerator would run.

    \b
    Examples:
      asmnet-kit check model.tflite
      asmnet-kit check model.tflite --target ethosu:u55-128 --option memory_mode=Sram_Only
      asmnet-kit check model.tflite --target gpu --json
      asmnet-kit check model.tflite --compiler-log model_edgetpu.log

    No accelerator is needed. edgetpu and gpu are predicted from rules; ethosu and npu ask the chip
    maker's own compiler; tflm runs the kernels of TensorFlow Lite Micro on this machine; browser
    runs the file that LiteRT.js would get. Each operator gets a status, a reason and a cure. Any
    latency is an estimate and says whose it is. For a model that is already compiled for the Edge
    TPU it shows cached and streamed bytes, instructions and cycles. The exit code is 0 whatever the
    verdict: full, partial, none or refused. A compiler that is not installed is named.
    """
    from dataclasses import asdict

    from asmnet_kit.base.console import print_json
    from asmnet_kit.base.errors import UsageError
    from asmnet_kit.benchmarks.edgetpu.log import read_log

    if compiler_log is not None:
        target = target or EDGETPU  # the log is about that one
        if target != EDGETPU:
            raise UsageError(f"--compiler-log is only for the target edgetpu, got {target!r}")
    said = None if compiler_log is None else read_log(compiler_log)
    if target in (None, ALL):
        _check_all(model, options, input_shape, as_json=as_json)
        return
    outcome = _outcome(model, str(target), options, input_shape)
    if as_json:
        print_json({**outcome, "compiler_log": said and asdict(said)})
    else:
        _print(outcome, said)
    _summarise(outcome)


def _outcome(
    model: Path, target: str, options: Mapping[str, str], input_shape: tuple[int, int] | None
) -> Outcome:
    """What one target says of a model.

    Raises:
        KitError: as ``check_on_target``.
    """
    from asmnet_kit.benchmarks.checking.check import check_model
    from asmnet_kit.benchmarks.protocol import Request
    from asmnet_kit.benchmarks.runner import check_on_target
    from asmnet_kit.benchmarks.targets.registry import refuse_check
    from asmnet_kit.tflite.accelerator_placement import ACCELERATORS

    request = Request(model, target=target, options=options, input_shape=input_shape or ())
    if target in ACCELERATORS:  # rules alone, which need no process of their own
        refuse_check(request)
        return check_model(model, target=target, input_shape=input_shape).to_json()
    return check_on_target(request, on_progress=lambda done, note: None)


def _check_all(
    model: Path,
    options: Mapping[str, str],
    input_shape: tuple[int, int] | None,
    *,
    as_json: bool,
) -> None:
    """Every target in one table: of a family with several configurations its default alone.

    Raises:
        GateError: the compiler of one failed on the model.
    """
    from asmnet_kit.base.console import print_json, progress
    from asmnet_kit.base.errors import GateError, KitError, MissingDependency, UsageError
    from asmnet_kit.benchmarks.targets.registry import checkable, load_target
    from asmnet_kit.tflite.reader import read_graph

    read_graph(model)  # a damaged file is one error, not one of each target
    names = [name for name in checkable() if ":" not in name]
    declared = {name: {o.name for o in load_target(name).abilities.options} for name in names}
    for option in options:
        if not any(option in own for own in declared.values()):
            raise UsageError(f"option {option}: none of {', '.join(names)} has one of that name")
    outcomes: dict[str, Outcome] = {}
    failed = []
    with progress() as bar:
        task = bar.add_task("check", total=len(names), note="")
        for name in names:
            bar.update(task, note=name)
            own = {key: value for key, value in options.items() if key in declared[name]}
            try:
                outcomes[name] = _outcome(model, name, own, input_shape)
            except UsageError:
                raise
            except KitError as error:
                missing = isinstance(error, MissingDependency)
                outcomes[name] = {"target": name, "error": str(error), "missing": missing}
                failed += [] if missing else [f"{name}: {error}"]
            bar.advance(task)
    if as_json:
        print_json({**outcomes[EDGETPU], "compiler_log": None, "targets": outcomes})
    else:
        _print_all(outcomes)
    for outcome in outcomes.values():
        _summarise(outcome)
    if failed:
        raise GateError("\n".join(failed))


def _print_all(outcomes: Mapping[str, Outcome]) -> None:
    from asmnet_kit.base.console import stdout, table

    words = ("target", "verdict", "estimated ms", "memory KB", "difference from the CPU")
    made = table("target", "verdict", "operators", *words[2:], left=(*words[:2], words[4]))
    for name, outcome in outcomes.items():
        if "error" in outcome:
            made.add_row(name, "not installed" if outcome["missing"] else "failed", *4 * [UNKNOWN])
            continue
        estimate = outcome["estimate"]
        made.add_row(
            name,
            outcome["verdict"],
            f"{outcome['mapped']} of {outcome['total']}",
            f"{estimate['milliseconds']:.2f}" if estimate else UNKNOWN,
            _memory(outcome["memory_bytes"]) or UNKNOWN,
            _parity(outcome["parity"]) or UNKNOWN,
        )
    console = stdout()
    console.print(made)
    for name, outcome in outcomes.items():
        if outcome.get("estimate"):
            console.print(f"{name}: {outcome['estimate']['label']}", markup=False)


def _print(outcome: Outcome, said: "ModelLog | None") -> None:
    from rich.markup import escape
    from rich.table import Table

    from asmnet_kit.base.console import stdout

    table = Table()
    table.add_column("operator")
    table.add_column("count", justify="right")
    table.add_column("status", overflow="fold")
    table.add_column("reason and cure", overflow="fold")
    for row in outcome["ops"]:
        why = f"{row['reason']}. Cure: {row['cure']}." if row["reason"] else ""
        table.add_row(escape(row["op"]), str(row["count"]), row["status"], escape(why))
    console = stdout()
    console.print(table)
    for line in [*_facts(outcome), *_compiler_lines(outcome, said)]:
        console.print(line, markup=False)


def _facts(outcome: Outcome) -> list[str]:
    """What stands below the table."""
    lines = []
    first, inside = outcome["first_blocking"], outcome["compiled"]
    if first is not None and inside is None:
        lines.append(f"first blocking operator: {first['op']} (operator {first['index']})")
    if outcome["estimate"] is not None:
        lines.append(_latency(outcome["estimate"]))
    if outcome["memory_bytes"]:
        lines.append(f"memory: {_memory(outcome['memory_bytes'])} KB (1,000 bytes)")
    if outcome["compiled_bytes"] is not None:
        lines.append(f"the compiled file has {outcome['compiled_bytes']} bytes")
    if outcome["parity"] is not None:
        lines.append(f"difference from the CPU: {_parity(outcome['parity'])}")
    if inside is not None:
        cycles = inside["cycles"]
        lines.append(
            f"inside the compiled model: {inside['subgraphs']} Edge TPU subgraph(s), "
            f"{inside['cached_parameter_bytes']} bytes of parameters cached, "
            f"{inside['streamed_parameter_bytes']} streamed, "
            f"{inside['instruction_bytes']} bytes of instructions, "
            f"{'unknown' if cycles is None else cycles} cycles; "
            f"on the CPU: {', '.join(inside['cpu_ops']) or 'nothing'}"
        )
    return [*lines, *outcome["notes"]]


def _latency(estimate: Mapping[str, Any]) -> str:
    """The estimate in words: the kit's own of an Edge TPU, or a compiler's."""
    from asmnet_kit.benchmarks.checking.estimate import STANDARD_CLOCK_HOST

    left_out = estimate["cpu_ops_not_included"]
    rest = f"; {left_out} operator(s) on the CPU not included" if left_out else ""
    if "hosts_ms" not in estimate:
        return (
            f"latency: {estimate['milliseconds']:.2f} ms, {estimate['cycles']} cycles at "
            f"{estimate['clock_mhz']:g} MHz ({estimate['label']}{rest})"
        )
    standard = estimate["hosts_ms"][STANDARD_CLOCK_HOST]
    return (
        f"latency: {estimate['milliseconds']:.2f} ms on {estimate['host']} with "
        f"libedgetpu1-max ({estimate['label']}: {estimate['low_ms']:.2f} to "
        f"{estimate['high_ms']:.2f} ms; not measured{rest}), "
        f"{standard:.2f} ms with libedgetpu1-std at half the clock"
    )


def _memory(sizes: Mapping[str, int] | None) -> str:
    """For example ``sram 381, off_chip_flash 1361``, in units of 1,000 bytes."""
    told = {place: size for place, size in (sizes or {}).items() if size}
    return ", ".join(f"{place} {size / 1000:.0f}" for place, size in told.items())


def _parity(parity: Mapping[str, Any] | None) -> str:
    """For example ``at most 3 levels, 0.21 pixels of the 112 px crop, 10 inputs``."""
    if parity is None:
        return ""
    levels, pixels = parity.get("max_levels"), parity.get("max")
    said = [] if levels is None else [f"{levels} level{'' if levels == 1 else 's'}"]
    said += [] if pixels is None else [f"{pixels:.3g} {parity['unit']}"]
    return f"at most {', '.join(said)}, {parity['inputs']} inputs" if said else ""


def _compiler_lines(outcome: Outcome, said: "ModelLog | None") -> list[str]:
    """What the compiler said, and whether the prediction agrees."""
    from asmnet_kit.base.console import clean

    if said is None:
        return []
    tpu = "an unknown number" if said.tpu_ops is None else said.tpu_ops
    lines = [f"the compiler: {tpu} of {said.total_ops} operators on the Edge TPU"]
    lines += [f"  {clean(row.op)}: {row.count}, {clean(row.status)}" for row in said.table]
    lines += [f"  not understood: {clean(line)}" for line in said.unread]
    if said.total_ops != outcome["total"]:
        lines.append(
            f"the log is of another model: it has {said.total_ops} operators, this one "
            f"{outcome['total']}"
        )
    elif said.tpu_ops is not None and said.tpu_ops != outcome["mapped"]:
        lines.append(f"the prediction was wrong: {outcome['mapped']} operators")
    elif said.tpu_ops is not None:
        lines.append("the prediction agrees")
    return lines


def _summarise(outcome: Outcome) -> None:
    """One line: the verdict and what to do next."""
    from asmnet_kit.base.console import stderr

    target = outcome["target"]
    if "error" in outcome:
        verdict, advice = "not checked", outcome["error"]
    else:
        verdict, advice = outcome["verdict"], _advice(outcome)
    stderr().print(f"{target}: {verdict}: {advice}", markup=False)


def _advice(outcome: Outcome) -> str:
    counts = f"{outcome['mapped']} of {outcome['total']} operators map"
    if outcome["refusal"] is not None:
        return f"{outcome['refusal']['reason']}. Next: {outcome['refusal']['cure']}"
    if outcome["first_blocking"] is not None:
        return f"{counts}. Next: {outcome['first_blocking']['cure']}"
    if outcome["target"] == EDGETPU:
        return f"{counts}. Next: compile it with edgetpu_compiler"
    if outcome["tool"] is not None:
        return f"{counts}, {outcome['tool']['name']} {outcome['tool']['version']}"
    shape = shape_argument(outcome["input_shape"] and tuple(outcome["input_shape"]))
    measure = f"asmnet-kit benchmark {outcome['model']} --target {outcome['target']}{shape}"
    return f"{counts}. Next: {measure}"
