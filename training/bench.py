"""Does the input pipeline keep up? ``python -m asmnet_kit.training.bench`` (``make bench-train``).

Trains the same network in turns, by the real loop: fed by the real pipeline (shards, decoding,
augmentation), and fed with one batch that is already in memory. Turns alternate in one process, so
that a machine which other work slows down is slow for both.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from asmnet_kit.options import data_options, json_option
from asmnet_kit.training.catalogue import ARCHITECTURES

DRAWN_FACES = 512  # enough shards to leave the processor's caches
MAX_WAIT_PERCENT = 5.0  # of the step time; above, the pipeline starves the step


@dataclass(frozen=True)
class Speed:
    """Medians over turns.

    Attributes:
        pictures_per_s: with the real pipeline.
        cached_pictures_per_s: with one batch again and again.
        data_wait_percent: share of the time that the real loop waited for its next batch.
        cached_wait_percent: the same of the other: what asking alone costs.
    """

    pictures_per_s: float
    cached_pictures_per_s: float
    data_wait_percent: float
    cached_wait_percent: float


@click.command()
@data_options(required=False)
@click.option(
    "--arch",
    type=click.Choice(list(ARCHITECTURES)),
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
    """Measure pictures/s of training and its share of time spent waiting for data.

    Without --data it draws faces. Exit code 1 when the step waits longer than 5 % of its time.

    \b
    Example:
      python -m asmnet_kit.training.bench --data faces --format 300w
    """
    import json
    from dataclasses import asdict

    from asmnet_kit.errors import UsageError
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
        )
    if speed.data_wait_percent > MAX_WAIT_PERCENT:
        raise SystemExit(1)


def draw_faces(folder: Path) -> None:
    """A synthetic data set to measure with."""
    from asmnet_kit.faces3d.write import write_synthetic

    write_synthetic(folder, count=DRAWN_FACES, seed=0, size=160, val_share=0.0, test_share=0.0)


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
    from asmnet_kit.training.architectures.registry import build
    from asmnet_kit.training.config import TrainConfig
    from asmnet_kit.training.loop import Schedule, Trainer, TrainingData
    from asmnet_kit.training.pipeline import CachedBatch, FaceBatches
    from asmnet_kit.training.records import prepare
    from asmnet_kit.training.shape_loss import AsmLoss, AsmOperator
    from asmnet_kit.training.train import fit_shape_model, prepared_size, seed_everything

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
    for turn in range(turns + 1):
        for name, source in sources.items():
            trainer.data = source
            rows[name].append(trainer.train_epoch(turn, seed=0, monitor=None))

    def median(name: str, key: str) -> float:
        return statistics.median(row[key] for row in rows[name][1:])

    return Speed(
        pictures_per_s=median("real", "pictures_per_s"),
        cached_pictures_per_s=median("cached", "pictures_per_s"),
        data_wait_percent=median("real", "data_wait_percent"),
        cached_wait_percent=median("cached", "data_wait_percent"),
    )


if __name__ == "__main__":
    main()
