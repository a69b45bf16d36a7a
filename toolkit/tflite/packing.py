"""Writes a changed .tflite: the only place that takes a model apart into the schema's objects.

What is rewritten has been accepted by ``reader`` before. The objects hold everything, weights too,
and are checked by nobody: to look into a file, read its ``Graph``.
"""

from typing import Any

import flatbuffers
import numpy as np

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.reader import graph_of
from asmnet_kit.tflite.schema import schema
from asmnet_kit.tflite.structure import DAMAGE, IDENTIFIER

# TFLite's schema: `table Buffer { data:[ubyte] (force_align: 16); ... }`. Kernels rely on it.
_BUFFER_ALIGNMENT = 16
# Offsets inside a flatbuffer have 31 bits; what is larger keeps its weights behind it.
MAX_PACKED_BYTES = 2**31 - 1


def with_entry(model: bytes, name: str, data: bytes) -> bytes:
    """A .tflite with a metadata entry, instead of an earlier one of that name.

    Raises:
        ModelError: ``model`` is not a TFLite model, is cut off or damaged, or too large.
    """
    unpacked = unpack_model(model)
    buffer = schema.BufferT(data=np.frombuffer(data, np.uint8))
    entries = unpacked.metadata or []
    for entry in entries:
        if entry.name == name.encode():
            unpacked.buffers[entry.buffer] = buffer
            return pack_model(unpacked)
    unpacked.buffers.append(buffer)
    added = schema.MetadataT(name=name, buffer=len(unpacked.buffers) - 1)
    unpacked.metadata = [*entries, added]
    return pack_model(unpacked)


def unpack_model(content: bytes) -> Any:
    """A model as objects of TFLite's schema (``ModelT``), all its data inside of them.

    Raises:
        ModelError: it is not a TFLite model, is cut off or damaged.
    """
    graph_of(content, name="model")
    try:
        unpacked = schema.ModelT.InitFromPackedBuf(content, 0)
    except DAMAGE as error:  # in a table that a graph does not need
        raise ModelError(
            f"model: the .tflite model is truncated or damaged ({len(content)} bytes; "
            f"{type(error).__name__} while unpacking it); copy or convert it again"
        ) from error
    # Offsets of what lies behind the flatbuffer count from the file's beginning: they would be
    # wrong in a file of another length, so the data moves inside.
    for buffer in unpacked.buffers or []:
        if buffer.data is None:
            buffer.data = _behind(content, buffer.offset, buffer.size)
        buffer.offset = buffer.size = 0
    for operator in [op for graph in unpacked.subgraphs for op in graph.operators or []]:
        if operator.customOptions is None:
            operator.customOptions = _behind(
                content, operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
            )
        operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return unpacked


def pack_model(model: Any) -> bytes:
    """The bytes of a ``ModelT``. Constant data is aligned as TFLite's schema asks, to 16 bytes.

    Raises:
        ModelError: its data is too large for one flatbuffer.
    """
    size_bytes = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    if size_bytes > MAX_PACKED_BYTES:
        raise ModelError(
            f"expected a model of at most {MAX_PACKED_BYTES} bytes to write, got {size_bytes}"
        )
    builder = flatbuffers.Builder(size_bytes + (1 << 16))
    plain = model.buffers
    model.buffers = [_AlignedBuffer(buffer.data, buffer.offset, buffer.size) for buffer in plain]
    try:
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    finally:
        model.buffers = plain
    return bytes(builder.Output())


def _behind(content: bytes, offset: int, size: int) -> Any:
    """Bytes behind the flatbuffer, or None; an offset counts when it is above 1."""
    return np.frombuffer(content, np.uint8, size, offset) if offset > 1 and size else None


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # the schema module has no types
    """A buffer that packs with the schema's force_align, which Python's code generator ignores."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = None
        if self.data is not None:
            payload = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(payload), _BUFFER_ALIGNMENT)
            builder.head -= len(payload)
            builder.Bytes[builder.head : builder.head + len(payload)] = payload
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        schema.BufferAddOffset(builder, self.offset)
        schema.BufferAddSize(builder, self.size)
        packed: int = schema.BufferEnd(builder)
        return packed
