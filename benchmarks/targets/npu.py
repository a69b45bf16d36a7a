"""NPUs of phone chips, ahead of time: LiteRT's compiler plugins with the chip maker's own compiler.

``ai_edge_litert.aot`` brings the plugins; the compiler itself is the maker's, under the maker's
licence, and is never part of this kit. It tells which operators the NPU takes and how large the
file becomes. Nothing is measured: ``asmnet-kit check`` asks this target and ``asmnet-kit
benchmark`` refuses it. A plugin that fails leaves a file of 0 bytes, so the file is what counts.
"""

import importlib
import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from asmnet_kit.base.console import clean
from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError, one_line
from asmnet_kit.base.files import temporary_folder, write_bytes
from asmnet_kit.benchmarks.checking.check import Check
from asmnet_kit.benchmarks.options import NPU_SOC
from asmnet_kit.benchmarks.protocol import (
    Abilities,
    Measurement,
    OnProgress,
    Request,
    TargetError,
)
from asmnet_kit.tflite.accelerator_placement import OpVerdict, verdict_of
from asmnet_kit.tflite.graph import Graph
from asmnet_kit.tflite.reader import graph_of, read_model_bytes
from asmnet_kit.tflite.rulings import LEFT_ON_CPU, MAPPED_TO_NPU

if TYPE_CHECKING:
    from asmnet_kit.face.predictor import Predictor

PACKAGE = "ai-edge-litert"
CUSTOM = "DISPATCH_OP"  # the operator that stands for what the NPU runs
DEFAULT_SOC = "qualcomm:SM8650"
# Maker -> the package that brings its compiler or says where to get it.
MAKERS = {
    "qualcomm": "ai-edge-litert-sdk-qualcomm",
    "mediatek": "ai-edge-litert-sdk-mediatek",
    "google_tensor": "ai-edge-litert-sdk-google-tensor",
    "samsung": "ai-edge-litert-sdk-samsung",
    "intel_openvino": "ai-edge-litert-sdk-intel",
}
ALL_SOCS = "ALL"  # the plugins' word for every chip, which makes one file of each
LOG_OF = re.compile(r"See (\S+\.error) for details")
UNLOADED = re.compile(r"Could not load shared library [^\n]*: ([^\n:]+): cannot open shared object")
LOG_CHARACTERS = 300
COMPILE_S = 900.0
NOTHING_TO_TIME = (
    "target npu: the chip maker's compiler runs and the NPU does not, so there is no time to "
    "measure here; asmnet-kit check MODEL --target npu tells placement and size"
)


class NpuTarget:
    """``--target npu``: compiled ahead of time for one chip, ``--option soc=MAKER:CHIP``."""

    name = "npu"
    abilities = Abilities(options=(NPU_SOC,), patience_s=COMPILE_S)

    def problem(self, request: Request | None = None) -> str | None:
        maker, _ = _maker_and_chip(request)
        module = MAKERS[maker].replace("-", "_")
        if importlib.util.find_spec(module) is None:
            return _how_to_get(maker)
        return None

    def refuse(self, request: Request) -> NoReturn:
        """As ``refuse_request`` asks: nothing of this can be timed.

        Raises:
            UsageError: always.
        """
        raise UsageError(NOTHING_TO_TIME)

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        raise TargetError(NOTHING_TO_TIME)

    def predictor(self, request: Request) -> "Predictor":
        raise TargetError(NOTHING_TO_TIME)

    def check(self, request: Request) -> Check:
        """Compile a model for a chip and say what its NPU takes.

        Raises:
            MissingDependency: the maker's compiler is not installed.
            ModelError: it failed, or left no file, an empty or a partial one, or no placement.
            UsageError: no such maker or chip.
        """
        maker, chip = _maker_and_chip(request)
        content = read_model_bytes(request.model)
        source = graph_of(content, name=str(request.model))
        compiled = compile_ahead(content, maker=maker, chip=chip, name=str(request.model))
        return _outcome(request.model, source, compiled, soc=f"{maker}:{chip}")


NPU = NpuTarget()


class Compiled(NamedTuple):
    """What a plugin made of a model: the file, its graph, and how many operators the NPU takes."""

    graph: Graph
    size_bytes: int
    offloaded: int
    total: int
    partitions: int


def compile_ahead(content: bytes, *, maker: str, chip: str, name: str) -> Compiled:
    """Run LiteRT's ahead-of-time compilation.

    Args:
        name: of the model's file, for messages.

    Raises:
        MissingDependency, ModelError, UsageError: as ``NpuTarget.check``.
    """
    compiler, target = _plugin(maker, chip)
    with temporary_folder() as folder:
        model = folder / "model.tflite"
        write_bytes(model, content)
        try:
            # Told to keep going it would report success and leave the empty file.
            result = compiler.aot_compile(
                str(model), output_dir=str(folder / "out"), target=target, keep_going=False
            )
        except (ValueError, RuntimeError, OSError) as error:
            log = _log(str(error))
            missing = UNLOADED.search(log)
            if missing is not None:
                raise MissingDependency(
                    f"{_how_to_get(maker)} ({missing[1]} is missing)"
                ) from error
            said = f" ({' '.join(log.split())[-LOG_CHARACTERS:]})" if log else ""
            raise ModelError(
                f"{name}: the compiler of {maker}:{chip} failed: {one_line(error)}{said}"
            ) from error
        if len(result.models) != 1:
            raise ModelError(
                f"{name}: expected one compiled model of {maker}:{chip}, got {len(result.models)}"
            )
        made = result.models[0]
        compiled = made.model_bytes if made.in_memory else Path(made.path).read_bytes()
        stats = made.partition_stats.subgraph_stats if made.partition_stats else []
    graph = graph_of(compiled, name=f"{name}: what the compiler of {maker}:{chip} made of it")
    if not stats:
        raise ModelError(f"{name}: the compiler of {maker}:{chip} told no placement")
    return Compiled(
        graph,
        len(compiled),
        sum(part.num_ops_offloaded for part in stats),
        sum(part.num_total_ops for part in stats),
        sum(part.num_partitions_offloaded for part in stats),
    )


def _plugin(maker: str, chip: str) -> tuple[Any, Any]:
    """LiteRT's compile module and the chip as its target.

    Raises:
        MissingDependency: this ai-edge-litert has no plugin for the maker.
        UsageError: the maker has no such chip.
    """
    vendor = f"ai_edge_litert.aot.vendors.{maker}"
    try:
        compiler = importlib.import_module("ai_edge_litert.aot.aot_compile")
        importlib.import_module(f"{vendor}.{maker}_backend")  # importing it registers it
        target = importlib.import_module(f"{vendor}.target")
    except ImportError as error:
        raise MissingDependency(
            f"{PACKAGE} {_version()} cannot compile ahead of time for {maker} ({one_line(error)}): "
            f"pip install --upgrade {PACKAGE} tqdm"
        ) from error
    chips = {str(one.value) for one in target.SocModel} - {ALL_SOCS}
    if chip not in chips:
        raise UsageError(
            f"option {NPU_SOC.name}: expected {maker}:CHIP with a chip of "
            f"{', '.join(sorted(chips))}, got {chip!r}"
        )
    return compiler, target.Target(target.SocModel(chip))


def _maker_and_chip(request: Request | None) -> tuple[str, str]:
    told = (request.options if request is not None else {}).get(NPU_SOC.name, DEFAULT_SOC)
    maker, colon, chip = told.partition(":")
    if maker not in MAKERS or not colon or not chip:
        raise UsageError(
            f"option {NPU_SOC.name}: expected MAKER:CHIP with a maker of {', '.join(MAKERS)}, got "
            f"{told!r}"
        )
    return maker, chip


def _how_to_get(maker: str) -> str:
    return (
        f"the NPU compiler of {maker} is not installed: pip install {MAKERS[maker]}, under its "
        f"maker's licence (the kit neither ships nor needs it; --option {NPU_SOC.name}=MAKER:CHIP "
        f"chooses another chip)"
    )


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"


def _log(message: str) -> str:
    """The plugin's log, which it keeps outside of any folder of ours: read and removed."""
    found = LOG_OF.search(message)
    if found is None:
        return ""
    path = Path(found[1])
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        path.unlink()
    except OSError:
        return ""
    return "\n".join(clean(line) for line in text.splitlines())


def _outcome(model: Path, source: Graph, compiled: Compiled, *, soc: str) -> Check:
    makers = {tensor.name: op.index for op in source.ops for tensor in op.outputs}
    rest = [op for op in compiled.graph.ops if op.name != CUSTOM]
    left: set[int] = set()
    for op in rest if compiled.offloaded else ():
        own = {makers[tensor.name] for tensor in op.outputs if tensor.name in makers}
        if not own:  # counted as the NPU's, it would make a part of the model look like all of it
            raise ModelError(
                f"{model}: the compiler of {soc} left {op.name} to the CPU, which is no operator "
                "of the model: nobody can say which the NPU takes"
            )
        left |= own
    if compiled.offloaded and len(rest) == len(compiled.graph.ops):
        raise ModelError(
            f"{model}: the compiler of {soc} says that {compiled.offloaded} operators are on the "
            f"NPU, and its file has no {CUSTOM}: it is incomplete"
        )
    ops = tuple(
        OpVerdict(op, LEFT_ON_CPU, "the maker's compiler left it", "quantize the model to int8")
        if op.index in left or not compiled.offloaded
        else OpVerdict(op, MAPPED_TO_NPU, "", "")
        for op in source.ops
    )
    mapped = sum(op.mapped for op in ops)
    notes = [
        f"not measured: compiled ahead of time for {soc}; the compiler counts "
        f"{compiled.offloaded} of {compiled.total} operators on the NPU in {compiled.partitions} "
        f"partition(s)",
    ]
    if mapped != compiled.offloaded:
        notes.append(
            f"the operators above are counted by the outputs that the compiled file keeps "
            f"({mapped}), its compiler counts those it saw ({compiled.offloaded})"
        )
    return Check(
        model=str(model),
        target=NPU.name,
        verdict=verdict_of(mapped, len(ops)),
        ops=ops,
        first_blocking=next((op for op in ops if not op.mapped), None),
        notes=tuple(notes),
        tool={"name": f"{PACKAGE} aot", "version": _version(), "options": {NPU_SOC.name: soc}},
        compiled_bytes=compiled.size_bytes,
    )
