"""How often the values inside an integer model stand at the limits of their type: what is cut off.

The model runs operator by operator with the builtin kernels, every tensor kept, on pictures. A
value at a limit is not a loss where none can lie beyond it: a ReLU's zero, a ReLU6's six, a black
or white pixel, and what copies, averages or adds these.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.face.pictures import Image
from asmnet_kit.tflite.bounds import bounds_of, type_bounds
from asmnet_kit.tflite.graph import Graph, Tensor
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.int8_rules import LIMITS, UNBOUNDED, Bounds
from asmnet_kit.tflite.runtime import TensorInfo, installed_runtime


@dataclass(frozen=True)
class Saturation:
    """The values of one tensor over all pictures.

    Attributes:
        low, high: share of the values at the lower and the upper limit of the type that are cut
            off there; 0 where a limit is the value's natural end.
        least, greatest: real values seen.
    """

    low: float
    high: float
    least: float
    greatest: float

    @property
    def share(self) -> float:
        """Of all values, the share that is cut off."""
        return self.low + self.high


def measure_saturation(path: Path, graph: Graph, crops: Image) -> dict[int, Saturation]:
    """Run a model on pictures and look at each quantized activation.

    Args:
        path: of the model that ``graph`` is of.
        crops: uint8 [B, S, S, 3], RGB; the model's only input must be [1, S, S, 3].

    Returns:
        By index of the tensor; only activations of whole numbers with one scale.

    Raises:
        ModelError: the model does not take such pictures, or cannot be run.
    """
    activations = _activations(graph)
    interpreter = _interpreter(path)
    info = _image_input(graph, crops, path)
    counts = {tensor.index: np.zeros(2, np.int64) for tensor in activations}
    extremes = {tensor.index: np.array([np.inf, -np.inf]) for tensor in activations}
    try:
        for raw in input_values(crops, info):
            interpreter.set_tensor(graph.inputs[0].index, raw[None])
            interpreter.invoke()
            for tensor in activations:
                values = interpreter.get_tensor(tensor.index)
                low, high = LIMITS[tensor.type]
                counts[tensor.index] += ((values == low).sum(), (values == high).sum())
                seen = extremes[tensor.index]
                seen[:] = min(seen[0], values.min()), max(seen[1], values.max())
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the model failed to run: {error}") from error
    bounds = bounds_of(graph)
    found = {}
    for tensor in activations:
        total = max(1, tensor.elements * len(crops))
        ends = _natural_ends(tensor, bounds.get(tensor.index, UNBOUNDED))
        shares = [
            0.0 if end else count / total
            for end, count in zip(ends, counts[tensor.index], strict=True)
        ]
        least, greatest = (tensor.scales[0] * (v - _zero(tensor)) for v in extremes[tensor.index])
        found[tensor.index] = Saturation(
            low=float(shares[0]),
            high=float(shares[1]),
            least=float(least),
            greatest=float(greatest),
        )
    return found


def _activations(graph: Graph) -> list[Tensor]:
    flowing = {t.index: t for op in graph.ops for t in op.activations}
    return [
        tensor
        for index, tensor in sorted(flowing.items())
        if tensor.type in LIMITS and len(tensor.scales) == 1 and tensor.elements
    ]


def _interpreter(path: Path) -> Any:
    """Without delegates, which would keep what is inside of them to themselves."""
    _, module = installed_runtime()
    kind = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = module.Interpreter(
            model_path=str(path),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=kind,
        )
        with silent_stderr():
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the runtime cannot load this model: {error}") from error
    return interpreter


def _image_input(graph: Graph, crops: Image, path: Path) -> TensorInfo:
    expected = (1, *crops.shape[1:])
    shapes = [list(tensor.shape) for tensor in graph.inputs]
    if len(graph.inputs) != 1 or graph.inputs[0].shape != expected:
        raise ModelError(f"{path}: expected one input of {list(expected)}, got {shapes}")
    tensor = graph.inputs[0]
    scale = tensor.scales[0] if tensor.scales else None
    return TensorInfo(tensor.name, tensor.shape, np.dtype(tensor.type), scale, _zero(tensor))


def _natural_ends(tensor: Tensor, bounds: Bounds) -> tuple[bool, bool]:
    """Whether no value of a tensor lies beyond the lower and the upper limit of its type."""
    least, greatest = type_bounds(tensor)
    step = tensor.scales[0]
    # The limit is the natural end when it lies within a step of it.
    return least <= bounds[0] + step / 2, greatest >= bounds[1] - step


def _zero(tensor: Tensor) -> int:
    return tensor.zero_points[0] if tensor.zero_points else 0


def kernel_levels(tensor: Tensor, axis: int) -> NDArray[np.int64]:
    """The largest magnitude of an int8 constant in each slice along ``axis``: how much of 127."""
    values = np.abs(np.frombuffer(tensor.data, "i1").astype(np.int64)).reshape(tensor.shape)
    others = tuple(other for other in range(values.ndim) if other != axis)
    largest: NDArray[np.int64] = values.max(axis=others)
    return largest
