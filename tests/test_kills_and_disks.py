"""kill -9 and full disks, for each command that writes: it goes on to the same bytes, no litter.

The kill comes at the worst moment there is: the content is written, and about to get its name. What
has a name before it has its content is what these tests would see. Other moments of a training, a
fine-tuning and a quickstart: training/test_command.py, quantize/test_resume.py and
toolkit/commands/test_quickstart.py.
"""

import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.drawn_faces.film import film
from asmnet_kit.results.results import load_results
from disks import full, small_disk

# ``asmnet-kit`` that kills itself instead of giving a file its name for the Nth time.
KILLED = """
import os, signal, sys
from pathlib import Path
name, times, replace = sys.argv[1], int(sys.argv[2]), os.replace
def replaced(source, target, **options):
    global times
    times -= Path(target).match(name)
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(source, target, **options)
os.replace = replaced
from asmnet_kit.cli import main
main(sys.argv[3:])
"""
FOLDER = ("predict", "{faces}/val", "{faces}/test", "--model", "{model}", "--out", "{out}")
QUICK = ("--runs", "1", "--warmup", "0", "--seconds", "0")
TRAIN = (
    *("train", "--data", "{faces}", "--format", "synthetic", "--arch", "asmnet_nano"),
    *("--input-size", "64", "--batch-size", "8", "--epochs", "1", "--out", "{out}"),
)
MIB = 2**20

Outcome = dict[str, Any]


def hashes(out: Path) -> Outcome:
    """Name -> sha256 of every file."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def weights(run: Path) -> Outcome:
    """Names of a run's files, and what was learnt: its other files hold times of day."""
    with np.load(run / "checkpoints" / "last.npz") as arrays:
        learnt = {name: arrays[name].tobytes() for name in arrays.files if name != "history"}
    logs = ("logs", "events")
    names = {p.name for p in run.rglob("*") if p.is_file() and not p.name.startswith(logs)}
    return {"files": names, **learnt}


def measured(out: Path) -> Outcome:
    """The models that whole results are of: a second measurement has a file of its own."""
    return {result["model"]["name"]: b"" for _, result in load_results([out])}


@dataclass(frozen=True)
class Work:
    """A command that writes.

    Attributes:
        call: its arguments.
        again: the arguments that go on after it was stopped.
        moments: (pattern of a name, which time): the file that is about to get its name.
        outcome: of a folder, what must be the same with and without an interruption.
        room: bytes on the full disk, too few for what is written.
        earlier: the file of an earlier call that is replaced, "" where a new folder is filled.
    """

    call: tuple[str, ...]
    moments: tuple[tuple[str, int], ...]
    room: int
    outcome: Callable[[Path], Outcome] = hashes
    again: tuple[str, ...] = ()
    earlier: str = ""


DRAWING = ("data", "synthesize", "--count", "8", "--size", "48", "--workers", "1", "--out", "{out}")
WORKS = {
    "synthesize": Work(DRAWING, (("face_000003.jpg", 1), ("dataset.json", 1)), room=8192),
    "prepare": Work(
        ("data", "prepare", "--data", "{faces}", "--format", "synthetic", "--out", "{out}"),
        (("val-00000.tfrecord", 1),),
        room=30_000,
    ),
    "label": Work(
        (
            *("data", "label", "--photos", "{faces}/train", "--model", "{model}"),
            *("--min-face", "1", "--max-disagreement", "999", "--out", "{out}"),
        ),
        (("*_0.jpg", 2), ("faces.csv", 1)),
        room=16_384,
    ),
    "train": Work(
        TRAIN,
        (("model.keras", 1),),
        room=MIB,
        outcome=weights,
        again=("train", "--resume", "--out", "{out}"),
    ),
    "quantize": Work(
        (
            *("quantize", "{run}", "--data", "{faces}", "--format", "synthetic", "--out", "{out}"),
            *("--recipe", "ptq_w8a8", "--calibration-faces", "4"),
        ),
        (("*.tflite", 1),),
        room=65_536,
    ),
    "benchmark": Work(
        ("benchmark", "{model}", "{other}", *QUICK, "--out", "{out}"),
        (("*.json", 2),),
        room=0,
        outcome=measured,
    ),
    "film": Work(
        ("predict", "{film}", "--model", "{model}", "--out", "{out}/o.avi"),
        (("o.avi", 1),),
        room=16_384,
        earlier="o.avi",
    ),
    "lines of a film": Work(
        ("predict", "{film}", "--model", "{model}", "--out", "{out}/o.jsonl"),
        (("o.jsonl", 1),),
        room=0,
        earlier="o.jsonl",
    ),
    "drawings of a folder": Work(
        FOLDER,
        (("face_000016.jpg", 1), ("face_000018.jpg", 1)),
        room=0,
        again=(*FOLDER, "--resume"),
    ),
    "drawing": Work(
        (
            "predict",
            "{picture}",
            "--model",
            "{model}",
            "--box",
            "0,0,60,60",
            "--out",
            "{out}/o.png",
        ),
        (("o.png", 1),),
        room=0,
        earlier="o.png",
    ),
}
KILLS = [(name, *moment) for name, work in WORKS.items() for moment in work.moments]


def kit(arguments: list[str]) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the commands read."""
    from asmnet_kit.tflite.metadata import ModelMetadata, with_metadata
    from made_models import constant_face_model

    folder = tmp_path_factory.mktemp("work")
    faces, run = folder / "faces", folder / "run"
    drawn = ("data", "synthesize", "--count", "20", "--size", "64", "--workers", "1", "--out")
    assert kit([*drawn, str(faces)]).exit_code == 0
    trained = kit([word.format(faces=faces, out=run) for word in TRAIN])
    assert trained.exit_code == 0, trained.output
    about = ModelMetadata(architecture="constant", landmarks=68, input_size=32, recipe="none")
    for name in ("model", "other"):
        content = with_metadata(constant_face_model(68, 32, int8=False, pose=True), about)
        (folder / f"{name}.tflite").write_bytes(content)
    writer = cv2.VideoWriter(str(folder / "f.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 96))
    for frame in film(4, seed=3, size=96, fps=25, motion=0.5):
        writer.write(frame.image[..., ::-1])
    writer.release()
    return {
        "faces": faces,
        "run": run,
        "film": folder / "f.avi",
        "picture": faces / "train" / "face_000000.jpg",
        "model": folder / "model.tflite",
        "other": folder / "other.tflite",
    }


@pytest.fixture(scope="module")
def undisturbed(
    names: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Outcome]:
    """What each command writes when nothing happens to it."""
    known: dict[str, Outcome] = {}

    def outcome(name: str) -> Outcome:
        if name not in known:
            work, out = WORKS[name], tmp_path_factory.mktemp("whole") / "out"
            result = kit(filled(work.call, out, names))
            assert result.exit_code == 0, result.output
            known[name] = work.outcome(out)
        return known[name]

    return outcome


def filled(call: tuple[str, ...], out: Path, names: dict[str, Path]) -> list[str]:
    return [word.format(out=out, **names) for word in call]


def litter(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name.startswith(".")]


def with_earlier(work: Work, out: Path) -> bytes:
    """A folder in which an earlier call left its file; gives that file's content."""
    if not work.earlier:
        return b""
    out.mkdir()
    (out / work.earlier).write_bytes(b"of an earlier call")
    return (out / work.earlier).read_bytes()


def is_intact(work: Work, out: Path, earlier: bytes) -> bool:
    return not work.earlier or (out / work.earlier).read_bytes() == earlier


@pytest.mark.parametrize(("name", "file", "time"), KILLS)
def test_a_killed_command_goes_on_to_the_same_bytes_and_leaves_no_litter(
    name: str,
    file: str,
    time: int,
    names: dict[str, Path],
    undisturbed: Callable[[str], Outcome],
    tmp_path: Path,
) -> None:
    work, out = WORKS[name], tmp_path / "out"
    earlier = with_earlier(work, out)
    command = [sys.executable, "-c", KILLED, file, str(time), *filled(work.call, out, names)]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert is_intact(work, out, earlier)
    assert litter(out)  # what was about to get its name

    result = kit(filled(work.again or work.call, out, names))
    assert result.exit_code == 0, result.output
    assert litter(out) == []
    assert work.outcome(out) == undisturbed(name)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    with small_disk(tmp_path / "disk", 32 * MIB) as mounted:
        yield tmp_path / "disk", mounted


@pytest.mark.parametrize("name", WORKS)
def test_a_full_disk_is_told_in_one_line_and_with_room_the_command_goes_on(
    name: str,
    names: dict[str, Path],
    undisturbed: Callable[[str], Outcome],
    disk: tuple[Path, bool],
) -> None:
    work, (folder, mounted) = WORKS[name], disk
    out = folder / "out"
    earlier = with_earlier(work, out)
    with full(folder, work.room, mounted=mounted) as words:
        result = kit(filled(work.call, out, names))
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1, result.output
    assert words in result.stderr and "Traceback" not in result.output
    assert is_intact(work, out, earlier)
    assert litter(out) == [] if out.exists() else True

    if work.again and not any(out.glob("checkpoints/*")):
        shutil.rmtree(out, ignore_errors=True)  # nothing to resume, as the message says
        again = work.call
    else:
        again = work.again or work.call
    result = kit(filled(again, out, names))
    assert result.exit_code == 0, result.output
    assert work.outcome(out) == undisturbed(name)


def test_a_quickstart_on_a_full_disk_says_so_and_keeps_the_faces_it_drew(
    disk: tuple[Path, bool], capfd: pytest.CaptureFixture[str]
) -> None:
    folder, mounted = disk
    with full(folder, 200_000, mounted=mounted) as words:
        result = kit(["quickstart", "--out", str(folder / "out"), "--faces", "100"])
    assert result.exit_code == 1, result.output
    told = capfd.readouterr().err  # of the step, a process of its own
    assert words in told and "Traceback" not in told
    assert litter(folder) == []
    drawn = list((folder / "out").rglob("*.jpg"))
    assert drawn and all(cv2.imread(str(path)) is not None for path in drawn)
