"""Runs a .tflite on made-up or given inputs and writes its raw outputs, on whichever machine.

It imports NumPy and ai-edge-litert alone, since the emulated machine has nothing else.
"""

import sys
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

RUNS = 3


def main(model: str, out: str, given: str = "") -> None:
    """
    Args:
        out: the .npz to write.
        given: an .npz of raw inputs, name -> [runs, *shape]; the outputs are then stacked by name.
    """
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    outputs: dict[str, Any] = of_given(interpreter, given) if given else of_made_up(interpreter)
    np.savez(out, **outputs)


def of_given(interpreter: Interpreter, given: str) -> dict[str, np.ndarray]:
    (signature,) = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(signature)
    with np.load(given) as inputs:
        values = {name: inputs[name] for name in inputs.files}
    count = len(next(iter(values.values())))
    runs = [runner(**{name: all_[i] for name, all_ in values.items()}) for i in range(count)]
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def of_made_up(interpreter: Interpreter) -> dict[str, np.ndarray]:
    outputs = {}
    for seed in range(RUNS):
        generator = np.random.default_rng(seed)
        for detail in interpreter.get_input_details():
            shape, kind = detail["shape"], np.dtype(detail["dtype"])
            if kind.kind == "f":
                values = generator.uniform(-1, 1, shape).astype(kind)
            else:
                limits = np.iinfo(kind)
                values = generator.integers(limits.min, limits.max, shape, kind, endpoint=True)
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        for number, detail in enumerate(interpreter.get_output_details()):
            outputs[f"run{seed}_output{number}"] = interpreter.get_tensor(detail["index"])
    return outputs


if __name__ == "__main__":
    main(*sys.argv[1:])
