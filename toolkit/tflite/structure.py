"""What must hold inside a TensorFlow Lite file, beyond what a flatbuffer's verifier looks at.

The runtime verifies the flatbuffer's offsets by itself, but trusts what they hold: a flipped bit in
an index, a shape or a quantization table can make it read outside of its memory. ``reader`` checks
by these rules while it reads, so that a damaged file is an error and not a crash.
"""

import math
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

IDENTIFIER = b"TFL3"  # bytes 4..7 of every file with the TensorFlow Lite schema
OPTIONAL_TENSOR = -1  # stands for an input that an operator does without
OPEN = -1  # in a shape signature: a dimension whose size the file does not fix
MAX_TENSOR_BYTES = 2**31 - 1  # of what is computed; a constant is as large as what the file holds
MAX_TENSORS_BYTES = 2**31  # all computed tensors together; far above any model for a phone
MAX_RANK = 8  # no TensorFlow Lite kernel takes more dimensions
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)  # kernels divide by it; some abort below

# Bits of one element. Strings, resources and variants have no fixed size; types added later than
# this table are left to the runtime.
ELEMENT_BITS = {
    "float32": 32,
    "float16": 16,
    "int32": 32,
    "uint8": 8,
    "int64": 64,
    "bool": 8,
    "int16": 16,
    "complex64": 64,
    "int8": 8,
    "float64": 64,
    "complex128": 128,
    "uint64": 64,
    "uint32": 32,
    "uint16": 16,
    "int4": 4,
}

# Where the zero point of a quantized tensor must lie.
ZERO_POINT_RANGE = {
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "int8": (-128, 127),
    "int4": (-8, 7),
}

# The fewest inputs of operators. Most kernels count them before they read one, some do not.
FEWEST_INPUTS = {
    name: count
    for count, names in {
        1: "ABS AVERAGE_POOL_2D CAST CEIL CONCATENATION COS DEPTH_TO_SPACE DEQUANTIZE ELU EXP "
        "FLOOR GELU HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LOG LOGICAL_NOT LOGISTIC "
        "LOG_SOFTMAX MAX_POOL_2D NEG PACK QUANTIZE RANK RELU RELU6 RELU_N1_TO_1 RESHAPE ROUND "
        "RSQRT SHAPE SIN SOFTMAX SPACE_TO_DEPTH SQRT SQUARE SQUEEZE TANH UNPACK ZEROS_LIKE",
        2: "ADD ARG_MAX ARG_MIN BATCH_MATMUL BROADCAST_TO CONV_2D DEPTHWISE_CONV_2D DIV EQUAL "
        "EXPAND_DIMS FILL FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER "
        "GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR MAXIMUM MEAN MINIMUM MIRROR_PAD MUL "
        "NOT_EQUAL PAD POW PRELU REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD "
        "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 SPLIT SQUARED_DIFFERENCE SUB SUM TILE "
        "TOPK_V2 TRANSPOSE",
        3: "BATCH_TO_SPACE_ND PADV2 RANGE SELECT SELECT_V2 SLICE SPACE_TO_BATCH_ND SPLIT_V "
        "TRANSPOSE_CONV",
        4: "ONE_HOT STRIDED_SLICE",
    }.items()
    for name in names.split()
}

# Operators whose number of outputs is also an option; the kernels believe the option.
SPLITS = ("SPLIT", "SPLIT_V")

# Which inputs of operators are axes, sizes or strides: whole numbers.
INDEX_INPUTS = {
    "MEAN": 1,
    "PAD": 1,
    "REDUCE_MAX": 1,
    "REDUCE_MIN": 1,
    "SPLIT": 0,
    "STRIDED_SLICE": 3,
    "SUM": 1,
}

# Which inputs of custom operators are their workspace; Arm's compiler Vela writes ``ethos-u``.
WORKSPACES = {"ethos-u": (2, 3)}

# Which inputs of operators list sizes, axes or paddings, one (or a pair) for each dimension.
# Kernels copy them into arrays of ``MAX_RANK``.
LISTED_INPUTS = {
    name: inputs
    for inputs, names in {
        (0,): "FILL TRANSPOSE_CONV",
        (1,): "BROADCAST_TO EXPAND_DIMS MEAN MIRROR_PAD PAD PADV2 REDUCE_ALL REDUCE_ANY REDUCE_MAX "
        "REDUCE_MIN REDUCE_PROD RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 SUM "
        "TILE TRANSPOSE",
        (1, 2): "BATCH_TO_SPACE_ND SLICE SPACE_TO_BATCH_ND",
        (1, 2, 3): "STRIDED_SLICE",
    }.items()
    for name in names.split()
}

# What reading a damaged flatbuffer through the generated classes raises.
DAMAGE = (
    AttributeError,
    IndexError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,  # UnicodeDecodeError is one
    struct.error,
)


class Damaged(Exception):
    """What contradicts itself inside a file, in words that go into an error's sentence."""


def check_shape(where: str, shape: Sequence[int], signature: Sequence[int]) -> None:
    """Check a tensor's sizes and which of them are open.

    Args:
        where: the tensor, for the message.
        signature: the shape with -1 for each open dimension; empty where the file has none.
    """
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise Damaged(f"{where} has the shape {list(shape)}")
    if signature and (len(signature) != len(shape) or min(signature) < OPEN):
        raise Damaged(f"{where} has the shape {list(shape)} and the signature {list(signature)}")


def check_size(
    where: str, kind: str, shape: Sequence[int], *, stored: int, sparse: bool = False
) -> int:
    """Check a tensor's bytes; returns how many it takes beside the file, 0 for a constant.

    Args:
        kind: its type, for example ``int8``.
        stored: bytes that the file holds for it; 0 where it is computed.
        sparse: the file leaves zeros out.
    """
    bits = ELEMENT_BITS.get(kind)
    if bits is None:
        return 0
    expected = (math.prod(shape) * bits + 7) // 8
    whole = bool(stored) and not sparse
    if whole and stored != expected:
        raise Damaged(f"{where} of shape {list(shape)} needs {expected} bytes, holds {stored}")
    if not whole and expected > MAX_TENSOR_BYTES:
        raise Damaged(f"{where} of shape {list(shape)} claims {expected} bytes")
    return 0 if stored else expected


def check_quantization(
    where: str,
    kind: str,
    shape: Sequence[int],
    *,
    scales: Sequence[float],
    zero_points: Sequence[int],
    axis: int,
    constant: bool,
) -> None:
    """Check a tensor's scales and zero points.

    Args:
        axis: along which several scales count.
        constant: the file holds its values; kernels divide only by the scales of the others.
    """
    if not scales:
        return
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise Damaged(f"{where} of shape {list(shape)} has {len(scales)} scales along axis {axis}")
    if len(zero_points) not in (0, 1, len(scales)):
        raise Damaged(f"{where} has {len(scales)} scales and {len(zero_points)} zero points")
    if not all(0 <= scale < math.inf for scale in scales):  # NaN is neither
        raise Damaged(f"{where} has a scale that is negative or not finite")
    if kind in ZERO_POINT_RANGE and not constant and min(scales) < SMALLEST_SCALE:
        raise Damaged(f"{where} has the scale {min(scales):g}, by which nothing can be divided")
    low, high = ZERO_POINT_RANGE.get(kind, (-math.inf, math.inf))
    if not all(low <= zero_point <= high for zero_point in zero_points):
        raise Damaged(f"{where} has a zero point outside of its type's range")


def check_indices(what: str, indices: Iterable[int], *, count: int, optional: bool = False) -> None:
    """Check that each of a list's tensors exists, or is left out where that is allowed."""
    for index in indices:
        if not (0 <= index < count or (optional and index == OPTIONAL_TENSOR)):
            raise Damaged(f"{what} is tensor {index} of {count}")


def check_filled(where: str, indices: Iterable[int], filled: Collection[int]) -> None:
    """Check that an operator reads only what holds a value by then."""
    for index in indices:
        if index not in filled:
            raise Damaged(f"{where} reads tensor {index}, which nothing fills")


def workspace(name: str, *, custom: bool) -> tuple[int, ...]:
    """Numbers of the inputs that an operator uses as memory of its own: nothing fills them."""
    return WORKSPACES.get(name, ()) if custom else ()


def check_written(where: str, indices: Iterable[int], constants: Collection[int]) -> None:
    """Check that an operator writes to no constant: that would be memory of the file itself."""
    for index in indices:
        if index in constants:
            raise Damaged(f"{where} writes to tensor {index}, whose values are in the file")


def check_listed(where: str, name: str, counts: Mapping[int, int]) -> None:
    """Check that an operator is given for no more dimensions than a tensor can have.

    Args:
        name: of the builtin operator.
        counts: number of an input -> for how many dimensions it holds numbers.
    """
    for index in LISTED_INPUTS.get(name, ()):
        if counts.get(index, 0) > MAX_RANK:
            raise Damaged(f"{where} ({name}) is given for {counts[index]} dimensions")


def check_operator(where: str, name: str, *, inputs: int, outputs: int, parts: int) -> None:
    """Check that an operator has the inputs and outputs that its kernel looks at.

    Args:
        name: of the builtin operator.
        inputs: how many it has, without those that are left out.
        parts: how many outputs its options speak of; 0 where they do not.
    """
    fewest = FEWEST_INPUTS.get(name, 0)
    if inputs < fewest:
        raise Damaged(f"{where} ({name}) has {inputs} of at least {fewest} inputs")
    if fewest and not outputs:
        raise Damaged(f"{where} ({name}) has no output")
    if name in SPLITS and parts != outputs:
        raise Damaged(f"{where} has {outputs} outputs and splits into {parts}")
