"""What the timed runs are fed: several inputs in turn, so that an output of another run shows.

Landmark models get faces, since outputs of noise say little about outputs of faces. Nothing here
imports OpenCV, which would count as the model's memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.npz import read_npz
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.runtime import Session, TensorInfo

FACES = Path(__file__).with_name("faces.npz")  # uint8 [5, 112, 112, 3]: studies/timed_faces.py
# A prime number: no two of the runs 0, 1, 2, 4, 8, ... that are kept have run 0's input but itself.
COUNT = 5

Inputs = Mapping[str, NDArray[Any]]  # raw values by name


@dataclass(frozen=True, eq=False)
class TimedInputs:
    """Raw inputs of a model.

    Attributes:
        repeated: run number n gets ``repeated[n % COUNT]``.
        fresh: others of the same kind, which no timed run gets.
        words: what they are, for the result.
    """

    repeated: tuple[Inputs, ...]
    fresh: tuple[Inputs, ...]
    words: str

    def of_run(self, number: int) -> Inputs:
        return self.repeated[number % len(self.repeated)]


def timed_inputs(session: Session, request: Request) -> TimedInputs:
    """Faces for a landmark model of the kit or of an adapter, for any other made-up values.

    Raises:
        ModelError: inputs that cannot be made up.
        UsageError: no such adapter.
    """
    raw = _raw_faces(session, request)
    if raw is not None:
        (name,) = session.inputs
        repeated = tuple({name: face} for face in raw[:COUNT])
        return TimedInputs(
            repeated, tuple({name: face} for face in raw[COUNT:]), f"{COUNT} drawn faces in turn"
        )
    made = [
        {name: random_input(info, seed) for name, info in session.inputs.items()}
        for seed in range(2 * COUNT)
    ]
    words = f"random values over the input's range, seeds 0 to {COUNT - 1} in turn"
    return TimedInputs(tuple(made[:COUNT]), tuple(made[COUNT:]), words)


def random_input(info: TensorInfo, seed: int = 0) -> NDArray[Any]:
    """Values an input may meet: the whole range of an integer type, -1..1 for floats.

    Raises:
        ModelError: an input of text or of another type without numbers.
    """
    rng = np.random.default_rng(seed)
    if info.dtype.kind == "f":
        return rng.uniform(-1, 1, info.shape).astype(info.dtype)
    if info.dtype.kind == "b":
        return rng.integers(0, 2, info.shape).astype(info.dtype)
    if info.dtype.kind in "iu" and info.dtype.itemsize <= 2:
        limits = np.iinfo(info.dtype)
        return rng.integers(limits.min, limits.max, info.shape, info.dtype, endpoint=True)
    if info.dtype.kind in "iu":
        # Wide integers are mostly indices or lengths: zero is valid for all of them.
        return np.zeros(info.shape, info.dtype)
    raise ModelError(
        f"expected inputs of numbers, got {info.name!r} of {info.dtype}: "
        f"this model cannot be fed with made-up values"
    )


def faces(size: int) -> NDArray[np.uint8]:
    """The drawn faces, and the same mirrored: uint8 [2 * COUNT, size, size, 3], RGB."""
    drawn = read_npz(FACES, expected="the benchmark's faces")["faces"]
    at = (np.arange(size) + 0.5) * drawn.shape[1] / size - 0.5  # centres of pixels, bilinear
    low = np.clip(np.floor(at).astype(int), 0, drawn.shape[1] - 2)
    part = np.clip(at - low, 0, 1).astype(np.float32)
    real = drawn.astype(np.float32)
    rows = real[:, low] + part[:, None, None] * (real[:, low + 1] - real[:, low])
    both = rows[:, :, low] + part[:, None] * (rows[:, :, low + 1] - rows[:, :, low])
    sized = np.rint(both).astype(np.uint8)
    return np.concatenate([sized, sized[:, :, ::-1]])


def _raw_faces(session: Session, request: Request) -> NDArray[Any] | None:
    """[2 * COUNT, *shape of the input], or None where the model takes no face that is known."""
    if len(session.inputs) != 1:
        return None
    ((name, info),) = session.inputs.items()
    if request.adapter is not None:
        from asmnet_kit.adapters.adapter import read_adapter

        adapter = read_adapter(request.adapter)
        size = adapter.size
        fits = info.shape in ((1, size, size, 3), (1, 3, size, size))
        return adapter.inputs(faces(size), info) if fits else None
    side = info.shape[1] if len(info.shape) == 4 else 0
    if name != "image" or "landmarks" not in session.outputs or info.shape != (1, side, side, 3):
        return None
    return np.ascontiguousarray(input_values(faces(side), info)[:, None])
