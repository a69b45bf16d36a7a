"""What the Edge TPU compiler takes of a model, operator by operator.

Sources: Coral's table of supported operations, statuses and failures of the compiler's versions 2.0
to 16.0 in public logs, and pairs of source and compiled models. What nobody could foresee from
outside (a model whose activations are too large, internal errors) is not here: a verdict of these
rules is a prediction.
"""

from collections.abc import Mapping
from types import MappingProxyType

from asmnet_kit.tflite.graph import BATCH_AXIS, Graph, Op, Tensor
from asmnet_kit.tflite.int8_rules import dense_scales
from asmnet_kit.tflite.rulings import (
    DATA_TYPE,
    LIMITATION,
    MAPPED,
    NOT_CONSTANT,
    NOT_SUPPORTED,
    RANK,
    STRIDES,
    VERSION,
    Rule,
    Ruling,
)
from asmnet_kit.tflite.schema import OPERATOR_NAMES

COMPILED = "edgetpu-custom-op"  # custom code of what the compiler leaves behind

# Highest operator versions of TensorFlow Lite 2.5, which the compiler 16.0 is built on. A newer one
# makes it refuse the whole model.
VERSION_CAPS: Mapping[str, int] = MappingProxyType(
    {
        "ADD": 3,
        "AVERAGE_POOL_2D": 3,
        "CONCATENATION": 3,
        "CONV_2D": 5,
        "DEPTHWISE_CONV_2D": 6,
        "DEQUANTIZE": 4,
        "EXP": 1,
        "FULLY_CONNECTED": 9,
        "LOGISTIC": 3,
        "MAX_POOL_2D": 3,
        "MEAN": 3,
        "MUL": 4,
        "PACK": 3,
        "PAD": 3,
        "PRELU": 1,
        "QUANTIZE": 2,
        "RELU": 3,
        "RELU6": 3,
        "RESHAPE": 1,
        "RESIZE_BILINEAR": 4,
        "RESIZE_NEAREST_NEIGHBOR": 4,
        "SOFTMAX": 3,
        "SPLIT": 4,
        "STRIDED_SLICE": 5,
        "SUB": 5,
        "SUM": 2,
        "TANH": 3,
        "TRANSPOSE": 5,
        "TRANSPOSE_CONV": 3,
    }
)
LAST_OPERATOR_OF_TFLITE_2_5 = 139  # HASHTABLE_SIZE; GELU and others came later
OPERATOR_NUMBERS = {name: number for number, name in OPERATOR_NAMES.items()}

INTEGER8 = ("int8", "uint8")
INDEX_TYPES = ("int32", "int64", "bool")  # of sizes, indices and conditions
MAX_SOFTMAX_ELEMENTS = 16_000  # Coral's table

# Public logs bracket these limits; nobody outside knows them. A mean over 256 x 128 positions did
# not map; means over feature maps of classifiers (7 x 7 to 32 x 32) do.
MAX_MEAN_POSITIONS = 256 * 128 - 1
# Resized outputs of 1 MB and less map, 4 MB and more do not.
MAX_RESIZED_ELEMENTS = 2**21
# Two- and fourfold enlarging maps; from 1 x 1 to 33 x 33 "won't run precisely enough".
MAX_RESIZE_FACTOR = 16

ACTIVATION_NONE = 0

# Which inputs of operators say how large their output is, or along which axes it shrinks.
SIZE_INPUTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "MEAN": (1,),
        "PAD": (1,),
        "REDUCE_MAX": (1,),
        "REDUCE_MIN": (1,),
        "RESHAPE": (1,),
        "RESIZE_BILINEAR": (1,),
        "RESIZE_NEAREST_NEIGHBOR": (1,),
        "SLICE": (1, 2),
        "STRIDED_SLICE": (1, 2, 3),
        "SUM": (1,),
        "TRANSPOSE": (1,),
        "TRANSPOSE_CONV": (0,),
    }
)


def edgetpu_model_ruling(graph: Graph) -> Ruling | None:
    """Why the compiler takes nothing of this model, judged before any single operator."""
    if any(op.name == COMPILED for op in graph.ops):
        return Ruling(
            NOT_SUPPORTED,
            "the model is compiled already: it holds an edgetpu-custom-op",
            "check the model that it was compiled from",
            refuses_model=True,
        )
    if not any(t.type in INTEGER8 for op in graph.ops for t in op.activations):
        return Ruling(
            DATA_TYPE,
            "the model is not quantized: no operator works on int8 or uint8 values",
            "quantize the whole model: asmnet-kit quantize --recipe qat_w8a8 or ptq_w8a8",
            refuses_model=True,
        )
    return None


def edgetpu_ruling(op: Op) -> Ruling | None:
    """Why the Edge TPU does not take this operator, or None when it does."""
    for rule in (_fixed_sizes, _version, _supported, _types, _ranks, *_RULES.get(op.name, ())):
        ruling = rule(op)
        if ruling is not None:
            return ruling
    return None


def edgetpu_hazard(op: Op) -> Ruling | None:
    """Why this operator must not run on the Edge TPU although the compiler takes it."""
    scales = dense_scales(op)
    if scales <= 1:
        return None
    return Ruling(
        MAPPED,
        f"FULLY_CONNECTED with one weight scale for each of its {scales} outputs: the "
        f"compiler takes it, but the Edge TPU's runtime then returns one constant for every output "
        f"without any error",
        "convert with converter._experimental_disable_per_channel_quantization_for_dense_layers"
        " = True (asmnet-kit quantize does), or make the head a 1x1 convolution",
        refuses_model=True,
    )


def _fixed_sizes(op: Op) -> Ruling | None:
    """TensorFlow Lite refuses delegates beside a tensor whose size is known only at run time."""
    sizes = [op.inputs[i] for i in SIZE_INPUTS.get(op.name, ()) if i < len(op.inputs)]
    computed = next((t for t in sizes if t.elements and not t.constant), None)
    if computed is None:
        return None
    return Ruling(
        NOT_CONSTANT,
        f"the size of {op.name}'s output is computed while the model runs (tensor "
        f"{computed.name!r}); the compiler refuses the whole model",
        "convert with fixed shapes: with a batch of 1, sizes become constants",
        refuses_model=True,
    )


def _version(op: Op) -> Ruling | None:
    if op.custom:
        return None
    cap = VERSION_CAPS.get(op.name)
    if cap is not None and op.version > cap:
        return Ruling(
            VERSION,
            f"version {op.version} of {op.name} is newer than {cap}, the last one that the "
            f"compiler knows; it refuses the whole model",
            "convert with full int8 (dynamic-range and newer types raise the version), or with an "
            "older TensorFlow",
            refuses_model=True,
        )
    if OPERATOR_NUMBERS.get(op.name, LAST_OPERATOR_OF_TFLITE_2_5 + 1) > LAST_OPERATOR_OF_TFLITE_2_5:
        return Ruling(
            VERSION,
            f"{op.name} is newer than the TensorFlow Lite 2.5 that the compiler is built on; it "
            f"refuses the whole model",
            "use an operator of the compiler's list, for example RELU or RELU6 for GELU",
            refuses_model=True,
        )
    return None


def _supported(op: Op) -> Ruling | None:
    if op.name == COMPILED:
        return Ruling(
            MAPPED,
            "all that the compiler put on the Edge TPU, as one operator",
            "check the model that it was compiled from",
        )
    if op.custom:
        return Ruling(
            NOT_SUPPORTED,
            f"{op.name} is a custom operator",
            "move it out of the model; it runs on the CPU, and so does what follows it",
        )
    if op.name in _SUPPORTED or op.name == "DEQUANTIZE":
        return None
    return Ruling(
        NOT_SUPPORTED,
        f"the Edge TPU has no {op.name}",
        "replace it, or move it to the end: all that follows it runs on the CPU",
    )


def _types(op: Op) -> Ruling | None:
    if op.name == "DEQUANTIZE":
        return Ruling(
            DATA_TYPE,
            "DEQUANTIZE makes floats, which the Edge TPU does not have",
            "export with int8 or uint8 outputs (converter.inference_output_type = tf.int8)",
        )
    if op.name == "QUANTIZE" and op.inputs and op.inputs[0].type not in INTEGER8:
        return Ruling(
            LIMITATION,
            f"QUANTIZE reads {op.inputs[0].type} values; this step stays on the CPU",
            "export with an int8 or uint8 input (converter.inference_input_type = tf.int8)",
        )
    wrong = next((t for t in op.activations if t.type not in INTEGER8), None)
    if wrong is None:
        return None
    return Ruling(
        DATA_TYPE,
        f"{op.name} works on {wrong.type} values (tensor {wrong.name!r}); the Edge TPU has int8 "
        f"and uint8",
        "convert with fixed shapes (a batch of 1), so that sizes and indices become constants"
        if wrong.type in INDEX_TYPES
        else "quantize weights and activations to 8 bits: recipes qat_w8a8 and ptq_w8a8",
    )


def _ranks(op: Op) -> Ruling | None:
    for tensor in op.activations:
        if any(size > 1 for size in tensor.shape[:-3]):
            return Ruling(
                RANK,
                f"tensor {tensor.name!r} has the shape {list(tensor.shape)}; only its three "
                f"innermost dimensions may be larger than 1",
                "export with a batch of 1 and at most height x width x channels",
            )
    return None


def _constants(first: int) -> Rule:
    """Inputs from the ``first`` on must be constants: weights, slopes, axes."""

    def rule(op: Op) -> Ruling | None:
        if all(t.constant for t in op.inputs[first:]):
            return None
        return Ruling(
            NOT_CONSTANT,
            f"a parameter of {op.name} is computed while the model runs",
            "make it a constant: fixed shapes (a batch of 1) and weights that are variables of "
            "the layer",
        )

    return rule


def _no_activation(op: Op) -> Ruling | None:
    if op.options.get("fusedActivationFunction", ACTIVATION_NONE) == ACTIVATION_NONE:
        return None
    return Ruling(
        LIMITATION,
        f"{op.name} has a fused activation function",
        "put a convolution, or nothing, between it and the activation",
    )


def _concatenation(op: Op) -> Ruling | None:
    constants = [t for t in op.inputs if t.constant]
    if not constants:
        return None
    if len(op.inputs) == 2 and all(not any(t.data) for t in constants):
        return None
    return Ruling(
        LIMITATION,
        "CONCATENATION of a constant needs exactly two inputs and a constant of zeros",
        "fold the constant into the layers before, or pad instead",
    )


def _equal_dilation(op: Op) -> Ruling | None:
    if op.options.get("dilationWFactor", 1) == op.options.get("dilationHFactor", 1):
        return None
    return Ruling(
        LIMITATION,
        f"{op.name} is dilated differently in x and y",
        "use the same dilation in both directions",
    )


def _fully_connected(op: Op) -> Ruling | None:
    if op.options.get("weightsFormat", 0) != 0:
        return Ruling(
            LIMITATION, "FULLY_CONNECTED with shuffled weights", "convert with default weights"
        )
    return _one_dimensional(op, op.outputs)


def _one_dimensional(op: Op, tensors: tuple[Tensor, ...]) -> Ruling | None:
    for tensor in tensors:
        if any(size > 1 for size in tensor.shape[:-1]):
            return Ruling(
                LIMITATION,
                f"{op.name} over a tensor of shape {list(tensor.shape)}; it must be "
                f"one-dimensional",
                "flatten before it, or use a 1x1 convolution",
            )
    return None


def _axes(op: Op) -> list[int]:
    """The reduced axes, counted from the front."""
    rank = len(op.inputs[0].shape)
    if not rank or not op.inputs[1].constant:
        return []
    return [int(axis) % rank for axis in op.inputs[1].integers]


def _not_over_batch(op: Op) -> Ruling | None:
    if len(op.inputs[0].shape) < 4 or BATCH_AXIS not in _axes(op):
        return None
    return Ruling(LIMITATION, f"{op.name} reduces over the batch", "leave axis 0 out of its axes")


def _mean(op: Op) -> Ruling | None:
    shape, axes = op.inputs[0].shape, _axes(op)
    channel = len(shape) - 1
    if channel in axes and len(shape) > 1 and shape[channel] % 4:
        return Ruling(
            LIMITATION,
            f"MEAN over {shape[channel]} channels, which is not a multiple of 4",
            "make the number of channels a multiple of 4",
        )
    positions = 1
    for axis in axes:
        if axis != channel:
            positions *= shape[axis]
    if positions > MAX_MEAN_POSITIONS:
        return Ruling(
            LIMITATION,
            f"MEAN over {positions} positions; 256 x 128 did not map",
            "shrink the feature map by strides before averaging it",
        )
    return None


def _pad(op: Op) -> Ruling | None:
    paddings = op.inputs[1]
    if paddings.shape == (4, 2) and paddings.integers[:2].any():
        return Ruling(LIMITATION, "PAD of the batch", "pad only height, width or channels")
    return None


def _axis_is_not_batch(option: str) -> Rule:
    def rule(op: Op) -> Ruling | None:
        rank = len(op.outputs[0].shape)
        if op.options.get(option, 1) % max(rank, 1) == BATCH_AXIS and rank > 3:
            return Ruling(LIMITATION, f"{op.name} along the batch", "use another axis")
        return None

    return rule


def _split(op: Op) -> Ruling | None:
    axis, values = op.inputs[0], op.inputs[-1]
    if not axis.constant:
        return _constants(0)(op)
    rank = len(values.shape)
    if rank > 3 and int(axis.integers[0]) % rank == BATCH_AXIS:
        return Ruling(LIMITATION, "SPLIT along the batch", "use another axis")
    return None


def _prelu(op: Op) -> Ruling | None:
    alpha = op.inputs[1]
    if all(size == 1 for size in alpha.shape[:-1]):
        return None
    return Ruling(
        LIMITATION,
        f"PRELU with slopes of shape {list(alpha.shape)}; one for each channel is the limit",
        "share the slopes over height and width (shared_axes=[1, 2])",
    )


def _resize(op: Op) -> Ruling | None:
    before, after = op.inputs[0].shape, op.outputs[0].shape
    if len(before) != 4 or len(after) != 4:
        return None
    factor = max(after[1] / max(before[1], 1), after[2] / max(before[2], 1))
    if factor > MAX_RESIZE_FACTOR:
        return Ruling(
            LIMITATION,
            f"{op.name} enlarges {factor:.0f} times, more than runs precisely enough",
            "enlarge in steps of 2, or broadcast by adding or multiplying",
        )
    if op.outputs[0].elements > MAX_RESIZED_ELEMENTS:
        return Ruling(
            LIMITATION,
            f"{op.name} to {list(after)}: outputs this large do not map",
            "enlarge fewer channels, or leave the last enlarging to the program around the model",
        )
    return None


def _softmax(op: Op) -> Ruling | None:
    if op.inputs[0].elements > MAX_SOFTMAX_ELEMENTS:
        return Ruling(
            LIMITATION,
            f"SOFTMAX over {op.inputs[0].elements} elements; {MAX_SOFTMAX_ELEMENTS} is the limit",
            "leave the softmax to the program around the model",
        )
    return _one_dimensional(op, op.inputs[:1])


def _strided_slice(op: Op) -> Ruling | None:
    strides = op.inputs[3]
    if strides.constant and (strides.integers != 1).any():
        return Ruling(
            STRIDES,
            f"STRIDED_SLICE with the strides {strides.integers.tolist()}",
            "take every value, or use a strided convolution or pooling",
        )
    return None


_RULES: dict[str, tuple[Rule, ...]] = {
    "AVERAGE_POOL_2D": (_no_activation,),
    "CONCATENATION": (_no_activation, _concatenation),
    "CONV_2D": (_constants(1), _equal_dilation),
    "DEPTHWISE_CONV_2D": (_constants(1), _equal_dilation),
    "FULLY_CONNECTED": (_constants(1), _fully_connected),
    "MAX_POOL_2D": (_no_activation,),
    "MEAN": (_not_over_batch, _mean),
    "PACK": (_axis_is_not_batch("axis"),),
    "PAD": (_pad,),
    "PRELU": (_constants(1), _prelu),
    "REDUCE_MAX": (_not_over_batch,),
    "REDUCE_MIN": (_not_over_batch,),
    "RESIZE_BILINEAR": (_resize,),
    "RESIZE_NEAREST_NEIGHBOR": (_resize,),
    "SOFTMAX": (_softmax,),
    "SPLIT": (_split,),
    "STRIDED_SLICE": (_strided_slice,),
    "SUM": (_not_over_batch,),
}

_SUPPORTED = frozenset(
    {
        *_RULES,
        "ADD",
        "EXPAND_DIMS",
        "L2_NORMALIZATION",
        "LOGISTIC",
        "LSTM",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RESHAPE",
        "RSQRT",
        "SLICE",
        "SPACE_TO_DEPTH",
        "SQUARED_DIFFERENCE",
        "SQUEEZE",
        "SUB",
        "TANH",
        "TRANSPOSE",
        "TRANSPOSE_CONV",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
    }
)
