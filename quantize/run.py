"""From a training run to one .tflite: data, conversion, accuracy before and after, the file."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit.console import stderr
from asmnet_kit.contract import verify_contract, verify_w8a8
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.errors import GateError, ModelError
from asmnet_kit.evaluate import Evaluation, evaluate
from asmnet_kit.files import write_bytes
from asmnet_kit.images import Image
from asmnet_kit.modelfile import OUTPUT_UNITS, ModelMetadata, with_metadata
from asmnet_kit.predictor import RUN_MODEL, TflitePredictor
from asmnet_kit.quantize.calibrate import Drift, collect_crops, drifts, layer_ranges
from asmnet_kit.quantize.convert import convert
from asmnet_kit.quantize.deployable import deployable, output_names_of
from asmnet_kit.quantize.equalise import concatenated, equalise
from asmnet_kit.quantize.finetune import FineTuning, finetune
from asmnet_kit.quantize.qat import emulate
from asmnet_kit.quantize.recipes import Recipe, recipe_of
from asmnet_kit.shape_model import ShapeModel
from asmnet_kit.training.augment import AUGMENTATIONS, AugmentRanges
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.manifest import read_manifest
from asmnet_kit.training.pipeline import FaceBatches
from asmnet_kit.training.predictor import KerasPredictor
from asmnet_kit.training.sources import Sources, choose_sources
from asmnet_kit.training.train import CONFIG, SHAPE_MODEL, prepared_faces

REJECTED = ".rejected"  # behind the name of a file that missed a gate: no *.tflite finds it


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """Everything that decides what a file holds, beside the run and the data.

    Attributes:
        recipe: name in ``recipes.RECIPES``.
        calibration_faces: augmented training crops that ranges are measured on. Averages of batch
            extremes over 16 batches of 32 differ by a few percent from those over all faces.
        epochs: of fine-tuning; see ``FineTuning``.
        learning_rate: of fine-tuning at its peak.
        seed: of calibration and fine-tuning.
    """

    recipe: str
    calibration_faces: int = 512
    epochs: int = FineTuning.epochs
    learning_rate: float = FineTuning.learning_rate
    seed: int = 0

    def to_json(self, recipe: Recipe) -> dict[str, Any]:
        """What of this the recipe uses."""
        content: dict[str, Any] = {"recipe": self.recipe}
        if recipe.calibrated:
            content |= {"calibration_faces": self.calibration_faces, "seed": self.seed}
        if recipe.fine_tuned:
            content |= {"epochs": self.epochs, "learning_rate": self.learning_rate}
        return content


@dataclass(frozen=True)
class Quantized:
    """A written file and what was measured.

    Attributes:
        path: of the .tflite.
        metadata: what it says about itself.
        size_bytes: of the file.
        before, after: accuracy of the float model and of the file on the same validation faces.
        validated_on: where these come from.
        range_drift: how far ranges moved in the last epoch of fine-tuning, the farthest first.
        equalised: factor by input of a concatenation.
    """

    path: Path
    metadata: ModelMetadata
    size_bytes: int
    before: Evaluation
    after: Evaluation
    validated_on: str
    range_drift: Sequence[Drift]
    equalised: dict[str, float]

    @property
    def nme_increase(self) -> float:
        """Percentage points of NME that the file has more than the float model."""
        return self.after.scores.nme_percent - self.before.scores.nme_percent

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit quantize --json``."""
        return {
            "schema_version": 1,
            "file": str(self.path),
            "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
            "size_bytes": self.size_bytes,
            "recipe": self.metadata.recipe,
            "runs_on": list(recipe_of(self.metadata.recipe).runs_on),
            "float_nme_percent": self.before.scores.nme_percent,
            "nme_percent": self.after.scores.nme_percent,
            "nme_increase": self.nme_increase,
            "validated_on": self.validated_on,
            "float": self.before.to_json(),
            "quantized": self.after.to_json(),
            "range_drift": {drift.layer: drift.share for drift in self.range_drift},
            "equalised": self.equalised,
            "metadata": self.metadata.to_json(),
        }


@dataclass(frozen=True)
class _Converted:
    content: bytes
    range_drift: Sequence[Drift] = ()
    equalised: tuple[tuple[str, float], ...] = ()


def quantize(
    run: Path,
    out: Path,
    *,
    config: QuantizeConfig,
    data: Path,
    format: str,
    split: str | None = None,
    max_nme_increase: float | None = None,
) -> Quantized:
    """Turn a run into ``out/<architecture>_<points>_<size>_<recipe>.tflite``.

    Args:
        run: folder of a training run.
        out: folder of the file; made when missing. Nothing is written before all checks.
        data, format, split: the faces it was trained on; a split called test is refused. The
            validation faces are the run's: its ``val_data``, else the split val, else the hold-out.
        max_nme_increase: percentage points that the file's NME may be above the float model's.

    Raises:
        UsageError: an unknown recipe or split.
        DatasetError: the data cannot be used.
        ModelError: no usable run, another number of landmarks than the data, or a file that breaks
            the contract.
        GateError: the NME rose too much; the file is kept under another name.
    """
    recipe = recipe_of(config.recipe)
    manifest = read_manifest(run)
    run_config = TrainConfig.load(run / CONFIG)
    before_predictor = KerasPredictor(run)
    sources = _sources(run, run_config, before_predictor, data, format, split)
    _seed_everything(config.seed)
    converted = _convert(recipe, config, run, run_config, before_predictor.model, sources)
    outputs = output_names_of(before_predictor.model)
    verify_contract(converted.content, outputs=set(outputs))
    if recipe.integer:
        verify_w8a8(converted.content)

    metadata = ModelMetadata(
        architecture=str(manifest.get("architecture", {}).get("name", run_config.arch)),
        landmarks=before_predictor.scheme.points,
        input_size=before_predictor.input_size,
        recipe=recipe.name,
        crop_scale=before_predictor.crop_scale,
        outputs={name: OUTPUT_UNITS[name] for name in outputs},
        source={
            "model_sha256": hashlib.sha256((run / RUN_MODEL).read_bytes()).hexdigest(),
            "dataset_fingerprint": manifest.get("dataset", {}).get("sha256"),
            "quantized_on": sources.train.fingerprint() if recipe.calibrated else None,
            "settings": config.to_json(recipe),
        },
        licence=manifest.get("licence"),
    )
    before = evaluate(before_predictor, sources.val)
    after = _evaluate_file(with_metadata(converted.content, metadata), metadata, sources.val)
    metadata = replace(metadata, metrics=_metrics(before, after))
    content = with_metadata(converted.content, metadata)
    path = out / metadata.file_name
    result = Quantized(
        path=path,
        metadata=metadata,
        size_bytes=len(content),
        before=before,
        after=after,
        validated_on=sources.description,
        range_drift=converted.range_drift,
        equalised=dict(converted.equalised),
    )
    if max_nme_increase is not None and result.nme_increase > max_nme_increase:
        rejected = path.with_name(path.name + REJECTED)
        write_bytes(rejected, content)
        raise GateError(
            f"{recipe.name} raises the NME by {result.nme_increase:.3f} percentage points, from "
            f"{before.scores.nme_percent:.3f} % to {after.scores.nme_percent:.3f} %, and "
            f"--max-nme-increase allows {max_nme_increase:g}. The model is kept as {rejected}, "
            f"{path.name} was not written"
        )
    write_bytes(path, content)
    return result


def _sources(
    run: Path,
    run_config: TrainConfig,
    predictor: KerasPredictor,
    data: Path,
    format: str,
    split: str | None,
) -> Sources:
    """The training and validation faces, chosen as the run chose its own.

    Raises:
        ModelError: the data has another number of landmarks than the model.
    """
    points = predictor.scheme.points
    config = replace(
        run_config,
        data=str(data.expanduser().resolve()),
        format=format,
        split=run_config.split if split is None else split,
        # Another format's validation folder could not be read.
        val_data=run_config.val_data if format == run_config.format else "",
        # Synthetic faces have 68 and 98 landmarks; other data has what it has.
        points=points if format == "synthetic" else 0,
        input_size=predictor.input_size,
    )
    sources = choose_sources(config)
    if sources.train.scheme.points != points:
        raise ModelError(
            f"{run} predicts {points} landmarks, {data} has {sources.train.scheme.points}: "
            "quantize on data like that it was trained on"
        )
    return sources


def _convert(
    recipe: Recipe,
    config: QuantizeConfig,
    run: Path,
    run_config: TrainConfig,
    model: tf_keras.Model,
    sources: Sources,
) -> _Converted:
    """The bytes of the .tflite without metadata."""
    if not recipe.calibrated:
        return _Converted(convert(model, recipe))
    size = int(model.inputs[0].shape[1])
    crops = collect_crops(
        _calibration_batches(
            sources.train,
            size=size,
            seed=config.seed,
            ranges=AUGMENTATIONS[run_config.augmentation],
        ),
        config.calibration_faces,
        input_size=size,
    )
    float_model = deployable(model)
    equalised = tuple(_equalise(float_model, crops).items())
    if not recipe.fine_tuned:
        return _Converted(convert(float_model, recipe, crops=crops), equalised=equalised)
    names = output_names_of(model)
    emulated = emulate(float_model, crops)
    emulated = tf_keras.Model(
        emulated.inputs, dict(zip(names, emulated.outputs, strict=True)), name=model.name
    )
    shape_path = run / SHAPE_MODEL
    with prepared_faces(sources, run, run_config, is_chief=False) as (train_faces, val_faces):
        tuned = finetune(
            emulated,
            train_faces,
            val_faces,
            run_config=replace(run_config, input_size=size),
            shape_model=ShapeModel.load(shape_path) if shape_path.exists() else None,
            label_weights=sources.label_weights,
            settings=FineTuning(epochs=config.epochs, learning_rate=config.learning_rate),
            seed=config.seed,
        )
    return _Converted(
        convert(emulated, recipe),
        range_drift=drifts(tuned.ranges[-2], tuned.ranges[-1]),
        equalised=equalised,
    )


def _equalise(model: tf_keras.Model, crops: Image) -> dict[str, float]:
    taps = concatenated(model)
    if not taps:
        return {}
    ranges = layer_ranges(model, taps, crops)
    return equalise(model, {name: max(-low, high) for name, (low, high) in ranges.items()})


def _calibration_batches(
    dataset: Dataset, *, size: int, seed: int, ranges: AugmentRanges
) -> Iterator[dict[str, tf.Tensor]]:
    """Augmented training batches, epoch after epoch, without an end."""
    data = FaceBatches(
        dataset.faces,
        dataset.scheme,
        size=size,
        batch_size=min(32, len(dataset.faces)),
        seed=seed,
        ranges=ranges,
    )
    epoch = 0
    while True:
        try:
            yield from data.epoch(epoch, replicas=range(1), replica_count=1)
        except tf.errors.OpError as error:
            # A picture that could not be read: tf.data passes on a text, the cause is kept here.
            raise data.failure or error from error
        epoch += 1


def _evaluate_file(content: bytes, metadata: ModelMetadata, dataset: Dataset) -> Evaluation:
    """The accuracy of a model that is not written yet, by the runtime that users have."""
    with tempfile.TemporaryDirectory(prefix="asmnet_kit_") as folder:
        path = Path(folder) / metadata.file_name
        path.write_bytes(content)
        return evaluate(TflitePredictor(path, threads=os.cpu_count() or 1), dataset)


def _metrics(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """What the file says about its accuracy: on the validation faces, not on a test set."""
    return {
        "validation": {
            "dataset": after.dataset,
            "dataset_fingerprint": after.dataset_fingerprint,
            "faces": after.scores.faces,
            "float_nme_percent": before.scores.nme_percent,
            "nme_percent": after.scores.nme_percent,
            "float_pose_mae_deg": before.scores.pose_mae_deg,
            "pose_mae_deg": after.scores.pose_mae_deg,
        }
    }


def _seed_everything(seed: int) -> None:
    """Same run, recipe, seed and machine: the same file."""
    tf_keras.utils.set_random_seed(seed)
    if tf.config.list_physical_devices("GPU"):
        stderr().print(
            "[yellow]On a GPU the gradient of emulated rounding has no reproducible form: another "
            "qat_w8a8 with this seed will differ slightly.[/yellow]"
        )
        return
    tf.config.experimental.enable_op_determinism()
