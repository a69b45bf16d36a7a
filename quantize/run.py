"""From a float model to one .tflite: data, conversion, accuracy before and after, the file."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit import __version__
from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import GateError
from asmnet_kit.base.files import write_bytes
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.face.pictures import Image
from asmnet_kit.measure.drift import Landmarks, PixelDrift, Recorder
from asmnet_kit.measure.evaluate import Evaluation, evaluate
from asmnet_kit.measure.face_crops import face_crops
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.quantize.convert import convert
from asmnet_kit.quantize.ranges.calibrate import Drift, drifts
from asmnet_kit.quantize.ranges.int8_ready import Int8Ready, int8_ready
from asmnet_kit.quantize.recipes import Recipe, recipe_of
from asmnet_kit.quantize.rounding.emulate import emulate
from asmnet_kit.quantize.rounding.emulated_file import SUFFIX, save_emulated
from asmnet_kit.quantize.rounding.finetune import FineTuning, finetune
from asmnet_kit.quantize.rounding.sensitivity import Sensitivity, measure_sensitivity
from asmnet_kit.quantize.rounding.unfinished_tuning import UnfinishedTuning
from asmnet_kit.quantize.source.float_model import FloatModel, open_float_model
from asmnet_kit.quantize.source.fold import output_names_of, with_outputs
from asmnet_kit.tflite.audit import Audit, audit_model
from asmnet_kit.tflite.contract import verify_contract, verify_w8a8
from asmnet_kit.tflite.metadata import OUTPUT_UNITS, ModelMetadata, with_metadata
from asmnet_kit.training.data.prepared import prepared_faces
from asmnet_kit.training.data.sources import Sources
from asmnet_kit.training.manifest import package_versions

REJECTED = ".rejected"  # behind the name of a file that missed a gate: no *.tflite finds it
AUDITED_CROPS = 64  # whose activations are looked at for what is cut off
GATE_FACES = 128  # on which the layer that costs most is looked for
SHOWN_CLIPPING = 3


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """Everything that decides what a file holds, beside the run and the data.

    Attributes:
        recipe: name in ``recipes.RECIPES``.
        calibration_faces: augmented training crops that ranges are measured on. Averages of batch
            extremes over 16 batches of 32 differ by a few percent from those over all faces.
        epochs: of fine-tuning; see ``FineTuning``.
        learning_rate: of fine-tuning at its peak.
        distil: share of fine-tuning's loss that pulls towards the float model's outputs.
        keep_float: layers that are not rounded.
        input_mean, input_scale: of a .keras file that takes (v - mean) / scale; the kit's 128 and
            128 unless told.
        seed: of calibration and fine-tuning.
    """

    recipe: str
    calibration_faces: int = 512
    epochs: int = FineTuning.epochs
    learning_rate: float = FineTuning.learning_rate
    distil: float = FineTuning.distil
    keep_float: tuple[str, ...] = ()
    input_mean: float | None = None
    input_scale: float | None = None
    seed: int = 0

    def to_json(self, recipe: Recipe) -> dict[str, Any]:
        """What of this the recipe uses."""
        content: dict[str, Any] = {"recipe": self.recipe}
        if recipe.calibrated:
            content |= {"calibration_faces": self.calibration_faces, "seed": self.seed}
        if recipe.fine_tuned:
            content |= {"epochs": self.epochs, "learning_rate": self.learning_rate}
            content |= {"distil": self.distil}
        if recipe.integer and self.keep_float:
            content |= {"keep_float": list(self.keep_float)}
        for name in ("input_mean", "input_scale"):
            if getattr(self, name) is not None:
                content[name] = getattr(self, name)
        return content

    def runs_on(self, recipe: Recipe) -> tuple[str, ...]:
        """The targets that the file is made for: a float layer stays on the CPU."""
        return tuple(t for t in recipe.runs_on if t == "cpu" or not self.keep_float)


@dataclass(frozen=True)
class Quantized:
    """A written file and what was measured.

    Attributes:
        path: of the .tflite.
        metadata: what it says about itself.
        size_bytes: of the file.
        before, after: accuracy of the float model and of the file on the same validation faces.
        pixel_drift: between the landmarks of both.
        validated_on: where these come from.
        audit: of the file; with what is cut off where the recipe calibrates.
        range_drift: how far ranges moved in the last epoch of fine-tuning, the farthest first.
        equalised: factor by input of a concatenation.
    """

    path: Path
    metadata: ModelMetadata
    size_bytes: int
    before: Evaluation
    after: Evaluation
    pixel_drift: PixelDrift
    validated_on: str
    audit: Audit
    range_drift: Sequence[Drift]
    equalised: dict[str, float]

    @property
    def nme_increase(self) -> float:
        """Percentage points of NME that the file has more than the float model."""
        return self.after.scores.nme_percent - self.before.scores.nme_percent

    @property
    def runs_on(self) -> tuple[str, ...]:
        """The targets that the file is made for."""
        return self.metadata.runs_on

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit quantize --json``."""
        audit = self.audit.to_json()
        return {
            "schema_version": 1,
            "file": str(self.path),
            "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
            "size_bytes": self.size_bytes,
            "recipe": self.metadata.recipe,
            "runs_on": list(self.runs_on),
            "float_nme_percent": self.before.scores.nme_percent,
            "nme_percent": self.after.scores.nme_percent,
            "nme_increase": self.nme_increase,
            "pixel_drift": self.pixel_drift.to_json(),
            "validated_on": self.validated_on,
            "float": self.before.to_json(),
            "quantized": self.after.to_json(),
            "range_drift": {drift.layer: drift.share for drift in self.range_drift},
            "equalised": self.equalised,
            "audit": {key: audit[key] for key in ("verdicts", "findings", "operators")},
            "metadata": self.metadata.to_json(),
        }


@dataclass(frozen=True)
class Gates:
    """How much worse a file may be than the float model; None = anything.

    Attributes:
        max_nme_increase: percentage points of NME on the validation faces.
        max_pixel_drift: pixels of the crop, p99 over the validation faces.
    """

    max_nme_increase: float | None = None
    max_pixel_drift: float | None = None

    def missed(self, result: Quantized) -> str:
        """What was missed, a clause; empty when nothing was."""
        before, after = result.before.scores, result.after.scores
        if self.max_nme_increase is not None and result.nme_increase > self.max_nme_increase:
            return (
                f"{result.metadata.recipe} raises the NME by {result.nme_increase:.3f} percentage "
                f"points, from {before.nme_percent:.3f} % to {after.nme_percent:.3f} %, and "
                f"--max-nme-increase allows {self.max_nme_increase:g}"
            )
        if self.max_pixel_drift is not None and result.pixel_drift.p99 > self.max_pixel_drift:
            return (
                f"{result.metadata.recipe} moves the landmarks of one face in a hundred by "
                f"{result.pixel_drift.p99:.3f} pixels of the crop or more, and --max-pixel-drift "
                f"allows {self.max_pixel_drift:g}"
            )
        return ""


@dataclass(frozen=True)
class _Converted:
    content: bytes
    ready: Int8Ready | None = None
    emulated: tf_keras.Model | None = None
    range_drift: Sequence[Drift] = ()


def quantize(
    run: Path,
    out: Path,
    *,
    config: QuantizeConfig,
    data: Path,
    format: str,
    split: str | None = None,
    moved: Mapping[str, Path] | None = None,
    gates: Gates | None = None,
    resume: bool = False,
    keep_emulated: bool = False,
) -> Quantized:
    """Turn a float model into ``out/<architecture>_<points>_<size>_<recipe>.tflite``.

    Args:
        run: folder of a training run, or a .keras file.
        out: folder of the file; made when missing. No .tflite is written before all checks.
            Fine-tuning keeps its checkpoints in a folder beside it until then.
        data, format, split: the faces it was trained on; a split called test is refused. The
            validation faces are the run's: its ``val_data``, else the split val, else the hold-out.
        moved: ``teacher`` and ``val_data`` of the run, where they are elsewhere now.
        gates: how much worse the file may be.
        resume: go on with the fine-tuning that was interrupted.
        keep_emulated: write the weights of the emulated model beside the file, for ``parity``.

    Raises:
        UsageError: an unknown recipe, split or layer; a fine-tuning begun with other settings.
        DatasetError: the data cannot be used.
        ModelError: no usable model, another number of landmarks than the data, or a file that
            breaks the contract.
        GateError: it is worse than ``gates`` allow; the file is kept under another name.
    """
    recipe = recipe_of(config.recipe)
    source = open_float_model(run, mean=config.input_mean, scale=config.input_scale)
    sources = source.sources(data, format, split, taught=recipe.fine_tuned, moved=moved)
    _seed_everything(config.seed)
    metadata = _about(recipe, config, source, sources)
    path = out / metadata.file_name
    tuning = UnfinishedTuning(path, metadata, resume=resume)
    converted = _convert(recipe, config, source, sources, tuning)
    verify_contract(converted.content, outputs=set(metadata.outputs))
    if recipe.integer and not config.keep_float:
        verify_w8a8(converted.content)

    before_predictor = Recorder(source.predictor)
    before = evaluate(before_predictor, sources.val)
    ready = converted.ready
    after, after_landmarks, audit = _measure(
        with_metadata(converted.content, metadata),
        metadata,
        sources.val,
        crops=None if ready is None else ready.crops[:AUDITED_CROPS],
    )
    drift = PixelDrift.between(
        before_predictor.landmarks, after_landmarks, size=metadata.input_size
    )
    metadata = replace(metadata, metrics=_metrics(before, after, drift))
    content = with_metadata(converted.content, metadata)
    result = Quantized(
        path=path,
        metadata=metadata,
        size_bytes=len(content),
        before=before,
        after=after,
        pixel_drift=drift,
        validated_on=sources.description,
        audit=audit,
        range_drift=converted.range_drift,
        equalised={} if ready is None else ready.factors,
    )
    _warn_of_clipping(audit)
    missed = (gates or Gates()).missed(result)
    if missed:
        rejected = path.with_name(path.name + REJECTED)
        write_bytes(rejected, content)
        tuning.forget()
        raise GateError(
            f"{missed}. {_blame(recipe, source, sources, ready, by_drift='drift' in missed)}The "
            f"model is kept as {rejected}, {path.name} was not written"
        )
    if keep_emulated and converted.emulated is not None:
        save_emulated(path.with_name(path.name + SUFFIX), converted.emulated.get_weights())
    write_bytes(path, content)
    tuning.forget()
    return result


def _about(
    recipe: Recipe, config: QuantizeConfig, source: FloatModel, sources: Sources
) -> ModelMetadata:
    """What the file says about itself, before anything is measured: all that went into it."""
    return ModelMetadata(
        architecture=source.architecture,
        landmarks=source.predictor.scheme.points,
        input_size=source.predictor.input_size,
        recipe=recipe.name,
        crop_scale=source.predictor.crop_scale,
        outputs={name: OUTPUT_UNITS[name] for name in output_names_of(source.model)},
        runs_on=config.runs_on(recipe),
        source={
            "model_sha256": source.sha256,
            "dataset_fingerprint": source.dataset_fingerprint,
            "quantized_on": sources.train.fingerprint() if recipe.calibrated else None,
            "settings": config.to_json(recipe),
            "kit_version": __version__,
            "packages": package_versions(),
        },
        licence=source.licence,
    )


def sensitivity(
    run: Path,
    *,
    data: Path,
    format: str,
    split: str | None = None,
    faces: int,
    calibration_faces: int = QuantizeConfig.calibration_faces,
    seed: int = 0,
    input_mean: float | None = None,
    input_scale: float | None = None,
    on_progress: Any = None,
) -> Sensitivity:
    """Measure what int8 costs in each layer of a run or .keras file.

    Args:
        run, data, format, split: as for ``quantize``.
        faces: of the validation faces, spread evenly.
        calibration_faces, seed, input_mean, input_scale: as in ``QuantizeConfig``.
        on_progress: called with (measurements done, in all).

    Raises:
        As ``quantize``.
    """
    source = open_float_model(run, mean=input_mean, scale=input_scale)
    sources = source.sources(data, format, split)
    _seed_everything(seed)
    ready = int8_ready(source, sources, calibration_faces=calibration_faces, seed=seed)
    return _sensitivity(source, sources, ready, faces=faces, on_progress=on_progress)


def _sensitivity(
    source: FloatModel, sources: Sources, ready: Int8Ready, *, faces: int, **options: Any
) -> Sensitivity:
    crops = face_crops(
        sources.val,
        count=faces,
        size=source.predictor.input_size,
        scale=source.predictor.crop_scale,
    )
    names = output_names_of(source.model)
    return measure_sensitivity(ready.model, ready.crops, crops, output_names=names, **options)


def _blame(
    recipe: Recipe,
    source: FloatModel,
    sources: Sources,
    ready: Int8Ready | None,
    *,
    by_drift: bool,
) -> str:
    """A sentence that names the layer which costs most; empty where nothing is rounded to int8."""
    if not recipe.integer or ready is None:
        return ""
    found = _sensitivity(source, sources, ready, faces=GATE_FACES, only_int8=False)
    cost = found.costliest(by_drift=by_drift)
    gain = (
        f"{found.gain_px(cost):.3f} pixels of the drift"
        if by_drift
        else f"{found.gain_percent(cost):.3f} percentage points"
    )
    return (
        f"The layer that costs most, before fine-tuning, is {cost.layer}: left in float "
        f"(--keep-float {cost.layer}) it gains {gain}. "
    )


def _convert(
    recipe: Recipe,
    config: QuantizeConfig,
    source: FloatModel,
    sources: Sources,
    tuning: UnfinishedTuning,
) -> _Converted:
    """The bytes of the .tflite without metadata."""
    model = source.model
    if not recipe.calibrated:
        return _Converted(convert(model, recipe))
    ready = int8_ready(
        source, sources, calibration_faces=config.calibration_faces, seed=config.seed
    )
    names = output_names_of(model)
    if not recipe.fine_tuned and not config.keep_float:
        named = with_outputs(ready.model, names)
        return _Converted(convert(named, recipe, crops=ready.crops), ready)
    emulated = emulate(ready.model, ready.crops, keep_float=config.keep_float)
    emulated = with_outputs(emulated, names)
    if not recipe.fine_tuned:
        # The ranges of calibration, in the form that can leave a layer out.
        return _Converted(convert(emulated, recipe, emulated=True), ready, emulated)
    run_config = source.config_for(sources.train.format)
    with (
        tuning.begun(),
        prepared_faces(sources, None, run_config) as faces,
    ):
        tuned = finetune(
            emulated,
            *faces,
            run_config=run_config,
            shape_model=source.shape_model,
            label_weights=sources.label_weights,
            settings=FineTuning(
                epochs=config.epochs, learning_rate=config.learning_rate, distil=config.distil
            ),
            seed=config.seed,
            teacher=model,
            checkpoints=tuning.checkpoints,
            resume=tuning.resume,
        )
    return _Converted(
        convert(emulated, recipe), ready, emulated, drifts(tuned.ranges[-2], tuned.ranges[-1])
    )


def _measure(
    content: bytes, metadata: ModelMetadata, dataset: Dataset, *, crops: Image | None
) -> tuple[Evaluation, Landmarks, Audit]:
    """Accuracy, landmarks and audit of a model that is not written yet, by the users' runtime."""
    with tempfile.TemporaryDirectory(prefix="asmnet_kit_") as folder:
        path = Path(folder) / metadata.file_name
        path.write_bytes(content)
        predictor = Recorder(TflitePredictor(path, threads=os.cpu_count() or 1))
        evaluation = evaluate(predictor, dataset)
        return evaluation, predictor.landmarks, audit_model(path, crops=crops)


def _warn_of_clipping(audit: Audit) -> None:
    for tensor, seen in audit.clipped()[:SHOWN_CLIPPING]:
        stderr().print(
            f"[yellow]{tensor.name}: {seen.share:.2%} of its values on calibration faces are cut "
            "off at the ends of its range; more --calibration-faces widen it[/yellow]"
        )


def _metrics(before: Evaluation, after: Evaluation, drift: PixelDrift) -> dict[str, Any]:
    """What the file says about its accuracy: on the validation faces, not on a test set."""
    return {
        "validation": {
            "dataset": after.dataset,
            "dataset_fingerprint": after.dataset_fingerprint,
            "faces": after.scores.faces,
            "float_nme_percent": before.scores.nme_percent,
            "nme_percent": after.scores.nme_percent,
            "pixel_drift": drift.to_json(),
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
