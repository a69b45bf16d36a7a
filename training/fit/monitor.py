"""Who watches a run: the progress bar, one line an epoch, history.csv, TensorBoard, curves.png."""

import csv
import io
import math
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf
from rich.console import Console

from asmnet_kit.base.console import progress, stderr
from asmnet_kit.base.errors import KitError, require
from asmnet_kit.base.files import replacing, write_text
from asmnet_kit.base.run_folder import CURVES, HISTORY, TENSORBOARD
from asmnet_kit.training.fit.loop import Row
from asmnet_kit.training.fit.shown_faces import ShownFaces

# Column -> unit, for everything that a row may hold; TensorBoard shows it as the description.
UNITS = {
    "epoch": "1-based",
    "learning_rate": "Adam's, at the epoch's end",
    "alpha": "weight of the ASM term (Eq. 10)",
    "loss": "what is minimised: landmark + the other outputs' terms by their weights",
    "mse": "squared crop sides per coordinate (Eq. 7)",
    "asm": "squared crop sides per coordinate (Eq. 8)",
    "landmark": "mse + alpha asm (Eq. 9), or the unit of the chosen loss",
    "pose": "(degrees / 90) squared per angle (Eq. 11)",
    "uncertainty": "negative log-likelihood of a point's errors, hundredths of the crop's side",
    "visibility": "cross-entropy of the points of which it is known, nats",
    "nme_percent": "training batches with augmentation, percent of the outer eye distance",
    "val_nme_percent": "validation, averaged weights, as evaluate measures it",
    "val_yaw_mae_deg": "validation, degrees",
    "val_pitch_mae_deg": "validation, degrees",
    "val_roll_mae_deg": "validation, degrees",
    "pictures_per_s": "training alone, without validation",
    "data_wait_percent": "share of training time spent waiting for the next batch",
}

WIDTH_INCHES, CURVES_INCHES = 10.0, 4.0  # of curves.png, at 100 pixels an inch


class RunMonitor:
    """Shows a run on the terminal and keeps its logs (``asmnet_kit.training.fit.loop.Monitor``)."""

    def __init__(
        self,
        run: Path,
        *,
        epochs: int,
        steps: int,
        writes: bool,
        done: int = 0,
        faces: ShownFaces | None = None,
    ) -> None:
        """Watch a run of ``epochs`` x ``steps``, ``done`` epochs of which are history.

        Args:
            writes: False on all but the chief of several workers.
            faces: shown below the curves.
        """
        self.run, self.epochs, self.steps, self.writes = run, epochs, steps, writes
        self.faces = faces
        self.console: Console = stderr()
        self.bar = progress()
        self.task = self.bar.add_task(
            "training", total=epochs * steps, completed=done * steps, note=""
        )
        self.started, self.first = time.monotonic(), done
        self.tensorboard: Any = None

    def __enter__(self) -> "RunMonitor":
        if self.writes:
            self.tensorboard = tf.summary.create_file_writer(str(self.run / TENSORBOARD))
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()
        if self.tensorboard is not None and kind is None:
            self.tensorboard.close()

    def on_step(self, epoch: int, step: int, means: Row) -> None:
        """Move the bar."""
        self.bar.update(
            self.task,
            completed=epoch * self.steps + step,
            description=f"epoch {epoch + 1}/{self.epochs}",
            note=f"loss {means['loss']:.5f}  NME {means['nme_percent']:.2f} %  "
            f"{means['pictures_per_s']:.0f} pictures/s",
        )

    def on_epoch_end(self, history: Sequence[Row]) -> None:
        """Print one line and bring every log up to date.

        Raises:
            KitError: a log cannot be written (a full disk, no permission).
        """
        self.console.print(self._line(history[-1]))
        if not self.writes:
            return
        try:
            self._write_logs(history)
        except (OSError, tf.errors.OpError) as error:
            raise KitError(
                f"{self.run}: the logs of epoch {len(history)} could not be written ({error}). "
                "Its checkpoint is intact: make room or fix the permissions, then go on with "
                f"asmnet-kit train --resume --out {shlex.quote(str(self.run))}"
            ) from error

    def _write_logs(self, history: Sequence[Row]) -> None:
        row = history[-1]
        write_history(self.run / HISTORY, history)
        if self.faces is not None:
            self.faces.save()
        plot_curves(self.run / CURVES, history, self.faces)
        with self.tensorboard.as_default(step=int(row["epoch"])):
            for name in UNITS.keys() & row.keys() - {"epoch"}:
                _write_scalar(name, row[name])
        self.tensorboard.flush()

    def _line(self, row: Row) -> str:
        epoch = int(row["epoch"])
        per_epoch_s = (time.monotonic() - self.started) / (epoch - self.first)
        left_min = per_epoch_s * (self.epochs - epoch) / 60
        parts = [
            f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}",
            f"loss {row['loss']:.5f}",
            f"NME {row['nme_percent']:.2f} %",
        ]
        if "val_nme_percent" in row:
            parts.append(f"validation NME {row['val_nme_percent']:.2f} %")
        parts += [f"{row['pictures_per_s']:.0f} pictures/s", f"{left_min:.1f} min left"]
        return "  ".join(parts)


def _write_scalar(name: str, value: float) -> None:
    """``tf.summary.scalar`` without the TensorBoard package, which only viewing needs."""
    metadata = tf.compat.v1.SummaryMetadata(summary_description=UNITS.get(name, ""))
    metadata.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=metadata)


def write_history(path: Path, history: Sequence[Row]) -> None:
    """``history.csv``: one row per epoch, the columns of ``UNITS``."""
    names = [name for name in UNITS if any(name in row for row in history)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{row[name]:.6g}" for name in names if name in row} for row in history)
    write_text(path, text.getvalue())


def plot_curves(path: Path, history: Sequence[Row], faces: ShownFaces | None = None) -> None:
    """``curves.png``: the loss with its terms, the NME, and some faces, by epoch."""
    require("matplotlib", extra="train")
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    marker = "o" if len(epochs) == 1 else None  # a line of one point would not be seen
    picture, shown = (None, []) if faces is None else faces.picture()
    below = 0.0 if picture is None else 0.6 + WIDTH_INCHES * len(picture) / picture.shape[1]
    figure = Figure(figsize=(WIDTH_INCHES, CURVES_INCHES + below), layout="constrained")
    places = [["losses", "errors"], *([["faces", "faces"]] if shown else [])]
    heights = [CURVES_INCHES, *([below] if shown else [])]
    axes_of: dict[str, Any] = figure.subplot_mosaic(places, height_ratios=heights)
    losses, errors = axes_of["losses"], axes_of["errors"]
    for name in ("loss", "mse", "asm", "pose"):
        values = [row.get(name, math.nan) for row in history]
        if any(value > 0 for value in values):
            losses.semilogy(epochs, values, label=name, marker=marker)
    for name, label in (("nme_percent", "training, augmented"), ("val_nme_percent", "validation")):
        values = [row.get(name, math.nan) for row in history]
        errors.plot(epochs, values, label=label, marker=marker)
    losses.set(title="Loss and its terms", xlabel="epoch")
    errors.set(title="NME, % of the outer eye distance", xlabel="epoch")
    errors.set_ylim(bottom=0)
    for axes in (losses, errors):
        axes.legend()
        axes.grid(alpha=0.3)
    if picture is not None:
        rows = axes_of["faces"]
        rows.imshow(picture)
        rows.set(title="Validation faces by epoch: labels green, predictions pink", xticks=[])
        tile = len(picture) / len(shown)
        rows.set_yticks([(row + 0.5) * tile for row in range(len(shown))], map(str, shown))
        rows.set_ylabel("epoch")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
