"""Commands tell the same of faces that lie outside of memory, as many do."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.base import spool
from asmnet_kit.cli import main
from asmnet_kit.datasets import stored_faces
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN

MODEL = "asmnet_nano_people"
ONE = ("--workers", "1")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces of three splits; one picture is damaged, one there twice."""
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    write_faces(folder, DRAWN, count=60, seed=5, size=64, val_share=0.2, test_share=0.2)
    first, second = sorted((folder / "train").glob("*.jpg"))[:2]
    first.write_bytes(b"\xff\xd8\xff no picture \xff\xd9")
    copy = folder / "test" / "copy.jpg"
    copy.write_bytes(second.read_bytes())
    copy.with_suffix(".pts").write_text(second.with_suffix(".pts").read_text())
    copy.with_suffix(".pts98").write_text(second.with_suffix(".pts98").read_text())
    return folder


@pytest.fixture(params=["in memory", "outside"])
def where_they_lie(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "outside":
        monkeypatch.setattr(stored_faces, "IN_MEMORY", 3)
        monkeypatch.setattr(spool, "BLOCK", 500)
    return str(request.param)


TOLD: dict[str, object] = {}  # command -> what it told before


def tell_the_same(command: str, told: object) -> None:
    assert TOLD.setdefault(command, told) == told


def run(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("where_they_lie")
def test_inspect(faces: Path, tmp_path: Path) -> None:
    told = run("data", "inspect", "--data", faces, "--format", "synthetic", "--json", *ONE)
    found = json.loads(told)
    assert len(found["problems"]) == 1
    assert [d["kind"] for d in found["duplicates"]] == ["same"]
    tell_the_same("inspect", told)


@pytest.mark.usefixtures("where_they_lie")
@pytest.mark.parametrize("boxes", ["landmarks", "detector"])
def test_evaluate(faces: Path, boxes: str) -> None:
    told = run("evaluate", MODEL, "--data", faces, "--format", "synthetic", "--split", "train",
               "--boxes", boxes, "--json", *ONE)  # fmt: skip
    assert json.loads(told)["uncertainty"]["points"] > 1000
    tell_the_same(f"evaluate {boxes}", told)


@pytest.mark.usefixtures("where_they_lie")
def test_prepare(faces: Path, tmp_path: Path) -> None:
    run(
        "data", "prepare", "--data", faces, "--format", "synthetic", "--out", tmp_path / "out", *ONE
    )
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) > 3
    tell_the_same("prepare", [(f.name, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files])


@pytest.mark.usefixtures("where_they_lie")
def test_teacher(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "teacher.npz"
    told = run("data", "teacher", "--data", faces, "--format", "synthetic", "--model", MODEL,
               "--out", out, "--json", *ONE)  # fmt: skip
    about = {key: value for key, value in json.loads(told).items() if key != "file"}
    tell_the_same("teacher", (about, hashlib.sha256(out.read_bytes()).hexdigest()))
