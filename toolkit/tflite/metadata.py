"""A .tflite file and the metadata that makes it usable on its own.

Every .tflite the kit writes carries a metadata entry named ``ASMNET_KIT`` whose buffer holds JSON:
which landmarks, what the input must look like, what the outputs mean, how the file was made.
Runtimes ignore the entry; other languages read it with any flatbuffer reader of TFLite's schema.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from asmnet_kit.base.errors import ModelError, UsageError, one_line
from asmnet_kit.base.limits import MAX_INPUT_SIZE
from asmnet_kit.base.reading import parse_json
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_from, scheme_of
from asmnet_kit.face.uncertainty import UNCERTAINTY, VISIBILITY, Calibration
from asmnet_kit.tflite.graph import Graph
from asmnet_kit.tflite.packing import with_entry
from asmnet_kit.tflite.reader import graph_of, read_graph

METADATA_NAME = "ASMNET_KIT"
# 2: outputs ``uncertainty`` and ``visibility``, and ``calibration``. 3: ``scheme``. A file without
# stays at 2 or 1, so that programs that know nothing of them read it.
SCHEMA_VERSION, EXTRA_OUTPUTS_VERSION, PLAIN_SCHEMA_VERSION = 3, 2, 1
COMMON_SCHEMES = ("68", "98")
COLOUR = "RGB"
MAX_CROP_SCALE = 100.0  # a larger crop shows a face of a pixel or two

LANDMARKS_UNIT = "fraction of crop side from centre"
POSE_UNIT = "degrees / 90"
UNCERTAINTY_UNIT = "ln of the standard deviation in hundredths of the crop side"
VISIBILITY_UNIT = "logit of the probability that the point can be seen"
PLAIN_OUTPUTS = MappingProxyType({"landmarks": LANDMARKS_UNIT, "pose": POSE_UNIT})
OUTPUT_UNITS = MappingProxyType(
    {**PLAIN_OUTPUTS, UNCERTAINTY: UNCERTAINTY_UNIT, VISIBILITY: VISIBILITY_UNIT}
)


@dataclass(frozen=True)
class ModelMetadata:
    """What a model file says about itself.

    Attributes:
        architecture: for example ``asmnet``.
        landmarks: how many points it predicts.
        input_size: side of the square input, pixels; RGB, a value v is fed as (v - 128) / 128.
        recipe: how it was converted, for example ``qat_w8a8``.
        crop_scale: side of the crop as a multiple of the face box's longer side.
        outputs: output name -> unit.
        runs_on: targets that the file is made for (cpu, edgetpu, gpu); empty where it is not said.
        source: what it was made from: ``model_sha256`` of the float model, ``dataset_fingerprint``.
        metrics: measured figures, JSON types.
        licence: under which the weights may be used, or None when the training run names none.
        calibration: of the uncertainty, fitted by ``evaluate --calibrate``; None before.
        own_scheme: of the landmarks. None = the built-in one with so many; 68 and 98 are never
            written down, any other is, with all that it says.
    """

    architecture: str
    landmarks: int
    input_size: int
    recipe: str
    crop_scale: float = CROP_SCALE
    outputs: Mapping[str, str] = field(default_factory=lambda: PLAIN_OUTPUTS)
    runs_on: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    calibration: Calibration | None = None
    own_scheme: Scheme | None = None

    def __post_init__(self) -> None:
        if self.input_size > MAX_INPUT_SIZE:
            raise ModelError(
                f"expected an input size of at most {MAX_INPUT_SIZE} pixels, got {self.input_size}"
            )
        if self.own_scheme is None and str(self.landmarks) not in BUILT_IN:
            raise ModelError(
                f"expected {', '.join(BUILT_IN)} landmarks or a scheme of others, got "
                f"{self.landmarks!r}"
            )
        if self.scheme.points != self.landmarks:
            raise ModelError(
                f"expected a scheme of its {self.landmarks} landmarks, got one of "
                f"{self.scheme.points}"
            )
        if self.input_size < 1:
            raise ModelError(f"expected an input size of at least 1 pixel, got {self.input_size!r}")
        if not 0 < self.crop_scale <= MAX_CROP_SCALE:
            raise ModelError(
                f"expected a crop scale above 0 and up to {MAX_CROP_SCALE:g}, "
                f"got {self.crop_scale!r}"
            )
        if "landmarks" not in self.outputs:
            raise ModelError(f"expected an output 'landmarks', got {sorted(self.outputs)}")
        if self.calibration is not None and UNCERTAINTY not in self.outputs:
            raise ModelError(
                f"expected an output {UNCERTAINTY!r} beside its calibration, got "
                f"{sorted(self.outputs)}"
            )

    @property
    def schema_version(self) -> int:
        """The lowest version that has everything the file says."""
        if not self._is_common:
            return SCHEMA_VERSION
        plain = set(self.outputs) <= set(PLAIN_OUTPUTS)
        return PLAIN_SCHEMA_VERSION if plain else EXTRA_OUTPUTS_VERSION

    @property
    def scheme(self) -> Scheme:
        """Of the landmarks."""
        return self.own_scheme or scheme_of(self.landmarks)

    @property
    def _is_common(self) -> bool:
        """Whether every version of the kit and of the app knows the scheme by its count."""
        return self.scheme.name in COMMON_SCHEMES

    @property
    def file_name(self) -> str:
        """``<architecture>_<points>_<size>_<recipe>.tflite``."""
        return self.named()

    def named(self, variant: str = "") -> str:
        """``<architecture>_<variant>_<points>_<size>_<recipe>.tflite``."""
        words = (self.architecture, variant, self.landmarks, self.input_size, self.recipe)
        return "_".join(str(word) for word in words if word) + ".tflite"

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the metadata buffer."""
        return {
            "schema_version": self.schema_version,
            "architecture": self.architecture,
            "landmarks": self.landmarks,
            **({} if self._is_common else {"scheme": self.scheme.to_json()}),
            "input": {
                "size": self.input_size,
                "colour": COLOUR,
                "mean": MEAN,
                "scale": SCALE,
            },
            "crop": {"scale": self.crop_scale},
            "outputs": dict(self.outputs),
            "recipe": self.recipe,
            **({"calibration": self.calibration.to_json()} if self.calibration else {}),
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
        if not PLAIN_SCHEMA_VERSION <= version <= SCHEMA_VERSION:
            raise ModelError(
                f"expected metadata of schema version {PLAIN_SCHEMA_VERSION} to {SCHEMA_VERSION}, "
                f"got {version}: "
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
            own_scheme=_own_scheme(top.get("scheme", (dict, type(None)), default=None)),
            input_size=image.get("size", int),
            recipe=top.get("recipe", str),
            crop_scale=_Reader(top.get("crop", dict), "crop.").number("scale"),
            outputs=outputs,
            runs_on=tuple(map(str, top.get("runs_on", list, default=[]))),
            source=top.get("source", dict, default={}),
            metrics=top.get("metrics", dict, default={}),
            licence=top.get("licence", (str, type(None)), default=None),
            calibration=_calibration(top.get("calibration", (dict, type(None)), default=None)),
        )


def _own_scheme(content: dict[str, Any] | None) -> Scheme | None:
    if content is None:
        return None
    try:
        return scheme_from(content, where="its scheme")
    except UsageError as error:
        raise ModelError(str(error)) from error


def _calibration(content: dict[str, Any] | None) -> Calibration | None:
    if content is None:
        return None
    try:
        return Calibration.from_json(content)
    except ValueError as error:
        raise ModelError(
            f"its calibration is damaged ({error}): make it again with asmnet-kit evaluate "
            "--calibrate"
        ) from error


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

    def number(self, key: str) -> float:
        value = self.get(key, (int, float))
        try:
            return float(value)
        except OverflowError as error:  # JSON knows whole numbers of any length
            raise ModelError(
                f"expected metadata {self.where}{key} to be a number, got one beyond every float"
            ) from error


def read_metadata(source: Path | bytes) -> ModelMetadata:
    """What a .tflite file, or its bytes, says about itself.

    Raises:
        ModelError: no such file, not a TFLite model, cut off, or not written by asmnet-kit.
    """
    if isinstance(source, Path):
        return metadata_of(read_graph(source), name=str(source))
    return metadata_of(graph_of(source, name="model"), name="model")


def metadata_of(graph: Graph, *, name: str) -> ModelMetadata:
    """What a model says about itself.

    Args:
        name: of the file, for messages.

    Raises:
        ModelError: it was not written by asmnet-kit.
    """
    encoded = graph.metadata.get(METADATA_NAME)
    if encoded is None:
        raise ModelError(
            f"{name}: expected a model with a metadata buffer {METADATA_NAME!r}; "
            "it has none. Make the model with asmnet-kit quantize, or say what this one takes and "
            "gives with --adapter (docs/adapters.md)"
        )
    try:
        return ModelMetadata.from_json(parse_json(encoded))
    except ValueError as error:  # no text, or no JSON
        raise ModelError(
            f"{name}: metadata {METADATA_NAME!r} is not JSON: {one_line(error)}"
        ) from error
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def with_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """A .tflite with ``metadata`` in it, instead of what it said about itself before.

    The same model and metadata give the same bytes.

    Raises:
        ModelError: ``model`` is not a TFLite model, or cut off.
    """
    encoded = json.dumps(metadata.to_json(), sort_keys=True, allow_nan=False).encode()
    return with_entry(model, METADATA_NAME, encoded)
