"""--workers of every command that has it: the same bits with one process and with two."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN

FACES = 120  # more than two processes take at a time, of every command
MODEL = "asmnet_nano_68_80_qat_w8a8"


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Drawn faces, one of whose pictures is damaged."""
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    write_faces(folder, DRAWN, count=FACES, seed=5, size=64, val_share=0.0, test_share=0.0)
    (folder / "train" / "face_000007.jpg").write_bytes(b"\xff\xd8\xff no picture \xff\xd9")
    return folder


def files_of(folder: Path) -> dict[str, str]:
    """Every file below a folder, by what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("kind", ["drawn", "people"])
def test_synthesize_draws_the_same_faces(kind: str, tmp_path: Path) -> None:
    count = {"drawn": FACES, "people": 60}[kind]
    for workers in (1, 2):
        run("data", "synthesize", "--count", count, "--kind", kind, "--size", 48, "--out",
            tmp_path / str(workers), "--workers", workers)  # fmt: skip
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_inspect_tells_the_same(faces: Path, tmp_path: Path) -> None:
    told = [
        run("data", "inspect", "--data", faces, "--format", "synthetic", "--json", "--sheet",
            tmp_path / f"{workers}.png", "--workers", workers)
        for workers in (1, 2)
    ]  # fmt: skip
    assert told[0] == told[1]
    (problem,) = json.loads(told[0])["problems"]
    assert "face_000007" in problem["name"]  # and it stopped none of the others
    assert json.loads(told[0])["faces"] == FACES - 1
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


@pytest.mark.parametrize("boxes", ["landmarks", "detector"])
def test_evaluate_measures_the_same(faces: Path, boxes: str) -> None:
    told = [
        run("evaluate", MODEL, "--data", faces, "--format", "synthetic", "--split", "train",
            "--boxes", boxes, "--json", "--workers", workers)
        for workers in (1, 2)
    ]  # fmt: skip
    assert told[0] == told[1]
    found = json.loads(told[0])
    assert found["faces"] + found["faces_missed"] == FACES - 1
    assert [problem["name"] for problem in found["problems"]] == ["train/face_000007.jpg"]


def test_a_teacher_sees_the_same(faces: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        run("data", "teacher", "--data", faces, "--format", "synthetic", "--model", MODEL, "--out",
            tmp_path / f"{workers}.npz", "--workers", workers)  # fmt: skip
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_workers_are_for_what_can_be_opened_twice(faces: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.keras"
    model.write_bytes(b"PK")
    data = ["--data", str(faces), "--format", "synthetic", "--workers", "2"]
    result = CliRunner().invoke(main, ["evaluate", str(model), *data])
    assert result.exit_code == 2
    assert "--workers is for a .tflite" in result.output


@pytest.mark.parametrize("command", ["synthesize", "inspect", "evaluate", "teacher"])
def test_ctrl_c_leaves_no_process_and_no_litter(command: str, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = ["--data", faces, "--format", "synthetic"]
    words = {
        "synthesize": ["data", "synthesize", "--count", 100_000, "--kind", "people", "--out", out],
        "inspect": ["data", "inspect", *data],
        "evaluate": ["evaluate", MODEL, *data, "--split", "train"],
        "teacher": ["data", "teacher", *data, "--model", MODEL, "--out", tmp_path / "t.npz"],
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "asmnet_kit", *map(str, words), "--workers", "2"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    family: list[psutil.Process] = []
    while len(family) < 2 and process.poll() is None and time.monotonic() < deadline:
        family = [
            one for one in psutil.Process(process.pid).children(recursive=True)
            if "spawn_main" in " ".join(one.cmdline())
        ]  # fmt: skip
        time.sleep(0.02)
    while command == "synthesize" and len(list(out.rglob("*.jpg"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert len(family) == 2
    assert [one for one in family if one.is_running() and one.status() != "zombie"] == []
    assert [path for path in tmp_path.rglob("*") if ".part" in path.name] == []
