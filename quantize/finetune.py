"""Fine-tuning with emulated rounding: the training loop, losses and data of the float run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.datasets.base import Dataset
from asmnet_kit.evaluate import evaluate
from asmnet_kit.quantize.calibrate import Range
from asmnet_kit.quantize.qat import activation_ranges, fit_kernel_ranges
from asmnet_kit.shape_model import ShapeModel
from asmnet_kit.training.alpha_schedules import alpha
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.loop import FitResult, Row, Schedule, fit
from asmnet_kit.training.monitor import RunMonitor
from asmnet_kit.training.pipeline import batches_for
from asmnet_kit.training.predictor import KerasPredictor
from asmnet_kit.training.shape_loss import LOSSES, AsmLoss, AsmOperator

VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How the network gets used to rounding.

    Attributes:
        epochs: passes over the training faces.
        learning_rate: at its peak: a tenth of training's. The weights are where they should be
            already, rounding moved them by less than a step of their 8 bits.
        warmup_share: of all steps; Adam's second moments are noise at first.
    """

    epochs: int = 4
    learning_rate: float = 1e-4
    warmup_share: float = 0.1


@dataclass(frozen=True)
class FineTuned:
    """What came out of ``finetune``.

    Attributes:
        fit: history and best epoch.
        ranges: of the activations before fine-tuning and after each epoch.
    """

    fit: FitResult
    ranges: Sequence[dict[str, Range]]


def finetune(
    emulated: tf_keras.Model,
    train_faces: Dataset,
    val_faces: Dataset,
    *,
    run_config: TrainConfig,
    shape_model: ShapeModel | None,
    label_weights: Mapping[str, NDArray[np.float32]],
    settings: FineTuning,
    seed: int,
) -> FineTuned:
    """Train ``emulated`` in place; it ends with the averaged weights of its best epoch.

    The loss is the run's, the weight of the ASM term that of its last epoch.

    Args:
        emulated: from ``qat.emulate``, with outputs by name.
        train_faces, val_faces: best prepared, so that reading a picture is quick.
        run_config: of the float run; its input size must be that of ``emulated``.
        shape_model: of the run; needed by the loss ``asm``.

    Raises:
        UsageError: fewer faces than one batch holds, or a loss without its shape model.
        KitError: the loss is no longer finite.
    """
    data = batches_for(
        run_config,
        train_faces,
        label_weights,
        batch_size=min(run_config.batch_size, len(train_faces.faces)),
        seed=seed,
    )
    loss = AsmLoss(
        run_config.loss,
        scheme=train_faces.scheme,
        operator=None if shape_model is None else AsmOperator(shape_model),
    )
    last_alpha = (
        alpha(run_config.epochs - 1, run_config.epochs, run_config.alpha)
        if LOSSES[run_config.loss].asm
        else 0.0
    )
    predictor = KerasPredictor(emulated)

    def validate(averaged: tf_keras.Model) -> Row:
        fit_kernel_ranges(averaged)
        scores = evaluate(predictor, val_faces, batch=VALIDATION_BATCH).scores
        return {"val_nme_percent": scores.nme_percent}

    monitor = _RangeMonitor(emulated, epochs=settings.epochs, steps=data.steps_per_epoch)
    with monitor:
        result = fit(
            emulated,
            loss=loss,
            data=data,
            scheme=train_faces.scheme,
            schedule=Schedule(
                epochs=settings.epochs,
                learning_rate=settings.learning_rate,
                warmup_epochs=settings.warmup_share * settings.epochs,
                ema_decay=run_config.ema_decay,
                gradient_norm=run_config.gradient_norm,
                alpha=lambda epoch, epochs: last_alpha,
            ),
            seed=seed,
            validate=validate,
            monitor=monitor,
        )
    fit_kernel_ranges(emulated)
    return FineTuned(result, monitor.ranges)


class _RangeMonitor(RunMonitor):
    """The progress bar of training, which also keeps how the ranges move."""

    def __init__(self, emulated: tf_keras.Model, *, epochs: int, steps: int) -> None:
        super().__init__(Path(), epochs=epochs, steps=steps, writes=False)  # writes no file
        self.emulated = emulated
        self.ranges = [activation_ranges(emulated)]

    def on_epoch_end(self, history: Sequence[Row]) -> None:
        """Print a line and note the ranges."""
        super().on_epoch_end(history)
        self.ranges.append(activation_ranges(self.emulated))
