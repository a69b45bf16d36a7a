"""Runs a .tflite on given raw inputs with one kind of kernels, in a process of its own.

It is run as a file, too, by another Python that has tflite-runtime and NumPy but not this kit: so
it imports nothing else at its top. What a kernel crashes is this process, not the comparison. Its
arguments: KERNELS MODEL INPUTS.npz OUTPUTS.npz, or ``version`` for that of tflite-runtime there.
"""

import importlib
import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np

# Kernels of the interpreter -> the resolver that has them.
RESOLVERS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
GPU = "gpu"
VERSION = "version"
SIGNATURE = "serving_default"


def main(kernels: str, model: str, inputs: str, outputs: str) -> None:
    """Write ``landmarks`` [B, ...] and, where there is one, ``pose`` [B, ...], raw values."""
    crops = np.load(inputs)["image"]
    run = _gpu(model) if kernels == GPU else _interpreter(kernels, model)
    results = [run(crop[None]) for crop in crops]
    arrays: dict[str, Any] = {
        name: np.concatenate([r[name] for r in results]) for name in results[0]
    }
    np.savez(outputs, **arrays)


def _interpreter(kernels: str, model: str) -> Any:
    module = _runtime()
    kind = getattr(module.OpResolverType, RESOLVERS[kernels])
    interpreter = module.Interpreter(model_path=model, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(SIGNATURE)
    return lambda image: dict(runner(image=image))


def _runtime() -> Any:
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError("neither ai-edge-litert nor tflite-runtime is installed")


def _gpu(model: str) -> Any:
    from pathlib import Path

    from asmnet_kit.benchmarks.protocol import Request
    from asmnet_kit.benchmarks.targets.gpu import open_gpu
    from asmnet_kit.machine.vulkan import use_software_where_needed

    use_software_where_needed()
    session = open_gpu(Request(model=Path(model), target=GPU))
    print(json.dumps({"adapter": session.adapter, "actual": session.actual}), flush=True)
    return lambda image: session.run({"image": image})


if __name__ == "__main__":
    if sys.argv[1:] == [VERSION]:
        print(version("tflite-runtime"))
    else:
        main(*sys.argv[1:])
