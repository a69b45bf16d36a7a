"""A user's own regression model whose outputs are no landmarks: pictures in, one .tflite out.

Nothing is known of such a model but its pictures and its numbers: the file carries no metadata of
the kit, and what is measured is how far its outputs are from the float model's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, ModelError, UsageError
from asmnet_kit.base.files import require_exists, temporary_folder, write_bytes
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.face.pictures import Image, read_image
from asmnet_kit.quantize.convert import convert
from asmnet_kit.quantize.ranges.calibrate import collect_crops
from asmnet_kit.quantize.run import QuantizeConfig
from asmnet_kit.quantize.source.float_model import load_own_model, name_of
from asmnet_kit.quantize.source.fold import output_names_of
from asmnet_kit.tflite.audit import Audit, audit_model
from asmnet_kit.tflite.contract import verify_contract, verify_w8a8
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.runtime import dequantize, open_runtime
from asmnet_kit.training.networks.keras_predictor import input_size_of

SCHEMA_VERSION = 1
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MEASURED_PICTURES = 64
MAX_OUTPUTS = 2

Outputs = dict[str, NDArray[np.float32]]  # name -> [B, values]


@dataclass(frozen=True)
class OutputDifference:
    """How far one output of the file is from the float model's.

    Attributes:
        values: how many numbers it has.
        mean, largest: absolute difference, in the output's own unit.
        width: between the least and the greatest value of the float model.
    """

    values: int
    mean: float
    largest: float
    width: float


@dataclass(frozen=True)
class QuantizedRegression:
    """A written file and what was measured on ``pictures`` pictures."""

    path: Path
    recipe: str
    runs_on: tuple[str, ...]
    size_bytes: int
    pictures: int
    outputs: Mapping[str, OutputDifference]
    audit: Audit

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit quantize --json`` without ``--format``."""
        audit = self.audit.to_json()
        return {
            "schema_version": SCHEMA_VERSION,
            "file": str(self.path),
            "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
            "size_bytes": self.size_bytes,
            "recipe": self.recipe,
            "runs_on": list(self.runs_on),
            "pictures": self.pictures,
            "outputs": {name: dict(vars(value)) for name, value in self.outputs.items()},
            "audit": {key: audit[key] for key in ("verdicts", "findings", "operators")},
        }


def quantize_regression(
    path: Path, out: Path, *, config: QuantizeConfig, data: Path
) -> QuantizedRegression:
    """Turn a model with one or two outputs [B, values] into ``out/<name>_<recipe>.tflite``.

    Args:
        path: of a functional or Sequential model, or a SavedModel, with one input [B, S, S, 3].
        data: folder of pictures like those that the model will see; each is shrunk or enlarged to
            S x S as a whole.

    Raises:
        UsageError: a recipe that fine-tunes, which takes labels.
        DatasetError: no pictures, or none that can be calibrated on.
        ModelError: a model that cannot be taken; the message says what would be needed.
    """
    recipe = config.chosen_recipe()
    if recipe.tune is not None:
        raise UsageError(
            f"{recipe.name} fine-tunes on labelled faces: give --format, or take ptq_w8a8, which "
            "needs pictures alone"
        )
    model = load_own_model(
        path, mean=config.input_mean, scale=config.input_scale, side=config.input_side
    )
    size = _checked_size(model, path)
    pictures = load_pictures(data, config.calibration_faces, size=size)
    crops = collect_crops([{"image": pictures}], len(pictures), input_size=size)
    prepared = recipe.prepare(model, lambda: crops)
    content = convert(prepared.model, recipe.converter, crops=prepared.crops)
    verify_contract(content, outputs=set(output_names_of(model)))
    if recipe.is_int8_throughout:
        verify_w8a8(content)
    target = out / f"{name_of(path)}_{recipe.name}.tflite"
    seen = pictures[:MEASURED_PICTURES]
    with temporary_folder() as folder:
        unwritten = folder / target.name
        unwritten.write_bytes(content)
        differences = _compare(_float_outputs(model, seen), _file_outputs(unwritten, seen))
        audit = audit_model(unwritten, crops=seen if recipe.calibrates else None)
    write_bytes(target, content)
    return QuantizedRegression(
        path=target,
        recipe=recipe.name,
        runs_on=recipe.runs_on,
        size_bytes=len(content),
        pictures=len(seen),
        outputs=differences,
        audit=audit,
    )


def load_pictures(folder: Path, count: int, *, size: int) -> Image:
    """Up to ``count`` pictures below a folder, spread evenly, uint8 [N, size, size, 3], RGB.

    Raises:
        UsageError: there is no such folder.
        DatasetError: none are there, or too many cannot be read; fewer are left out and told.
    """
    require_exists(folder, expected="a folder of pictures")
    found = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and not p.name.startswith(".")
    )
    if not found:
        raise DatasetError(
            f"{folder}: expected pictures ({', '.join(PICTURES)}) below this folder, found none"
        )
    chosen = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    pictures = []
    left_out = LeftOut(str(folder), len(chosen))
    for index in chosen:
        try:
            picture = read_image(found[index])
        except DatasetError as error:
            left_out.add(str(found[index]), error)
            continue
        shrinks = size < max(picture.shape[:2])
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pictures.append(cv2.resize(picture, (size, size), interpolation=interpolation))
    return np.stack(pictures).astype(np.uint8)


def _checked_size(model: tf_keras.Model, path: Path) -> int:
    """S of the input [B, S, S, 3]; the outputs are looked at, too.

    Raises:
        ModelError: another input, or outputs that are not one or two rows of numbers.
    """
    size = input_size_of(model, str(path))
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if len(outputs) > MAX_OUTPUTS or any(len(shape) != 2 for shape in outputs):
        raise ModelError(
            f"{path}: expected one or two outputs of [B, values], got {outputs}: drop the "
            "others with tf_keras.Model(model.input, [the outputs to keep])"
        )
    return size


def _float_outputs(model: tf_keras.Model, pictures: Image) -> Outputs:
    values = model(to_float_input(pictures), training=False)
    return {name: np.asarray(values[name]) for name in output_names_of(model)}


def _file_outputs(path: Path, pictures: Image) -> Outputs:
    runtime = open_runtime(path)
    raw = input_values(pictures, runtime.inputs["image"])
    results = [runtime.run({"image": picture[None]}) for picture in raw]
    return {
        name: np.concatenate([dequantize(result[name], info) for result in results])
        for name, info in runtime.outputs.items()
    }


def _compare(before: Outputs, after: Outputs) -> dict[str, OutputDifference]:
    found = {}
    for name, expected in before.items():
        difference = np.abs(after[name] - expected)
        found[name] = OutputDifference(
            values=expected.shape[1],
            mean=float(difference.mean()),
            largest=float(difference.max()),
            width=float(expected.max() - expected.min()),
        )
    return found
