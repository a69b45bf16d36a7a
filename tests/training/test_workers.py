"""Two real processes on this machine, as two machines would train together."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from asmnet_kit.training.cluster.addresses import free_port

FACES, VALIDATION, BATCH, EPOCHS = 8, 2, 4, 2
PATIENCE_S = 1500  # of a very busy machine
LOST_WITHIN_S = 60

# The same command in one process with two replicas: what two workers should come to.
TWO_REPLICAS = """
    import sys
    from asmnet_kit.training.environment import import_tensorflow
    import_tensorflow()
    import tensorflow as tf
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
    from asmnet_kit.cli import main
    main(sys.argv[1:])
"""


class Pair:
    """A chief and a worker that train together."""

    def __init__(
        self,
        folder: Path,
        chief: Sequence[object],
        worker: Sequence[object],
        *,
        workers_path: Path | None = None,
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.cluster = {"worker": [f"localhost:{free_port()}", f"localhost:{free_port()}"]}
        self.calls, self.workers_path = (chief, worker), workers_path
        self.processes = [self.started(index) for index in (0, 1)]

    def started(self, index: int) -> subprocess.Popen:
        task = {"cluster": self.cluster, "task": {"type": "worker", "index": index}}
        own_path = {"PYTHONPATH": str(self.workers_path)} if self.workers_path and index else {}
        with (self.folder / f"{index}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "asmnet_kit", "train", *map(str, self.calls[index])],
                env={**os.environ, "TF_CONFIG": json.dumps(task), **own_path},
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                for training in psutil.Process(process.pid).children():
                    training.kill()
            process.kill()
            process.wait()

    def until(self, path: Path) -> None:
        """Wait for a file, as long as both are alive."""
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists() and time.monotonic() < deadline:
            codes = [process.poll() for process in self.processes]
            assert codes == [None, None], self.output()
            time.sleep(0.005)

    def training_process(self, index: int) -> psutil.Process:
        (child,) = psutil.Process(self.processes[index].pid).children()
        return child

    def output(self, *indices: int) -> str:
        logs = [self.folder / f"{index}.log" for index in indices or (0, 1)]
        return "\n".join(path.read_text() for path in logs)

    def codes(self, patience_s: float = PATIENCE_S) -> list[int]:
        """Wait for both; their exit codes."""
        deadline = time.monotonic() + patience_s
        return [process.wait(max(0.0, deadline - time.monotonic())) for process in self.processes]

    def finishes(self) -> None:
        assert self.codes() == [0, 0], self.output()


def lines(output: str) -> list[str]:
    """What a worker wrote, without the lines of its progress."""
    found = [line for line in output.splitlines() if line.strip()]
    return [line for line in found if not line.startswith(("epoch ", "preparing ", "Waiting "))]


def weights_of(run: Path) -> list[np.ndarray]:
    with np.load(run / "checkpoints" / "last.npz") as checkpoint:
        names = sorted(name for name in checkpoint.files if name != "history")
        return [checkpoint[name] for name in names]


def same_run(one: Path, other: Path) -> bool:
    """Weights, optimizer and the curve of the losses, to the last bit."""
    pairs = zip(weights_of(one), weights_of(other), strict=True)
    curves = [
        [{**row, "pictures_per_s": "", "data_wait_percent": ""} for row in history(run)]
        for run in (one, other)
    ]
    return all((a == b).all() for a, b in pairs) and curves[0] == curves[1]


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def data(drawn_faces: Callable[..., Path]) -> Path:
    return drawn_faces(train=FACES, val=VALIDATION)


def options(data: Path) -> tuple[object, ...]:
    return (
        *("--data", data, "--format", "300w", "--arch", "asmnet_nano", "--input-size", "64"),
        *("--batch-size", BATCH, "--epochs", EPOCHS),
    )


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two workers that nobody disturbs, on a shared disk."""
    folder = tmp_path_factory.mktemp("undisturbed")
    call = (*options(data), "--out", folder / "run")
    with Pair(folder / "pair", call, call) as pair:
        pair.finishes()
    return folder / "run"


def test_two_workers_come_to_what_one_process_with_two_replicas_does(
    undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    """And near what one replica does, whose batch normalisation sees whole batches.

    Each half of a batch is normalised by its own statistics, on two workers as on two GPUs.
    """
    call = ["train", *map(str, options(data)), "--strategy"]
    for strategy, code in (("mirrored", TWO_REPLICAS), ("none", TWO_REPLICAS)):
        subprocess.run(
            [
                *(sys.executable, "-c", textwrap.dedent(code), *call, strategy),
                *("--out", tmp_path / strategy),
            ],
            check=True,
            capture_output=True,
        )
    for name, tolerance in (("mirrored", 1e-5), ("none", 0.05)):
        for ours, theirs in zip(history(undisturbed), history(tmp_path / name), strict=True):
            for column in ("loss", "val_nme_percent"):
                assert float(ours[column]) == pytest.approx(float(theirs[column]), rel=tolerance)


def test_a_worker_that_is_killed_is_named_and_all_go_on_by_themselves(
    undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    """The same command in a scheduler's hands; once finished, it has nothing left to do."""
    run = tmp_path / "run"
    call = (*options(data), "--out", run, "--max-restarts", 1)
    with Pair(tmp_path / "pair", call, call) as pair:
        pair.until(run / "checkpoints" / "last.npz")
        pair.training_process(1).kill()
        pair.finishes()
        for index in (0, 1):
            (line,) = [line for line in lines(pair.output(index)) if "was killed by" in line]
            assert line.startswith("worker 1 (localhost:")
            assert line.endswith("was killed by SIGKILL; all start again (1 of 1)")
        assert "Traceback" not in pair.output()
    assert same_run(run, undisturbed)


@pytest.mark.long
def test_a_chief_that_is_killed_and_started_again_leads_all_on(
    undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    """As a scheduler starts it again, with the same command; the worker waits for it."""
    run = tmp_path / "run"
    call = (*options(data), "--out", run, "--max-restarts", 1)
    with Pair(tmp_path / "pair", call, call) as pair:
        pair.until(run / "checkpoints" / "last.npz")
        training = pair.training_process(0)
        pair.processes[0].kill()
        pair.processes[0].wait()
        psutil.wait_procs([training], timeout=10)
        assert not training.is_running()
        pair.processes[0] = pair.started(0)
        pair.finishes()
        assert "is gone, so all workers stop; waiting for it (1 of 1)" in pair.output(1)
    assert same_run(run, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_a_machine_that_is_gone_ends_the_other_with_one_line_and_the_run_goes_on(
    undisturbed: Path, data: Path, tmp_path: Path, victim: int
) -> None:
    """Disks apart: the worker has a copy of the data elsewhere, and no run."""
    own_copy = tmp_path / "own" / "faces"
    shutil.copytree(data, own_copy)
    chief, worker = tmp_path / "chief" / "run", tmp_path / "own" / "run"
    with Pair(
        tmp_path / "killed",
        (*options(data), "--out", chief),
        (*options(own_copy), "--out", worker),
    ) as pair:
        pair.until(chief / "checkpoints" / "last.npz")
        training = pair.training_process(victim)
        pair.processes[victim].send_signal(signal.SIGKILL)
        left = 1 - victim
        assert pair.codes(LOST_WITHIN_S)[left] == 1
        name = "worker 1 (localhost:" if victim else "worker 0, the chief, (localhost:"
        (line,) = lines(pair.output(left))
        assert line.startswith(f"Error: {name}") and "is gone, so all workers stop" in line
        assert "with --resume" in line
        psutil.wait_procs([training], timeout=10)
        assert not training.is_running()  # it ends with its supervisor
    with Pair(
        tmp_path / "resumed",
        ("--resume", "--out", chief),
        ("--resume", "--data", own_copy, "--out", worker),
    ) as pair:
        pair.finishes()
        assert "epoch 2/2" in pair.output(1) and "epoch 1/2" not in pair.output(1)
    assert not worker.exists()
    assert same_run(chief, undisturbed)


@pytest.mark.long
def test_a_worker_with_other_settings_or_data_is_refused(
    data: Path, drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    """Trained on, it would learn from other faces than the indices of its share mean."""
    run = tmp_path / "run"
    other = (*options(drawn_faces(train=FACES + 1, val=VALIDATION)), "--out", run)
    with Pair(tmp_path / "pair", (*options(data), "--out", run), other) as pair:
        chief, worker = pair.codes()
        assert worker == 2 and "differ from what the chief trains on" in pair.output(1)
        assert chief == 1 and "worker 1 (localhost:" in pair.output(0)


def test_a_worker_with_another_tensorflow_is_refused(data: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site" / "tensorflow-2.19.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.19.0\n"
    )
    run = tmp_path / "run"
    call = (*options(data), "--out", run)
    with Pair(tmp_path / "pair", call, call, workers_path=installed.parent) as pair:
        assert pair.codes() == [2, 2]
        for index in (0, 1):
            (line,) = lines(pair.output(index))
            assert line.startswith("Error: worker 1 (localhost:")
            assert "has other versions than the chief: tensorflow 2.19.0 there" in line
    assert not run.exists()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["folder", "people"])
def test_a_single_process_that_is_killed_starts_again(
    data: Path, tmp_path: Path, kind: str
) -> None:
    """Without other workers, as where a machine's memory ran out; people are the same ones."""
    call = (*options(data), "--epochs", 4)
    if kind == "people":
        call = (*call, "--data", "people", "--format", "people", "--faces-per-epoch", FACES)
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    command = [sys.executable, "-m", "asmnet_kit", "train", *map(str, call), "--out"]
    process = subprocess.Popen(
        [*command, run, "--max-restarts", "1"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (run / "checkpoints" / "last.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    (training,) = psutil.Process(process.pid).children()
    drawing = training.children(recursive=True)
    training.kill()
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
    assert "the training process was killed by SIGKILL; all start again (1 of 1)" in told
    assert not psutil.wait_procs(drawing, timeout=10)[1]
    subprocess.run([*command, undisturbed], check=True, capture_output=True)
    assert same_run(run, undisturbed)
