"""How fast is training, and does its input keep up?

Usage: make bench-train [ARGS="--data DIR --format 300w"]

Trains the same network in turns: by the real loop fed by the real pipeline (shards, decoding,
augmentation), by the real loop fed with one batch that is already in memory, and by plain
``model.fit`` (``plain_fit``). Turns alternate, so that a machine which other work slows down is
slow for all; the ratio is taken turn by turn.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from asmnet_kit.cli import KitCommand
from asmnet_kit.commands.options import PluginChoice, data_options, json_option
from asmnet_kit.training.networks.architectures import ARCHITECTURES

DRAWN_FACES = 512  # enough shards to leave the processor's caches
FLOP_PER_MAC = 2 * 3  # forward; backward once for the weights, once for the input
MAX_WAIT_PERCENT = 5.0  # of the step time; above, the pipeline starves the step


@dataclass(frozen=True)
class Speed:
    """Medians over turns.

    Attributes:
        pictures_per_s: with the real pipeline.
        cached_pictures_per_s: with one batch again and again.
        data_wait_percent: share of the time that the real loop waited for its next batch.
        cached_wait_percent: the same of the other: what asking alone costs.
        plain_pictures_per_s: of ``model.fit`` with default settings and oneDNN off.
        speedup: of the real loop with the real pipeline over that.
        gflop_per_s: of the real loop, counting 2 operations for each multiply-accumulate of the
            forward pass and twice as many for the backward pass.
        matmul_gflop_per_s: of NumPy's product of two 2048 x 2048 float32 matrices: the machine.
    """

    pictures_per_s: float
    cached_pictures_per_s: float
    data_wait_percent: float
    cached_wait_percent: float
    plain_pictures_per_s: float
    speedup: float
    gflop_per_s: float
    matmul_gflop_per_s: float


@click.command(cls=KitCommand)
@data_options(required=False)
@click.option(
    "--arch",
    type=PluginChoice(ARCHITECTURES),
    default="asmnet",
    show_default=True,
    help="The network.",
)
@click.option("--input-size", default=112, show_default=True, help="Side of the input, pixels.")
@click.option("--batch-size", default=32, show_default=True, help="Pictures per step.")
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    default=12,
    show_default=True,
    help="Steps of one turn, as far as the faces suffice.",
)
@click.option(
    "--turns", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each kind."
)
@json_option
def main(
    data: Path | None,
    data_format: str | None,
    arch: str,
    input_size: int,
    batch_size: int,
    steps: int,
    turns: int,
    as_json: bool,
) -> None:
    """Measure pictures/s of training, against plain model.fit, and what waits for data.

    Without --data it draws faces. Exit code 1 when the step waits longer than 5 % of its time.

    \b
    Example:
      python -m asmnet_kit.training.studies.training_speed --data faces --format 300w
    """
    import json
    from dataclasses import asdict

    from asmnet_kit.base.errors import UsageError
    from asmnet_kit.training.environment import import_tensorflow

    if (data is None) != (data_format is None):
        raise UsageError("expected --data and --format together, or neither")
    import_tensorflow()
    with tempfile.TemporaryDirectory(prefix="asmnet_kit_bench_") as folder:
        if data is None or data_format is None:
            data, data_format = Path(folder) / "drawn", "synthetic"
            draw_faces(data)
        speed = measure(
            data,
            data_format,
            folder=Path(folder),
            arch=arch,
            input_size=input_size,
            batch_size=batch_size,
            steps=steps,
            turns=turns,
        )
    if as_json:
        click.echo(json.dumps(asdict(speed), indent=2))
    else:
        click.echo(
            f"{arch} {input_size} px, batch {batch_size}, medians of {turns} turns of {steps} steps"
            f"\n  real pipeline    {speed.pictures_per_s:8.1f} pictures/s, "
            f"{speed.data_wait_percent:.2f} % of the time waiting for data"
            f"\n  one cached batch {speed.cached_pictures_per_s:8.1f} pictures/s, "
            f"{speed.cached_wait_percent:.2f} % waiting"
            f"\n  plain model.fit  {speed.plain_pictures_per_s:8.1f} pictures/s, oneDNN off: "
            f"{speed.speedup:.2f} times slower than the first"
            f"\n  {speed.gflop_per_s:.0f} GFLOP/s; this machine's matrix product: "
            f"{speed.matmul_gflop_per_s:.0f}"
        )
    if speed.data_wait_percent > MAX_WAIT_PERCENT:
        raise SystemExit(1)


def draw_faces(folder: Path) -> None:
    """A synthetic data set to measure with."""
    from asmnet_kit.datasets.write_synthetic import write_faces
    from asmnet_kit.drawn_faces.write import DRAWN

    write_faces(folder, DRAWN, count=DRAWN_FACES, seed=0, size=160, val_share=0.0, test_share=0.0)


def measure(
    data: Path,
    data_format: str,
    *,
    folder: Path,
    arch: str,
    input_size: int,
    batch_size: int,
    steps: int,
    turns: int,
) -> Speed:
    """Train in turns and take medians; the first turn of each, which compiles, does not count."""
    import tensorflow as tf

    from asmnet_kit.datasets.registry import load_dataset
    from asmnet_kit.training.config import TrainConfig
    from asmnet_kit.training.data.batches import CachedBatch, FaceBatches
    from asmnet_kit.training.data.prepared import prepared_size
    from asmnet_kit.training.data.write_shards import prepare
    from asmnet_kit.training.fit.loop import Schedule, Trainer, TrainingData
    from asmnet_kit.training.loss.asm_operator import AsmOperator
    from asmnet_kit.training.loss.losses import AsmLoss
    from asmnet_kit.training.networks.build import build
    from asmnet_kit.training.networks.counting import macs
    from asmnet_kit.training.run import fit_shape_model, seed_everything
    from asmnet_kit.training.studies.plain_fit import PlainFit

    dataset = load_dataset(data, data_format)
    prepare(dataset, folder / "records", size=prepared_size(input_size))
    prepared = load_dataset(folder / "records", "records")
    seed_everything(0)
    config = TrainConfig(data=str(data), format=data_format)
    shape_model = fit_shape_model(prepared, config)
    loss = AsmLoss(
        "mse" if shape_model is None else config.loss,
        scheme=prepared.scheme,
        operator=None if shape_model is None else AsmOperator(shape_model),
    )
    faces = prepared.faces[: steps * batch_size]
    real = FaceBatches(faces, prepared.scheme, size=input_size, batch_size=batch_size, seed=0)
    sources: dict[str, TrainingData] = {
        "real": real,
        "cached": CachedBatch(real, steps=real.steps_per_epoch),
    }
    model = build(arch, points=prepared.scheme.points, input_size=input_size)
    trainer = Trainer(
        model, loss, real, prepared.scheme, Schedule(epochs=turns + 1), tf.distribute.get_strategy()
    )
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
    plain: list[float] = []
    with PlainFit(
        arch,
        points=prepared.scheme.points,
        input_size=input_size,
        batch_size=batch_size,
        steps=real.steps_per_epoch,
    ) as plain_fit:
        for turn in range(turns + 1):
            for name, source in sources.items():
                trainer.data = source
                rows[name].append(trainer.train_epoch(turn, seed=0, monitor=None))
            plain.append(plain_fit.pictures_per_s())

    def median(name: str, key: str) -> float:
        return statistics.median(row[key] for row in rows[name][1:])

    ratios = [row["pictures_per_s"] / other for row, other in zip(rows["real"], plain, strict=True)]
    pictures_per_s = median("real", "pictures_per_s")
    return Speed(
        plain_pictures_per_s=statistics.median(plain[1:]),
        speedup=statistics.median(ratios[1:]),
        gflop_per_s=pictures_per_s * macs(model) * FLOP_PER_MAC / 1e9,
        matmul_gflop_per_s=matmul_speed(),
        pictures_per_s=pictures_per_s,
        cached_pictures_per_s=median("cached", "pictures_per_s"),
        data_wait_percent=median("real", "data_wait_percent"),
        cached_wait_percent=median("cached", "data_wait_percent"),
    )


def matmul_speed() -> float:
    """GFLOP/s of a large float32 matrix product, the best of a few."""
    import time

    import numpy as np

    side = 2048
    a = np.random.default_rng(0).random((side, side), np.float32)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds) / 1e9


if __name__ == "__main__":
    main()
