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
    """Write the raw outputs by name, [B, ...], of raw inputs [B, 1, ...] by the input's name."""
    with np.load(inputs) as given:
        (name,) = given.files
        images = given[name]
    run = _gpu(model, name) if kernels == GPU else _interpreter(kernels, model, name)
    results = [run(image) for image in images]
    arrays: dict[str, Any] = {
        name: np.concatenate([r[name] for r in results]) for name in results[0]
    }
    np.savez(outputs, **arrays)


def _interpreter(kernels: str, model: str, name: str) -> Any:
    module = _runtime()
    kind = getattr(module.OpResolverType, RESOLVERS[kernels])
    interpreter = module.Interpreter(model_path=model, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    if SIGNATURE in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(SIGNATURE)
        return lambda image: dict(runner(**{name: image}))
    (given,) = interpreter.get_input_details()
    wanted = interpreter.get_output_details()

    def run(image: Any) -> dict[str, Any]:
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        return {str(one["name"]): interpreter.get_tensor(one["index"]) for one in wanted}

    return run


def _runtime() -> Any:
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError("neither ai-edge-litert nor tflite-runtime is installed")


def _gpu(model: str, name: str) -> Any:
    from pathlib import Path

    from asmnet_kit.benchmarks.protocol import Request
    from asmnet_kit.benchmarks.targets.gpu import open_gpu
    from asmnet_kit.machine.vulkan import use_software_where_needed

    use_software_where_needed()
    session = open_gpu(Request(model=Path(model), target=GPU))
    print(json.dumps({"adapter": session.adapter, "actual": session.actual}), flush=True)
    return lambda image: session.run({name: image})


if __name__ == "__main__":
    if sys.argv[1:] == [VERSION]:
        print(version("tflite-runtime"))
    else:
        main(*sys.argv[1:])
