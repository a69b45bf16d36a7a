"""One place decides what a path is as a model; every command follows it, in one line."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.base.model_kind import FLOAT, KINDS, RUNNABLE, WITH_LAYERS, ModelKind, model_kind
from asmnet_kit.cli import main

ROOT = Path(__file__).parents[3]
QUANTIZE = "make a .tflite of it first: asmnet-kit quantize"


def keras_archive(path: Path, version: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", "{}")
    return path


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


# The least that makes a path one of each kind; none of these can be loaded.
MAKE: dict[ModelKind, Callable[[Path], Path]] = {
    "tflite": lambda folder: written(folder / "m.tflite", b"\0\0\0\0TFL3"),
    "run": lambda folder: written(folder / "run" / "model.keras", b"").parent,
    "keras": lambda folder: keras_archive(folder / "two.keras", "2.21.0"),
    "keras3": lambda folder: keras_archive(folder / "three.keras", "3.12.0"),
    "h5": lambda folder: written(folder / "m.h5", b"\x89HDF\r\n\x1a\n"),
    "saved_model": lambda folder: written(folder / "s" / "saved_model.pb", b"").parent,
    "onnx": lambda folder: written(folder / "m.onnx", b"\x08\x07"),
}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("kind", MAKE)
def test_every_kind_is_recognised(kind: ModelKind, tmp_path: Path) -> None:
    assert set(MAKE) == set(KINDS)
    assert model_kind(MAKE[kind](tmp_path)) == kind


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\x14\0\0\0TFL3", "tflite"), (b"\x89HDF\r\n\x1a\n", "h5")]
)
def test_content_tells_where_the_name_does_not(
    content: bytes, kind: ModelKind, tmp_path: Path
) -> None:
    assert model_kind(written(tmp_path / "weights.bin", content)) == kind


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.pt", "got a .pt file of PyTorch: export it to ONNX"),
        ("saved_model.pb", "a SavedModel is given as its folder"),
        ("m.pkl", "never loaded"),
        ("m.txt", "got a .txt file: text"),
    ],
)
def test_what_no_command_takes_is_named_with_the_way_out(
    name: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=re.escape(words)):
        model_kind(written(tmp_path / name, b"hello"))


DATA = ("--data", ROOT, "--format", "300w")
# Every command that takes a model, and the kinds that it takes.
COMMANDS = {
    "predict": (("predict", "a.png", "--model", "{model}"), RUNNABLE),
    "evaluate": (("evaluate", "{model}", *DATA), RUNNABLE),
    "data offsets": (("data", "offsets", "--model", "{model}", *DATA), RUNNABLE),
    "data teacher": (
        ("data", "teacher", "--model", "{model}", *DATA, "--out", "t.npz"), RUNNABLE
    ),
    "data label": (
        ("data", "label", "--photos", ROOT, "--model", "{model}", "--out", "o"), RUNNABLE
    ),
    "quantize": (("quantize", "{model}", *DATA, "--recipe", "fp32", "--out", "o"), FLOAT),
    "sensitivity": (("sensitivity", "{model}", *DATA, "--out", "o"), WITH_LAYERS),
    "audit": (("audit", "{model}"), ("tflite",)),
    "check": (("check", "{model}"), ("tflite",)),
    "benchmark": (("benchmark", "{model}", "--out", "o"), ("tflite",)),
    "parity": (("parity", "{model}", *DATA), ("tflite",)),
    "parity --run": (("parity", "{tflite}", *DATA, "--run", "{model}"), FLOAT),
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "kind"),
    [(name, kind) for name, (_, takes) in COMMANDS.items() for kind in KINDS if kind not in takes],
)
def test_a_command_refuses_other_kinds_in_one_line(
    command: str, kind: ModelKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, _ = COMMANDS[command]
    names = {"model": MAKE[kind](tmp_path), "tflite": MAKE["tflite"](tmp_path)}
    result = call(*(str(word).format(**names) for word in words))
    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert f"got {KINDS[kind].words}: " in line
    ways = {"onnx": "onnx2tf -i", "tflite": "give the float model"}
    assert ways.get(kind, QUANTIZE) in line
    assert not (tmp_path / "o").exists()


def test_the_documents_table_is_what_the_commands_do() -> None:
    """docs/quantization.md: a row for each kind, a column for each group of commands."""
    text = (ROOT / "docs" / "quantization.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    said = {row[0]: row[1:] for row in rows}
    yes = {True: "yes", False: "no"}
    for kind, about in KINDS.items():
        expected = (
            yes[kind in RUNNABLE],
            yes[kind in FLOAT] if about.layers or kind not in FLOAT else "without fine-tuning",
            yes[kind in WITH_LAYERS],
            yes[kind == "tflite"],
        )
        assert said[about.words] == expected, kind


def test_every_error_of_a_missing_model_is_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(KitError) as caught:
        model_kind(tmp_path / "none.h5")
    assert caught.value.exit_code == 2
