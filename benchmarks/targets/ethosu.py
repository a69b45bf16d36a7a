"""Arm's Ethos-U NPUs, as Arm's own compiler Vela sees them. Needs no chip and measures nothing.

Vela says which operators the NPU takes, how much memory the model needs and how many cycles it
expects. There is no time to measure here, so ``asmnet-kit check`` asks this target and
``asmnet-kit benchmark`` refuses it. Vela runs in a process of its own: some damaged models end it
by a segmentation fault.
"""

import csv
import importlib.util
import math
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from asmnet_kit.base.console import clean, shortened
from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError
from asmnet_kit.base.files import temporary_folder, write_bytes
from asmnet_kit.base.install import install_command
from asmnet_kit.benchmarks.checking.check import Check
from asmnet_kit.benchmarks.checking.compiler_run import run_compiler
from asmnet_kit.benchmarks.options import ETHOSU_CHIPS, ETHOSU_MEMORY, ETHOSU_SYSTEM
from asmnet_kit.benchmarks.protocol import (
    Abilities,
    Measurement,
    OnProgress,
    Request,
    TargetError,
)
from asmnet_kit.tflite.accelerator_placement import OpVerdict, verdict_of
from asmnet_kit.tflite.graph import Graph, Op
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import graph_of, read_model_bytes
from asmnet_kit.tflite.rulings import LEFT_ON_CPU, MAPPED_TO_NPU

if TYPE_CHECKING:
    from asmnet_kit.face.predictor import Predictor

PACKAGE, MODULE, PROGRAM, EXTRA = "ethos-u-vela", "ethosu", "vela", "ethosu"
CUSTOM = "ethos-u"  # the operator that stands for what the NPU runs
LABEL = "compiler's estimate, not measured"
CONFIG_FILE = "Arm/vela.ini"  # Vela brings it
DEFAULT_CHIP = "u55-128"
SYSTEMS = {
    "u55": "Ethos_U55_High_End_Embedded",
    "u65": "Ethos_U65_Client_Server",
    "u85": "Ethos_U85_SYS_DRAM_Mid",
}
MEMORY_MODES = {
    "u55": "Shared_Sram",
    "u65": "Dedicated_Sram_384KB",
    "u85": "Dedicated_Sram_384KB",
}
MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")
COMPILE_S = 600.0
NAME = re.compile(r"[A-Za-z0-9_]{1,100}")  # of a section of vela.ini
LEFT = re.compile(r"Warning \([^)\n]*\) operator: [^,\n]*, ofm: '([^'\n]*)'\n *Reason: ([^\n]*)")
BAD_OPTION = "CliOptionError"  # Vela's exception for a section that its configuration lacks
LAST_LINE = 300  # characters of what Vela said last
STEM = "model"  # in the folder where Vela runs: a user's file name may be anything

NOTHING_TO_TIME = (
    "target {name}: Vela compiles the model and nothing here runs it, so there is no time to "
    "measure; asmnet-kit check MODEL --target {name} tells placement, memory and the "
    f"{LABEL}"
)


@dataclass(frozen=True)
class EthosUTarget:
    """``--target ethosu`` (``ethosu:u55-128``) and each of Arm's configurations."""

    name: str
    chip: str
    abilities = Abilities(
        options=(ETHOSU_SYSTEM, ETHOSU_MEMORY),
        patience_s=COMPILE_S,
        crash_hint="asmnet-kit audit says whether the model is damaged.",
    )

    def problem(self, request: Request | None = None) -> str | None:
        try:
            find_vela()
        except MissingDependency as error:
            return str(error)
        return None

    def refuse(self, request: Request) -> NoReturn:
        """As ``refuse_request`` asks: nothing of this can be timed.

        Raises:
            UsageError: always.
        """
        raise UsageError(NOTHING_TO_TIME.format(name=self.name))

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        raise TargetError(NOTHING_TO_TIME.format(name=self.name))

    def predictor(self, request: Request) -> "Predictor":
        raise TargetError(NOTHING_TO_TIME.format(name=self.name))

    def check(self, request: Request) -> Check:
        """Compile a model and say where Vela put each operator.

        Raises:
            MissingDependency: Vela is not installed.
            ModelError: Vela refused the model, failed, crashed, hung or left no usable file.
            UsageError: no name of a section of Vela's configuration.
        """
        family = self.chip.partition("-")[0]
        system = request.options.get(ETHOSU_SYSTEM.name, SYSTEMS[family])
        memory = request.options.get(ETHOSU_MEMORY.name, MEMORY_MODES[family])
        for option, value in ((ETHOSU_SYSTEM, system), (ETHOSU_MEMORY, memory)):
            if not NAME.fullmatch(value):
                raise UsageError(
                    f"option {option.name}: expected the name of a section of {CONFIG_FILE}, got "
                    f"{value!r}"
                )
        vela = find_vela()
        content = read_model_bytes(request.model)
        # Vela copies where constants lie behind the flatbuffer, and writes another file.
        content = pack_model(unpack_model(content))
        source = graph_of(content, name=str(request.model))
        compilation = compile_with(
            vela, content, chip=self.chip, system=system, memory=memory, name=str(request.model)
        )
        return _outcome(self.name, request.model, source, compilation, vela)


ETHOSU = EthosUTarget("ethosu", DEFAULT_CHIP)
# The registry names each configuration by its name in capitals, as an attribute of this module.
globals().update({chip.upper(): EthosUTarget(f"ethosu:{chip}", chip) for chip in ETHOSU_CHIPS})


@dataclass(frozen=True)
class Vela:
    """A way to run the compiler: the first words of its command, and its version."""

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Compilation:
    """What Vela made of a model.

    Attributes:
        graph: of the compiled file.
        size_bytes: of that file.
        summary: the row of Vela's summary, by its own column names.
        reasons: why an operator was left to the CPU, by the name of its output.
        options: what Vela was asked for.
    """

    graph: Graph
    size_bytes: int
    summary: Mapping[str, str]
    reasons: Mapping[str, str]
    options: Mapping[str, str]

    def number(self, column: str) -> float:
        """A figure of the summary.

        Raises:
            ModelError: this version of Vela does not tell it.
        """
        try:
            return float(self.summary[column])
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(
                f"{PROGRAM}'s summary: expected a number in the column {column!r}, got "
                f"{self.summary.get(column)!r}; {install_command(EXTRA)} installs a version that "
                "the kit knows"
            ) from error


def find_vela() -> Vela:
    """The compiler: the package in this Python, then the program on the PATH.

    Raises:
        MissingDependency: there is none; the message has the command that installs it.
    """
    if importlib.util.find_spec(MODULE) is not None:
        try:
            return Vela((sys.executable, "-m", "ethosu.vela"), version(PACKAGE))
        except PackageNotFoundError:
            pass  # a folder of that name, which is not Arm's package
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingDependency(
            f"Arm's compiler {PACKAGE} is not installed: {install_command(EXTRA)}, or {PACKAGE} in "
            f"an environment of its own whose {PROGRAM} is on the PATH"
        )
    text, code = _run([program, "--version"], Path.cwd(), name=program)
    if code:
        raise MissingDependency(f"{program} --version ended with {code}: {_last_line(text)}")
    return Vela((program,), _last_line(text))


def compile_with(
    vela: Vela, content: bytes, *, chip: str, system: str, memory: str, name: str
) -> Compilation:
    """Run Vela on a model and read what it left on the disk.

    Args:
        name: of the model's file, for messages.

    Raises:
        ModelError: it refused the model, failed, crashed, hung, or its files are missing, empty,
            damaged or of another configuration.
        UsageError: its configuration has no such section.
    """
    asked = {
        "accelerator_config": f"ethos-{chip}", "system_config": system, "memory_mode": memory,
        "config": CONFIG_FILE,
    }  # fmt: skip
    with temporary_folder() as folder:
        write_bytes(folder / f"{STEM}.tflite", content)
        words = [f"--{key.replace('_', '-')}={value}" for key, value in asked.items()]
        out = folder / "out"
        command = [*vela.command, f"{STEM}.tflite", *words, f"--output-dir={out}"]
        text, code = _run(command, folder, name=name)
        if BAD_OPTION in text:
            raise UsageError(f"{PROGRAM}: {_last_line(text).partition(BAD_OPTION)[2].lstrip(': ')}")
        if code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise ModelError(f"{name}: {PROGRAM} {how}; its last words: {_last_line(text)}")
        made = out / f"{STEM}_{PROGRAM}.tflite"
        summaries = sorted(out.glob(f"{STEM}_summary_*.csv"))
        if not made.is_file() or len(summaries) != 1:
            raise ModelError(
                f"{name}: {PROGRAM} ended with 0 and left no compiled model with a summary; its "
                f"last words: {_last_line(text)}"
            )
        compiled = made.read_bytes()
        graph = graph_of(compiled, name=f"{name}: what {PROGRAM} made of it")
        with summaries[0].open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    if len(rows) != 1:
        raise ModelError(f"{name}: expected one row in {PROGRAM}'s summary, got {len(rows)}")
    row = {str(key): str(value) for key, value in rows[0].items()}
    told = (row.get("accelerator_configuration"), row.get("system_config"), row.get("memory_mode"))
    expected = (f"Ethos_{chip.upper().replace('-', '_')}", system, memory)
    if told != expected:
        raise ModelError(f"{name}: expected {PROGRAM} to compile for {expected}, it says {told}")
    reasons = {clean(output): clean(reason) for output, reason in LEFT.findall(text)}
    return Compilation(graph, len(compiled), row, reasons, asked)


def _run(command: list[str], folder: Path, *, name: str) -> tuple[str, int]:
    # python -m looks in the folder first, and nothing lies there but the model.
    return run_compiler(command, program=PROGRAM, name=name, limit_s=COMPILE_S, folder=folder)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return shortened(clean(lines[-1]), most=LAST_LINE) if lines else "none"


def _outcome(
    target: str, model: Path, source: Graph, compilation: Compilation, vela: Vela
) -> Check:
    left = _left(source, compilation.graph, name=str(model))
    verdicts = tuple(_verdict(op, left, compilation.reasons) for op in source.ops)
    mapped = sum(verdict.mapped for verdict in verdicts)
    if (mapped > 0) != any(op.name == CUSTOM for op in compilation.graph.ops):
        raise ModelError(f"{model}: {PROGRAM}'s file and its operators do not belong together")
    memory = {place: round(1024 * compilation.number(f"{place}_memory_used")) for place in MEMORIES}
    return Check(
        model=str(model),
        target=target,
        verdict=verdict_of(mapped, len(verdicts)),
        ops=verdicts,
        first_blocking=next((verdict for verdict in verdicts if not verdict.mapped), None),
        estimate=_estimate(compilation, cpu_ops=len(verdicts) - mapped) if mapped else None,
        notes=(
            f"compiled by {PACKAGE} {vela.version}; nothing ran: cycles and time are the {LABEL}, "
            f"and Arm asks for a model of the chip or the chip itself for real figures",
        ),
        tool={"name": PACKAGE, "version": vela.version, "options": dict(compilation.options)},
        memory_bytes=memory if mapped else None,
        compiled_bytes=compilation.size_bytes,
    )


def _left(source: Graph, compiled: Graph, *, name: str) -> set[int]:
    """Indices of the source's operators that stand in the compiled file, too: the CPU's.

    Raises:
        ModelError: the compiled file has operators that are not the source's.
    """
    makers = {tensor.name: op.index for op in source.ops for tensor in op.outputs}
    left = set()
    for op in compiled.ops:
        if op.name == CUSTOM:
            continue
        found = {makers[tensor.name] for tensor in op.outputs if tensor.name in makers}
        if not found:
            raise ModelError(
                f"{name}: {PROGRAM} left {op.name} to the CPU, which is no operator of the model"
            )
        left |= found
    return left


def _verdict(op: Op, left: set[int], reasons: Mapping[str, str]) -> OpVerdict:
    if op.index not in left:
        return OpVerdict(op, MAPPED_TO_NPU, "", "")
    told = (reasons[clean(t.name)] for t in op.outputs if clean(t.name) in reasons)
    return OpVerdict(
        op,
        LEFT_ON_CPU,
        next(told, f"{PROGRAM} gives no reason"),
        "quantize the whole model to int8, inputs and outputs included, and leave out what "
        f"{PROGRAM} --supported-ops-report does not list",
    )


def _estimate(compilation: Compilation, *, cpu_ops: int) -> dict[str, Any]:
    """Vela's own cycles and time, of the NPU alone."""
    cycles = compilation.number("cycles_total")
    seconds = compilation.number("inference_time")
    clock = compilation.number("core_clock")
    if not (cycles > 0 and seconds > 0 and clock > 0) or not math.isfinite(cycles * seconds):
        raise ModelError(f"{PROGRAM} estimates {cycles} cycles and {seconds} s")
    return {
        "label": LABEL,
        "milliseconds": 1e3 * seconds,
        "cycles": round(cycles),
        "clock_mhz": clock / 1e6,
        "macs": round(compilation.number("nn_macs")),
        "cpu_ops_not_included": cpu_ops,
    }
