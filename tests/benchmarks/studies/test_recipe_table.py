"""Recipes side by side: what is measured, and where it is written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asmnet_kit.benchmarks.studies import recipe_table
from asmnet_kit.benchmarks.studies.recipe_table import MARKERS, main
from asmnet_kit.tflite.metadata import ModelMetadata, with_metadata


@pytest.fixture
def folder(make_tflite: Callable[..., Path], tmp_path: Path) -> Path:
    """A float and an int8 file of one model, which predict the same face."""
    folder = tmp_path / "models"
    folder.mkdir()
    for recipe, int8 in (("fp32", False), ("qat_w8a8", True)):
        about = ModelMetadata(architecture="one", landmarks=68, input_size=32, recipe=recipe)
        content = with_metadata(make_tflite(int8=int8).read_bytes(), about)
        (folder / about.file_name).write_bytes(content)
    return folder


def test_the_page_holds_what_was_measured_of_each_recipe(
    folder: Path,
    make_pts_faces: Callable[[], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recipe_table, "RUNS", 20)
    monkeypatch.setattr(os, "cpu_count", lambda: 384)  # more than a runtime takes threads
    document = tmp_path / "page.md"
    document.write_text(f"# Before\n{MARKERS.begin}\nold\n{MARKERS.end}\nAfter\n")
    data = str(make_pts_faces())
    arguments = [str(folder), "--data", data, "--format", "300w", "--rounds", "1"]
    assert main([*arguments, "--document", str(document)]) == 0
    text = document.read_text()
    assert text.startswith(f"# Before\n{MARKERS.begin}") and text.endswith(
        f"{MARKERS.end}\nAfter\n"
    )
    assert "old" not in text and "### `one`, 68 points, 32 px" in text
    rows = {row.split("|")[1].strip(): row.split("|") for row in text.splitlines() if "|" in row}
    assert rows["`fp32`"][-2].strip() == "cpu, gpu"
    assert rows["`qat_w8a8`"][-2].strip() == "cpu, edgetpu, gpu"
    moved = float(rows["`qat_w8a8`"][-7])
    assert 0 < moved <= 32 / 256 / 2**0.5 + 0.01  # half a level of 1/256 in x and y
    assert "`qat_w8a8` to float32: NME × " in text


def test_a_folder_without_the_float_file_or_of_two_models_is_refused(
    folder: Path, make_pts_faces: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "one_68_32_fp32.tflite").unlink()
    data = str(make_pts_faces())
    assert main([str(folder), "--data", data, "--format", "300w"]) == 2
    assert "fp32 among them; got qat_w8a8" in capsys.readouterr().err


def test_a_document_without_markers_is_refused_before_anything_is_measured(
    folder: Path,
    make_pts_faces: Callable[[], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = tmp_path / "page.md"
    arguments = [str(folder), "--data", str(make_pts_faces()), "--format", "300w"]
    arguments += ["--document", str(document)]
    for content, message in (
        (None, "expected a document"),
        ("mine\n", "expected the lines"),
        (f"{MARKERS.end}\n{MARKERS.begin}\n", "expected the lines"),
    ):
        if content is not None:
            document.write_text(content)
        assert main(arguments) == 2
        told = capsys.readouterr().err
        assert message in told and "page.md" in told
        assert "latency of" not in told
    assert document.read_text() == f"{MARKERS.end}\n{MARKERS.begin}\n"
