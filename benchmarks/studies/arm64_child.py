"""Runs a .tflite on made-up inputs and writes its raw outputs, on whichever machine.

It imports NumPy and ai-edge-litert alone, since the emulated machine has nothing else.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

RUNS = 3


def main(model: str, out: str) -> None:
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
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
    np.savez(out, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
