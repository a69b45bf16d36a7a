"""What comes in from outside, through the commands: one clear line, bounded memory, nothing lost.

Each test is about a kind of input, not about one file; the inputs are made here.
"""

import errno
import io
import json
import os
import re
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from watched_decoding import WatchedDecoding

from asmnet_kit.base.errors import DatasetError, KitError, ModelError
from asmnet_kit.base.files import leftovers, temporary_folder, write_text
from asmnet_kit.base.keras_config import check_keras
from asmnet_kit.base.kinds import kind_of
from asmnet_kit.base.npz import read_npz
from asmnet_kit.cli import main
from asmnet_kit.datasets.cofw import LEVEL_BYTES
from asmnet_kit.datasets.labels import check_in_picture, check_usable
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.datasets.pts import format_pts
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.datasets.surroundings import cutter
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.face.pictures import decode_cutout, decode_image, shared_room
from asmnet_kit.face.schemes import SCHEME_68, mirrored
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.predict.film import Film
from asmnet_kit.tflite.metadata import METADATA_NAME
from asmnet_kit.tflite.packing import with_entry
from asmnet_kit.tflite.runtime import open_runtime
from asmnet_kit.training.fit.checkpoints import Checkpoints, TrainingState
from asmnet_kit.training.manifest import read_manifest
from made_labels import MADE

ROOT = Path(__file__).parents[1]
MODEL = "asmnet_nano_synthetic"
PEOPLE = ("data", "synthesize", "--kind", "people", "--count", "1")
SIZE = 96
FACE = ((generic_reference(68) * 0.8 + 0.5) * SIZE).astype(np.float32)  # inside SIZE x SIZE


def kit(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int, *words: str) -> None:
    """The command ended on purpose, with ``code`` and all of ``words`` on stderr."""
    assert isinstance(result.exception, SystemExit), result.exception  # else a traceback
    assert result.exit_code == code, result.output
    for word in words:
        assert word in result.stderr


def picture(seed: int = 0, width: int = SIZE, height: int = SIZE) -> np.ndarray[Any, Any]:
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def encoded(suffix: str = ".jpg", seed: int = 0) -> bytes:
    return cv2.imencode(suffix, picture(seed))[1].tobytes()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A 300-W folder of 24 faces."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for index in range(24):
        (folder / f"f{index:02d}.jpg").write_bytes(encoded(seed=index))
        (folder / f"f{index:02d}.pts").write_text(format_pts(FACE))
    return folder


def inspect(folder: Path, format: str = "300w") -> dict[str, Any]:
    """What ``data inspect --json`` says, whatever share is bad."""
    result = kit(
        "data", "inspect", "--data", folder, "--format", format, "--max-bad-share", 1, "--json"
    )
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def reasons(folder: Path, format: str = "300w") -> dict[str, str]:
    return {p["name"]: p["reason"] for p in inspect(folder, format)["problems"]}


# Pictures: what a header claims ---------------------------------------------------------------


def giant_png(width: int, height: int) -> bytes:
    content = bytearray(encoded(".png"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    return bytes(content)


def giant_jpeg(width: int, height: int) -> bytes:
    content = bytearray(encoded(".jpg"))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def giant_bmp(width: int, height: int) -> bytes:
    content = bytearray(encoded(".bmp"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def giant_webp(width: int, height: int) -> bytes:
    chunk = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little")
    chunk += (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + chunk + encoded(".webp")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def giant_pnm(width: int, height: int) -> bytes:
    return b"P6\n# made up\n%d %d\n255\n" % (width, height) + bytes(100)


def tiff(orientation: int = 1, width: int = SIZE, height: int = SIZE) -> bytes:
    data = picture()[:, :, ::-1].tobytes()
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 2)]
    tags += [(273, 4, 8), (274, 3, orientation), (277, 3, 3), (278, 4, height)]
    tags += [(279, 4, len(data))]
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<HH" if kind == 3 else "<I", value,
        *([0] if kind == 3 else []))
        for tag, kind, value in tags
    )  # fmt: skip
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


GIANTS: dict[str, Callable[[int, int], bytes]] = {
    "png": giant_png,
    "jpg": giant_jpeg,
    "bmp": giant_bmp,
    "webp": giant_webp,
    "ppm": giant_pnm,
    "tif": lambda width, height: tiff(width=width, height=height),
}


@pytest.mark.parametrize("kind", GIANTS)
@pytest.mark.parametrize("size", [(40_000, 40_000), (32_768, 32_768), (60_000, 20_000)])
def test_a_picture_that_claims_giant_pixels_is_refused_before_they_are_made(
    kind: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / f"p.{kind}"
    path.write_bytes(GIANTS[kind](*size))
    result = kit("predict", path, "--model", MODEL)
    refused(result, 1, f"its header says {size[0]} x {size[1]} pixels")


@pytest.mark.parametrize("kind", [b"tEXt", b"IDAT", b"PLTE"])
def test_a_png_chunk_longer_than_the_file_is_refused_before_memory_is_spent(
    kind: bytes, tmp_path: Path
) -> None:
    """libpng would take the 2 GB that it claims."""
    png = encoded(".png")
    (tmp_path / "a.png").write_bytes(png[:33] + struct.pack(">I", 0x7FFF_FFF0) + kind + png[33:])
    refused(kit("predict", tmp_path / "a.png", "--model", MODEL), 1, "a.png: truncated PNG")


def test_threads_decode_large_pictures_one_after_the_other(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take 1.25 GB; all of them together no more."""
    decoding = WatchedDecoding(monkeypatch)
    pictures = [*faces.rglob("*.png"), *faces.rglob("*.jpg")]

    def read(path: Path) -> None:
        with shared_room():
            decode_image(path.read_bytes(), name=path.name)

    def decode_all() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, pictures))

    decode_all()
    assert decoding.most > 1
    decoding.most = 0
    monkeypatch.setattr("asmnet_kit.face.pictures.MAX_DECODING_BYTES", SIZE * SIZE * 9)
    decode_all()
    assert decoding.most == 1


# What each process does while it decodes: sitecustomize runs in every interpreter that is started.
WATCHED_DECODING = """
import os, time
import cv2
decode = cv2.imdecode
def watched(*arguments):
    began = time.monotonic()
    time.sleep(0.08)
    decoded = decode(*arguments)
    line = f"{os.getpid()} {began} {time.monotonic()}\\n"
    with open(os.environ["DECODED"], "a") as log:
        log.write(line)
    return decoded
cv2.imdecode = watched
"""


@pytest.mark.parametrize("side", [SIZE, 4000])
@pytest.mark.parametrize("command", ["data inspect", "evaluate"])
def test_processes_decode_large_pictures_one_after_the_other(
    command: str, side: int, faces: Path, tmp_path: Path
) -> None:
    """Each process may take 1.25 GB for one; only one of them at a time does."""
    for index in range(40):  # more than one process does at once
        (faces / f"f{index:02d}.jpg").write_bytes(giant_jpeg(side, side))
        (faces / f"f{index:02d}.pts").write_text(format_pts(FACE))
    (tmp_path / "sitecustomize.py").write_text(WATCHED_DECODING)
    call = [*command.split(), *([MODEL] if command == "evaluate" else [])]
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "asmnet_kit",
            *call,
            "--data",
            faces,
            "--format",
            "300w",
            "--workers",
            "2",
            "--json",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "DECODED": str(tmp_path / "log")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    decoded = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert len(decoded) == 40
    assert len({process for process, *_ in decoded}) == 2
    spans = sorted((float(began), float(ended)) for _, began, ended in decoded)
    overlaps = sum(before[1] > after[0] for before, after in pairwise(spans))
    assert (overlaps > 0) == (side == SIZE)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each turn that is taken, of whatever room."""
    taken: list[str] = []
    monkeypatch.setattr("asmnet_kit.face.pictures.take_turn", lambda: taken.append("taken"))
    return taken


def test_a_cutout_waits_for_its_turn_by_the_memory_of_its_four_channels(turns: list[str]) -> None:
    for side, count in ((1000, 0), (2000, 1)):
        rgba = np.full((side, side, 4), 9, np.uint8)
        decode_cutout(cv2.imencode(".png", rgba)[1].tobytes(), name="o.png")
        assert len(turns) == count


def test_a_picture_inside_of_a_cofw_file_waits_for_its_turn_by_its_own_memory(
    tmp_path: Path, turns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no file of its own, and no decoder of pictures reads it."""
    MADE["cofw"](tmp_path)
    face = load_dataset(tmp_path, "cofw").faces[0]
    needed = face.read().size * LEVEL_BYTES
    assert turns == []
    for ordinary, count in ((needed, 0), (needed - 1, 1)):
        monkeypatch.setattr("asmnet_kit.face.pictures.ORDINARY_DECODING_BYTES", ordinary)
        face.read()
        assert len(turns) == count


def test_threads_read_large_pictures_of_a_cofw_file_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MADE["cofw"](tmp_path)
    first, second = load_dataset(tmp_path, "cofw").faces[:2]
    monkeypatch.setattr("asmnet_kit.face.pictures.MAX_DECODING_BYTES", 1)

    def read() -> None:
        with shared_room():
            second.read()

    with ThreadPoolExecutor(1) as pool, shared_room():
        first.read()
        other = pool.submit(read)
        assert not wait([other], timeout=0.2).done  # the first one's pixels are still there
    other.result(timeout=30)


def test_a_large_file_waits_for_its_turn_before_it_is_read(
    faces: Path, turns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every process that waits for its turn holds its file already."""
    monkeypatch.setattr("asmnet_kit.face.pictures.ORDINARY_FILE_BYTES", 100)
    face = load_dataset(faces, "300w").faces[0]
    for read in (face.picture.read, face.picture.read_encoded):
        turns.clear()
        read()
        assert turns == ["taken"]


def test_an_error_that_is_kept_keeps_no_picture(faces: Path) -> None:
    """Sixteen faces whose labels lie outside of theirs would else be sixteen pictures."""
    outside = np.asarray(FACE) + 10 * SIZE
    (faces / "f00.pts").write_text(format_pts(outside))
    face = load_dataset(faces, "300w").faces[0]
    error = cutter(128, 2.0)(face)
    assert isinstance(error, DatasetError)
    found: BaseException | None = error
    while found is not None:
        assert found.__traceback__ is None
        found = found.__cause__ or found.__context__


def test_a_cutout_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "o.png").write_bytes(giant_png(9000, 9000))
    result = kit(*PEOPLE, "--occluders", tmp_path, "--out", tmp_path / "people")
    refused(result, 1, "o.png: its header says 9000 x 9000 pixels", "at most 25 million")
    assert not (tmp_path / "people").exists()


def test_one_giant_picture_costs_its_face_alone(faces: Path) -> None:
    (faces / "f03.jpg").write_bytes(giant_jpeg(32_768, 32_768))
    found = inspect(faces)
    assert found["faces"] == 23
    assert "its header says 32768 x 32768 pixels" in found["problems"][0]["reason"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".gif", ".ppm"])
def test_damaged_pictures_are_a_dataset_error_or_a_picture(suffix: str) -> None:
    whole = encoded(suffix)
    random = np.random.default_rng(7)
    for _ in range(60):
        content = bytearray(whole)
        for at in random.integers(0, len(content), 3):
            content[at] = random.integers(0, 256)
        try:
            image = decode_image(bytes(content[: random.integers(1, len(content) + 1)]), name="x")
        except DatasetError:
            continue
        assert image.dtype == np.uint8


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC picture"),
        (b"<html><body>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"%PDF-1.7", "a PDF document"),
        (b"", "an empty file"),
        (bytes(400), "zeros alone"),
    ],
)
def test_what_is_no_picture_is_named(head: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jpg"
    path.write_bytes(head)
    refused(kit("predict", path, "--model", MODEL), 1, "expected a picture OpenCV can read", words)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    body = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    body += bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_as_a_jpeg_is_and_data_sets_get_stored_pixels(orientation: int) -> None:
    jpeg = with_exif(cv2.imencode(".jpg", picture(), [1, 100])[1].tobytes(), orientation)
    for upright in (True, False):
        one = decode_image(jpeg, name="jpg", upright=upright).astype(int)
        other = decode_image(tiff(orientation), name="tif", upright=upright)
        assert np.abs(one - other).mean() < 3  # JPEG's own loss


# Pipes, devices, links ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("p.jpg", ("predict", "{}", "--model", MODEL)),
        ("p.mp4", ("predict", "{}", "--model", MODEL)),
        ("m.tflite", ("audit", "{}")),
        ("m.keras", ("predict", "{picture}", "--model", "{}")),
        ("s.npz", ("predict", "{picture}", "--model", MODEL, "--shape-model", "{}")),
        ("r.json", ("report", "{}", "--out", "{out}")),
        ("r.toml", ("train", "--recipe", "{}", "--data", "{data}", "--out", "{out}")),
        ("c.toml", (*PEOPLE, "--camera", "{}", "--out", "{out}")),
        ("i.bin", ("benchmark", MODEL, "--inputs", "{}", "--outputs", "{out}", "--out", "{out}")),
    ],
)
@pytest.mark.parametrize("kind", ["a named pipe", "a device"])
def test_pipes_and_devices_are_refused_and_never_waited_for(
    name: str, arguments: tuple[str, ...], kind: str, faces: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    if kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    places = {"picture": faces / "f00.jpg", "data": faces, "out": tmp_path / "out.html"}
    result = kit(*(word.format(path, **places) for word in arguments))
    refused(result, result.exit_code or 1, f"expected a file, got {kind}")


def test_pipes_and_loops_among_data_cost_one_face_each(faces: Path) -> None:
    os.mkfifo(faces / "pipe.pts")
    (faces / "pipe.jpg").write_bytes(encoded())
    (faces / "loop.pts").symlink_to("loop.pts")
    (faces / "loop.jpg").write_bytes(encoded())
    (faces / "loop").symlink_to("loop")
    found = inspect(faces)
    assert found["faces"] == 24
    assert {p["name"]: p["reason"] for p in found["problems"]} == {
        "loop.pts": "cannot be read: Too many levels of symbolic links",
        "pipe.pts": "cannot be read: expected a file, got a named pipe",
    }


def test_out_and_paths_that_lead_to_themselves_or_nobody_are_one_line(
    faces: Path, tmp_path: Path
) -> None:
    loop = tmp_path / "loop.png"
    loop.symlink_to("loop.png")
    result = kit(
        "predict", faces / "f00.jpg", "--box", "9,9,80,80", "--model", MODEL, "--out", loop
    )
    assert result.exit_code in (0, 1)
    assert isinstance(result.exception, SystemExit | None), result.exception
    start = ("--data", faces, "--format", "300w", "--out", tmp_path / "run")
    refused(kit("train", "--init-from", "~nobodyhere/x", *start), 2, "~nobodyhere/x")


# Archives -------------------------------------------------------------------------------------


def npz_with(header: bytes, data: bytes = b"") -> bytes:
    """An .npz whose one array has this .npy header."""
    text = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("mean.npy", content)
    return stream.getvalue()


SHAPE = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    "content",
    [
        npz_with((SHAPE % "(1000000000000,)").encode()),
        npz_with((SHAPE % "(99999999999999999999,)").encode()),
        npz_with((SHAPE % "(-1,)").encode()),
        npz_with((SHAPE % "(4,)").encode(), bytes(8)),
        npz_with(b"{'descr': ('<f8', "),
        npz_with(b"(" * 4000),
        npz_with(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    ],
)
def test_a_damaged_array_is_refused_before_memory_is_spent(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="expected a thing"):
        read_npz(path, expected="a thing")


def test_an_archive_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    content = bytearray(npz_with((SHAPE % "(1,)").encode(), bytes(8)))
    start = content.index(b"PK\x01\x02")  # the archive's directory, where sizes are read
    content[start + 24 : start + 28] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    with pytest.raises(ModelError, match="unpacks to 2048 MiB"):
        read_npz(path, expected="a thing")


def test_a_member_that_is_no_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mean.npy", encoded(".png"))
    with pytest.raises(ModelError, match=r"mean.npy is a PNG picture, no array"):
        read_npz(path, expected="a thing")


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_matlab_file_with_any_byte_changed_is_read_or_a_problem(
    version: str, tmp_path: Path
) -> None:
    from scipy.io import savemat

    from asmnet_kit.datasets.mat_file import read_arrays

    path = tmp_path / "m.mat"
    points = np.vstack([FACE.T + 1, np.zeros(68)])
    savemat(path, {"pt3d_68": points, "Pose_Para": np.zeros((1, 7))}, format=version,
            do_compression=version == "5")  # fmt: skip
    whole = path.read_bytes()
    assert np.allclose(read_arrays(whole, ["pt3d_68"])["pt3d_68"], points)
    for at in range(min(len(whole), 400)):
        for value in (0, 1, 0xB8, 0xFF):
            content = whole[:at] + bytes([value]) + whole[at + 1 :]
            try:
                read_arrays(content, ["pt3d_68", "Pose_Para"])
            except DatasetError:
                continue


# Text that people edit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace(" ", "\t").encode(),
        lambda text: b"# annotated by Andr\xe9\n" + text.encode(),
    ],
)
def test_a_pts_file_is_read_however_an_editor_saved_it(
    change: Callable[[str], bytes], faces: Path
) -> None:
    (faces / "f00.pts").write_bytes(change(format_pts(FACE)))
    dataset = load_dataset(faces, "300w")
    assert not dataset.problems
    assert np.allclose(dataset.faces[0].landmarks, FACE, atol=1e-3)


def test_names_are_found_however_the_file_system_spells_them(tmp_path: Path) -> None:
    (tmp_path / "caf\u00e9.jpg").write_bytes(encoded())
    (tmp_path / "cafe\u0301.pts").write_text(format_pts(FACE))
    latin = os.fsdecode(os.fsencode(tmp_path) + b"/Andr\xe9")
    Path(latin + ".jpg").write_bytes(encoded())
    Path(latin + ".pts").write_text(format_pts(FACE))
    dataset = load_dataset(tmp_path, "300w")
    assert len(dataset.faces) == 2
    assert not dataset.problems
    assert len(dataset.fingerprint()) == 64  # of names that are no UTF-8, too


def csv_of(separator: str = ",", *, comma: bool = False, order: str = "file first") -> str:
    names = [f"{axis}{i}" for i in range(68) for axis in "xy"]
    values = [f"{value:.2f}".replace(".", "," if comma else ".") for value in FACE.ravel()]
    if order == "file last":
        return separator.join([*names, "image"]) + "\n" + separator.join([*values, "f00.jpg"])
    return separator.join(["file", *names]) + "\n" + separator.join(["f00.jpg", *values])


@pytest.mark.parametrize(
    "text",
    [
        csv_of(";"),
        csv_of("\t"),
        csv_of(";", comma=True),
        "sep=;\n" + csv_of(";"),
        csv_of(order="file last"),
        "\ufeff" + csv_of(),
    ],
)
def test_a_table_is_read_as_spreadsheets_save_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "f00.jpg").write_bytes(encoded())
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    dataset = load_dataset(tmp_path, "csv")
    assert not dataset.problems
    assert np.allclose(dataset.faces[0].landmarks, FACE, atol=0.01)


def test_a_table_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "l.csv")
    result = kit("data", "inspect", "--data", tmp_path, "--format", "csv")
    refused(result, 1, "no .csv file", "l.csv: cannot be read: expected a file, got a named pipe")


def test_a_quotation_mark_left_open_costs_each_line_that_it_takes_and_all_are_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "f00.jpg").write_bytes(encoded())
    head, row = csv_of().split("\n")
    lines = [head, *[row] * 20]
    lines[5] = '"' + lines[5]
    lines[10] = '"' + lines[10]  # closes it: what follows is read again
    (tmp_path / "l.csv").write_text("\n".join(lines))
    assert reasons(tmp_path, "csv") == {
        f"l.csv line {line}": "a quotation mark in line 6 is not closed" for line in range(6, 12)
    }
    result = kit("data", "inspect", "--data", tmp_path, "--format", "csv")
    refused(result, 1, "unusable faces: 6, 30% of all")


@pytest.mark.parametrize("column", ["x100000000", "x" + "9" * 5000])
def test_a_column_with_a_giant_number_is_no_coordinate(column: str, tmp_path: Path) -> None:
    (tmp_path / "f00.jpg").write_bytes(encoded())
    head, row = csv_of().split("\n")
    (tmp_path / "l.csv").write_text(f"{head},{column}\n{row},1\n")
    assert len(load_dataset(tmp_path, "csv").faces) == 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "1" * 5000])
@pytest.mark.parametrize("format", ["records", "synthetic"])
def test_deep_and_giant_json_is_one_line(text: str, format: str, faces: Path) -> None:
    (faces / "dataset.json").write_text(text)
    result = kit("data", "inspect", "--data", faces, "--format", format)
    reason = "more digits than Python reads" if text[0] == "1" else "nested too deeply"
    refused(result, 1, "dataset.json", reason)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000])
def test_deep_and_giant_json_in_a_models_metadata_is_one_line(
    text: str, make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded())
    model = tmp_path / "m.tflite"
    model.write_bytes(with_entry(make_tflite().read_bytes(), METADATA_NAME, text.encode()))
    result = kit("predict", tmp_path / "a.jpg", "--model", model)
    reason = "more digits than Python reads" if text[0] == "1" else "nested too deeply"
    refused(result, 1, "m.tflite", "is not JSON", reason)


@pytest.mark.parametrize("depth", [101, 900, 100_000])
def test_a_deep_result_is_one_line(depth: int, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"model": ' + "[" * depth + "]" * depth + "}")
    result = kit("report", tmp_path / "r.json", "--out", tmp_path / "r.html")
    refused(result, 1, "r.json: expected JSON, but", "nested too deeply")


def test_a_deep_recipe_is_one_line(faces: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text("a = " + "[" * 5000)
    result = kit("train", "--recipe", recipe, "--data", faces, "--out", tmp_path / "run")
    refused(result, 2, "not TOML (nested too deeply)")


@pytest.mark.parametrize("number", ["0x" + "F" * 5000, "0x8000000000000000", "1" * 5000])
def test_a_number_beyond_64_bits_in_a_camera_is_one_line(number: str, tmp_path: Path) -> None:
    """Python prints none of more than 4,300 digits, but reads them in hexadecimal."""
    (tmp_path / "c.toml").write_text(f"cast = {number}")
    result = kit(*PEOPLE, "--camera", tmp_path / "c.toml", "--out", tmp_path / "people")
    refused(result, 2, "c.toml: not TOML (a number has more")


# Labels and their pictures --------------------------------------------------------------------


def test_of_two_pictures_of_one_name_the_usual_one_is_read_or_both_are_named(faces: Path) -> None:
    (faces / "f00.png").write_bytes(encoded(".png"))
    (faces / "f01.tif").write_bytes(encoded(".tif"))  # as an editor's working copy
    assert reasons(faces) == {
        "f00.pts": "f00.jpg and f00.png are beside it: keep the one it belongs to"
    }
    assert "f01.jpg" in {face.name for face in load_dataset(faces, "300w").faces}


def test_a_pose_that_is_no_number_is_a_problem_of_its_file(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", DRAWN, count=24, seed=0, size=32)
    poses = tmp_path / "faces" / "train" / "pose.csv"
    lines = poses.read_text().splitlines()
    lines[1] = lines[1].rpartition(",")[0] + ",north"
    poses.write_text("\n".join(lines))
    report = inspect(tmp_path / "faces", "synthetic")
    (problem,) = report["problems"]
    assert problem["name"] == "train/pose.csv"
    assert "line 2: expected three angles" in problem["reason"]
    assert report["faces"] == 24


def test_a_table_without_labels_says_how_to_name_the_one_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded())
    (tmp_path / "results.csv").write_text("name,score\na.jpg,0.5\n")
    shown = kit("data", "inspect", "--data", tmp_path, "--format", "csv")
    refused(shown, 1, "results.csv: expected the columns x0, y0", "--data LABELS.csv")


def test_no_training_is_advised_without_a_face(faces: Path) -> None:
    for path in faces.glob("*.pts"):
        path.write_text("")
    shown = kit("data", "inspect", "--data", faces, "--format", "300w", "--max-bad-share", 1)
    assert shown.exit_code == 0, shown.output
    assert shown.stderr.endswith("0 usable faces.\n") and "Next:" not in shown.output


def test_parity_with_a_model_that_predicts_nan_is_a_row(
    make_tflite: Callable[..., Path], faces: Path
) -> None:
    model = make_tflite()
    bias = generic_reference(68).astype("<f4").tobytes()
    content = model.read_bytes()
    assert content.count(bias) == 1
    model.write_bytes(content.replace(bias[:4], np.float32(np.nan).tobytes()))
    data = ("--data", faces, "--format", "300w", "--faces", 2)
    refused(kit("parity", model, *data), 1, "it predicts NaN or infinity. Do not ship for it")
    shown = kit("parity", model, *data, "--json")
    assert shown.exit_code == 1
    row = json.loads(shown.stdout)["rows"][0]
    assert row["problem"] == "it predicts NaN or infinity"
    assert row["agrees"] is False and row["mean_px"] is None


def test_labels_that_cannot_be_a_faces_are_named(faces: Path) -> None:
    far, beyond = FACE.copy(), FACE.astype(np.float64)
    far[30], beyond[30] = (5000, 5000), (1e39, 1e39)
    labels = {
        "f00": FACE / SIZE,
        "f01": far,
        "f02": beyond,
        "f03": (FACE - SIZE / 2) * 30 + SIZE / 2,
        "f04": FACE + 1000,
        "f05": FACE[:, ::-1],
        "f06": FACE * [-1, 1] + [SIZE, 0],
    }
    for name, points in labels.items():
        (faces / f"{name}.pts").write_text(format_pts(points))
    found = {name.split(".")[0]: reason for name, reason in reasons(faces).items()}
    assert found.keys() == labels.keys()
    assert "look like fractions of the picture's size" in found["f00"]
    assert "point 30 is at 5000, 5000" in found["f01"]
    assert "point 30 is at 1e+39, 1e+39" in found["f02"]
    assert "are these its labels?" in found["f03"]
    assert "lies outside the picture of 96 x 96 pixels" in found["f04"]
    assert "left and right are swapped" in found["f05"]
    assert "left and right are swapped" in found["f06"]


def test_ordinary_faces_pass_every_check() -> None:
    check_usable(FACE)
    check_usable(mirrored(FACE, SIZE, SCHEME_68))
    check_in_picture(FACE + 30, width=SIZE, height=SIZE)  # partly outside
    partly = FACE.copy()
    partly[:17] = np.nan
    check_usable(partly)


def test_labels_of_the_turned_picture_are_told_from_those_of_the_stored_one(faces: Path) -> None:
    wide = cv2.imencode(".jpg", picture(3, width=2 * SIZE, height=SIZE))[1].tobytes()
    (faces / "f00.jpg").write_bytes(with_exif(wide, 6))
    (faces / "f00.pts").write_text(format_pts(FACE + np.array([0, SIZE])))  # upright: SIZE x 2 SIZE
    assert "turned by its EXIF rotation (96 x 192 pixels)" in reasons(faces)["f00.jpg"]
    (faces / "f00.pts").write_text(format_pts(FACE))
    assert inspect(faces)["rotated"] == ["f00.jpg"]


def test_copies_are_found_stored_anew_and_mirrored_and_across_splits(tmp_path: Path) -> None:
    image, turned = picture(1), picture(1)[:, ::-1]
    for split, name, shown, points in (
        ("train", "a", image, FACE),
        ("test", "b", image, FACE),
        ("test", "c", turned, mirrored(FACE, SIZE, SCHEME_68)),
    ):
        folder = tmp_path / split
        folder.mkdir(exist_ok=True)
        quality = 95 if name == "a" else 80
        cv2.imwrite(str(folder / f"{name}.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, quality])
        (folder / f"{name}.pts").write_text(format_pts(points))
    found = inspect(tmp_path)
    kinds = {tuple(d["pictures"]): (d["kind"], d["across_splits"]) for d in found["duplicates"]}
    assert kinds["test/b.jpg", "train/a.jpg"] == ("pixels", True)
    assert kinds["test/b.jpg", "test/c.jpg"] == ("mirrored", False)
    assert not found["problems"]
    (tmp_path / "test" / "c.pts").write_text(format_pts(FACE + np.array([7, 0])))
    assert "mirrored, its labels are not" in reasons(tmp_path)["test/c.jpg"]


# Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "expected an .h5 of Keras, got a damaged one"),
        ("m.onnx", b"\x08\x07\x12\x07pytorch", "got an ONNX model"),
        ("m.pt", b"PK\x03\x04" + bytes(99), "got a .pt file of PyTorch: export it to ONNX"),
        ("m", b"hello", "a file without a suffix: text"),
        ("m.keras", b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        ("m.tflite", b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG picture"),
    ],
)
def test_every_command_names_what_is_no_model_of_its_own(
    name: str, content: bytes, words: str, faces: Path, tmp_path: Path
) -> None:
    model = tmp_path / name
    model.write_bytes(content)
    refused(kit("predict", faces / "f00.jpg", "--model", model), 1, words)
    refused(kit("evaluate", model, "--data", faces, "--format", "300w"), 1, words)


def test_a_damaged_saved_model_is_one_line(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")
    result = kit("predict", faces / "f00.jpg", "--model", tmp_path / "saved")
    refused(result, 1, "expected a SavedModel of TensorFlow 2, got a damaged one")


def keras_file(path: Path, *layers: dict[str, Any], version: str = "2.21.0") -> Path:
    config = {"class_name": "Functional", "config": {"name": "m", "layers": list(layers)}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", b"")
    return path


def layer(kind: str, name: str, *inputs: str, **config: Any) -> dict[str, Any]:
    nodes = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
    own = {"name": name, **config}
    return {"module": "keras.layers", "class_name": kind, "config": own, "registered_name": None,
            "name": name, "inbound_nodes": nodes}  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "version", "words"),
    [
        ([layer("InputLayer", "i"), layer("ReLU", "r")], "2.21.0", None),
        ([layer("InputLayer", "i"), layer("ReLU", "r"), layer("Add", "a", "i", "r")], "2.21.0",
         "nothing feeds its layer 'a'"),
        ([layer("ReLU", "a", "b"), layer("ReLU", "b", "a")], "2.21.0", "nothing feeds"),
        ([layer("InputLayer", "i"),
          {**layer("ReLU", "r"), "inbound_nodes": [[["i", "0", 0, {}]]]}], "2.21.0",
         "nothing feeds its layer 'r'"),
        ([layer("InputLayer", "i"), layer("Lambda", "l", "i")], "2.21.0", "runs no code"),
        ([{**layer("Mine", "l"), "module": "my_package"}], "2.21.0", "my_package.Mine"),
        ([{**layer("Mine", "l"), "registered_name": "Custom>Mine"}], "2.21.0", "a class of its"),
        ([layer("Dense", "d", units=10**9)], "2.21.0", "claims units 1000000000"),
        ([layer("InputLayer", "i")], "3.4.1", None),
        ([layer("InputLayer", "i"), layer("Lambda", "l", "i")], "3.4.1", "runs no code"),
        ([layer("TimeDistributed", "t", layer=layer("Lambda", "l"))], "2.9.0", "runs no code"),
        ([layer("TFOpLambda", "f", function="io.write_file")], "2.9.0", "'io.write_file'"),
        ([layer("InputLayer", "i"), layer("TFOpLambda", "f", function="math.multiply")], "2.9.0",
         None),
    ],
)  # fmt: skip
def test_a_keras_file_is_judged_before_keras_reads_it(
    layers: list[dict[str, Any]], version: str, words: str | None, tmp_path: Path
) -> None:
    path = keras_file(tmp_path / "m.keras", *layers, version=version)
    if words is None:
        check_keras(path)
    else:
        with pytest.raises(ModelError, match=words):
            check_keras(path)


def test_threads_may_share_a_model(make_tflite: Callable[..., Path]) -> None:
    runtime = open_runtime(make_tflite())
    images = np.random.default_rng(0).normal(size=(8, 1, 32, 32, 3)).astype(np.float32)
    expected = [runtime.run({"image": image})["pose"] for image in images]
    failed: list[object] = []

    def run(index: int) -> None:
        try:
            for _ in range(60):
                got = runtime.run({"image": images[index]})["pose"]
                if not np.array_equal(got, expected[index]):
                    failed.append(got)
        except Exception as error:  # a thread's would be lost
            failed.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize(
    "call",
    [
        "compare {file} {file} --max-slowdown nan",
        "compare {file} {file} --max-nme-increase nan",
        "data inspect --data {data} --format 300w --max-bad-share nan",
        "quantize {file} --data {data} --recipe ptq_w8a8 --out {out} --max-nme-increase nan",
        "benchmark {model} --out {out} --max-nme nan",
    ],
)
def test_a_limit_that_is_no_number_is_a_wrong_call(
    call: str, faces: Path, make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    """Every comparison with it is false: what it was to refuse would pass."""
    places = {"file": faces / "f00.jpg", "data": faces, "model": make_tflite()}
    words = call.format(**places, out=tmp_path / "out").split()
    refused(kit(*words), 2, f"'{words[-2]}': expected a number, got nan")
    assert not (tmp_path / "out").exists()


def test_a_box_beyond_any_picture_is_a_wrong_call(faces: Path, tmp_path: Path) -> None:
    for box in ("-1e30,-1e30,1e30,1e30", "0,0,3.4e38,3.4e38"):
        out = tmp_path / "o.png"
        result = kit("predict", faces / "f00.jpg", f"--box={box}", "--model", MODEL, "--out", out)
        refused(result, 2, "expected pixels")
        assert not out.exists()


# Films ----------------------------------------------------------------------------------------


def write_film(path: Path, frames: int = 12) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (SIZE, SIZE))
    for index in range(frames):
        writer.write(picture(index))
    writer.release()
    return path


def test_a_film_whose_name_is_no_utf_8_is_read(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.avi")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xff.avi"))
    path.rename(odd)
    with Film(odd) as film:
        assert len(list(film.frames())) == 12


def test_a_decoder_that_crashes_costs_its_film_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = tmp_path / "crash.py"
    crash.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr("asmnet_kit.predict.film.film_frames.__file__", str(crash))
    with pytest.raises(DatasetError, match="crashes its decoder"):
        Film(write_film(tmp_path / "f.avi"))


@pytest.mark.parametrize("room", [10_000, 200_000])
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_film_that_cannot_be_written_whole_fails_and_the_earlier_one_stays(
    room: int, suffix: str, tmp_path: Path
) -> None:
    """The limit on a file's size stands in for a full disk: writes fail alike."""
    film, out = write_film(tmp_path / "f.avi", 30), tmp_path / f"out{suffix}"
    out.write_bytes(b"the earlier film")
    script = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "from asmnet_kit.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["predict", film, "--model", MODEL, "--out", out]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert str(out) in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == b"the earlier film"
    assert not leftovers(tmp_path)


# Terminals, litter, results -------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [("data", "inspect"), ("evaluate", MODEL), ("quantize", "run", "--recipe", "fp16")]
)
def test_an_address_where_a_folder_is_read_is_named_as_such(command: tuple[str, ...]) -> None:
    address = "http://127.0.0.1:9/faces"
    out = ("--out", "out") if command[0] == "quantize" else ()
    result = kit(*command, "--data", address, "--format", "records", *out)
    refused(result, 2, f"{address}: expected the folder of a data set", "got an address")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_terminal_of_any_encoding_gets_an_answer(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asmnet_kit", "models", "asmnet_plus"],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"# asmnet_plus")
    assert done.stderr.startswith(b"The file: ") and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_a_command_whose_streams_the_caller_closed_works(
    closed: tuple[int, ...], tmp_path: Path
) -> None:
    """Nor does the file that it writes get the number of stdout, where libraries print."""
    out = tmp_path / "skin"
    command = (sys.executable, "-m", "asmnet_kit", "data", "skin-template", "--out", out)
    shell = f'exec "$@" {" ".join(f"{number}>&-" for number in closed)}'
    result = subprocess.run(
        ["sh", "-c", shell, "sh", *command], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert cv2.imread(str(next(out.glob("*.png")))) is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_help_onto_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "asmnet_kit", "--help"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: No space left on device\n"


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f".r.{gone.pid}.part.json").write_text("half")
    running = tmp_path / f".r.{os.getppid()}.part.json"
    running.write_text("another process is writing")
    write_text(tmp_path / "r.json", "{}")
    assert leftovers(tmp_path) == [running]


HOLDER = """
import sys
from asmnet_kit.base.files import temporary_folder
with temporary_folder() as folder:
    (folder / "model.tflite").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_killed_processes_left_in_tmpdir_goes_with_the_next_command_that_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what processes that run have there, nor what has another name."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    killed, running = (Path((holder.stdout or sys.stdin).readline().strip()) for holder in holders)
    holders[0].kill()
    holders[0].wait()
    assert killed.exists() and running.exists()
    theirs = {tmp_path / name for name in ("asmnet_kit_notes", f"asmnet_kit_{holders[0].pid}_cats")}
    for folder in theirs:
        folder.mkdir()
    with temporary_folder() as own:
        assert set(tmp_path.iterdir()) == {own, running, *theirs}
    holders[1].communicate("")
    assert set(tmp_path.iterdir()) == theirs


WRITER = """
import itertools, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
for n in itertools.count():
    try:
        (folder / f"{n}").mkdir()
    except FileNotFoundError:
        break
    if n == 3000:  # removing so many takes longer than adding one more
        print("writes", flush=True)
    if n > 3000:
        time.sleep(0.001)
"""


def test_a_folder_that_another_program_still_writes_to_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes with the next command that uses one, once both programs have ended."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with temporary_folder() as folder:
        words = [sys.executable, "-c", WRITER, str(folder)]
        writer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None and writer.stdout.readline() == "writes\n"
    writer.kill()
    writer.communicate()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    if folder.exists():  # it won the race: its maker, this process, ends too
        folder.rename(tmp_path / f"asmnet_kit_{gone.pid}_left0000")
    with temporary_folder() as own:
        assert list(tmp_path.iterdir()) == [own]


def test_one_place_makes_temporary_folders() -> None:
    """Else what a killed process leaves would stay."""
    makers = {
        str(path.relative_to(ROOT))
        for folder in ("toolkit", "training", "quantize", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if "studies" not in path.parts
        and re.search(r"TemporaryDirectory|mkdtemp|NamedTemporaryFile", path.read_text())
    }
    assert makers == {"toolkit/base/files.py"}


def test_a_name_as_long_as_the_file_system_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".txt")
    write_text(path, "x")
    assert path.read_text() == "x"


def test_escape_sequences_in_a_result_do_not_reach_the_terminal(
    make_result: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    for name in ("old", "new"):
        result = make_result("m\x1b[31m[bold]x")
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    shown = kit("compare", tmp_path / "old.json", tmp_path / "new.json")
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.output
    assert "[bold]x" in shown.stdout


def test_the_kinds_of_files_have_names() -> None:
    assert kind_of(encoded(".png")) == "a PNG picture"
    assert kind_of(b"\x47" + bytes(187) + b"\x47" + bytes(187)).startswith("an MPEG transport")
    assert kind_of(b"a,b\n1,2\n") == "text"


def test_a_read_only_disk_names_the_file_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="Read-only file system") as failed:
        write_text(tmp_path / "r.html", "x")
    assert failed.value.filename == str(tmp_path / "r.html")


def test_faces_that_vanish_while_others_are_drawn_are_missed(tmp_path: Path) -> None:
    def remove_the_first(done: int, count: int) -> None:
        if done == count:
            next((tmp_path / "faces").rglob("*.jpg")).unlink()

    with pytest.raises(DatasetError, match="1 of 3 faces are gone"):
        write_faces(tmp_path / "faces", DRAWN, count=3, seed=0, size=32, progress=remove_the_first)
    description = json.loads((tmp_path / "faces" / "dataset.json").read_text())
    assert not description["complete"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": 5}, "expected metrics to be an object, got 5"),
        ({"finished_at": "now"}, "expected metrics.epochs of a finished run"),
        ({"resumed": 5}, "expected resumed to be a list"),
        ({"dataset": [1]}, "expected dataset to be an object"),
        ({"architecture": {"name": "../../x"}}, "expected the name of an architecture"),
    ],
)
def test_a_manifest_that_was_edited_is_judged_by_its_types(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 1, **change}))
    with pytest.raises(ModelError, match=re.escape(words)):
        read_manifest(tmp_path)


def test_a_first_checkpoint_that_cannot_be_written_promises_no_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = TrainingState(weights=[], averages=[], optimizer=[], history=[{"loss": 1.0}])
    with pytest.raises(KitError, match="There is none before it"):
        Checkpoints(tmp_path / "file").save(state, is_best=True)


def test_bad_pictures_are_left_out_and_told_up_to_a_share(
    capsys: pytest.CaptureFixture[str],
) -> None:
    left_out = LeftOut("faces", 40)
    for name in ("a.jpg", "b.jpg"):  # 5 % of 40
        left_out.add(name, DatasetError("truncated"))
    assert "a.jpg" in left_out
    assert capsys.readouterr().err == "left out: a.jpg: truncated\nleft out: b.jpg: truncated\n"
    with pytest.raises(DatasetError, match="3 of 40 pictures cannot be used, more than 5%"):
        left_out.add("c.jpg", OSError(5, "Input/output error"))
