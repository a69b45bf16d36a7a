"""Fixes the size of a .tflite whose file leaves its input's height and width open.

The result is a file like any other: each target, phones, boards and compilers included, runs it
without knowing of open sizes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.tflite.graph import BATCH_AXIS, Graph, Tensor
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import graph_of, read_model_bytes
from asmnet_kit.tflite.runtime import allocated_shapes
from asmnet_kit.tflite.structure import OPEN

CHANNELS = 3  # of an input that leaves those open, too
# Which axes are height and width: channels last, as TensorFlow has it, or first, as PyTorch.
CHANNELS_LAST, CHANNELS_FIRST = (1, 2), (2, 3)


@contextmanager
def at_size(path: Path, shape: tuple[int, int] | None) -> Iterator[Path]:
    """A copy of a .tflite with an input of a fixed size, gone after the block.

    Args:
        shape: height and width of the input, pixels; None for the file itself.

    Raises:
        UsageError, ModelError: as ``sized_model``.
    """
    if shape is None:
        yield path
        return
    with temporary_folder() as folder:
        copy = folder / path.name
        copy.write_bytes(sized_model(path, shape))
        yield copy


def sized_model(path: Path, shape: tuple[int, int]) -> bytes:
    """A .tflite with the sizes that follow from an input of ``shape``, in every tensor.

    Args:
        shape: height and width, pixels. The batch becomes 1; channels that are open become 3.

    Raises:
        UsageError: as ``sized_input``.
        ModelError: it is no .tflite model, or does not run at this size.
    """
    content = read_model_bytes(path)
    graph = graph_of(content, name=str(path))
    tensor, sizes = sized_input(graph, shape, name=str(path))
    model = unpack_model(content)
    tensors = model.subgraphs[0].tensors
    tensors[tensor.index].shape = list(sizes)
    tensors[tensor.index].shapeSignature = list(sizes)
    try:
        shapes = allocated_shapes(pack_model(model), name=str(path))
    except ModelError as error:
        raise ModelError(
            f"{error} (at --input-shape {shape[0]}x{shape[1]}: the model may need another size)"
        ) from error
    for known in graph.tensors:
        found = shapes.get(known.index)
        if known.constant or found is None or len(found) != len(known.shape):
            continue  # what is computed while the model runs stays as the file has it
        tensors[known.index].shape = list(found)
        if known.open:
            tensors[known.index].shapeSignature = list(found)
    return pack_model(model)


def sized_input(
    graph: Graph, shape: tuple[int, int], *, name: str
) -> tuple[Tensor, tuple[int, ...]]:
    """The input that ``shape`` is about, and its sizes then.

    Args:
        name: of the file, for messages.

    Raises:
        UsageError: no input of four dimensions leaves its size open, or several do.
    """
    pictures = [t for t in graph.inputs if len(t.shape) == 4]
    found = [t for t in pictures if _is_open(t)] or pictures
    if len(found) != 1:
        raise UsageError(
            f"--input-shape: expected one input of four dimensions whose size {name} leaves open, "
            f"got {', '.join(t.shape_text for t in graph.inputs) or 'no input'}: leave it out"
        )
    tensor = found[0]
    first, last = (tensor.shape_signature[axis] == OPEN for axis in (1, 3))
    axes = CHANNELS_FIRST if last and not first else CHANNELS_LAST
    sizes = [CHANNELS if size == OPEN else size for size in tensor.shape_signature]
    sizes[BATCH_AXIS] = 1
    for axis, size in zip(axes, shape, strict=True):
        if tensor.shape_signature[axis] not in (OPEN, size):
            raise UsageError(
                f"--input-shape: the input of {name} has the fixed size {tensor.shape_text}, got "
                f"{shape[0]}x{shape[1]}: leave the option out"
            )
        sizes[axis] = size
    return tensor, tuple(sizes)


def _is_open(tensor: Tensor) -> bool:
    return OPEN in tensor.shape_signature[BATCH_AXIS + 1 :]
