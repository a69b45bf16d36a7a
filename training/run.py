"""One training run: from a data set and a configuration to a run folder."""

import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.console import counting, stderr
from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import alone_in, is_unused, make_folder, replacing
from asmnet_kit.base.run_folder import CHECKPOINTS, CONFIG, MANIFEST, MODEL, RECORDS, SHAPE_MODEL
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.datasets.fingerprints import changed_faces, fingerprints
from asmnet_kit.datasets.registry import PREPARED, load_dataset
from asmnet_kit.face.crop import CROP_SCALE
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.face.shape_model.operator import ShapeModel
from asmnet_kit.measure.evaluate import Evaluation, evaluate
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.augment import AugmentRanges
from asmnet_kit.training.data.batches import (
    FaceBatches,
    batches_for,
    crop_of,
    require_batch,
    run_sampling,
)
from asmnet_kit.training.data.sources import Sources, choose_sources
from asmnet_kit.training.data.write_shards import WINDOW_SCALE, prepare
from asmnet_kit.training.fit.checkpoints import Checkpoints
from asmnet_kit.training.fit.loop import FitResult, Row, Schedule, fit
from asmnet_kit.training.fit.monitor import RunMonitor
from asmnet_kit.training.loss.alpha import alpha
from asmnet_kit.training.loss.losses import LOSSES, AsmLoss, AsmOperator
from asmnet_kit.training.manifest import (
    LICENCE,
    git_commit,
    now,
    package_versions,
    read_manifest,
    write_manifest,
)
from asmnet_kit.training.networks.build import build
from asmnet_kit.training.networks.counting import macs, parameters
from asmnet_kit.training.networks.keras_predictor import KerasPredictor
from asmnet_kit.training.networks.start_weights import initialise, open_source, start_at_mean_shape

SHAPES_AT_ONCE = 4096  # of the one-pass PCA: 4 MB
VALIDATION_BATCH = 64
STATISTICS = 256  # pictures that batch-norm statistics are made from, for folded weights


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        run: its folder.
        epochs: how many are done.
        finished: False when the time allowed ended first.
        best_epoch: 1-based; its averaged weights are in ``model.keras``.
        evaluation: of that model on the validation faces, original pictures.
    """

    run: Path
    epochs: int
    finished: bool
    best_epoch: int
    evaluation: Evaluation


def train(
    config: TrainConfig,
    run: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    command: str = "",
) -> TrainResult:
    """Train a model and write its run folder.

    Args:
        config: what to do.
        run: the folder; empty or new, unless ``resume``.
        resume: go on with the run in the folder, which must have the same configuration.
        max_minutes: no epoch begins after this long; ``resume`` finishes the run.
        command: how the run was started, for the manifest.

    Raises:
        UsageError: contradictory settings, a folder that holds something else, or one that
            another process trains in.
        DatasetError: the data cannot be used.
        KitError: the loss is no longer finite, or the folder cannot be written.
    """
    started = time.monotonic()
    deadline = None if max_minutes is None else started + 60 * max_minutes
    strategy = choose_strategy(config.strategy)
    is_chief = _is_chief(strategy)
    config = config.validated()
    check_folder(run, config, resume=resume)
    check_precision(config.precision)
    if config.init_from and not resume:
        open_source(config.init_from)
    sources = choose_sources(config)
    points = sources.train.scheme.points
    require_batch(run_sampling(config, sources.train.faces).epoch_size, config.batch_size)
    shape_model = fit_shape_model(sources.train, config)
    dataset_facts = _dataset_facts(sources)
    earlier = read_manifest(run) if resume and (run / MANIFEST).exists() else {}
    if resume:
        _require_same_data(run, dataset_facts)
    if earlier.get("finished_at"):
        return _finished(run, earlier, sources.val)
    manifest = {
        **_origin(earlier, command),
        "seed": config.seed,
        "finished_at": None,
        "dataset": dataset_facts,
        "crop_scale": CROP_SCALE,
        "licence": LICENCE,
    }
    # Up to here nothing was written, so a call with a mistake leaves no folder behind.
    if is_chief:
        make_folder(run)
    with alone_in(run) if is_chief else nullcontext():
        if is_chief:
            config.save(run / CONFIG)
            write_manifest(run, manifest)
            if shape_model is not None:
                save_shape_model(shape_model, run / SHAPE_MODEL)
        with prepared_faces(sources, run, config, is_chief=is_chief) as (train_faces, val_faces):
            model, result = _fit(
                config,
                run,
                train_faces,
                val_faces,
                shape_model,
                strategy,
                label_weights=sources.label_weights,
                deadline=deadline,
            )
        evaluation = evaluate(KerasPredictor(model), sources.val, batch=VALIDATION_BATCH)
        if is_chief:
            save_model(model, run / MODEL)
            manifest |= {
                "finished_at": now() if result.finished else None,
                "architecture": {
                    "name": config.arch,
                    "parameters": parameters(model),
                    "macs": macs(model),
                    "input_size": config.input_size,
                    "landmarks": points,
                },
                "metrics": {
                    "epochs": len(result.history),
                    "best_epoch": result.best_epoch + 1,
                    "validation": evaluation.to_json(),
                    "validation_source": sources.description,
                },
            }
            write_manifest(run, manifest)
            if result.finished:
                # Only an unfinished run needs its copy of the pictures again.
                shutil.rmtree(run / RECORDS, ignore_errors=True)
        return TrainResult(
            run=run,
            epochs=len(result.history),
            finished=result.finished,
            best_epoch=result.best_epoch + 1,
            evaluation=evaluation,
        )


def _origin(earlier: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Who began the run, with what; and the same of each call that went on with it.

    Args:
        earlier: manifest of the run that is resumed; empty for a new one.
    """
    here = {"command": command, "git_commit": git_commit(), "packages": package_versions()}
    if not earlier:
        return {**here, "started_at": now()}
    kept = {name: earlier.get(name) for name in ("kit_version", *here, "started_at")}
    return {**kept, "resumed": [*earlier.get("resumed", []), {"at": now(), **here}]}


def _finished(run: Path, manifest: Mapping[str, Any], val: Dataset) -> TrainResult:
    """What a run that is finished gave: nothing is trained or written."""
    stderr().print(f"{run} is finished: nothing is left to resume", markup=False)
    metrics = manifest["metrics"]
    return TrainResult(
        run=run,
        epochs=metrics["epochs"],
        finished=True,
        best_epoch=metrics["best_epoch"],
        evaluation=evaluate(KerasPredictor(run), val, batch=VALIDATION_BATCH),
    )


def _fit(
    config: TrainConfig,
    run: Path,
    train_faces: Dataset,
    val_faces: Dataset,
    shape_model: ShapeModel | None,
    strategy: tf.distribute.Strategy,
    *,
    label_weights: Mapping[str, NDArray[np.float32]],
    deadline: float | None,
) -> tuple[tf_keras.Model, FitResult]:
    """Train; gives a float32 model, outside any strategy, with the best averaged weights."""
    scheme = train_faces.scheme
    data = batches_for(
        config, train_faces, label_weights, batch_size=config.batch_size, seed=config.seed
    )
    loss = AsmLoss(
        config.loss,
        scheme=scheme,
        operator=None if shape_model is None else AsmOperator(shape_model),
    )
    seed_everything(config.seed)
    final = build(config.arch, points=scheme.points, input_size=config.input_size)
    checkpoints = Checkpoints(run / CHECKPOINTS, writes=_is_chief(strategy))
    resume = checkpoints.path("last").exists()
    if not resume:
        _set_initial_weights(final, config, data)
    with strategy.scope(), precision(config.precision):
        model = build(config.arch, points=scheme.points, input_size=config.input_size)
    model.set_weights(final.get_weights())
    predictor = KerasPredictor(final)

    def validate(_: tf_keras.Model) -> Row:
        return _validation_row(evaluate(predictor, val_faces, batch=VALIDATION_BATCH))

    schedule = Schedule(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_epochs=config.warmup_epochs,
        ema_decay=config.ema_decay,
        gradient_norm=config.gradient_norm,
        alpha=lambda epoch, epochs: (
            alpha(epoch, epochs, config.alpha) if LOSSES[config.loss].asm else 0.0
        ),
    )
    with RunMonitor(
        run,
        epochs=config.epochs,
        steps=data.steps_per_epoch,
        writes=checkpoints.writes,
        done=checkpoints.load("last").epoch + 1 if resume else 0,
    ) as monitor:
        result = fit(
            model,
            loss=loss,
            data=data,
            scheme=scheme,
            schedule=schedule,
            seed=config.seed,
            validate=validate,
            twin=final,
            checkpoints=checkpoints,
            resume=resume,
            monitor=monitor,
            strategy=strategy,
            deadline=deadline,
        )
    final.set_weights(model.get_weights())
    return final, result


def _validation_row(evaluation: Evaluation) -> Row:
    row = {"val_nme_percent": evaluation.scores.nme_percent}
    for angle, error in (evaluation.scores.pose_mae_deg or {}).items():
        row[f"val_{angle}_mae_deg"] = error
    return row


def _set_initial_weights(model: tf_keras.Model, config: TrainConfig, data: FaceBatches) -> None:
    """``--init-from``, and the mean shape as the first guess of an untrained landmark output."""
    start_at_mean_shape(model, data.targets.mean_shape())
    if config.init_from:
        images = np.stack(
            [data.sample(index, 0)[0] for index in data.order(0).ravel()[:STATISTICS]]
        )
        taken = initialise(model, config.init_from, images=to_float_input(images))
        stderr().print(taken.summary())


def seed_everything(seed: int) -> None:
    """Same seed, same machine, same weights: every source of randomness, and ordered sums."""
    tf_keras.utils.set_random_seed(seed)
    # Dropout then draws from generators that the loop can set anew at each epoch.
    tf_keras.backend.experimental.enable_tf_random_generator()
    tf.config.experimental.enable_op_determinism()


# The folder --------------------------------------------------------------------------------------


def check_folder(run: Path, config: TrainConfig, *, resume: bool) -> None:
    """Refuse a folder that this run may not write to.

    Raises:
        UsageError: it holds a run and ``resume`` is off, the run in it has another configuration,
            or it holds something else.
    """
    has_run = (run / CONFIG).is_file()
    if resume:
        differences = TrainConfig.load(run / CONFIG).differences(config)
        if differences:
            raise UsageError(
                f"{run}: a resumed run keeps its settings, these differ: {'; '.join(differences)}. "
                "Leave them out, or start a new run in another folder"
            )
    elif has_run:
        raise UsageError(
            f"{run} already holds a run: continue it with --resume, or choose another --out"
        )
    elif not is_unused(run):
        raise UsageError(
            f"{run}: expected an empty or new folder for the run; choose another --out"
        )


def _dataset_facts(sources: Sources) -> dict[str, Any]:
    """The manifest's ``dataset``; ``sha256`` and ``labels_sha256`` are of the training faces."""
    return {
        "name": sources.train.name,
        "format": sources.train.format,
        "counts": {"train": len(sources.train.faces), "val": len(sources.val.faces)},
        **fingerprints(sources.train, sources.val),
    }


def _require_same_data(run: Path, facts: dict[str, Any]) -> None:
    if not (run / MANIFEST).exists():
        return  # stopped before anything was computed
    before = read_manifest(run).get("dataset", {})
    if changed := changed_faces(before, facts):
        which, what = changed
        raise UsageError(
            f"{run}: the {which} data changed since the run began ({what}; {before.get('counts')} "
            f"then, {facts['counts']} now), so it cannot be resumed: restore the data, or start a "
            "new run"
        )


def save_model(model: tf_keras.Model, path: Path) -> None:
    """Write a .keras file, whole or not at all."""
    with replacing(path) as temporary:
        model.save(temporary)


# The data ----------------------------------------------------------------------------------------


@contextmanager
def prepared_faces(
    sources: Sources, run: Path, config: TrainConfig, *, is_chief: bool
) -> Iterator[tuple[Dataset, Dataset]]:
    """Training and validation faces in record shards, where random access is quick.

    Original photographs can be fifty times as large as the crop. The shards stay in ``RUN/records``
    until the run is finished, since a resumed run needs them again; workers other than the chief
    keep theirs in a temporary folder. Data that is prepared already is used where it is.
    """
    if config.format == PREPARED:
        yield sources.train, sources.val
        return
    if is_chief:
        yield _prepare(sources, run / RECORDS, config)
        return
    with tempfile.TemporaryDirectory(prefix="asmnet_kit_") as folder:
        yield _prepare(sources, Path(folder), config)


def _prepare(sources: Sources, folder: Path, config: TrainConfig) -> tuple[Dataset, Dataset]:
    size = prepared_size(config.input_size)
    return (
        _prepare_side(sources.train, folder / "train", size, "preparing training faces"),
        _prepare_side(sources.val, folder / "val", size, "preparing validation faces"),
    )


def prepared_size(input_size: int) -> int:
    """Side of a record's window, pixels, with which no augmented crop must be enlarged."""
    smallest_crop = CROP_SCALE * AugmentRanges().smallest_crop
    return int(np.ceil(input_size * WINDOW_SCALE / smallest_crop))


def _prepare_side(dataset: Dataset, folder: Path, size: int, title: str) -> Dataset:
    with counting(title) as on_progress:
        prepare(dataset, folder, size=size, progress=on_progress)
    prepared = load_dataset(folder, "records")
    return dataclasses.replace(prepared, name=dataset.name)


def fit_shape_model(dataset: Dataset, config: TrainConfig) -> ShapeModel | None:
    """The ASM of the training faces' complete shapes, in fractions of their upright crops.

    None, with a warning, where no shape is complete and the loss does not need it.

    Raises:
        DatasetError: too few complete shapes for the ASM loss.
    """
    accumulator = ShapeAccumulator(dataset.scheme.points, aligned=config.asm_aligned)
    for shapes in _shapes(dataset.faces):
        accumulator.update(shapes)
    try:
        return accumulator.fit(config.asm_variance)
    except DatasetError as error:
        if LOSSES[config.loss].asm:
            raise DatasetError(f"{error}; train with --loss mse, which needs none") from error
        stderr().print(f"[yellow]No shape model:[/yellow] {error}")
        return None


def _shapes(faces: Sequence[Face]) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    for start in range(0, len(faces), SHAPES_AT_ONCE):
        part = faces[start : start + SHAPES_AT_ONCE]
        yield np.stack([crop_of(face, 1).to_fractions(face.landmarks) for face in part])


# The devices -------------------------------------------------------------------------------------


def choose_strategy(name: str) -> tf.distribute.Strategy:
    """The tf.distribute strategy for ``--strategy``.

    Raises:
        UsageError: multiworker without TF_CONFIG in the environment.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "none"
        name = "multiworker" if "TF_CONFIG" in os.environ else name
    if name == "multiworker":
        if "TF_CONFIG" not in os.environ:
            raise UsageError(
                "--strategy multiworker expects TF_CONFIG in the environment of every worker, such "
                'as {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": '
                '"worker", "index": 0}}'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([_device_name(device) for device in devices])
    return tf.distribute.get_strategy()


def _device_name(device: Any) -> str:
    """``GPU:0`` of a physical or logical device's long name."""
    return ":".join(str(device.name).split(":")[-2:])


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().as_dict()
    )


def check_precision(name: str) -> None:
    """Refuse float16 without a GPU, where it is slow and saves nothing.

    Raises:
        UsageError: it was asked for.
    """
    if name == "mixed_float16" and not tf.config.list_physical_devices("GPU"):
        raise UsageError("--precision mixed_float16 needs a GPU: use auto or float32")


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Build layers under a Keras precision policy; weights are float32 under each.

    Raises:
        UsageError: see ``check_precision``.
    """
    check_precision(name)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    policy = "mixed_float16" if has_gpu and name == "auto" else name
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("float32" if policy == "auto" else policy)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
