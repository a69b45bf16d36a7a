"""The loop: exact resume, averaged weights, clear ends, and the same loss on two devices as on one.

The networks are tiny, with the layers that make training awkward: batch normalisation, whose
statistics no gradient moves, and dropout, whose random numbers must survive a resume.
"""

import json
import math
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from asmnet_kit.base.errors import DatasetError, KitError
from asmnet_kit.datasets.base import Dataset, PictureFile
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.training.data.batches import FaceBatches
from asmnet_kit.training.fit.checkpoints import Checkpoints
from asmnet_kit.training.fit.loop import FitResult, Schedule, WarmupCosine, fit
from asmnet_kit.training.loss.losses import AsmLoss
from asmnet_kit.training.run import seed_everything
from disks import largest_file
from wording import NO_EPOCH

SIZE, BATCH = 32, 4


@pytest.fixture(scope="module")
def dataset(drawn_faces: Callable[..., Path]) -> Dataset:
    return load_dataset(drawn_faces(12), "300w")


def tiny_model(*, seed: int = 0, dtype: str = "float32") -> tf_keras.Model:
    seed_everything(seed)
    layers = tf_keras.layers
    image = tf_keras.Input([SIZE, SIZE, 3], name="image")
    x = layers.Conv2D(8, 3, strides=4, dtype=dtype)(image)
    x = layers.BatchNormalization(momentum=0.9, dtype=dtype)(x)
    x = layers.ReLU(6.0, dtype=dtype)(x)
    x = layers.Dropout(0.3, dtype=dtype)(layers.Flatten(dtype=dtype)(x))
    landmarks = layers.Dense(136, dtype=dtype)(x)
    return tf_keras.Model(image, {"landmarks": landmarks, "pose": layers.Dense(3, dtype=dtype)(x)})


def run(
    dataset: Dataset, model: tf_keras.Model, *, epochs: int = 4, **options: object
) -> FitResult:
    data = FaceBatches(dataset.faces, dataset.scheme, size=SIZE, batch_size=BATCH, seed=0)
    settings = {
        "loss": AsmLoss("mse", scheme=SCHEME_68),
        "data": data,
        "schedule": Schedule(epochs=epochs),
        "scheme": SCHEME_68,
    } | options
    return fit(model, **settings)


def assert_same_weights(one: tf_keras.Model, other: tf_keras.Model) -> None:
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def curve(result: FitResult) -> list[tuple[float, ...]]:
    """What must not depend on interruptions: everything but timings."""
    return [
        tuple(v for name, v in row.items() if name not in ("pictures_per_s", "data_wait_percent"))
        for row in result.history
    ]


class StopAfter:
    """A monitor that raises after an epoch, as a killed process would stop there."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_step(self, epoch: int, step: int, means: dict[str, float]) -> None:
        if epoch == self.epochs:  # in the middle of the next one
            raise KeyboardInterrupt

    def on_epoch_end(self, history: list[dict[str, float]]) -> None:
        pass


def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    whole = tiny_model()
    expected = run(dataset, whole)
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tiny_model(), checkpoints=checkpoints, monitor=StopAfter(2))
    resumed = tiny_model(seed=1)  # other initial weights, which the checkpoint replaces
    result = run(dataset, resumed, checkpoints=checkpoints, resume=True)
    assert curve(result) == curve(expected)
    assert_same_weights(resumed, whole)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(dataset: Dataset) -> None:
    one, same, other = tiny_model(), tiny_model(), tiny_model()
    run(dataset, one, epochs=2)
    run(dataset, same, epochs=2)
    run(dataset, other, epochs=2, seed=9)  # the same start, other dropout
    assert_same_weights(one, same)
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_the_loss_falls(dataset: Dataset) -> None:
    schedule = Schedule(epochs=12, learning_rate=1e-2)  # 36 steps are few
    history = run(dataset, tiny_model(), schedule=schedule).history
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_warm_up_rises_linearly_and_a_cosine_ends_at_its_share() -> None:
    """Peak 1, warm-up 4, total 12: steps 0 and 3 give 1/4 and 1; half-way down 0.55; end 0.1."""
    schedule = WarmupCosine(peak=1.0, warmup=4, total=12, final_share=0.1)
    rates = [float(schedule(tf.constant(step))) for step in (0, 3, 4, 8, 12, 20)]
    np.testing.assert_allclose(rates, [0.25, 1.0, 1.0, 0.55, 0.1, 0.1], rtol=1e-6)


def test_alpha_follows_the_epoch(dataset: Dataset) -> None:
    schedule = Schedule(epochs=3, alpha=lambda epoch, epochs: 10.0 * epoch + epochs)
    history = run(dataset, tiny_model(), schedule=schedule).history
    assert [row["alpha"] for row in history] == [3.0, 13.0, 23.0]


def test_averages_hold_batch_statistics_too(dataset: Dataset, tmp_path: Path) -> None:
    """One step: the decay is min(0.998, (1 + 1) / (10 + 1)) = 2/11 after it."""
    model = tiny_model()
    before = model.get_weights()
    checkpoints = Checkpoints(tmp_path)
    one_step = FaceBatches(dataset.faces, dataset.scheme, size=SIZE, batch_size=12, seed=0)
    run(dataset, model, data=one_step, epochs=1, checkpoints=checkpoints)
    state = checkpoints.load("last")
    assert len(state.weights) == 10  # two each of 3 layers, four of batch normalisation
    for start, now, average in zip(before, state.weights, state.averages, strict=True):
        # Sums of three float32 roundings, of values up to 1.
        np.testing.assert_allclose(average, 2 / 11 * start + 9 / 11 * now, atol=3e-7)
    np.testing.assert_array_equal(model.get_weights()[0], state.averages[0])


def test_the_best_epoch_by_validation_is_kept(dataset: Dataset, tmp_path: Path) -> None:
    errors = iter([5.0, 3.0, 4.0])
    seen = []

    def validate(model: tf_keras.Model) -> dict[str, float]:
        seen.append(model.get_weights()[0].copy())
        return {"val_nme_percent": next(errors)}

    model, checkpoints = tiny_model(), Checkpoints(tmp_path)
    result = run(dataset, model, epochs=3, validate=validate, checkpoints=checkpoints)
    assert result.best_epoch == 1
    assert checkpoints.load("best").epoch == 1
    assert checkpoints.load("last").epoch == 2
    np.testing.assert_array_equal(model.get_weights()[0], seen[1])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    dataset: Dataset, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    # alpha becomes NaN in the second epoch, and with it the loss.
    loss = _WithAlpha(AsmLoss("mse", scheme=SCHEME_68))
    schedule = Schedule(epochs=3, alpha=lambda epoch, epochs: math.nan if epoch else 0.0)
    with pytest.raises(KitError, match="no longer finite in epoch 2"):
        run(dataset, tiny_model(), loss=loss, schedule=schedule, checkpoints=checkpoints)
    state = checkpoints.load("last")
    assert state.epoch == 0
    assert all(np.isfinite(values).all() for values in state.weights)


class _WithAlpha:
    """A loss whose total depends on alpha."""

    def __init__(self, loss: AsmLoss) -> None:
        self.loss, self.truth = loss, loss.truth

    def terms(self, batch: object, prediction: object, alpha: tf.Tensor) -> dict[str, tf.Tensor]:
        terms = self.loss.terms(batch, prediction, alpha)
        return terms | {"total": terms["total"] + alpha}


def test_an_unreadable_picture_stops_the_run_with_its_own_message(
    dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    picture = PictureFile(tmp_path / "broken.jpg")
    faces = [face.__class__(face.name, picture, face.landmarks) for face in dataset.faces]
    data = FaceBatches(faces, dataset.scheme, size=SIZE, batch_size=BATCH, seed=0)
    with pytest.raises(DatasetError, match=r"broken\.jpg"):
        run(dataset, tiny_model(), data=data)


def test_a_run_out_of_time_begins_no_further_epoch(dataset: Dataset) -> None:
    with pytest.raises(KitError, match=NO_EPOCH):
        run(dataset, tiny_model(), out_of_time=lambda: True)


def test_mixed_precision_trains_and_resumes(dataset: Dataset, tmp_path: Path) -> None:
    """On a CPU it is slow and of no use, but the same code runs on a GPU."""
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        model = tiny_model(dtype="mixed_float16")
        run(dataset, model, checkpoints=checkpoints, monitor=StopAfter(1))
    resumed, whole = tiny_model(dtype="mixed_float16"), tiny_model(dtype="mixed_float16")
    result = run(dataset, resumed, checkpoints=checkpoints, resume=True)
    assert curve(result) == curve(run(dataset, whole))
    assert_same_weights(resumed, whole)


# Checkpoints --------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_leaves_the_checkpoint_before_intact(
    dataset: Dataset, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    run(dataset, tiny_model(), epochs=1, checkpoints=checkpoints)
    state = checkpoints.load("last")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with (
        largest_file(4096),
        pytest.raises(KitError, match=r"best\.npz: the checkpoint of epoch 1 .* is intact"),
    ):
        checkpoints.save(state, is_best=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_folder_that_cannot_be_written_is_named(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    checkpoints = Checkpoints(tmp_path / "file" / "checkpoints")
    with pytest.raises(KitError, match="could not be written"):
        run(dataset, tiny_model(), epochs=1, checkpoints=checkpoints)


def test_a_cut_off_checkpoint_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    run(dataset, tiny_model(), epochs=1, checkpoints=checkpoints)
    path = checkpoints.path("last")
    for content in (path.read_bytes()[:-500], b""):  # a full disk; a power cut
        path.write_bytes(content)
        with pytest.raises(KitError, match="expected a whole checkpoint"):
            run(dataset, tiny_model(), checkpoints=checkpoints, resume=True)


@pytest.mark.parametrize(
    "content", [{"history": np.array("[]"), "other_0": np.ones(1)}, {"weights_0000": np.ones(1)}]
)
def test_an_npz_that_is_no_checkpoint_is_refused(
    content: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "last.npz", **content)
    with pytest.raises(KitError, match=r"last\.npz: expected a whole checkpoint"):
        Checkpoints(tmp_path).load("last")


def test_a_checkpoint_of_another_model_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    run(dataset, tiny_model(), epochs=1, checkpoints=checkpoints)
    image = tf_keras.Input([SIZE, SIZE, 3], name="image")
    flat = tf_keras.layers.Flatten()(image)
    outputs = {
        name: tf_keras.layers.Dense(n)(flat) for name, n in (("landmarks", 136), ("pose", 3))
    }
    with pytest.raises(KitError, match="not one of this model"):
        run(dataset, tf_keras.Model(image, outputs), checkpoints=checkpoints, resume=True)


# Devices ------------------------------------------------------------------------------------------

TWO_DEVICES = """
    import json, sys
    import asmnet_kit.training
    import tensorflow as tf
    import tf_keras
    from pathlib import Path
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    from asmnet_kit.datasets.registry import load_dataset
    from asmnet_kit.training.fit.loop import Schedule, fit
    from asmnet_kit.training.data.batches import FaceBatches
    from asmnet_kit.training.loss.losses import AsmLoss
    from asmnet_kit.training.devices import choose_strategy
    from asmnet_kit.training.run import seed_everything

    dataset = load_dataset(Path(sys.argv[1]), "300w")

    # One of each for all runs: the collectives of two mirrored strategies would share their keys.
    strategies = {name: choose_strategy(name) for name in ("none", "mirrored")}

    def losses(strategy_name, normalised):
        seed_everything(0)
        strategy = strategies[strategy_name]
        layers = tf_keras.layers
        with strategy.scope():
            image = tf_keras.Input([32, 32, 3], name="image")
            x = layers.Conv2D(8, 3, strides=4, activation="relu")(image)
            if normalised:
                x = layers.Dropout(0.3)(layers.BatchNormalization()(x))
            x = layers.Flatten()(x)
            outputs = {"landmarks": layers.Dense(136)(x), "pose": layers.Dense(3)(x)}
            model = tf_keras.Model(image, outputs)
        data = FaceBatches(dataset.faces, dataset.scheme, size=32, batch_size=4, seed=0)
        result = fit(
            model, loss=AsmLoss("mse", scheme=dataset.scheme), data=data, scheme=dataset.scheme,
            schedule=Schedule(epochs=3), strategy=strategy,
        )
        return strategy.num_replicas_in_sync, [
            (row["loss"], row["nme_percent"]) for row in result.history
        ]

    print(json.dumps([
        losses("none", False), losses("mirrored", False),
        losses("none", True), losses("mirrored", True), losses("mirrored", True),
    ]))
"""


@pytest.mark.slow
def test_two_devices_give_the_loss_of_one(drawn_faces: Callable[..., Path]) -> None:
    """The mean over a batch is the mean of its halves' means, and so are gradients and losses.

    That holds for a network whose output for a picture depends on that picture alone. Batch
    normalisation uses the statistics of each device's share, so with it losses are alike but not
    equal; here it must run, repeat exactly and stay near.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TWO_DEVICES), str(drawn_faces(12))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two, one_bn, two_bn, again_bn = json.loads(done.stdout.splitlines()[-1])
    assert (one[0], two[0]) == (1, 2)
    # Only the order of float32 sums differs (1e-7 each); nine steps of Adam may multiply it.
    np.testing.assert_allclose(two[1], one[1], rtol=1e-4)
    assert two_bn == again_bn
    np.testing.assert_allclose(two_bn[1][0], one_bn[1][0], rtol=0.5)
