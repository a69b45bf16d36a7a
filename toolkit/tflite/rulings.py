"""What a rule says of an operator that an accelerator does not take.

The statuses are the Edge TPU compiler's own words; the GPU's rules use those of them that fit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from asmnet_kit.tflite.graph import Graph, Op

MAPPED = "Mapped to Edge TPU"
MAPPED_TO_NPU = "Mapped to NPU"
MAPPED_TO_TFLM = "TensorFlow Lite Micro runs it"
MAPPED_TO_BROWSER = "LiteRT.js runs it on WebAssembly"
LEFT_ON_CPU = "Left on the CPU"
REFUSED_BY_TFLM = "TensorFlow Lite Micro refuses the model"
REFUSED_BY_BROWSER = "LiteRT.js refuses the model"
SECOND_SUBGRAPH = "More than one subgraph is not supported"
LIMITATION = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
DATA_TYPE = "Operation is working on an unsupported data type"
NOT_SUPPORTED = "Operation not supported"
VERSION = "Operation version not supported"
STRIDES = "Only Strided-Slice with unitary strides supported"
NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
EDGETPU_STATUSES = (
    MAPPED,
    SECOND_SUBGRAPH,
    LIMITATION,
    DATA_TYPE,
    NOT_SUPPORTED,
    VERSION,
    STRIDES,
    NOT_CONSTANT,
    RANK,
)


@dataclass(frozen=True)
class Ruling:
    """Why an operator does not run on the accelerator.

    Attributes:
        status: in the compiler's words.
        reason: what in this operator is the matter.
        cure: what to change in the model.
        refuses_model: the compiler (or this kit, for the user's good) takes nothing of the model.
    """

    status: str
    reason: str
    cure: str
    refuses_model: bool = False


Rule = Callable[[Op], Ruling | None]


def open_size_ruling(graph: Graph) -> Ruling | None:
    """Why no accelerator takes a model, or None: an input whose size the file does not give."""
    tensor = next((t for t in graph.inputs if t.unsized), None)
    if tensor is None:
        return None
    return Ruling(
        LIMITATION,
        f"the input {tensor.name!r} of shape {tensor.shape_text} leaves its size open",
        "give the size that the program feeds by --input-shape HxW, and convert with it: "
        "asmnet-kit quantize --input-shape SxS of the float model it was made from",
        refuses_model=True,
    )
