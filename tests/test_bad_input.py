"""What a user can get wrong, through the real commands: one clear line, the exit code, no debris.

Exit code 2 is a wrong call, 1 anything else that failed, 130 Ctrl-C. Every refusal names what came,
and most of them what was expected.
"""

import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import KitError
from asmnet_kit.base.files import replacing
from asmnet_kit.cli import main
from asmnet_kit.datasets.tfrecord import record_spans
from disks import largest_file
from wording import SETTINGS_STAY, TRUNCATED_JPEG

KIT = (sys.executable, "-m", "asmnet_kit")
SMALL = ("--arch", "asmnet_nano", "--input-size", "64", "--batch-size", "8", "--epochs", "1")
FACES = 40  # drawn: 32 to train on, 4 to validate on, 4 to test on


def kit(*arguments: object) -> Result:
    """Run a command in this process: TensorFlow is then imported once for all tests."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int, *words: str) -> None:
    """The command ended on purpose, with ``code`` and all of ``words`` on stderr."""
    assert isinstance(result.exception, SystemExit), result.exception  # else a traceback
    assert result.exit_code == code, result.output
    assert "Error: " in result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    arguments = ("--count", FACES, "--size", 64, "--workers", 1)
    assert kit("data", "synthesize", *arguments, "--out", folder).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def run(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tiny training run for every test that needs one."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = kit("train", "--data", drawn, "--format", "synthetic", *SMALL, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def folder_of(drawn: Path, tmp_path: Path) -> Callable[..., Path]:
    """A 300-W folder of drawn faces, the first of which ``spoil`` may damage."""

    def make(spoil: Callable[[Path], None] | None = None, *, count: int = 4) -> Path:
        folder = tmp_path / "some faces [x] é"  # names that shells, markup and ASCII stumble over
        folder.mkdir()
        pictures = sorted((drawn / "train").glob("*.jpg"))[:count]
        for picture in pictures:
            shutil.copy(picture, folder)
            shutil.copy(picture.with_suffix(".pts"), folder)
        if spoil is not None:
            spoil(folder / pictures[0].name)
        return folder

    return make


def _edit_points(picture: Path, change: Callable[[list[str]], list[str]]) -> None:
    file = picture.with_suffix(".pts")
    file.write_text("\n".join(change(file.read_text().splitlines())))


# Each damages a face: the picture, or its landmarks (whose points begin in the fourth line).
SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a truncated JPEG": (
        lambda picture: picture.write_bytes(picture.read_bytes()[:900]),
        TRUNCATED_JPEG,
    ),
    "an empty picture": (lambda picture: picture.write_bytes(b""), "got an empty file"),
    "a picture that is none": (lambda picture: picture.write_text("x" * 99), "OpenCV can read"),
    "a missing picture": (lambda picture: picture.unlink(), "no picture face_000000.jpg"),
    "67 points": (
        lambda picture: _edit_points(picture, lambda lines: lines[:3] + lines[4:]),
        "expected 68 points of 2 numbers, got 67 points",
    ),
    "a wrong n_points": (
        lambda picture: _edit_points(picture, lambda lines: [lines[0], "n_points: 67", *lines[2:]]),
        "expected n_points: 68, got n_points: 67",
    ),
    "NaN": (
        lambda picture: _edit_points(picture, lambda lines: [*lines[:3], "nan nan", *lines[4:]]),
        "point 0 is nan nan; expected finite numbers",
    ),
    "an empty .pts": (
        lambda picture: picture.with_suffix(".pts").write_bytes(b""),
        "expected the points between { and }",
    ),
}


@pytest.mark.parametrize("damage", SPOILERS)
def test_a_bad_file_is_named_with_its_reason(damage: str, folder_of: Callable[..., Path]) -> None:
    spoil, reason = SPOILERS[damage]
    folder = folder_of(spoil)
    result = kit("data", "inspect", "--data", folder, "--format", "300w")
    refused(result, 1, f"{folder}: unusable faces: 1, 25% of all; at most 5% are accepted")
    assert "face_000000." in result.stdout
    assert reason in result.stdout


def _unfetched(picture: Path) -> None:
    """A broken link, as git-annex and datalad leave pictures that were not fetched."""
    picture.unlink()
    picture.symlink_to(picture.parent / "nowhere.jpg")


# Every stage that decodes the pictures of a data set, beside train and quantize.
READ_PICTURES = {
    "evaluate": "evaluate {model} --json",
    "audit": "audit {model} --faces 24 --json",
    "parity": "parity {model} --faces 24 --json",
    "offsets": "data offsets --model {model} --json --max-offset 100",
    "teacher": "data teacher --model {model} --json --out {out}.npz",
    "prepare": "data prepare --out {out}",
    "benchmark": "benchmark {model} --target cpu --runs 1 --warmup 0 --seconds 0 --out {out}",
}


def _reading(stage: str, folder: Path, model: Path, out: Path) -> Result:
    words = [word.format(model=model, out=out) for word in READ_PICTURES[stage].split()]
    return kit(*words, "--data", folder, "--format", "300w")


@pytest.mark.parametrize("stage", READ_PICTURES)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [SPOILERS["a truncated JPEG"], (_unfetched, "No such file or directory")],
    ids=["truncated", "unfetched"],
)
def test_one_bad_picture_among_many_is_left_out_and_told(
    stage: str,
    spoil: Callable[[Path], None],
    reason: str,
    folder_of: Callable[..., Path],
    make_tflite: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Nor does it make a warning or a hint part of the JSON on stdout."""
    result = _reading(stage, folder_of(spoil, count=24), make_tflite(), tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert reason in result.stderr
    if "--json" in READ_PICTURES[stage]:
        report = json.loads(result.stdout)
        assert report.get("faces", 23) == 23


@pytest.mark.parametrize("stage", READ_PICTURES)
def test_too_many_bad_pictures_end_the_command(
    stage: str, folder_of: Callable[..., Path], make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    folder = folder_of(SPOILERS["a truncated JPEG"][0])
    result = _reading(stage, folder, make_tflite(), tmp_path / "out")
    refused(result, 1, "1 of 4 pictures cannot be used, more than 5%", TRUNCATED_JPEG)
    assert not (tmp_path / "out.npz").exists()


def test_a_flipped_bit_in_a_shard_costs_its_face_and_is_named(
    folder_of: Callable[..., Path], make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    """Even where it is in a landmark, which no decoder would notice."""
    shards = tmp_path / "shards"
    source = ("--data", folder_of(count=24), "--format", "300w")
    assert kit("data", "prepare", *source, "--out", shards).exit_code == 0
    (shard,) = shards.glob("*.tfrecord")
    content = bytearray(shard.read_bytes())
    spans = list(record_spans(shard, bytes(content)))
    landmark = bytes(content).index(b"landmarks", spans[3].offset) + 40
    assert landmark < spans[4].offset
    content[landmark] ^= 0x40
    shard.write_bytes(content)
    data = ("--data", shards, "--format", "records")
    inspected = kit("data", "inspect", *data)
    assert inspected.exit_code == 0, inspected.output
    named = f"{shard.name}, record 3: damaged: the checksum of its data does not match"
    assert named in inspected.stdout
    measured = kit("evaluate", make_tflite(), *data, "--json")
    assert json.loads(measured.stdout)["faces"] == 23
    assert "1 bad file left out" in measured.stderr
    for span in spans[5:8]:
        content[span.offset + 9] ^= 0x01
    shard.write_bytes(content)
    refused(kit("evaluate", make_tflite(), *data), 1, "4 of 24 faces are unusable", named)
    prepared = kit("data", "prepare", *source, "--out", shards)
    refused(prepared, 1, f"{shard.name}, record 3: damaged", "run data prepare again")


# The stages that train or calibrate. {out} is a folder.
LEARN_FROM_PICTURES = {
    "train": "train --arch asmnet_nano --input-size 64 --batch-size 8 --epochs 1 --out {out}",
    "quantize": "quantize {run} --recipe ptq_w8a8 --calibration-faces 40 --out {out}",
    "sensitivity": "sensitivity {run} --faces 4 --out {out}",
}


def _learning(stage: str, folder: Path, run: Path, out: Path) -> Result:
    words = [word.format(run=run, out=out) for word in LEARN_FROM_PICTURES[stage].split()]
    return kit(*words, "--data", folder, "--format", "300w")


@pytest.mark.parametrize(
    "stage", ["train", "quantize", pytest.param("sensitivity", marks=pytest.mark.slow)]
)
def test_stages_that_learn_leave_out_a_bad_picture_and_tell(
    stage: str, run: Path, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    folder = folder_of(SPOILERS["a truncated JPEG"][0], count=30)
    result = _learning(stage, folder, run, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "left out" in result.stderr and TRUNCATED_JPEG in result.stderr


@pytest.mark.parametrize("stage", LEARN_FROM_PICTURES)
def test_too_many_bad_pictures_end_the_stages_that_learn(
    stage: str, run: Path, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    folder = folder_of(count=30)
    for picture in sorted(folder.glob("*.jpg"))[::3]:
        SPOILERS["a truncated JPEG"][0](picture)
    result = _learning(stage, folder, run, tmp_path / "out")
    refused(result, 1, "cannot be used, more than 5%", TRUNCATED_JPEG)
    assert not [*tmp_path.glob("out/*.tflite"), *tmp_path.glob("out/*sensitivity*")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "no faces of format 300w below this folder"),
        ("file.txt", "found a file there"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "data inspect",
        "data prepare --out {out}",
        "evaluate {model}",
        "benchmark {model} --out {out}",
        "train --out {out}",
    ],
)
def test_every_command_refuses_a_folder_without_faces_alike(
    command: str, name: str, message: str, make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("hello")
    out = tmp_path / "out"
    words = [word.format(out=out, model=make_tflite()) for word in command.split()]
    refused(kit(*words, "--data", tmp_path / name, "--format", "300w"), 1, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("data inspect --data {missing} --format 300w", "the folder of a data set"),
        ("data prepare --data {missing} --format 300w --out {out}", "the folder of a data set"),
        ("train --data {missing} --format 300w --out {out}", "the folder of a data set"),
        ("train --data {there} --format 300w --val-data {missing} --out {out}", "the folder of"),
        ("evaluate {missing} --data {there} --format 300w", "a .tflite, a run folder"),
        ("evaluate {model} --data {missing} --format 300w", "the folder of a data set"),
        (
            "quantize {missing} --data {there} --format 300w --recipe fp32 --out {out}",
            "a run folder",
        ),
        ("benchmark {missing} --out {out}", "a .tflite"),
        ("benchmark {model} --data {missing} --format 300w --out {out}", "the folder of a data"),
        ("check {missing}", "a .tflite"),
        ("audit {missing}", "a .tflite"),
        ("parity {missing} --data {there} --format 300w", "a .tflite"),
        (
            "sensitivity {missing} --data {there} --format 300w --out {out}",
            "a run folder",
        ),
        ("report {missing} --out {out}/r.html", "benchmark results"),
        ("compare {there} {missing}", "benchmark results"),
        ("predict {missing} --model {model}", "a photograph"),
        ("predict {model} --model {missing}", "a .tflite, a run folder"),
    ],
)
def test_every_command_refuses_a_path_without_anything_alike(
    call: str, expected: str, make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    missing, out = tmp_path / "missing", tmp_path / "out"
    names = {"missing": missing, "out": out, "model": make_tflite(), "there": tmp_path}
    result = kit(*(word.format(**names) for word in call.split()))
    refused(result, 2, f"{missing}: no such file or folder; expected", expected)
    assert not out.exists()


def test_a_csv_without_a_column_is_refused_with_its_name(tmp_path: Path) -> None:
    columns = [f"{axis}{index}" for index in range(68) for axis in "xy"]
    columns.remove("x12")
    (tmp_path / "faces.csv").write_text(",".join(["file", *columns]) + "\n")
    result = kit("data", "inspect", "--data", tmp_path, "--format", "csv")
    refused(result, 1, "faces.csv", "x12")


# Models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["evaluate", "benchmark", "predict"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [("truncated", "damaged"), ("empty", "got"), ("text", "expected a"), ("a folder", "")],
)
def test_a_damaged_model_is_refused(
    command: str,
    damage: str,
    message: str,
    drawn: Path,
    make_tflite: Callable[..., Path],
    tmp_path: Path,
) -> None:
    model = make_tflite("bad.tflite")
    whole = model.read_bytes()
    if damage == "a folder":
        model.unlink()
        model.mkdir()
    else:
        contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello" * 9}
        model.write_bytes(contents[damage])
    picture = drawn / "train" / "face_000000.jpg"
    result = {
        "evaluate": lambda: kit("evaluate", model, "--data", drawn, "--format", "synthetic"),
        "benchmark": lambda: kit("benchmark", model, "--runs", 1, "--out", tmp_path / "out"),
        "predict": lambda: kit("predict", picture, "--model", model, "--out", tmp_path / "o.png"),
    }[command]()
    refused(result, 1, message)
    assert "bad.tflite" in result.stderr
    assert list((tmp_path / "out").glob("*")) == []
    assert not (tmp_path / "o.png").exists()


def test_a_model_with_other_landmarks_than_the_data_is_refused(
    run: Path, folder_of: Callable[..., Path], make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    model, data = make_tflite(points=98), ("--data", folder_of(), "--format", "300w")
    refused(kit("evaluate", model, *data), 1, "predicts 98 landmarks", "has 68")
    quick = ("--runs", 1, "--warmup", 0, "--seconds", 0, "--out", tmp_path / "results")
    refused(kit("benchmark", model, *quick, *data), 1, "predicts 98 landmarks", "has 68")

    (tmp_path / "csv").mkdir()
    row = ",".join(f"{index % 13},{index % 17}" for index in range(98))
    pictures = [f"{index}.png,{row}" for index in range(20)]
    (tmp_path / "csv" / "faces.csv").write_text("\n".join(pictures) + "\n")
    picture = next(data[1].glob("*.jpg"))
    for index in range(20):
        shutil.copy(picture, tmp_path / "csv" / f"{index}.png")
    csv = ("--data", tmp_path / "csv", "--format", "csv")
    result = kit("quantize", run, *csv, "--recipe", "fp32", "--out", tmp_path / "models")
    refused(result, 1, "predicts 68 landmarks", "has 98")
    assert not (tmp_path / "models").exists()


# Results -----------------------------------------------------------------------------------------

# What a damaged value may become: other types, and numbers at the ends of what floats can hold.
STRANGE = [None, True, -1, 0, 1e308, 1e-320, 10**400, "", "\ud800", [], {}, [None], [1.5, "\ud800"]]


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of some JSON is, as the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, (dict, list)):
            yield from _places(item, (*place, key))


def _with_bits_flipped(result: dict[str, Any], random: Random) -> bytes:
    content = bytearray(json.dumps(result).encode())
    for _ in range(random.randrange(1, 4)):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def _with_a_strange_value(result: dict[str, Any], random: Random) -> bytes:
    damaged = copy.deepcopy(result)
    *way, last = random.choice(list(_places(damaged)))
    part: Any = damaged
    for key in way:
        part = part[key]
    part[last] = random.choice(STRANGE)
    return json.dumps(damaged).encode()


@pytest.mark.parametrize("damage", [_with_bits_flipped, _with_a_strange_value])
def test_a_damaged_result_is_read_or_refused_and_never_a_traceback(
    damage: Callable[[dict[str, Any], Random], bytes],
    make_result: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    result = make_result(nme=5.0)
    result["profile"] = [{"op": "Conv", "name": "c", "microseconds": 3.0, "target": "xnnpack"}]
    windows = [{"seconds": 5.0, "p50": 2.0}, {"seconds": 9.0, "p50": 3.0}]
    result["sustained"] = {"minutes": 5.0, "slowdown": 1.5, "windows": windows}
    result["parity"] = {"max": 0.5, "mean": 0.1, "identical": False}
    result["target"]["edgetpu"] = {"subgraphs": 1, "cached_parameter_bytes": 7, "cpu_ops": ["ADD"]}
    result["model"]["metadata"] = {"metrics": {"validation": [1.0, 2.0]}}
    whole, damaged = tmp_path / "whole.json", tmp_path / "damaged.json"
    whole.write_text(json.dumps(result))
    random = Random(0)
    codes = Counter()
    for _ in range(200):
        damaged.write_bytes(damage(result, random))
        for call in (
            ("report", damaged, "--out", tmp_path / "r.html"),
            ("compare", whole, damaged),
        ):
            told = kit(*call)
            codes[call[0], told.exit_code] += 1
            if told.exit_code:
                refused(told, told.exit_code)
    assert set(codes) <= {("report", 0), ("report", 1), *(("compare", code) for code in range(3))}
    assert codes["report", 0] > 20 and codes["report", 1] > 20


# Wrong calls -------------------------------------------------------------------------------------

WRONG_CALLS = [
    ("evaluate {model} --data {data} --format jpeg", "'jpeg' is not one of"),
    ("evaluate {model} --data {data} --format synthetic --split x", "no split 'x'; its splits: "),
    ("evaluate {model} --data {data} --format synthetic --subset x", "no subset 'x'"),
    ("evaluate {model} --data {data} --format synthetic --ced c.txt", "picture name ending in"),
    ("evaluate {run} --data {data} --format synthetic --threads 2", "--threads is for a .tflite"),
    ("benchmark {model} --target abacus --out {out}", "expected a target of"),
    ("benchmark {model} --data {data} --out {out}", "--data and --format together"),
    ("benchmark {model} --data {data} --format synthetic --split x --out {out}", "no split 'x'"),
    ("benchmark {model} --out {model}", "expected a folder to write to"),
    ("quantize {run} --data {data} --format synthetic --recipe int3 --out {out}", "'int3' is not"),
    (
        "quantize {run} --data {data} --format synthetic --recipe fp32 --epochs 3 --out {out}",
        "epochs",
    ),
    (
        "quantize {run} --data {data} --format synthetic --recipe fp32 --split test --out {out}",
        "refused",
    ),
    (
        "quantize {run} --data {data} --format synthetic --recipe qat_w8a8 --out {model}",
        "expected a folder to write to",
    ),
    ("train --data {data} --format synthetic --arch resnet --out {out}", "'resnet' is not one of"),
    ("train --data {data} --format synthetic --split test --out {out}", "refused"),
    ("train --data {data} --format synthetic --loss mse --alpha constant:1 --out {out}", "alpha"),
    ("train --data {data} --format synthetic --out {run}", "already holds a run"),
    ("train --data {data} --format synthetic --out {data}", "empty or new folder"),
    ("train --resume --epochs 9 --out {run}", SETTINGS_STAY),
    ("train --resume --out {out}", "no run to resume"),
    ("predict {picture} --detect-every 5", "is for a video"),
    ("predict {picture} --model {model} --box 1,2,3", "expected four numbers"),
    ("predict {picture} --model {model} --box 0,0,inf,9", "expected finite"),
    ("predict {picture} --model {model} --out {picture}", "would overwrite"),
    ("predict {picture} --model {model} --out o.gif", "expected a name ending in"),
    ("report {out} --out r.html", "no such file or folder"),
    ("report {data} --out r.txt", "expected --out to end with .html"),
    ("quickstart --input-size 65 --out {out}", "multiple of 16"),
    ("quickstart --out {data}", "holds no quickstart"),
    ("data inspect --data {data} --format synthetic --sheet s.jpg", "expected a .png"),
    ("data synthesize --count 0 --out {out}", "'--count': 0"),
]


@pytest.mark.parametrize(("call", "message"), WRONG_CALLS, ids=[call for call, _ in WRONG_CALLS])
def test_a_wrong_call_exits_with_2_and_writes_nothing(
    call: str,
    message: str,
    drawn: Path,
    run: Path,
    make_tflite: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    names = {
        "data": drawn, "run": run, "model": make_tflite(), "out": tmp_path / "out",
        "picture": drawn / "train" / "face_000000.jpg",
    }  # fmt: skip
    refused(kit(*(word.format(**names) for word in call.split())), 2, message)
    assert not (tmp_path / "out").exists()
    assert list(work.iterdir()) == []


def test_a_start_that_is_not_there_leaves_no_half_begun_run(drawn: Path, tmp_path: Path) -> None:
    source = ("--data", drawn, "--format", "synthetic", *SMALL, "--out", tmp_path / "run")
    refused(kit("train", *source, "--init-from", tmp_path / "x.keras"), 2, "no such file")
    assert not (tmp_path / "run").exists()  # so that the mended call may use the same --out


# The file system ---------------------------------------------------------------------------------


def test_the_error_of_a_failed_write_names_the_file_asked_for(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError) as caught, replacing(tmp_path / "taken") as temporary:
        temporary.write_bytes(b"x")
    assert caught.value.filename == str(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="expected a folder, found a file there"):
        replacing(tmp_path / "file" / "x").__enter__()


@pytest.mark.slow
def test_training_goes_on_after_a_disk_that_was_full(
    run: Path, drawn: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    half = (run / "checkpoints" / "last.npz").stat().st_size // 2
    with largest_file(half):
        result = kit("train", "--data", drawn, "--format", "synthetic", *SMALL, "--out", out)
    refused(result, 1, "the checkpoint of epoch 1 could not be written", "--resume")
    assert list((out / "checkpoints").iterdir()) == []  # nothing half-written
    resumed = kit("train", "--resume", "--out", out)
    assert resumed.exit_code == 0, resumed.output
    assert (out / "model.keras").is_file()


def test_logs_that_cannot_be_written_point_to_resume(tmp_path: Path) -> None:
    from asmnet_kit.training.fit.monitor import HISTORY, RunMonitor

    (tmp_path / HISTORY).mkdir()  # in the way
    row = {"epoch": 1.0, "loss": 1.0, "nme_percent": 9.0, "pictures_per_s": 1.0}
    with (
        pytest.raises(KitError, match=r"logs of epoch 1 .*checkpoint is intact.* --resume"),
        RunMonitor(tmp_path, epochs=2, steps=1, writes=True) as monitor,
    ):
        monitor.on_epoch_end([row])


def test_a_failed_report_leaves_no_half_page(
    make_result: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(make_result()))
    out = tmp_path / "pages" / "report.html"
    with largest_file(1000):
        result = kit("report", tmp_path / "r.json", "--out", out)
    refused(result, 1, f"{out}: File too large")
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "predict {picture} --out {out}.png",
        "report {out} --out {out}.html",
        "evaluate {model} --data {data} --format synthetic --ced {out}.png",
        "compare {out} {out} --junit {out}.xml",
        "data convert --data {data} --format synthetic --to csv --out {out}",
        "data inspect --data {data} --format synthetic --sheet {out}.png",
        "data prepare --data {data} --format synthetic --out {out}",
        "data synthesize --out {out}",
        "data skin-template --out {out}.png",
        "quickstart --out {out}",
    ],
)
def test_a_read_only_place_is_a_wrong_call(
    command: str, drawn: Path, make_tflite: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    picture = next(drawn.rglob("*.jpg"))
    out = tmp_path / "ro"
    out.mkdir()
    # Nothing is read-only to root, as whom containers run tests.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    names = {"picture": picture, "model": make_tflite(), "data": drawn, "out": out}
    result = kit(*(word.format_map(names) for word in command.split()))
    refused(result, 2, "expected a folder to write to", "is read-only")


def test_a_read_only_place_is_fine_for_what_is_read(
    drawn: Path, make_tflite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's Python, of which nobody but root may write the folder."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    words = ("parity", make_tflite(), "--data", drawn, "--format", "synthetic", "--faces", 1)
    result = kit(*words, "--tflite-runtime", sys.executable, "--json")
    assert result.exit_code == 0, result.output
    assert "no tflite-runtime there" in result.stdout


# The terminal ------------------------------------------------------------------------------------


def interruptible() -> None:
    """A process started by a background job would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_drawing_with_one_line_and_130(tmp_path: Path) -> None:
    command = [*KIT, "data", "synthesize", "--count", "50000", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "faces")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=interruptible,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "faces" / "train" / "face_000000.jpg").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        stdout, stderr = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.endswith("Error: interrupted\n")


def test_ctrl_c_while_the_command_line_is_imported_is_one_line_and_130(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    found_first = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*KIT, "--help"], env=found_first, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Error: interrupted\n")


def test_curves_want_matplotlib_alone(
    drawn: Path, make_tflite: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[train] has it, too, and with it 2.5 GB of TensorFlow."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = ("evaluate", make_tflite(), "--data", drawn, "--format", "synthetic")
    result = kit(*words, "--ced", tmp_path / "ced.png")
    assert result.exit_code == 1
    assert result.stderr.endswith("Install it with: pip install matplotlib\n")


def test_ctrl_c_during_training_says_how_to_go_on(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asmnet_kit.training import run as module

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", interrupted)
    result = kit("train", "--data", drawn, "--format", "synthetic", "--out", tmp_path / "a run")
    refused(result, 130, "asmnet-kit train --resume --out", f"'{tmp_path / 'a run'}'")


@pytest.mark.parametrize("command", ["data inspect", "evaluate {model}"])
def test_output_into_a_closed_pipe_is_no_crash(
    command: str, drawn: Path, make_tflite: Callable[..., Path]
) -> None:
    words = [word.format(model=make_tflite()) for word in command.split()]
    process = subprocess.Popen(
        [*KIT, *words, "--data", str(drawn), "--format", "synthetic"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert process.wait() in (0, 1)


@pytest.mark.parametrize(
    "command",
    [
        "data inspect --data {data} --format synthetic --json",
        "evaluate {model} --data {data} --format synthetic --json",
        "benchmark {model} --runs 1 --warmup 0 --seconds 0 --out {out} --json",
        "predict {picture} --model {model} --json",
        "doctor --json",
    ],
)
def test_json_is_all_there_is_on_stdout_and_stderr_has_no_chatter_of_libraries(
    command: str, drawn: Path, make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    names = {
        "data": drawn, "model": make_tflite(), "out": tmp_path / "out",
        "picture": drawn / "train" / "face_000000.jpg",
    }  # fmt: skip
    done = subprocess.run(
        [*KIT, *(word.format(**names) for word in command.split())],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert isinstance(json.loads(done.stdout), dict)
    assert "INFO" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr  # piped: no colours


def test_names_with_brackets_and_spaces_come_out_as_they_are(
    folder_of: Callable[..., Path],
) -> None:
    folder = folder_of()
    result = kit("data", "inspect", "--data", folder, "--format", "300w")
    assert result.exit_code == 0
    assert "some faces [x] é (300w)" in result.stdout
    assert f"--data '{folder}' --format" in result.stderr  # ready to paste


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("p50 is 2 ms", "expected JSON, but line 1, column 1 is not JSON"),
        ('{"kind":\n "benchmark",\n', "expected JSON, but it is cut off at line 2"),
        ('{"kind":\n\n "bench', "expected JSON, but it is cut off at line 3"),
        ("{}", "expected a benchmark result (kind 'benchmark'), got none"),
    ],
)
def test_what_is_no_result_is_told_in_words(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    result = kit("report", tmp_path / "r.json", "--out", tmp_path / "r.html")
    refused(result, 1, words)


def test_limits_that_cannot_hold_name_their_options(
    make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    words = ("--seconds", 5, "--max-seconds", 0.001, "--out", tmp_path / "o")
    told = "expected --max-seconds to be at least --seconds (5 s), got 0.001"
    refused(kit("benchmark", make_tflite(), *words), 2, told)
    refused(kit("data", "synthesize", "--size", 513, "--out", tmp_path / "d"), 2, "32<=x<=512")


def test_check_lists_only_targets_that_it_knows(make_tflite: Callable[..., Path]) -> None:
    told = kit("check", make_tflite(), "--target", "edgetpuu")
    refused(told, 2, "expected a target of ", "edgetpu", "got 'edgetpuu'")
    assert "cpu," not in told.stderr and "linux" not in told.stderr
