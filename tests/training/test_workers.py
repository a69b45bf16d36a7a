"""Two real processes on this machine, as two machines would train together."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from wording import WORKER_STOPPED

FACES, VALIDATION, BATCH, EPOCHS = 8, 2, 4, 2
PATIENCE_S = 300

# ``asmnet-kit train``, and a record of what it trained on and of the weights it ended with.
COMMAND = """
    import os, sys, time
    import numpy as np
    from asmnet_kit.training.environment import import_tensorflow
    import_tensorflow()
    from asmnet_kit.cli import main
    from asmnet_kit.training import run
    from asmnet_kit.training.data.batches import FaceBatches

    shown, models = [], []
    sample, predictor, choose = FaceBatches.sample, run.KerasPredictor, run.choose_strategy

    def recorded_sample(self, index, epoch, *showing):
        shown.append((epoch, index))
        return sample(self, index, epoch, *showing)

    def recorded_predictor(model, **settings):
        models.append(model)
        return predictor(model, **settings)

    def late(name):
        strategy = choose(name)
        time.sleep(float(os.environ["LATE_S"]))
        return strategy

    FaceBatches.sample = recorded_sample
    run.KerasPredictor, run.choose_strategy = recorded_predictor, late
    try:
        main(sys.argv[2:])
    finally:
        weights = models[-1].get_weights() if models else []
        np.savez(sys.argv[1], *weights, shown=np.array(shown))
"""


@dataclass(frozen=True)
class Ended:
    """How a worker ended: exit code, terminal, faces by epoch, weights."""

    code: int
    output: str
    shown: dict[int, set[int]]
    weights: list[np.ndarray]


class Pair:
    """A chief and a worker that train together."""

    def __init__(
        self, folder: Path, chief: Sequence[object], worker: Sequence[object], *, late_s: float = 0
    ) -> None:
        folder.mkdir()
        self.folder = folder
        ports = free_ports(2)
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        self.processes = []
        for index, arguments in enumerate((chief, worker)):
            task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            with (folder / f"{index}.log").open("w") as log:
                self.processes.append(
                    subprocess.Popen(
                        [
                            *(sys.executable, "-c", textwrap.dedent(COMMAND)),
                            str(folder / f"{index}.npz"),
                            *("train", *map(str, arguments)),
                        ],
                        env={
                            **os.environ,
                            "TF_CONFIG": json.dumps(task),
                            "LATE_S": str(late_s * index),
                        },
                        stdout=log,
                        stderr=log,
                    )
                )

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill(*self.processes)

    def kill(self, *processes: subprocess.Popen) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def until(self, path: Path) -> None:
        """Wait for a file, as long as both are alive."""
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists() and time.monotonic() < deadline:
            codes = [process.poll() for process in self.processes]
            assert codes == [None, None], self.output(0) + self.output(1)
            time.sleep(0.01)

    def output(self, index: int) -> str:
        return (self.folder / f"{index}.log").read_text()

    def ended(self) -> list[Ended]:
        """Wait for both."""
        results = []
        for index, process in enumerate(self.processes):
            code = process.wait(PATIENCE_S)
            with np.load(self.folder / f"{index}.npz") as record:
                shown: dict[int, set[int]] = {}
                for epoch, face in record["shown"].reshape(-1, 2).tolist():
                    shown.setdefault(epoch, set()).add(face)
                weights = [record[f"arr_{n}"] for n in range(len(record.files) - 1)]
            results.append(Ended(code, self.output(index), shown, weights))
        return results


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def same_weights(one: Ended, other: Ended) -> bool:
    assert len(one.weights) == len(other.weights) > 0
    return all((a == b).all() for a, b in zip(one.weights, other.weights, strict=True))


@pytest.fixture(scope="module")
def data(drawn_faces: Callable[..., Path]) -> Path:
    return drawn_faces(train=FACES, val=VALIDATION)


def options(data: Path) -> tuple[object, ...]:
    return (
        *("--data", data, "--format", "300w", "--arch", "asmnet_nano", "--input-size", "64"),
        *("--batch-size", BATCH, "--epochs", EPOCHS),
    )


@pytest.mark.slow
def test_two_workers_train_as_one_and_go_on_after_both_were_killed(
    data: Path, tmp_path: Path
) -> None:
    """Undisturbed on a shared disk, where the worker comes late; then killed, with disks apart.

    Each sees its half of every batch, both end with the same weights, and the interruption changes
    nothing.
    """
    shared = (*options(data), "--out", tmp_path / "shared")
    with Pair(tmp_path / "undisturbed", shared, shared, late_s=3) as pair:
        whole = pair.ended()
    assert [end.code for end in whole] == [0, 0], whole[0].output + whole[1].output
    for epoch in range(EPOCHS):
        halves = [end.shown[epoch] for end in whole]
        assert not halves[0] & halves[1]
        assert halves[0] | halves[1] == set(range(FACES))
    assert same_weights(*whole)

    own_copy = tmp_path / "own" / "faces"  # the worker's disk has the data too, elsewhere
    shutil.copytree(data, own_copy)
    chief, worker = tmp_path / "chief" / "run", tmp_path / "own" / "run"
    with Pair(
        tmp_path / "killed",
        (*options(data), "--out", chief),
        (*options(own_copy), "--out", worker),
    ) as pair:
        pair.until(chief / "checkpoints" / "last.npz")
        pair.kill(*pair.processes)
    with Pair(
        tmp_path / "resumed",
        ("--resume", "--out", chief),
        ("--resume", "--data", own_copy, "--out", worker),
    ) as pair:
        resumed = pair.ended()
    assert [end.code for end in resumed] == [0, 0], resumed[0].output + resumed[1].output
    assert not worker.exists()
    for end in resumed:
        assert "epoch 2/2" in end.output and "epoch 1/2" not in end.output
        assert set(end.shown) == {1}
    assert same_weights(*resumed)
    assert same_weights(resumed[0], whole[0])


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others_with_advice(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call = (*options(data), "--epochs", "500", "--out", run)
    with Pair(tmp_path / "pair", call, call) as pair:
        pair.until(run / "checkpoints" / "last.npz")
        pair.kill(pair.processes[1])
        assert pair.processes[0].wait(PATIENCE_S) == 1, pair.output(0)
        assert WORKER_STOPPED in pair.output(0)
        assert "--resume" in pair.output(0)
        assert "Traceback" not in pair.output(0)


@pytest.mark.slow
def test_a_worker_with_other_settings_or_data_is_refused(
    data: Path, drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    """Trained on, it would learn from other faces than the indices of its share mean."""
    run = tmp_path / "run"
    other = (*options(drawn_faces(train=FACES + 1, val=VALIDATION)), "--out", run)
    with Pair(tmp_path / "pair", (*options(data), "--out", run), other) as pair:
        chief, worker = pair.ended()
    assert worker.code == 2 and "differ from what the chief trains on" in worker.output
    assert chief.code == 1 and WORKER_STOPPED in chief.output
