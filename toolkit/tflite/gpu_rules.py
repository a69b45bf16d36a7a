"""What LiteRT's GPU accelerator takes of a model, operator by operator.

Source: LiteRT's WebGPU accelerator does not publish a list; this is the TensorFlow Lite GPU
delegate's, whose model parser it shares.
"""

from collections.abc import Mapping
from types import MappingProxyType

from asmnet_kit.tflite.graph import Op
from asmnet_kit.tflite.rulings import DATA_TYPE, NOT_SUPPORTED, RANK, VERSION, Ruling

GPU_MAPPED = "Mapped to GPU"
# Operators and the highest version that the parser takes.
GPU_VERSIONS: Mapping[str, int] = MappingProxyType(
    {
        "ABS": 1,
        "ADD": 4,
        "AVERAGE_POOL_2D": 3,
        "BATCH_MATMUL": 4,
        "CAST": 4,
        "CONCATENATION": 3,
        "CONV_2D": 6,
        "COS": 1,
        "DENSIFY": 1,
        "DEPTHWISE_CONV_2D": 7,
        "DEPTH_TO_SPACE": 2,
        "DEQUANTIZE": 6,
        "DIV": 2,
        "ELU": 1,
        "EQUAL": 4,
        "EXP": 2,
        "FLOOR": 1,
        "FLOOR_DIV": 3,
        "FLOOR_MOD": 2,
        "FULLY_CONNECTED": 14,
        "GATHER": 7,
        "GELU": 2,
        "GREATER": 2,
        "GREATER_EQUAL": 3,
        "HARD_SWISH": 1,
        "LEAKY_RELU": 2,
        "LESS": 3,
        "LESS_EQUAL": 3,
        "LOG": 2,
        "LOGICAL_AND": 1,
        "LOGISTIC": 3,
        "MAXIMUM": 4,
        "MAX_POOL_2D": 3,
        "MEAN": 3,
        "MINIMUM": 4,
        "MIRROR_PAD": 3,
        "MUL": 7,
        "NEG": 2,
        "NOT_EQUAL": 3,
        "ONE_HOT": 1,
        "PACK": 4,
        "PAD": 4,
        "PADV2": 4,
        "POW": 1,
        "PRELU": 1,
        "QUANTIZE": 4,
        "REDUCE_MAX": 3,
        "REDUCE_MIN": 3,
        "REDUCE_PROD": 2,
        "RELU": 3,
        "RELU6": 3,
        "RELU_N1_TO_1": 1,
        "RESHAPE": 2,
        "RESIZE_BILINEAR": 4,
        "RESIZE_NEAREST_NEIGHBOR": 4,
        "RSQRT": 3,
        "SELECT": 3,
        "SELECT_V2": 2,
        "SIN": 1,
        "SLICE": 6,
        "SOFTMAX": 3,
        "SPACE_TO_DEPTH": 2,
        "SPLIT": 4,
        "SPLIT_V": 2,
        "SQRT": 1,
        "SQUARE": 1,
        "SQUARED_DIFFERENCE": 2,
        "SQUEEZE": 2,
        "STRIDED_SLICE": 8,
        "SUB": 5,
        "SUM": 2,
        "TANH": 3,
        "TILE": 3,
        "TRANSPOSE": 6,
        "TRANSPOSE_CONV": 4,
        "UNPACK": 4,
    }
)
GPU_TYPES = ("float32", "float16", "int8", "uint8", "int32", "bool")


def gpu_ruling(op: Op) -> Ruling | None:
    """Why the GPU accelerator does not take this operator, or None when it does."""
    if op.custom or op.name not in GPU_VERSIONS:
        return Ruling(
            NOT_SUPPORTED,
            f"the GPU accelerator has no {op.name}",
            "replace it by supported operators; it splits the model between GPU and CPU",
        )
    if op.version > GPU_VERSIONS[op.name]:
        return Ruling(
            VERSION,
            f"version {op.version} of {op.name}; the GPU accelerator takes up to "
            f"{GPU_VERSIONS[op.name]}",
            "convert to float32, float16 or full int8",
        )
    wrong = next((t for t in op.activations if t.type not in GPU_TYPES), None)
    if wrong is not None:
        return Ruling(
            DATA_TYPE,
            f"{op.name} works on {wrong.type} values (tensor {wrong.name!r})",
            "use a float32, float16 or int8 model",
        )
    tensor = next((t for t in op.activations if len(t.shape) > 4), None)
    if tensor is None:
        return None
    return Ruling(
        RANK,
        f"tensor {tensor.name!r} has the shape {list(tensor.shape)}; four dimensions are the limit",
        "reshape it to batch x height x width x channels",
    )
