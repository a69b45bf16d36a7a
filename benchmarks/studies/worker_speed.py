"""Faces per second of each command that has ``--workers``, with one process and with several.

Usage: make bench-workers [ARGS="--rounds 5 --workers 1 2 4"]
       make bench-workers ARGS="--memory 1000 10000"

Rounds alternate between the numbers of processes, so that whatever else the machine does hits all
of them. A rate is of the part after the start: from a quarter of the faces to the last one. OpenCV
has one thread in every process, also where there is only one: else that one uses more than a core.
With --memory: the most memory that a command and its processes hold together, for so many faces.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import psutil

from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.openers import open_stage
from asmnet_kit.datasets.inspection import inspect_dataset
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.measure.evaluate import evaluate
from asmnet_kit.measure.teacher_views import teach
from asmnet_kit.people.write import PEOPLE
from asmnet_kit.predict.open_predictor import open_predictor, open_predictors
from asmnet_kit.shipping.shipped import find_model

FORMAT = "synthetic"
MODEL = "asmnet_nano_68_80_qat_w8a8"
SIZE = 512  # pixels, of the pictures that are read, as photographs around a face are
PEOPLE_SHARE = 8  # one rendered person takes as long as so many drawn faces
TEACHER_SHARE = 4  # twelve runs of the model for each face
COUNTED_FROM = 0.25  # of the faces: processes have started, and imported what they need
SAMPLED_EVERY_S = 0.05

Progress = Callable[[int, int], None]
Work = Callable[[int, Progress], None]  # by so many processes


class Clock:
    """A progress callback that tells the rate of the steady part."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._last = (0, 0.0)

    def __call__(self, done: int, total: int) -> None:
        now = (done, time.perf_counter())
        if self._first is None:
            self._first = now if done >= COUNTED_FROM * total else None
        else:
            self._last = now

    @property
    def rate(self) -> float:
        """Faces per second."""
        done, started = self._first or (0, 0.0)
        return (self._last[0] - done) / (self._last[1] - started)


def works(data: Path, out: Path, faces: int) -> dict[str, Work]:
    """What is measured, by the name of its command.

    Args:
        data: a folder of drawn faces.
        out: where each writes, in a new folder.
        faces: how many each is about; fewer of what takes longer.
    """
    model = find_model(Path(MODEL))
    dataset = load_dataset(data, FORMAT)
    few = load_dataset(data, FORMAT, split="val")

    def fresh() -> Path:
        return out / str(time.perf_counter_ns())

    def synthesize(workers: int, progress: Progress) -> None:
        write_faces(fresh(), DRAWN, count=faces, seed=0, workers=workers, progress=progress)

    def people(workers: int, progress: Progress) -> None:
        count = faces // PEOPLE_SHARE
        write_faces(fresh(), PEOPLE, count=count, seed=0, workers=workers, progress=progress)

    def inspect(workers: int, progress: Progress) -> None:
        inspect_dataset(data, FORMAT, workers=workers, progress=progress)

    def prepare(workers: int, progress: Progress) -> None:
        open_stage("shard writer")(dataset, fresh(), workers=workers, progress=progress)

    def teacher(workers: int, progress: Progress) -> None:
        reopen = partial(open_predictors, [model])
        teach(few, reopen(), reopen=reopen, workers=workers, on_progress=progress)

    def measure(workers: int, progress: Progress) -> None:
        reopen = partial(open_predictor, model)
        evaluate(reopen(), dataset, reopen=reopen, workers=workers, on_progress=progress)

    return {
        "data synthesize": synthesize,
        "data synthesize --kind people": people,
        "data inspect": inspect,
        "data prepare": prepare,
        "data teacher": teacher,
        "evaluate": measure,
    }


def rates(work: Work, workers: Sequence[int], rounds: int) -> dict[int, list[float]]:
    """Faces per second of each round, by the number of processes."""
    found: dict[int, list[float]] = {count: [] for count in workers}
    for number in range(rounds):
        for count in workers if number % 2 == 0 else reversed(workers):
            clock = Clock()
            work(count, clock)
            found[count].append(clock.rate)
    return found


def peak_bytes(words: Sequence[str]) -> int:
    """The most memory that a command and its processes hold together, resident.

    Raises:
        RuntimeError: it failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "asmnet_kit", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    own, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        held = 0
        try:
            for one in (own, *own.children(recursive=True)):
                held += one.memory_info().rss
        except psutil.NoSuchProcess:  # one of them ended meanwhile
            continue
        peak = max(peak, held)
        time.sleep(SAMPLED_EVERY_S)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    return peak


def memory(
    faces: int, folder: Path, workers: int, only: Sequence[str] | None = None
) -> dict[str, int]:
    """Peak memory of each command, or of ``only`` some, for so many faces, bytes."""
    data = folder / str(faces)
    count = ["--workers", str(workers)]
    about = ["--data", str(data), "--format", FORMAT, *count]
    model = ["--model", MODEL]
    commands = {
        "data synthesize": [
            *("data", "synthesize", "--count", str(faces), "--size", "32"),
            *("--out", str(data), *count),
        ],
        "data inspect": ["data", "inspect", *about],
        "data prepare": ["data", "prepare", *about, "--out", f"{data}-shards"],
        "data teacher": ["data", "teacher", *about, *model, "--out", f"{data}.npz"],
        "evaluate": ["evaluate", MODEL, *about, "--split", "train"],
    }
    drawing = next(iter(commands))  # for the others, too
    return {
        name: peak_bytes(words)
        for name, words in commands.items()
        if only is None or name in (drawing, *only)
    }


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faces", type=int, default=640)
    parser.add_argument("--only", nargs="+", metavar="COMMAND", help="such as 'data inspect'")
    parser.add_argument("--memory", type=int, nargs="+", metavar="FACES")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    with temporary_folder() as folder:
        if chosen.memory:
            most = max(chosen.workers)
            found = {faces: memory(faces, folder, most, chosen.only) for faces in chosen.memory}
            for name in next(iter(found.values())):
                told = (f"{found[faces][name] / 1e6:.0f} MB of {faces}" for faces in found)
                print(f"{name}, {most} workers: {', '.join(told)} faces", flush=True)
            return
        data = folder / "data"
        few = 1 / TEACHER_SHARE
        write_faces(data, DRAWN, count=chosen.faces, seed=1, size=SIZE, val_share=few)
        for name, work in works(data, folder, chosen.faces).items():
            if chosen.only and name not in chosen.only:
                continue
            of_rounds = rates(work, chosen.workers, chosen.rounds)
            first = of_rounds[chosen.workers[0]]
            for count, values in of_rounds.items():
                ratios = [value / one for value, one in zip(values, first, strict=True)]
                print(
                    f"{name}, {count} workers: {statistics.median(values):.1f} faces/s (rounds "
                    f"{min(values):.1f} to {max(values):.1f}), {statistics.median(ratios):.2f} x",
                    flush=True,
                )


if __name__ == "__main__":
    main()
