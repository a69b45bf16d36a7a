"""What LiteRT.js would run of a model on WebAssembly, told without a browser.

Its kernels are the CPU's, so it runs all of a file or nothing. What stops it: an open input size,
a custom operator, of which it has none, and an input or output whose real values nobody knows. The
file that the page would get runs here beside the model itself.
"""

import numpy as np

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import temporary_folder, write_bytes
from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.benchmarks.checking.check import Check
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.timing.timed_inputs import timed_inputs
from asmnet_kit.tflite.accelerator_placement import FULL, REFUSED, OpVerdict
from asmnet_kit.tflite.float_borders import with_float_borders
from asmnet_kit.tflite.graph import Graph
from asmnet_kit.tflite.reader import graph_of, read_model_bytes
from asmnet_kit.tflite.rulings import (
    MAPPED_TO_BROWSER,
    REFUSED_BY_BROWSER,
    Ruling,
    open_size_ruling,
)
from asmnet_kit.tflite.runtime import Runtime, dequantize, open_runtime, quantize

NOTES = (
    f"a prediction for LiteRT.js {litert_js.VERSION}; asmnet-kit benchmark --target browser tells "
    "for sure, where Chromium is installed",
)
OWN_OPERATORS = "use TensorFlow Lite's own operators alone: LiteRT.js brings no others"
SAME_KERNELS = "change what this machine's CPU refuses, too: LiteRT.js has its kernels"
WITH_SCALE = "convert it with float32 inputs and outputs, or with quantized ones of one scale"


def check_for_browser(request: Request) -> Check:
    """
    Raises:
        ModelError: the file cannot be read.
    """
    content = read_model_bytes(request.model)
    graph = graph_of(content, name=str(request.model))
    unsized = open_size_ruling(graph)
    if unsized is not None:
        return _refused(request, graph, unsized)
    custom = next((op for op in graph.ops if op.custom), None)
    if custom is not None:
        reason = f"{custom.name} is a custom operator"
        return _refused(request, graph, Ruling(REFUSED_BY_BROWSER, reason, OWN_OPERATORS, True))
    try:
        twin = with_float_borders(content, name=str(request.model))
    except ModelError as error:
        return _refused(request, graph, Ruling(REFUSED_BY_BROWSER, str(error), WITH_SCALE, True))
    try:
        runtime = open_runtime(request.model)
    except ModelError as error:  # the kernels are the same
        return _refused(request, graph, Ruling(REFUSED_BY_BROWSER, str(error), SAME_KERNELS, True))
    notes: tuple[str, ...] = NOTES
    if twin != content:
        told = f"the page gets its twin with float32 inputs and outputs, {len(twin)} bytes"
        notes = (told, *NOTES)
    return Check(
        model=str(request.model),
        target=request.target,
        verdict=FULL,
        ops=tuple(OpVerdict(op, MAPPED_TO_BROWSER, "", "") for op in graph.ops),
        notes=notes,
        tool={"name": "LiteRT.js", "version": litert_js.VERSION, "options": {}},
        parity=None if twin == content else _parity(request, runtime, twin),
    )


def _parity(request: Request, runtime: Runtime, twin: bytes) -> dict[str, object]:
    """How far the twin's raw outputs are from the file's on this machine, in steps."""
    given = timed_inputs(runtime, request)
    steps = []
    with temporary_folder() as folder:
        write_bytes(folder / request.model.name, twin)
        other = open_runtime(folder / request.model.name)
        for inputs in (*given.repeated, *given.fresh):
            ours = runtime.run(inputs)
            real = {n: dequantize(raw, runtime.inputs[n]) for n, raw in inputs.items()}
            theirs = other.run(real)
            for name, info in runtime.outputs.items():
                if info.dtype.kind in "iu":
                    raw = quantize(theirs[name], info).astype(np.int64)
                    steps.append(np.abs(raw - ours[name].astype(np.int64)).ravel())
    every = np.concatenate(steps) if steps else np.zeros(1, np.int64)
    return {
        "inputs": len(given.repeated) + len(given.fresh),
        "max_levels": int(every.max()),
        "mean_levels": float(every.mean()),
    }


def _refused(request: Request, graph: Graph, ruling: Ruling) -> Check:
    ops = tuple(OpVerdict(op, ruling.status, ruling.reason, ruling.cure) for op in graph.ops)
    blocking = next((v for v in ops if v.op.custom), None)
    return Check(
        model=str(request.model),
        target=request.target,
        verdict=REFUSED,
        ops=ops,
        refusal=ruling,
        first_blocking=blocking,
        notes=NOTES,
        tool={"name": "LiteRT.js", "version": litert_js.VERSION, "options": {}},
    )
