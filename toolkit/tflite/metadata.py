"""A .tflite file and the metadata that makes it usable on its own.

Every .tflite the kit writes carries a metadata entry named ``ASMNET_KIT`` whose buffer holds JSON:
which landmarks, what the input must look like, what the outputs mean, how the file was made.
Runtimes ignore the entry; other languages read it with any flatbuffer reader of TFLite's schema.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.crop import CROP_SCALE
from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.face.schemes import SCHEMES

METADATA_NAME = "ASMNET_KIT"
SCHEMA_VERSION = 1
FILE_IDENTIFIER = b"TFL3"
COLOUR = "RGB"

LANDMARKS_UNIT = "fraction of crop side from centre"
POSE_UNIT = "degrees / 90"
OUTPUT_UNITS = MappingProxyType({"landmarks": LANDMARKS_UNIT, "pose": POSE_UNIT})

# TFLite's schema: `table Buffer { data:[ubyte] (force_align: 16); ... }`. Kernels rely on it.
_BUFFER_ALIGNMENT = 16

# What flatbuffers' accessors raise when an offset or a length leads out of the bytes.
_BROKEN_FLATBUFFER = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)


@dataclass(frozen=True)
class ModelMetadata:
    """What a model file says about itself.

    Attributes:
        architecture: for example ``asmnet``.
        landmarks: how many points it predicts, 68 or 98.
        input_size: side of the square input, pixels; RGB, a value v is fed as (v - 128) / 128.
        recipe: how it was converted, for example ``qat_w8a8``.
        crop_scale: side of the crop as a multiple of the face box's longer side.
        outputs: output name -> unit.
        runs_on: targets that the file is made for (cpu, edgetpu, gpu); empty where it is not said.
        source: what it was made from: ``model_sha256`` of the float model, ``dataset_fingerprint``.
        metrics: measured figures, JSON types.
        licence: under which the weights may be used, or None when the training run names none.
    """

    architecture: str
    landmarks: int
    input_size: int
    recipe: str
    crop_scale: float = CROP_SCALE
    outputs: Mapping[str, str] = field(default_factory=lambda: OUTPUT_UNITS)
    runs_on: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None

    def __post_init__(self) -> None:
        if self.landmarks not in SCHEMES:
            raise ModelError(
                f"expected {' or '.join(map(str, SCHEMES))} landmarks, got {self.landmarks!r}"
            )
        if self.input_size < 1:
            raise ModelError(f"expected an input size of at least 1 pixel, got {self.input_size!r}")
        if not 0 < self.crop_scale < float("inf"):
            raise ModelError(f"expected a crop scale above 0, got {self.crop_scale!r}")
        if "landmarks" not in self.outputs:
            raise ModelError(f"expected an output 'landmarks', got {sorted(self.outputs)}")

    @property
    def file_name(self) -> str:
        """``<architecture>_<points>_<size>_<recipe>.tflite``."""
        return f"{self.architecture}_{self.landmarks}_{self.input_size}_{self.recipe}.tflite"

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the metadata buffer."""
        return {
            "schema_version": SCHEMA_VERSION,
            "architecture": self.architecture,
            "landmarks": self.landmarks,
            "input": {
                "size": self.input_size,
                "colour": COLOUR,
                "mean": MEAN,
                "scale": SCALE,
            },
            "crop": {"scale": self.crop_scale},
            "outputs": dict(self.outputs),
            "recipe": self.recipe,
            **({"runs_on": list(self.runs_on)} if self.runs_on else {}),
            "source": dict(self.source),
            "metrics": dict(self.metrics),
            "licence": self.licence,
        }

    @classmethod
    def from_json(cls, content: Any) -> "ModelMetadata":
        """The metadata in a JSON object; keys it does not know are ignored.

        Raises:
            ModelError: a key is missing, of the wrong type, or of a version or an input convention
                that this program does not know.
        """
        top = _Reader(content, "")
        version = top.get("schema_version", int)
        if version != SCHEMA_VERSION:
            raise ModelError(
                f"expected metadata of schema version {SCHEMA_VERSION}, got {version}: "
                "use the version of asmnet-kit that wrote the file, or a newer one"
            )
        image = _Reader(top.get("input", dict), "input.")
        for key, expected in (("colour", COLOUR), ("mean", MEAN), ("scale", SCALE)):
            value = image.get(key, str if key == "colour" else (int, float))
            if value != expected:
                raise ModelError(f"expected metadata input.{key} {expected!r}, got {value!r}")
        outputs = top.get("outputs", dict)
        if not all(isinstance(unit, str) for unit in outputs.values()):
            raise ModelError(f"expected metadata outputs to map names to units, got {outputs!r}")
        return cls(
            architecture=top.get("architecture", str),
            landmarks=top.get("landmarks", int),
            input_size=image.get("size", int),
            recipe=top.get("recipe", str),
            crop_scale=float(
                _Reader(top.get("crop", dict), "crop.").get("scale", (int, float)),
            ),
            outputs=outputs,
            runs_on=tuple(map(str, top.get("runs_on", list, default=[]))),
            source=top.get("source", dict, default={}),
            metrics=top.get("metrics", dict, default={}),
            licence=top.get("licence", (str, type(None)), default=None),
        )


class _Reader:
    """Typed access to a JSON object, with errors that name the key."""

    _REQUIRED = object()

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise ModelError(f"expected metadata to be a JSON object, got {type(content).__name__}")
        self.content = content
        self.where = where

    def get(self, key: str, kind: Any, *, default: Any = _REQUIRED) -> Any:
        value = self.content.get(key, default)
        if value is self._REQUIRED:
            raise ModelError(f"expected metadata with the key {self.where + key!r}; it is missing")
        if isinstance(value, bool) or not isinstance(value, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            names = " or ".join(one.__name__ for one in kinds)
            raise ModelError(f"expected metadata {self.where}{key} to be {names}, got {value!r}")
        return value


def read_model_bytes(source: Path | bytes) -> bytes:
    """The bytes of a .tflite, from a file or as given, once they begin like one.

    Raises:
        ModelError: no such file, or not a TFLite model.
    """
    name = "model"
    if isinstance(source, Path):
        name = str(source)
        try:
            source = source.read_bytes()
        except OSError as error:
            raise ModelError(f"{name}: {error.strerror}") from error
    if source[4:8] != FILE_IDENTIFIER:
        raise ModelError(
            f"{name}: expected a TFLite model ('TFL3' at byte 4), got {len(source)} bytes "
            f"beginning with {source[:8]!r}"
        )
    return source


def parse_model(source: Path | bytes) -> schema.ModelT:
    """The whole model as objects of TFLite's schema.

    Raises:
        ModelError: not a TFLite model, or cut off.
    """
    content = read_model_bytes(source)
    try:
        return schema.ModelT.InitFromPackedBuf(content, 0)
    except _BROKEN_FLATBUFFER as error:
        raise _broken(source, content) from error


def read_metadata(source: Path | bytes) -> ModelMetadata:
    """What a .tflite file says about itself.

    Raises:
        ModelError: no such file, not a TFLite model, cut off, or not written by asmnet-kit.
    """
    content = read_model_bytes(source)
    try:
        encoded = _metadata_buffer(content)
    except _BROKEN_FLATBUFFER as error:
        raise _broken(source, content) from error
    if encoded is None:
        raise ModelError(
            f"{_name(source)}: expected a model with a metadata buffer {METADATA_NAME!r}; "
            "it has none. Make the model with asmnet-kit quantize"
        )
    try:
        return ModelMetadata.from_json(json.loads(encoded))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(
            f"{_name(source)}: metadata {METADATA_NAME!r} is not JSON: {error}"
        ) from error
    except ModelError as error:
        raise ModelError(f"{_name(source)}: {error}") from error


def with_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """A .tflite with ``metadata`` in it, instead of what it said about itself before.

    The same model and metadata give the same bytes.

    Raises:
        ModelError: ``model`` is not a TFLite model, or cut off.
    """
    parsed = parse_model(model)
    encoded = json.dumps(metadata.to_json(), sort_keys=True, allow_nan=False).encode()
    buffer = schema.BufferT(data=np.frombuffer(encoded, np.uint8))
    entries = parsed.metadata or []
    for entry in entries:
        if _text(entry.name) == METADATA_NAME:
            parsed.buffers[entry.buffer] = buffer
            return pack_model(parsed)
    parsed.buffers.append(buffer)
    entry = schema.MetadataT(name=METADATA_NAME, buffer=len(parsed.buffers) - 1)
    parsed.metadata = [*entries, entry]
    return pack_model(parsed)


def pack_model(model: schema.ModelT) -> bytes:
    """The bytes of a model. Constant data is aligned as TFLite's schema asks, to 16 bytes."""
    size_bytes = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(size_bytes + (1 << 16))
    plain = model.buffers
    model.buffers = [_AlignedBuffer(buffer.data, buffer.offset, buffer.size) for buffer in plain]
    try:
        builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    finally:
        model.buffers = plain
    return bytes(builder.Output())


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


def _metadata_buffer(content: bytes) -> bytes | None:
    """The bytes of the metadata entry, or None; reads only the tables on the way to it."""
    model = schema.Model.GetRootAs(content, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if _text(entry.Name()) == METADATA_NAME:
            data: NDArray[np.uint8] | int = model.Buffers(entry.Buffer()).DataAsNumpy()
            return b"" if isinstance(data, int) else data.tobytes()
    return None


def _text(value: bytes | str | None) -> str:
    """A flatbuffer string, which the accessors give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _name(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else "model"


def _broken(source: Path | bytes, content: bytes) -> ModelError:
    return ModelError(
        f"{_name(source)}: the TFLite model is cut off or damaged ({len(content)} bytes); "
        "copy or make it again"
    )
