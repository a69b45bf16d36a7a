"""Fine-tuning with emulated rounding: the training loop, losses and data of the float run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from asmnet_kit.datasets.base import Dataset
from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.measure.evaluate import evaluate
from asmnet_kit.quantize.ranges.calibrate import Drift, Range, drifts
from asmnet_kit.quantize.rounding.emulate import activation_ranges, fit_kernel_ranges
from asmnet_kit.quantize.rounding.unfinished_tuning import UnfinishedTuning
from asmnet_kit.quantize.source.float_model import FloatModel
from asmnet_kit.training.batch import Batch
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.batches import FaceBatches
from asmnet_kit.training.data.prepared import prepared_faces
from asmnet_kit.training.data.run_batches import batches_for
from asmnet_kit.training.data.sources import Sources
from asmnet_kit.training.fit.loop import FitResult, Loss, Row, Schedule, fit, named_outputs
from asmnet_kit.training.fit.monitor import RunMonitor
from asmnet_kit.training.loss.alpha import alpha
from asmnet_kit.training.loss.asm_operator import AsmOperator
from asmnet_kit.training.loss.losses import LOSSES, AsmLoss
from asmnet_kit.training.networks.keras_predictor import KerasPredictor

VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How the network gets used to rounding.

    Attributes:
        epochs: passes over the training faces.
        learning_rate: at its peak: a tenth of training's. The weights are where they should be
            already, rounding moved them by less than a step of their 8 bits.
        warmup_share: of all steps; Adam's second moments are noise at first.
        distil: share of the loss that pulls towards the float model's outputs instead of the
            labels.
    """

    epochs: int = 4
    learning_rate: float = 1e-4
    warmup_share: float = 0.1
    distil: float = 0.0


@dataclass(frozen=True)
class FineTuned:
    """What came out of ``finetune``.

    Attributes:
        fit: history and best epoch.
        ranges: of the activations before fine-tuning and, averaged like the weights, after each
            epoch.
    """

    fit: FitResult
    ranges: Sequence[dict[str, Range]]

    def last_drifts(self) -> list[Drift]:
        """How far each range moved in the last epoch, the farthest first."""
        return drifts(self.ranges[-2], self.ranges[-1])


@dataclass(frozen=True, kw_only=True)
class TuningJob:
    """What fine-tuning works with, beside the network itself.

    Attributes:
        source: the float model: its run's settings, its shape model, and the teacher to distil
            from.
        sources: faces to train and validate on.
        settings: how long and how fast.
        seed: of order and augmentation.
        unfinished: where checkpoints and prepared pictures wait for ``--resume``.
    """

    source: FloatModel
    sources: Sources
    settings: FineTuning
    seed: int
    unfinished: UnfinishedTuning


def finetune(emulated: tf_keras.Model, job: TuningJob) -> FineTuned:
    """Train ``emulated`` in place; it ends with the averaged weights of its best epoch.

    The loss is the run's, the weight of the ASM term that of its last epoch. What an interrupted
    and resumed fine-tuning gives is what it would have given without the interruption.

    Args:
        emulated: from ``emulate``, with outputs by name.

    Raises:
        UsageError: fewer faces than one batch holds, a loss without its shape model, or a
            fine-tuning that cannot be begun or resumed (``UnfinishedTuning.begun``).
        KitError: the loss is no longer finite.
    """
    run_config = job.source.config_for(job.sources.train.format)
    unfinished = job.unfinished
    with (
        unfinished.begun(),
        prepared_faces(job.sources, unfinished.folder, run_config) as (train, val),
        batches_for(
            run_config,
            train,
            job.sources.label_weights,
            batch_size=min(run_config.batch_size, len(train.faces)),
            seed=job.seed,
        ) as data,
    ):
        return _fit(emulated, job, run_config, data, val)


def _fit(
    emulated: tf_keras.Model,
    job: TuningJob,
    run_config: TrainConfig,
    data: FaceBatches,
    val_faces: Dataset,
) -> FineTuned:
    """Args: batches and faces of ``job``, prepared so that reading a picture is quick."""
    settings, checkpoints = job.settings, job.unfinished.checkpoints
    # A fine-tuning that stopped within its first epoch has prepared pictures at most.
    resume = job.unfinished.resume and checkpoints.path("last").exists()
    last_alpha = (
        alpha(run_config.epochs - 1, run_config.epochs, run_config.alpha)
        if LOSSES[run_config.loss].asm
        else 0.0
    )
    predictor = KerasPredictor(emulated, crop_scale=run_config.crop_scale, scheme=data.scheme)

    def validate(averaged: tf_keras.Model) -> Row:
        fit_kernel_ranges(averaged)
        scores = evaluate(predictor, val_faces, batch=VALIDATION_BATCH).scores
        # The ranges are kept in the history, since a resumed run knows nothing else of the past.
        return {"val_nme_percent": scores.nme_percent, **_ranges_row(averaged)}

    ranges_before = activation_ranges(emulated)
    done = len(checkpoints.load("last").history) if resume else 0
    monitor = RunMonitor(
        job.unfinished.folder,
        epochs=settings.epochs,
        steps=data.steps_per_epoch,
        writes=job.unfinished.logs,
        done=done,
    )
    with monitor:
        result = fit(
            emulated,
            loss=_loss_of(job, run_config, data.scheme),
            data=data,
            scheme=data.scheme,
            schedule=Schedule(
                epochs=settings.epochs,
                learning_rate=settings.learning_rate,
                warmup_epochs=settings.warmup_share * settings.epochs,
                ema_decay=run_config.ema_decay,
                gradient_norm=run_config.gradient_norm,
                alpha=lambda epoch, epochs: last_alpha,
            ),
            seed=job.seed,
            validate=validate,
            checkpoints=checkpoints,
            resume=resume,
            monitor=monitor,
        )
    fit_kernel_ranges(emulated)
    return FineTuned(result, [ranges_before, *map(_ranges_of, result.history)])


def _loss_of(job: TuningJob, run_config: TrainConfig, scheme: Scheme) -> Loss:
    """The run's loss, with a share that follows the float model where that is asked for."""
    shape_model = job.source.shape_model
    loss = AsmLoss(
        run_config.loss,
        scheme=scheme,
        operator=None if shape_model is None else AsmOperator(shape_model),
        extra=run_config.extra_terms(),
    )
    share = job.settings.distil
    return DistilledLoss(loss, job.source.model, share) if share else loss


class DistilledLoss:
    """A loss with a share of it pulling towards another network's outputs.

    Labels are noisy to a percent or two of the eye distance; what the float network says of the
    same augmented crop is not, and rounding is all that fine-tuning has to make up for.

    Args:
        loss: the run's.
        teacher: the float network, with the same outputs.
        share: of the other network, 0..1.
    """

    def __init__(self, loss: AsmLoss, teacher: tf_keras.Model, share: float) -> None:
        self.loss, self.teacher, self.share = loss, teacher, share

    def truth(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """As the run's loss has it."""
        return self.loss.truth(batch)

    def terms(
        self, batch: Batch, prediction: Mapping[str, tf.Tensor], alpha: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The run's terms, ``distil``, and the ``total`` of both."""
        terms = self.loss.terms(batch, prediction, alpha)
        images = (tf.cast(batch["image"], tf.float32) - MEAN) / SCALE
        target = named_outputs(self.teacher(images, training=False), self.teacher)
        target = {name: tf.stop_gradient(value) for name, value in target.items()}
        distil = self.loss.towards(batch, prediction, target)
        total = (1 - self.share) * terms["total"] + self.share * distil
        return {**terms, "distil": distil, "total": total}


_LOW, _HIGH = "range_low/", "range_high/"  # begin the columns of the history that hold ranges


def _ranges_row(emulated: tf_keras.Model) -> Row:
    row: Row = {}
    for layer, (low, high) in activation_ranges(emulated).items():
        row |= {_LOW + layer: low, _HIGH + layer: high}
    return row


def _ranges_of(row: Row) -> dict[str, Range]:
    layers = [name.removeprefix(_LOW) for name in row if name.startswith(_LOW)]
    return {layer: (row[_LOW + layer], row[_HIGH + layer]) for layer in layers}
