"""The training loop: one compiled step under a distribution strategy, checkpoints, exact resume.

A step gets pictures that augmentation has moved, and *upright* labels that it has not moved
(``asmnet_kit.training.batch``). The network sees the pictures; only the loss looks at labels: it
smooths them upright, which is all that a shape model can do, and moves them after their picture.

The loop knows neither data sets nor architectures, so quantization-aware fine-tuning runs in it
too. What is saved and validated is the *average* of the weights (EMA), batch-norm statistics
included.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError
from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.training.batch import Batch
from asmnet_kit.training.fit.checkpoints import Checkpoints, TrainingState
from asmnet_kit.training.private_doors import random_generators

Weights = list[NDArray[Any]]
Row = dict[str, float]  # one epoch of history.csv; every name ends in its unit where it has one


class Loss(Protocol):
    """What ``fit`` minimises: ``asmnet_kit.training.loss.losses.AsmLoss``."""

    def terms(
        self, batch: Batch, prediction: Mapping[str, tf.Tensor], alpha: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Scalars by name, means over the batch; ``total`` is minimised, the others are logged."""

    def truth(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The labels where the pictures are: float32 [B, N, 2] in fractions of the augmented crop,
        and bool [B, N], which have a label.
        """


class TrainingData(Protocol):
    """Batches that depend on the seed and the epoch alone, so that a resumed run sees the same."""

    @property
    def batch_size(self) -> int:
        """Pictures of one step, over all replicas."""

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def failure(self) -> KitError | None:
        """Why the last batch could not be made; tf.data itself only passes on a text."""

    def epoch(self, index: int, *, replicas: range, replica_count: int) -> tf.data.Dataset:
        """The batches of epoch ``index`` for ``replicas`` of all ``replica_count``.

        Each element is a ``Batch``, one replica's share of one step; shares of one step follow each
        other.
        """


class Monitor(Protocol):
    """Who watches a run: a progress bar, log files."""

    def on_step(self, epoch: int, step: int, means: Row) -> None:
        """Called about twice a second with the means of the epoch so far."""

    def on_epoch_end(self, history: Sequence[Row]) -> None:
        """Called after each epoch, once its checkpoint is written, with all epochs so far."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a run goes over time.

    Attributes:
        epochs: passes over the data.
        learning_rate: the highest one, reached at the end of the warm-up.
        warmup_epochs: the learning rate rises linearly; Adam's second moments are noise at first.
        final_share: of the learning rate that the cosine ends at; not 0, so that the last epoch
            still learns.
        ema_decay: weight of the past in the average of weights per step: 0.998 is about the last
            500 steps. It starts lower, at (1 + step) / (10 + step), to forget the initial weights.
        gradient_norm: longer gradients are shortened to this; bounds the damage of one bad batch.
        alpha: weight of the ASM term by (epoch, epochs), Eq. 10.
    """

    epochs: int
    learning_rate: float = 1e-3
    warmup_epochs: float = 1.0
    final_share: float = 0.01
    ema_decay: float = 0.998
    gradient_norm: float = 5.0
    alpha: Callable[[int, int], float] = field(default=lambda epoch, epochs: 0.0)


class WarmupCosine(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up to ``peak``, then half a cosine down to ``final_share`` of it."""

    def __init__(self, *, peak: float, warmup: int, total: int, final_share: float) -> None:
        super().__init__()
        self.peak, self.warmup, self.total, self.final_share = peak, warmup, total, final_share

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        done = tf.cast(step, tf.float32)
        rise = (done + 1.0) / max(1, self.warmup)
        way = tf.clip_by_value((done - self.warmup) / max(1, self.total - self.warmup), 0.0, 1.0)
        fall = self.final_share + (1 - self.final_share) * 0.5 * (1 + tf.cos(math.pi * way))
        return self.peak * tf.where(done < self.warmup, rise, fall)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup": self.warmup,
            "total": self.total,
            "final_share": self.final_share,
        }


@dataclass(frozen=True)
class FitResult:
    """What came out of ``fit``.

    Attributes:
        history: one row per epoch.
        best_epoch: 0-based epoch with the lowest validation NME; the last one without validation.
        finished: False when time ran out before the last epoch.
    """

    history: list[Row]
    best_epoch: int
    finished: bool


def fit(
    model: tf_keras.Model,
    *,
    loss: Loss,
    data: TrainingData,
    scheme: Scheme,
    schedule: Schedule,
    seed: int = 0,
    validate: Callable[[tf_keras.Model], Row] | None = None,
    twin: tf_keras.Model | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    monitor: Monitor | None = None,
    strategy: tf.distribute.Strategy | None = None,
    out_of_time: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train ``model``; it ends with the averaged weights of its best epoch.

    Args:
        model: takes float32 [B, S, S, 3] in (v - 128) / 128, gives ``landmarks`` [B, 2N] and
            ``pose`` [B, 3] by name (a prefix ``quant_`` is ignored, so a tfmot model will do).
            Built under ``strategy.scope()`` where there is a strategy.
        loss: see ``Loss``.
        data: see ``TrainingData``.
        scheme: for the training NME, percent of what it normalises by.
        schedule: epochs, learning rate, averaging.
        seed: of dropout; the data has its own.
        validate: called after each epoch with the averaged weights in place; the key
            ``val_nme_percent``, where it gives one, chooses the best epoch.
        twin: a model with the same list of weights to validate instead of ``model``, for instance
            in float32 and outside the strategy.
        checkpoints: where to save after each epoch.
        resume: go on from the last checkpoint.
        monitor: progress and logs.
        strategy: of tf.distribute; the default one without.
        out_of_time: asked before each epoch; no further one begins once it says so.

    Raises:
        KitError: the loss or the weights are no longer finite; no checkpoint, or not one of this
            model, to resume from; the checkpoint cannot be written.
    """
    strategy = strategy or tf.distribute.get_strategy()
    trainer = Trainer(model, loss, data, scheme, schedule, strategy)
    history: list[Row] = []
    best: TrainingState | None = None
    if resume:
        if checkpoints is None:
            raise ValueError("resume needs checkpoints")
        last = checkpoints.load("last")
        trainer.restore(last)
        history = last.history
        best = checkpoints.load("best")
    finished = True
    for epoch in range(len(history), schedule.epochs):
        if out_of_time():
            finished = False
            break
        row = trainer.train_epoch(epoch, seed=seed, monitor=monitor)
        averages = trainer.averages()
        _require_finite(averages, epoch)
        if validate is not None:
            with _weights_in_place(twin or model, averages) as averaged:
                row |= validate(averaged)
        history = [*history, row]
        state = trainer.state(averages, history)
        if strategy.num_replicas_in_sync > 1:
            # Each replica has batch-norm statistics of its own, a checkpoint their mean: all go on
            # from that, as a resumed run does, or it would differ in the last bits.
            trainer.restore(state)
        if best is None or row.get("val_nme_percent", -epoch) <= _best_nme(best):
            best = state
        if checkpoints is not None:
            checkpoints.save(state, is_best=best is state)
        if monitor is not None:
            monitor.on_epoch_end(history)
    if best is None:
        raise KitError("no epoch was trained: the time allowed ended before the first one began")
    model.set_weights(best.averages)
    return FitResult(history=history, best_epoch=best.epoch, finished=finished)


def _best_nme(best: TrainingState) -> float:
    return best.history[-1].get("val_nme_percent", -best.epoch)


def _require_finite(weights: Weights, epoch: int) -> None:
    if not all(np.isfinite(w).all() for w in weights if w.dtype.kind == "f"):
        raise KitError(
            f"the weights are no longer finite after epoch {epoch + 1}. The checkpoint before it "
            "is intact: start a new run with a lower --learning-rate"
        )


@contextmanager
def _weights_in_place(model: tf_keras.Model, weights: Weights) -> Iterator[tf_keras.Model]:
    """``model`` with other weights, its own again afterwards."""
    own = model.get_weights()
    model.set_weights(weights)
    try:
        yield model
    finally:
        model.set_weights(own)


def named_outputs(outputs: Any, model: tf_keras.Model) -> dict[str, tf.Tensor]:
    """A model's outputs by name, in float32; ``quant_`` (tfmot's prefix) is dropped."""
    if not isinstance(outputs, Mapping):
        outputs = dict(zip(model.output_names, tf.nest.flatten(outputs), strict=True))
    return {
        name.removeprefix("quant_"): tf.cast(value, tf.float32) for name, value in outputs.items()
    }


class Trainer:
    """The compiled step and every variable that a checkpoint holds."""

    def __init__(
        self,
        model: tf_keras.Model,
        loss: Loss,
        data: TrainingData,
        scheme: Scheme,
        schedule: Schedule,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self.model, self.loss, self.data = model, loss, data
        self.scheme, self.schedule, self.strategy = scheme, schedule, strategy
        steps = data.steps_per_epoch
        self.learning_rate = WarmupCosine(
            peak=schedule.learning_rate,
            warmup=round(schedule.warmup_epochs * steps),
            total=schedule.epochs * steps,
            final_share=schedule.final_share,
        )
        with strategy.scope():
            self.optimizer = self._build_optimizer()
            self.average = [_average_of(weight) for weight in model.weights]
        self.names: list[str] = []  # of what a step returns, known once it is traced
        self._step = tf.function(self._distributed_step)

    def _build_optimizer(self) -> tf_keras.optimizers.Optimizer:
        optimizer = tf_keras.optimizers.Adam(
            self.learning_rate, global_clipnorm=self.schedule.gradient_norm
        )
        optimizer.build(self.model.trainable_variables)
        if any(layer.compute_dtype == "float16" for layer in self.model.layers):
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        return optimizer

    @property
    def _optimizer_variables(self) -> list[tf.Variable]:
        variables = self.optimizer.variables
        return list(variables() if callable(variables) else variables)

    # One step -----------------------------------------------------------------------------------

    def _distributed_step(self, batch: Batch, alpha: tf.Tensor) -> tf.Tensor:
        """float32 [terms + 2]: sums over replicas of the terms, of face NMEs and their number."""
        per_replica = self.strategy.run(self._replica_step, args=(batch, alpha))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)

    def _replica_step(self, batch: Batch, alpha: tf.Tensor) -> tf.Tensor:
        images = (tf.cast(batch["image"], tf.float32) - MEAN) / SCALE
        replicas = self.strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            prediction = named_outputs(self.model(images, training=True), self.model)
            terms = self.loss.terms(batch, prediction, alpha)
            # The optimizer sums gradients over replicas: a mean of means needs the division here.
            minimised = terms["total"] / replicas
            if isinstance(self.optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
                minimised = self.optimizer.get_scaled_loss(minimised)
        gradients = tape.gradient(minimised, self.model.trainable_variables)
        if isinstance(self.optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        self._update_average()
        truth, labelled = self.loss.truth(batch)
        nme_sum, faces = _nme_percent(truth, labelled, prediction["landmarks"], self.scheme)
        self.names = list(terms)
        return tf.stack([*(term / replicas for term in terms.values()), nme_sum, faces])

    def _update_average(self) -> None:
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.schedule.ema_decay, (1.0 + step) / (10.0 + step))
        for average, weight in zip(self.average, self.model.weights, strict=True):
            if weight.dtype.is_floating:
                average.assign_add((1.0 - decay) * (tf.cast(weight, average.dtype) - average))
            else:
                average.assign(weight)

    # One epoch ----------------------------------------------------------------------------------

    def train_epoch(self, epoch: int, *, seed: int, monitor: Monitor | None) -> Row:
        """Run all steps of an epoch and give its means."""
        alpha = self.schedule.alpha(epoch, self.schedule.epochs)
        self._reseed(seed, epoch)
        steps = self.data.steps_per_epoch
        totals: tf.Tensor | float = 0.0
        waited_s, reported = 0.0, time.perf_counter()
        started = reported
        batches = iter(self._distributed_epoch(epoch))
        alpha_tensor = tf.constant(alpha, tf.float32)
        for step in range(1, steps + 1):
            asked = time.perf_counter()
            batch = self._next(batches)
            got = time.perf_counter()
            waited_s += got - asked
            totals = self._step(batch, alpha_tensor) + totals
            if got - reported > 0.5 or step == steps:
                reported = got
                means = self._means(totals, step)
                _require_finite_loss(means, epoch, step)
                seconds = time.perf_counter() - started
                means["pictures_per_s"] = step * self.data.batch_size / seconds
                means["data_wait_percent"] = 100 * waited_s / seconds
                if monitor is not None:
                    monitor.on_step(epoch, step, means)
        learning_rate = float(self.learning_rate(tf.constant((epoch + 1) * steps - 1)))
        return {"epoch": epoch + 1, "learning_rate": learning_rate, "alpha": alpha, **means}

    def _next(self, batches: Iterator[Batch]) -> Batch:
        try:
            return next(batches)
        except tf.errors.OpError:
            if self.data.failure is not None:
                raise self.data.failure from None
            raise

    def _means(self, totals: tf.Tensor, steps: int) -> Row:
        *terms, nme_sum, faces = totals.numpy().tolist()
        means = {
            "loss" if name == "total" else name: value / steps
            for name, value in zip(self.names, terms, strict=True)
        }
        means["nme_percent"] = nme_sum / faces if faces else math.nan
        return means

    def _distributed_epoch(self, epoch: int) -> Any:
        def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
            count = context.num_replicas_in_sync
            local = count // context.num_input_pipelines
            first = context.input_pipeline_id * local
            return self.data.epoch(epoch, replicas=range(first, first + local), replica_count=count)

        return self.strategy.distribute_datasets_from_function(share)

    def _reseed(self, seed: int, epoch: int) -> None:
        """Dropout of an epoch depends on (seed, epoch) alone, however often the run was resumed."""
        for index, generator in random_generators(self.model).items():
            key = np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0]
            generator.reset_from_seed(int(key))

    # State --------------------------------------------------------------------------------------

    def averages(self) -> Weights:
        """The averaged weights in the order of ``model.get_weights()``."""
        return list(tf_keras.backend.batch_get_value(self.average))

    def state(self, averages: Weights, history: list[Row]) -> TrainingState:
        """Everything a resumed run needs."""
        return TrainingState(
            weights=self.model.get_weights(),
            averages=averages,
            optimizer=tf_keras.backend.batch_get_value(self._optimizer_variables),
            history=history,
        )

    def restore(self, state: TrainingState) -> None:
        """Put a checkpoint's values into the variables.

        Raises:
            KitError: the checkpoint belongs to another model.
        """
        for variables, values in (
            (self.model.weights, state.weights),
            (self.average, state.averages),
            (self._optimizer_variables, state.optimizer),
        ):
            if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
                raise KitError(
                    "the checkpoint is not one of this model: expected "
                    f"{len(variables)} variables of its shapes, got {len(values)} others"
                )
            tf_keras.backend.batch_set_value(list(zip(variables, values, strict=True)))


def _average_of(weight: tf.Variable) -> tf.Variable:
    """A variable for the running average of ``weight``, started at its value.

    Each replica keeps its own and reading takes the mean: equal for mirrored weights, and for
    batch-norm statistics, which differ by replica, the average of the mean.
    """
    return tf.Variable(
        weight.read_value(),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN
        if weight.dtype.is_floating
        else tf.VariableAggregation.ONLY_FIRST_REPLICA,
        name="average_" + weight.name.split(":")[0].replace("/", "_"),
    )


def _nme_percent(
    truth: tf.Tensor, labelled: tf.Tensor, points: tf.Tensor, scheme: Scheme
) -> tuple[tf.Tensor, tf.Tensor]:
    """(sum of the NMEs, number) of the faces that have what the scheme normalises by."""
    visible = tf.cast(labelled, tf.float32)
    points = tf.reshape(points, [-1, scheme.points, 2])
    error = tf.norm(points - truth, axis=-1) * visible
    mean_error = tf.reduce_sum(error, axis=1) / tf.maximum(tf.reduce_sum(visible, axis=1), 1.0)
    size, known = _size_of(truth, labelled, scheme)
    counted = known & (size > 0)
    nme = tf.where(counted, 100.0 * mean_error / tf.where(counted, size, 1.0), 0.0)
    return tf.reduce_sum(nme), tf.reduce_sum(tf.cast(counted, tf.float32))


def _size_of(truth: tf.Tensor, labelled: tf.Tensor, scheme: Scheme) -> tuple[tf.Tensor, tf.Tensor]:
    """``Scheme.size_of`` of faces, float32 [B], and whether its points have labels, bool [B]."""
    if not isinstance(scheme.normaliser, str):
        left, right = scheme.normaliser
        size = tf.norm(truth[:, left] - truth[:, right], axis=-1)
        return size, labelled[:, left] & labelled[:, right]
    here = labelled[..., None]
    low = tf.reduce_min(tf.where(here, truth, math.inf), axis=1)
    high = tf.reduce_max(tf.where(here, truth, -math.inf), axis=1)
    known = tf.reduce_any(labelled, axis=1)
    return tf.where(known, tf.sqrt(tf.reduce_prod(high - low, axis=-1)), 0.0), known


def _require_finite_loss(means: Row, epoch: int, step: int) -> None:
    if not math.isfinite(means["loss"]):
        terms = ", ".join(f"{name} {value:g}" for name, value in means.items())
        raise KitError(
            f"the loss is no longer finite in epoch {epoch + 1}, at or before step {step} "
            f"({terms}). The checkpoint of the epoch before is intact: start a new run with a "
            "lower --learning-rate"
        )
