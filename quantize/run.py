"""From a float model to one .tflite: data, conversion, accuracy before and after, the file."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit import __version__
from asmnet_kit.adapters.adapter import read_adapter
from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import GateError
from asmnet_kit.base.files import temporary_folder, write_bytes
from asmnet_kit.base.model_kind import KINDS, model_kind
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.measure.drift import PixelDrift, Recorder
from asmnet_kit.measure.evaluate import Evaluation, evaluate
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.quantize.convert import convert
from asmnet_kit.quantize.gates import Gates, costliest_layer
from asmnet_kit.quantize.ranges.calibrate import Drift
from asmnet_kit.quantize.ranges.int8_ready import calibration_crops, int8_ready
from asmnet_kit.quantize.recipes import Recipe, recipe_of
from asmnet_kit.quantize.rounding.emulated_file import SUFFIX, save_emulated
from asmnet_kit.quantize.rounding.finetune import FineTuning, TuningJob
from asmnet_kit.quantize.rounding.sensitivity import Sensitivity, layer_costs
from asmnet_kit.quantize.rounding.unfinished_tuning import UnfinishedTuning
from asmnet_kit.quantize.source.float_model import FaceData, FloatModel, open_float_model
from asmnet_kit.quantize.source.fold import output_names_of
from asmnet_kit.tflite.audit import Audit, audit_model
from asmnet_kit.tflite.contract import verify_contract, verify_w8a8
from asmnet_kit.tflite.metadata import OUTPUT_UNITS, ModelMetadata, with_metadata
from asmnet_kit.tflite.runtime import all_threads
from asmnet_kit.training.data.sources import Sources
from asmnet_kit.training.manifest import package_versions

REJECTED = ".rejected"  # behind the name of a file that missed a gate: no *.tflite finds it
AUDITED_CROPS = 64  # whose activations are looked at for what is cut off
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
        input_mean, input_scale: of a model of the user's own that takes (v - mean) / scale; the
            kit's 128 and 128 by default.
        input_side: of such a model's input, pixels, where it leaves it open.
        adapter: of such a model in other terms than the kit's.
        scheme: of such a model's landmarks; by default the built-in one with so many.
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
    input_side: int | None = None
    adapter: str | None = None
    scheme: Scheme | None = None
    seed: int = 0

    def to_json(self, recipe: Recipe) -> dict[str, Any]:
        """What of this the recipe uses."""
        content: dict[str, Any] = {"recipe": self.recipe}
        if recipe.calibrates:
            content |= {"calibration_faces": self.calibration_faces, "seed": self.seed}
        if recipe.tune is not None:
            content |= {"epochs": self.epochs, "learning_rate": self.learning_rate}
            content |= {"distil": self.distil}
        if recipe.float_layers:
            content |= {"keep_float": list(recipe.float_layers)}
        for name in ("input_mean", "input_scale", "input_side"):
            if getattr(self, name) is not None:
                content[name] = getattr(self, name)
        if self.adapter is not None:
            content["adapter"] = read_adapter(self.adapter).to_json()
        if self.scheme is not None:
            content["scheme"] = self.scheme.reference
        return content

    @property
    def fine_tuning(self) -> FineTuning:
        return FineTuning(epochs=self.epochs, learning_rate=self.learning_rate, distil=self.distil)

    def chosen_recipe(self) -> Recipe:
        """The recipe, with the layers that are left float.

        Raises:
            UsageError: no such recipe, or one that rounds no layer.
        """
        return recipe_of(self.recipe).keeping_float(self.keep_float)


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


def quantize(
    run: Path,
    out: Path,
    *,
    config: QuantizeConfig,
    data: FaceData,
    gates: Gates | None = None,
    resume: bool = False,
    keep_emulated: bool = False,
    logs: bool = False,
) -> Quantized:
    """Turn a float model into ``out/<architecture>_<points>_<size>_<recipe>.tflite``.

    Args:
        run: folder of a training run, or a model of the user's own.
        out: folder of the file; made when missing. No .tflite is written before all checks.
            Fine-tuning keeps its checkpoints and prepared pictures in a folder beside it until
            then.
        data: the faces it was trained on; a split called test is refused. The validation faces are
            the run's: its ``val_data``, else the split val, else the hold-out.
        gates: how much worse the file may be.
        resume: go on with the fine-tuning that was interrupted.
        keep_emulated: write the weights of the emulated model beside the file, for ``parity``.
        logs: write logs of fine-tuning, for a dashboard, into the folder of its checkpoints.

    Raises:
        UsageError: an unknown recipe, split or layer; an option that the recipe has no use for; a
            fine-tuning begun with other settings.
        DatasetError: the data cannot be used.
        ModelError: no usable model, another number of landmarks than the data, or a file that
            breaks the contract.
        GateError: it is worse than ``gates`` allow; the file is kept under another name.
    """
    recipe = config.chosen_recipe()
    recipe.refuse_unused({"resume": resume or None, "keep_emulated": keep_emulated or None})
    source = open_float_model(
        run,
        mean=config.input_mean,
        scale=config.input_scale,
        side=config.input_side,
        adapter=config.adapter,
        scheme=config.scheme,
    )
    sources = source.sources(data, taught=recipe.tune is not None)
    _seed_everything(config.seed)
    metadata = _about(recipe, config, source, sources)
    path = out / metadata.file_name

    prepared = recipe.prepare(source.model, lambda: _calibration_crops(source, sources, config))
    settings = {
        **metadata.source,
        "validated_on": sources.val.fingerprint(),
        "poses_splits_subsets": [
            faces.labels_fingerprint() for faces in (sources.train, sources.val)
        ],
    }
    unfinished = UnfinishedTuning(path, settings, resume=resume, logs=logs)
    tuned = None
    if recipe.tune is not None:
        tuned = recipe.tune(
            prepared.model,
            TuningJob(
                source=source,
                sources=sources,
                settings=config.fine_tuning,
                seed=config.seed,
                unfinished=unfinished,
            ),
        )
    content = convert(prepared.model, recipe.converter, crops=prepared.crops)
    verify_contract(content, outputs=set(metadata.outputs))
    if recipe.is_int8_throughout:
        verify_w8a8(content)

    measured = _measure(
        with_metadata(content, metadata),
        source,
        sources.val,
        name=path.name,
        audit_crops=prepared.crops,
    )
    metadata = replace(metadata, metrics=measured.to_metadata())
    content = with_metadata(content, metadata)
    _warn_of_clipping(measured.audit)
    missed = (gates or Gates()).missed(
        recipe=recipe.name,
        float_nme_percent=measured.before.scores.nme_percent,
        nme_percent=measured.after.scores.nme_percent,
        drift=measured.drift,
    )
    if missed is not None:
        rejected = path.with_name(path.name + REJECTED)
        write_bytes(rejected, content)
        unfinished.forget()
        reasons = [missed.reason]
        has_layers = KINDS[model_kind(run)].layers
        if recipe.is_int8 and prepared.ready is not None and has_layers:
            reasons.append(costliest_layer(missed, source, sources, prepared.ready))
        raise GateError(
            f"{'. '.join(reasons)}. The model is kept as {rejected}, {path.name} was not written"
        )
    if keep_emulated:
        save_emulated(path.with_name(path.name + SUFFIX), prepared.model.get_weights())
    write_bytes(path, content)
    unfinished.forget()
    return Quantized(
        path=path,
        metadata=metadata,
        size_bytes=len(content),
        before=measured.before,
        after=measured.after,
        pixel_drift=measured.drift,
        validated_on=sources.description,
        audit=measured.audit,
        range_drift=() if tuned is None else tuned.last_drifts(),
        equalised={} if prepared.ready is None else prepared.ready.factors,
    )


def _calibration_crops(source: FloatModel, sources: Sources, config: QuantizeConfig) -> Image:
    return calibration_crops(
        source, sources.train, count=config.calibration_faces, seed=config.seed
    )


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
        own_scheme=source.predictor.scheme,
        outputs={name: OUTPUT_UNITS[name] for name in output_names_of(source.model)},
        runs_on=recipe.runs_on,
        source={
            "model_sha256": source.sha256,
            "dataset_fingerprint": source.dataset_fingerprint,
            "quantized_on": sources.train.fingerprint() if recipe.calibrates else None,
            "settings": config.to_json(recipe),
            "kit_version": __version__,
            "packages": package_versions(),
        },
        licence=source.licence,
    )


def sensitivity(
    run: Path,
    *,
    config: QuantizeConfig,
    data: FaceData,
    faces: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Measure what int8 costs in each layer of a run or a model of the user's own.

    Args:
        run, data: as for ``quantize``.
        config: of a recipe that calibrates: its crops, seed and input range.
        faces: of the validation faces, spread evenly.
        on_progress: called with (measurements done, in all).

    Raises:
        As ``quantize``.
    """
    source = open_float_model(
        run,
        mean=config.input_mean,
        scale=config.input_scale,
        side=config.input_side,
        adapter=config.adapter,
        scheme=config.scheme,
    )
    sources = source.sources(data)
    _seed_everything(config.seed)
    ready = int8_ready(source.model, _calibration_crops(source, sources, config))
    return layer_costs(source, sources, ready, faces=faces, on_progress=on_progress)


@dataclass(frozen=True)
class _Measured:
    """The float model and the file on the same validation faces, and the file's audit."""

    before: Evaluation
    after: Evaluation
    drift: PixelDrift
    audit: Audit

    def to_metadata(self) -> dict[str, Any]:
        """What the file says about its accuracy: on the validation faces, not on a test set."""
        before, after = self.before.scores, self.after.scores
        return {
            "validation": {
                "dataset": self.after.dataset,
                "dataset_fingerprint": self.after.dataset_fingerprint,
                "faces": after.faces,
                "float_nme_percent": before.nme_percent,
                "nme_percent": after.nme_percent,
                "pixel_drift": self.drift.to_json(),
                "float_pose_mae_deg": before.pose_mae_deg,
                "pose_mae_deg": after.pose_mae_deg,
            }
        }


def _measure(
    content: bytes, source: FloatModel, faces: Dataset, *, name: str, audit_crops: Image | None
) -> _Measured:
    """Measure a model that is not written yet, by the users' runtime, beside its float model.

    Args:
        content: of the .tflite, with metadata.
        name: of the file, for results and messages.
        audit_crops: uint8 [N, S, S, 3] whose activations are looked at, or None.
    """
    float_predictor = Recorder(source.predictor)
    before = evaluate(float_predictor, faces)
    with temporary_folder() as folder:
        path = folder / name
        path.write_bytes(content)
        predictor = Recorder(TflitePredictor(path, threads=all_threads()))
        after = evaluate(predictor, faces)
        audit = audit_model(
            path, crops=None if audit_crops is None else audit_crops[:AUDITED_CROPS]
        )
    size = source.predictor.input_size
    drift = PixelDrift.between(float_predictor.landmarks, predictor.landmarks, size=size)
    return _Measured(before, after, drift, audit)


def _warn_of_clipping(audit: Audit) -> None:
    for tensor, seen in audit.clipped()[:SHOWN_CLIPPING]:
        stderr().print(
            f"[yellow]{tensor.name}: {seen.share:.2%} of its values on calibration faces are cut "
            "off at the ends of its range; more --calibration-faces widen it[/yellow]"
        )


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
