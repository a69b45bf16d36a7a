"""One training run: from a data set and a configuration to a run folder."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import alone_in, leftovers, make_folder
from asmnet_kit.base.run_folder import (
    CHECKPOINTS,
    CONFIG,
    MANIFEST,
    MODEL,
    RECORDS,
    SHAPE_MODEL,
    SHOWN,
)
from asmnet_kit.datasets.base import ColumnFaces, Dataset, Face
from asmnet_kit.face.crop import crop_fractions
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.face.shape_model.align import front_reference
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.face.shape_model.operator import ShapeModel
from asmnet_kit.measure.evaluate import Evaluation, evaluate
from asmnet_kit.measure.face_crops import face_crops
from asmnet_kit.training.config import PLACES, TrainConfig, strategy_to_resume
from asmnet_kit.training.data.augment import AUGMENTATIONS, AugmentRanges, ranges_of
from asmnet_kit.training.data.batches import FaceBatches, require_batch
from asmnet_kit.training.data.prepared import prepared_faces
from asmnet_kit.training.data.run_batches import batches_for, epoch_size, require_visibility
from asmnet_kit.training.data.sources import choose_sources
from asmnet_kit.training.devices import Workers, check_precision, choose_strategy, precision
from asmnet_kit.training.fit.checkpoints import BEST, LAST, Checkpoints
from asmnet_kit.training.fit.loop import FitResult, Row, Schedule, fit
from asmnet_kit.training.fit.monitor import RunMonitor
from asmnet_kit.training.fit.shown_faces import COUNT, ShownFaces
from asmnet_kit.training.folder import (
    dataset_facts,
    manifest_to_resume,
    require_free,
    require_places,
    require_same_data,
    save_model,
    settings_again,
    start_sha256,
)
from asmnet_kit.training.loss.alpha import alpha
from asmnet_kit.training.loss.asm_operator import AsmOperator
from asmnet_kit.training.loss.losses import LOSSES, AsmLoss
from asmnet_kit.training.manifest import LICENCE, git_commit, now, package_versions, write_manifest
from asmnet_kit.training.networks.build import build
from asmnet_kit.training.networks.counting import macs, parameters
from asmnet_kit.training.networks.heads import EXTRA_OUTPUTS, freeze_outputs, layers_of
from asmnet_kit.training.networks.keras_predictor import KerasPredictor
from asmnet_kit.training.networks.start_weights import initialise, open_source, start_at_mean_shape

SHAPES_AT_ONCE = 4096  # of the one-pass PCA: 4 MB
# A variance of so many shapes is known to within 1 %; aligning a million takes more than a minute.
MOST_SHAPES = 100_000
MIRRORS = "mirrors_pictures"  # of the manifest: whether augmentation mirrors some
STATISTICS = 256  # pictures that batch-norm statistics are made from, for folded weights


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        run: its folder.
        config: its settings.
        epochs: how many are done.
        finished: False when the time allowed ended first.
        best_epoch: 1-based; its averaged weights are in ``model.keras``.
        evaluation: of that model on the validation faces, original pictures.
    """

    run: Path
    config: TrainConfig
    epochs: int
    finished: bool
    best_epoch: int
    evaluation: Evaluation


def train(
    config: TrainConfig,
    run: Path,
    *,
    max_minutes: float | None = None,
    command: str = "",
    recipe: str | None = None,
    left_open: Collection[str] = (),
) -> TrainResult:
    """Train a model and write its run folder.

    Args:
        config: what to do. Of several workers each is given the same, but for the places of things.
        run: the folder, empty or new; of several workers the chief's.
        max_minutes: no epoch begins after this long; ``resume`` finishes the run.
        command: how the run was started, for the manifest.
        recipe: name of the recipe that its settings started from, for the manifest.
        left_open: settings in which a worker takes the chief's, whatever ``config`` says.

    Raises:
        UsageError: contradictory settings, a folder that holds something else, or one that
            another process trains in.
        DatasetError: the data cannot be used.
        KitError: the loss is no longer finite, the folder cannot be written, or another worker was
            lost.
    """
    config = config.validated()
    given = {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if (value or name not in PLACES) and name not in left_open
    }

    def begin() -> TrainConfig:
        require_free(run)
        return config

    return _with_workers(
        config.strategy,
        begin,
        given,
        run,
        resumed=False,
        max_minutes=max_minutes,
        origin={"command": command, "recipe": recipe},
    )


def resume(
    run: Path,
    given: Mapping[str, Any] | None = None,
    *,
    max_minutes: float | None = None,
    command: str = "",
) -> TrainResult:
    """Go on with the run in a folder; it ends as it would have ended without the interruption.

    Args:
        run: the folder; of several workers the chief's, the others need none.
        given: settings that are given once more, by name: places of things that have moved. Others
            must be as they were.
        max_minutes, command: as for ``train``.

    Raises:
        UsageError: no run there, another one's settings or data.
        DatasetError, KitError: as ``train``.
    """
    given = given or {}

    def begin() -> TrainConfig:
        return settings_again(
            TrainConfig.load(run / CONFIG),
            given,
            rule=f"{run}: a resumed run keeps its settings",
            advice="Leave them out, or start a new run in another folder",
        )

    return _with_workers(
        strategy_to_resume(run, given),
        begin,
        given,
        run,
        resumed=True,
        max_minutes=max_minutes,
        origin={"command": command},
    )


def _with_workers(
    strategy: str,
    begin: Callable[[], TrainConfig],
    given: Mapping[str, Any],
    run: Path,
    *,
    resumed: bool,
    max_minutes: float | None,
    origin: Mapping[str, Any],
) -> TrainResult:
    """Train once all workers are there.

    Args:
        origin: what the manifest says of this call.
        begin: the run's settings, of its folder; the chief alone asks.
        given: settings that this worker was given, which must agree with the chief's.
    """
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    workers = Workers(choose_strategy(strategy))
    with workers.none_lost():
        config = TrainConfig(**workers.from_chief(lambda: dataclasses.asdict(begin())))
        if not workers.is_chief:
            config = settings_again(
                config,
                given,
                rule="every worker trains with the chief's settings",
                advice="Start each with the same options",
            )
        return _train(config, run, workers, resumed=resumed, deadline=deadline, origin=origin)


def _train(
    config: TrainConfig,
    run: Path,
    workers: Workers,
    *,
    resumed: bool,
    deadline: float | None,
    origin: Mapping[str, Any],
) -> TrainResult:
    check_precision(config.precision)
    starts = workers.is_chief and not (run / CHECKPOINTS / LAST).exists()
    if resumed or not workers.is_chief:
        require_places(config, where=f"{run}", starts=starts)
    if config.init_from and starts:
        open_source(config.init_from)
    sources = choose_sources(config)
    require_visibility(config, sources.train.faces)
    require_batch(
        epoch_size(config, sources.train.faces),
        config.batch_size,
        replicas=workers.strategy.num_replicas_in_sync,
    )
    shape_model = fit_shape_model(sources.train, config)
    scheme = sources.train.scheme
    pose = has_poses(sources.train)
    if not pose:
        stderr().print(
            f"No head pose: the scheme {scheme.name} has no 3-D positions and no face a pose label."
            " The network has no output pose",
            markup=False,
        )
    facts = dataset_facts(sources)
    chief = workers.from_chief(
        lambda: {
            "facts": facts,
            "earlier": manifest_to_resume(run, config, facts) if resumed else {},
        }
    )
    require_same_data(facts, chief["facts"], config, those_of="the chief trains on")
    earlier = chief["earlier"]
    if earlier.get("finished_at"):
        return _finished(config, run, workers, earlier, sources.val)
    ranges = ranges_of(
        config.augmentation,
        scheme,
        # A run of an earlier version mirrored whatever its scheme, and goes on as it began.
        mirrors=earlier.get(MIRRORS, True) if earlier else None,
    )
    _tell_mirroring(config, ranges, scheme)
    manifest = {
        **_origin(earlier, origin),
        "seed": config.seed,
        "finished_at": None,
        "dataset": facts,
        "init_from_sha256": earlier.get("init_from_sha256", start_sha256(config.init_from)),
        "crop_scale": config.crop_scale,
        MIRRORS: ranges.flip > 0,
        "scheme": scheme.reference,
        "licence": LICENCE,
    }
    # Up to here nothing was written, so a call with a mistake leaves no folder behind.
    if workers.is_chief:
        make_folder(run)
    with alone_in(run) if workers.is_chief else nullcontext():
        if workers.is_chief:
            for leftover in leftovers(run):  # of a call that was killed
                leftover.unlink(missing_ok=True)
            config.save(run / CONFIG)
            write_manifest(run, manifest)
            if shape_model is not None:
                save_shape_model(shape_model, run / SHAPE_MODEL)
        with (
            prepared_faces(sources, run if workers.is_chief else None, config) as (faces, val),
            batches_for(
                config,
                faces,
                sources.label_weights,
                batch_size=config.batch_size,
                seed=config.seed,
                ranges=ranges,
            ) as data,
        ):
            model, result = _fit(
                config, run, data, val, shape_model, workers, pose=pose, deadline=deadline
            )
        evaluation = evaluate(
            KerasPredictor(model, crop_scale=config.crop_scale, scheme=scheme), sources.val
        )
        if workers.is_chief:
            save_model(model, run / MODEL)
            manifest |= _outcome(config, model, result, evaluation, sources.description)
            write_manifest(run, manifest)
            if result.finished:
                # Only an unfinished run needs its copy of the pictures again.
                shutil.rmtree(run / RECORDS, ignore_errors=True)
        workers.wait()  # a worker that ends is missed by the others
        return TrainResult(
            run=run,
            config=config,
            epochs=len(result.history),
            finished=result.finished,
            best_epoch=result.best_epoch + 1,
            evaluation=evaluation,
        )


def _tell_mirroring(config: TrainConfig, ranges: AugmentRanges, scheme: Scheme) -> None:
    """Say where pictures are not mirrored, or where nothing tells which points then swap."""
    if ranges.flip == 0 and AUGMENTATIONS[config.augmentation].flip > 0:
        reason = (
            "names no mirror pairs, though its jaw goes from side to side: name them with the key "
            "mirror of its file"
            if scheme.names_no_mirror_pair
            else "has points of one side of the face without their partners on the other"
        )
        stderr().print(
            f"Pictures are not mirrored: the scheme {scheme.name} {reason}", markup=False
        )
    elif ranges.flip > 0 and scheme.names_no_mirror_pair:
        stderr().print(
            f"Every other picture is mirrored, each point as its own mirror image: the scheme "
            f"{scheme.name} names no mirror pairs. If points swap sides, name them with the key "
            "mirror of its file; if pictures must not be mirrored, train with --augmentation none",
            markup=False,
        )


def _origin(earlier: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """Who began the run, with what; and the same of each call that went on with it.

    Args:
        earlier: manifest of the run that is resumed; empty for a new one.
        call: ``command``, and of a new run its ``recipe``.
    """
    here = {**call, "git_commit": git_commit(), "packages": package_versions()}
    if not earlier:
        return {**here, "started_at": now()}
    kept = {name: earlier.get(name) for name in ("kit_version", "recipe", *here, "started_at")}
    return {**kept, "resumed": [*earlier.get("resumed", []), {"at": now(), **here}]}


def _outcome(
    config: TrainConfig,
    model: tf_keras.Model,
    result: FitResult,
    evaluation: Evaluation,
    validated_on: str,
) -> dict[str, Any]:
    """What the manifest says once a model is written."""
    return {
        "finished_at": now() if result.finished else None,
        "architecture": {
            "name": config.arch,
            "parameters": parameters(model),
            "macs": macs(model),
            "input_size": config.input_size,
            "landmarks": evaluation.landmarks,
        },
        "metrics": {
            "epochs": len(result.history),
            "best_epoch": result.best_epoch + 1,
            "validation": evaluation.to_json(),
            "validation_source": validated_on,
        },
    }


def _finished(
    config: TrainConfig, run: Path, workers: Workers, manifest: Mapping[str, Any], val: Dataset
) -> TrainResult:
    """What a run that is finished gave: nothing is trained or written."""
    stderr().print(f"{run} is finished: nothing is left to resume", markup=False)
    metrics = manifest["metrics"]
    with workers.chiefs_files(run, (MANIFEST, MODEL)) as folder:
        evaluation = evaluate(KerasPredictor(folder), val)
    workers.wait()
    return TrainResult(
        run=run,
        config=config,
        epochs=metrics["epochs"],
        finished=True,
        best_epoch=metrics["best_epoch"],
        evaluation=evaluation,
    )


def _fit(
    config: TrainConfig,
    run: Path,
    data: FaceBatches,
    val_faces: Dataset,
    shape_model: ShapeModel | None,
    workers: Workers,
    *,
    pose: bool,
    deadline: float | None,
) -> tuple[tf_keras.Model, FitResult]:
    """Train; gives a float32 model, outside any strategy, with the best averaged weights."""
    scheme = data.scheme
    loss = AsmLoss(
        config.loss,
        scheme=scheme,
        operator=None if shape_model is None else AsmOperator(shape_model),
        extra=config.extra_terms(),
    )
    seed_everything(config.seed)
    network = partial(
        build,
        config.arch,
        points=scheme.points,
        input_size=config.input_size,
        extra=config.extra_outputs,
        pose=pose,
    )
    final = network()
    folder = run / CHECKPOINTS
    goes_on = workers.from_chief((folder / LAST).exists)
    if not goes_on:
        if workers.is_chief:
            _set_initial_weights(final, config, data)
        workers.take_weights(final)
    with workers.strategy.scope(), precision(config.precision):
        model = network()
    model.set_weights(final.get_weights())
    if config.keep_landmarks:
        freeze_outputs(model, _kept_outputs(model))
    predictor = KerasPredictor(final, crop_scale=config.crop_scale, scheme=scheme)

    def validate(_: tf_keras.Model) -> Row:
        if shown is not None:
            shown.look(predictor)
        row: Row = workers.from_chief(lambda: _validation_row(evaluate(predictor, val_faces)))
        return row

    def is_out_of_time() -> bool:
        return deadline is not None and time.monotonic() >= deadline

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
    with workers.chiefs_files(folder, (LAST, BEST) if goes_on else ()) as here:
        checkpoints = Checkpoints(here, writes=workers.is_chief)
        done = checkpoints.load("last").epoch + 1 if goes_on else 0
        shown = None
        if workers.is_chief:
            crops = face_crops(
                val_faces, count=COUNT, size=config.input_size, scale=config.crop_scale
            )
            shown = ShownFaces(crops, folder / SHOWN, done=done)
        with RunMonitor(
            run,
            epochs=config.epochs,
            steps=data.steps_per_epoch,
            writes=checkpoints.writes,
            done=done,
            faces=shown,
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
                resume=goes_on,
                monitor=monitor,
                strategy=workers.strategy,
                out_of_time=lambda: bool(workers.from_chief(is_out_of_time)),
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
        shown = data.order(0).reshape(-1, 2)[:STATISTICS].tolist()
        images = np.stack([data.sample(face, 0, showing).image for face, showing in shown])
        taken = initialise(model, config.init_from, images=to_float_input(images))
        stderr().print(taken.summary())
        if config.keep_landmarks:
            kept = {layer.name for layer in layers_of(model, _kept_outputs(model))}
            if fresh := [name for name in taken.fresh if name in kept]:
                raise UsageError(
                    f"--keep-landmarks: {config.init_from} has no weights that fit {fresh[0]} "
                    f"({taken.fresh[fresh[0]]}), and what is kept is never trained: start from a "
                    "model of the same --arch and landmarks, with a pose if this one has it"
                )


def _kept_outputs(model: tf_keras.Model) -> list[str]:
    """The outputs that ``keep_landmarks`` keeps."""
    return [name for name in model.output if name not in EXTRA_OUTPUTS]


def seed_everything(seed: int) -> None:
    """Same seed, same machine, same weights: every source of randomness, and ordered sums."""
    tf_keras.utils.set_random_seed(seed)
    # Dropout then draws from generators that the loop can set anew at each epoch.
    tf_keras.backend.experimental.enable_tf_random_generator()
    tf.config.experimental.enable_op_determinism()


def has_poses(dataset: Dataset) -> bool:
    """Whether anything says what a head pose is: labels, or the scheme's 3-D positions."""
    return dataset.scheme.positions is not None or any(
        face.pose is not None for face in dataset.faces
    )


def fit_shape_model(dataset: Dataset, config: TrainConfig) -> ShapeModel | None:
    """The ASM of the training faces' complete shapes, in fractions of their upright crops.

    Shapes are aligned to the scheme's 3-D positions seen from the front, else to their own mean.
    Of more than ``MOST_SHAPES`` faces every n-th is taken, which a line on stderr says. None, with
    a warning, where no shape is complete and the loss does not need it.

    Raises:
        DatasetError: too few complete shapes for the ASM loss.
    """
    every = -(-len(dataset.faces) // MOST_SHAPES)
    if every > 1:
        stderr().print(f"Shape model: of one in {every} of {len(dataset.faces)} faces")
        dataset = dataclasses.replace(dataset, faces=dataset.faces[::every])
    reference = front_reference(dataset.scheme) if config.asm_aligned else None
    if config.asm_aligned and reference is None:
        reference = _mean_shape(dataset, config.crop_scale)
    accumulator = ShapeAccumulator(
        dataset.scheme.points, aligned=config.asm_aligned, reference=reference
    )
    for shapes in _shapes(dataset.faces, config.crop_scale):
        accumulator.update(shapes)
    try:
        fitted = accumulator.fit(config.asm_variance)
        # Aligned shapes are in the frame of their reference instead.
        return (
            fitted if fitted.aligned else dataclasses.replace(fitted, crop_scale=config.crop_scale)
        )
    except DatasetError as error:
        if LOSSES[config.loss].asm:
            raise DatasetError(f"{error}; train with --loss mse, which needs none") from error
        stderr().print(f"[yellow]No shape model:[/yellow] {error}")
        return None


def _mean_shape(dataset: Dataset, crop_scale: float) -> NDArray[np.float32] | None:
    """float32 [N, 2]: the mean of the complete shapes in their upright crops; None without any."""
    total, count = np.zeros((dataset.scheme.points, 2)), 0
    for shapes in _shapes(dataset.faces, crop_scale):
        complete = shapes[np.isfinite(shapes).all(axis=(1, 2))]
        total += complete.sum(axis=0)
        count += len(complete)
    return (total / count).astype(np.float32) if count else None


def _shapes(
    faces: Sequence[Face], crop_scale: float
) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    for start in range(0, len(faces), SHAPES_AT_ONCE):
        part = faces[start : start + SHAPES_AT_ONCE]
        if isinstance(part, ColumnFaces):
            yield crop_fractions(part.landmarks(), crop_scale)
        else:
            yield crop_fractions(np.stack([face.landmarks for face in part]), crop_scale)
