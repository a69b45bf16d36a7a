"""What a path is as a model, decided once for every command, and what a command does with it.

A command names the kinds that it takes; everything else is refused here, in one line with the way
to go on. docs/quantization.md has the table that follows from this one.
"""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import require_exists
from asmnet_kit.base.keras_config import keras_version
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of
from asmnet_kit.base.reading import MAX_MODEL_BYTES, open_file
from asmnet_kit.base.run_folder import CONFIG, MANIFEST, MODEL

ModelKind = Literal["tflite", "run", "keras", "keras3", "h5", "saved_model", "onnx"]

SAVED_MODEL = "saved_model.pb"  # in the folder of a SavedModel
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TFLITE = b"TFL3"  # bytes 4..7
_SUFFIXES: Mapping[str, ModelKind] = MappingProxyType(
    {".tflite": "tflite", ".h5": "h5", ".hdf5": "h5", ".onnx": "onnx"}
)
_QUANTIZE = (
    "make a .tflite of it first: asmnet-kit quantize {path} --recipe fp32 --data DIR --out models"
)


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        short: for lists of what a command takes.
        words: what it is, exactly.
        way_out: how to make one that a command takes; {path} is the model.
        layers: its layers are known, which fine-tuning and sensitivity take.
    """

    short: str
    words: str
    way_out: str
    layers: bool = True


KINDS: Mapping[ModelKind, Kind] = MappingProxyType(
    {
        "tflite": Kind(
            "a .tflite", "a .tflite", "give the float model that it was made from", layers=False
        ),
        "run": Kind("a run folder", "the folder of a training run", _QUANTIZE),
        "keras": Kind("a .keras", "a .keras of tf_keras (Keras 2)", _QUANTIZE),
        "keras3": Kind("a .keras", "a .keras of Keras 3", _QUANTIZE),
        "h5": Kind("an .h5", "an .h5 of Keras", _QUANTIZE),
        "saved_model": Kind("a SavedModel", "a SavedModel", _QUANTIZE, layers=False),
        "onnx": Kind(
            "an .onnx",
            "an ONNX model",
            "make a SavedModel of it, in a Python environment of its own: pip install onnx2tf, "
            "onnx2tf -i {path} -o saved_model -osd; then asmnet-kit quantize saved_model",
            layers=False,
        ),
    }
)
FLOAT: tuple[ModelKind, ...] = ("run", "keras", "keras3", "h5", "saved_model")  # by TensorFlow
RUNNABLE: tuple[ModelKind, ...] = ("tflite", *FLOAT)
WITH_LAYERS: tuple[ModelKind, ...] = tuple(kind for kind in FLOAT if KINDS[kind].layers)

_PYTORCH = (
    "of PyTorch",
    "export it to ONNX (torch.onnx.export), or convert it with litert-torch",
)
# Suffix -> what a model that no command takes is, and the way out.
_FOREIGN = MappingProxyType(
    {
        ".pt": _PYTORCH,
        ".pth": _PYTORCH,
        ".pb": ("of TensorFlow", "a SavedModel is given as its folder"),
        ".ckpt": ("of TensorFlow's weights alone", "save the whole model as a .keras"),
        ".pkl": ("of Python's pickle", "it is code, and is never loaded"),
        ".caffemodel": ("of Caffe", "convert it to ONNX first"),
        ".mlmodel": ("of Core ML", "give the model that it was made from"),
    }
)


def expected_words(takes: Collection[ModelKind]) -> str:
    """The kinds that a command takes: "a .tflite, a run folder or a .keras"."""
    shorts = list(dict.fromkeys(KINDS[kind].short for kind in takes))
    return " or ".join(filter(None, (", ".join(shorts[:-1]), shorts[-1])))


def model_kind(path: Path) -> ModelKind:
    """Which kind of model is at ``path``.

    Raises:
        UsageError: nothing is there.
        ModelError: something else, which the message names with a way to go on.
    """
    return _kind(path, expected=expected_words(RUNNABLE))


def require_kind(path: Path, takes: Collection[ModelKind]) -> ModelKind:
    """The kind of the model at ``path``, which must be one that a command takes.

    Raises:
        UsageError: nothing is there.
        ModelError: it is something else; the message says how to go on.
    """
    expected = expected_words(takes)
    kind = _kind(path, expected=expected)
    if kind not in takes:
        got = KINDS[kind]
        way_out = got.way_out.format(path=shlex.quote(str(path)))
        raise ModelError(f"{path}: expected {expected}, got {got.words}: {way_out}")
    return kind


def is_keras_3(version: str) -> bool:
    """Whether a version is of Keras 3, whose files tf_keras cannot read."""
    major = version.split(".")[0]
    return major.isdecimal() and int(major) >= 3


def _kind(path: Path, *, expected: str) -> ModelKind:
    require_exists(path, expected=expected)
    if path.is_dir():
        return _folder_kind(path, expected)
    suffix = path.suffix.lower()
    if suffix == ".keras":
        return "keras3" if is_keras_3(keras_version(path)) else "keras"
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    try:
        with open_file(path, limit=2 * MAX_MODEL_BYTES) as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; expected {expected}") from error
    if head[4:8] == _TFLITE:
        return "tflite"
    if head.startswith(_HDF5):
        return "h5"
    got = f"a {suffix} file" if suffix else "a file without a suffix"
    if suffix in _FOREIGN:
        framework, way_out = _FOREIGN[suffix]
        raise ModelError(f"{path}: expected {expected}, got {got} {framework}: {way_out}")
    raise ModelError(f"{path}: expected {expected}, got {got}: {kind_of(head)}")


def _folder_kind(path: Path, expected: str) -> ModelKind:
    if (path / SAVED_MODEL).exists():
        return "saved_model"
    if any((path / name).exists() for name in (MODEL, MANIFEST, CONFIG)):
        return "run"
    raise ModelError(
        f"{path}: expected {expected}, got a folder without {MODEL}, which a training run writes "
        f"at its end, and without a SavedModel's {SAVED_MODEL}"
    )
