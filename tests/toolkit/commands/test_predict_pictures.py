"""``asmnet-kit predict`` with folders, lists and many pictures."""

import csv
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import asmnet_kit
from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import alone_in, leftovers
from asmnet_kit.base.reading import MAX_LINE_BYTES
from asmnet_kit.cli import main
from asmnet_kit.commands import predict_pictures
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.pictures import decode_image
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.predict.unfinished import growing, unfinished
from wording import BUSY

HEIC = b"\0\0\0\x18ftypheic" + bytes(99)


def run(*arguments: object, **options: object):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)], **options)


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def scene(frontal_face, *, faces: int = 1) -> np.ndarray:
    """Drawn faces side by side on grey, uint8 [160, 180 * faces, 3], BGR."""
    canvas = np.full((160, 180 * faces, 3), 90, np.uint8)
    for index in range(faces):
        canvas[20:148, 180 * index + 26 : 180 * index + 154] = frontal_face[0]
    return canvas[..., ::-1]


@pytest.fixture
def photos(tmp_path, frontal_face) -> Path:
    """Two faces, one face in a folder below, none, one picture cut off, one that is no picture."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    two = scene(frontal_face, faces=2)
    cv2.imwrite(str(folder / "two.png"), two)
    cv2.imwrite(str(folder / "trip" / "one.jpg"), scene(frontal_face))
    cv2.imwrite(str(folder / "grey.webp"), np.full((64, 64, 3), 128, np.uint8))
    (folder / "cut.jpg").write_bytes((folder / "trip" / "one.jpg").read_bytes()[:900])
    (folder / "phone.heic").write_bytes(HEIC)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes((folder / "two.png").read_bytes())
    return folder


NAMES = ("cut.jpg", "grey.webp", "phone.heic", "trip/one.jpg", "two.png")  # in this order
FACES = {"grey.webp": 0, "trip/one.jpg": 1, "two.png": 2}


def test_a_folder_is_a_line_of_json_for_each_picture_below_it(photos, make_tflite) -> None:
    model = make_tflite()
    result = run(photos, "--model", model, "--json")
    assert result.exit_code == 0, result.output
    found = lines(result.stdout)
    assert [line["image"]["path"] for line in found] == [str(photos / name) for name in NAMES]
    for name, line in zip(NAMES, found, strict=True):
        assert line["schema_version"] == 2
        assert line["model"] == "constant.tflite" and line["scheme"] == "68"
        assert len(line["faces"]) == FACES.get(name, 0)
        assert (line["error"] is None) == (name in FACES)
    assert "HEIC" in found[2]["error"] and "convert it to JPEG" in found[2]["error"]
    assert "3 pictures, 2 with faces; 3 faces; 2 left out" in result.stderr
    assert result.stderr.count("left out: ") == 2
    # But for its error, a line says what --json says of the picture alone.
    alone = json.loads(run(photos / "two.png", "--model", model, "--json").stdout)
    assert alone == {key: value for key, value in found[4].items() if key != "error"}
    assert run(photos, "--model", model, "--jsonl").stdout == result.stdout


def test_jsonl_is_a_line_for_one_picture_too(photos, make_tflite) -> None:
    result = run(photos / "two.png", "--model", make_tflite(), "--jsonl")
    (line,) = lines(result.stdout)
    assert len(line["faces"]) == 2


def test_without_an_output_each_face_is_a_line_of_words(photos, make_tflite) -> None:
    result = run(photos / "two.png", photos / "grey.webp", "--model", make_tflite())
    first, second, third = result.stdout.splitlines()
    assert first.startswith(f"{photos / 'two.png'}: face 1: box ") and "yaw" in first
    assert second.startswith(f"{photos / 'two.png'}: face 2: box ")
    assert third == f"{photos / 'grey.webp'}: no face"


def test_a_list_on_stdin_is_predicted_line_by_line(photos, make_tflite) -> None:
    listed = f"{photos / 'two.png'}\n\n{photos / 'gone.png'}\r\n{photos / 'two.png'}"
    result = run("-", "--model", make_tflite(), "--jsonl", input=listed)
    assert result.exit_code == 0, result.output
    found = lines(result.stdout)
    assert [len(line["faces"]) for line in found] == [2, 0, 2]  # as asked for, twice
    assert found[1]["error"] == "No such file or directory"


def test_a_list_is_answered_before_it_ends(photos, make_tflite) -> None:
    """Another program may send a path, wait for its line, and send the next."""
    command = [sys.executable, "-m", "asmnet_kit", "predict", "-", "--jsonl"]
    with subprocess.Popen(
        [*command, "--model", make_tflite()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        for name in ("two.png", "grey.webp"):
            process.stdin.write(f"{photos / name}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["image"]["path"] == str(photos / name)
        process.stdin.close()
        assert process.wait() == 0


def test_labels_are_a_data_set_that_inspect_and_training_read(photos, make_tflite) -> None:
    out = photos / "labels.csv"
    result = run(photos, "--model", make_tflite(), "--out", out)
    assert result.exit_code == 0, result.output
    assert f"data inspect --data {out} --format csv" in result.stderr
    inspected = CliRunner().invoke(
        main, ["data", "inspect", "--data", str(out), "--format", "csv", "--json"]
    )
    report = json.loads(inspected.stdout)
    assert (report["faces"], report["pictures"], report["problems"]) == (3, 2, [])
    faces = {face.name: face for face in load_dataset(out, "csv").faces}
    assert set(faces) == {"trip/one.jpg", "two.png#1", "two.png#2"}
    predicted = lines(run(photos, "--model", make_tflite(), "--json").stdout)
    for name, face in (
        ("trip/one.jpg", predicted[3]["faces"][0]),
        ("two.png#1", predicted[4]["faces"][0]),
        ("two.png#2", predicted[4]["faces"][1]),
    ):
        assert faces[name].landmarks == pytest.approx(np.array(face["landmarks"]), abs=0.011)
        assert faces[name].pose == pytest.approx([*face["pose"].values()], abs=0.011)
        assert faces[name].detector_box == pytest.approx(face["box"], abs=0.011)
        assert faces[name].visibility is None


def test_labels_keep_how_sure_a_model_is_and_what_it_can_see(photos, make_tflite) -> None:
    model = make_tflite("sure.tflite", sure=True)
    out = photos / "labels.csv"
    assert run(photos / "two.png", "--model", model, "--out", out).exit_code == 0
    first, _ = load_dataset(out, "csv").faces
    (line,) = lines(run(photos / "two.png", "--model", model, "--jsonl").stdout)
    face = line["faces"][0]
    assert first.visibility.tolist() == [float(seen >= 0.5) for seen in face["visible"]]
    assert 0 < first.visibility.sum() < 68
    with out.open(newline="") as file:
        row = next(csv.DictReader(file))
    assert [float(row[f"sigma{i}"]) for i in range(68)] == pytest.approx(face["sigma"], abs=0.011)
    assert "confidence" in row


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    return with_segment(jpeg, b"Exif\0\0" + orientation_tags(orientation))


def with_segment(jpeg: bytes, content: bytes, marker: int = 0xE1) -> bytes:
    """A JPEG with a segment before its others; APP1 unless told."""
    length = (len(content) + 2).to_bytes(2, "big")
    return jpeg[:2] + bytes([0xFF, marker]) + length + content + jpeg[2:]


def orientation_tags(orientation: int, kind: str = "H", order: str = ">") -> bytes:
    """A TIFF of the orientation alone; ``kind`` B is a BYTE, H a SHORT, I a LONG."""
    number = {"B": 1, "H": 3, "I": 4}[kind]
    entry = struct.pack(f"{order}HHI", 274, number, 1)
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    start = struct.pack(f"{order}HIH", 42, 8, 1)
    return (b"MM" if order == ">" else b"II") + start + entry + value + bytes(4)


def turned_avif(avif: bytes, quarters: int) -> bytes:
    """An AVIF of OpenCV's with a box irot: turned by quarters against the clock when shown."""
    return with_property(avif, b"irot", quarters)


def with_property(avif: bytes, name: bytes, value: int) -> bytes:
    """An AVIF of OpenCV's with one more property, behind its others.

    ISO/IEC 23008-12: a property lies in ipco, and ipma says which properties a picture has. What
    contains them grows, and the pixels (iloc) move.
    """
    content = bytearray(avif)
    ipco, ipma = content.index(b"ipco") - 4, content.index(b"ipma") - 4

    def grow(at: int, by: int) -> None:
        content[at : at + 4] = (int.from_bytes(content[at : at + 4], "big") + by).to_bytes(4, "big")

    count = ipma + 18  # behind size, name, version, the number of pictures and this one's
    content.insert(count + 1 + content[count], 0x80 | (content[count] + 1))  # the next property
    content[count] += 1
    grow(ipma, 1)
    content[ipma:ipma] = (9).to_bytes(4, "big") + name + bytes([value])
    grow(ipco, 9)
    for box in (b"iprp", b"meta"):
        grow(content.index(box) - 4, 10)
    grow(content.index(b"iloc") + 18, 10)  # where the pixels are
    return bytes(content)


def test_every_format_that_opencv_reads_is_found_in_a_folder_and_is_upright(
    tmp_path, frontal_face, make_tflite
) -> None:
    """Also stored on its side, as phones do: AVIF and JPEG each say so in their own way."""
    upright, folder = scene(frontal_face), tmp_path / "formats"
    folder.mkdir()
    for suffix in (".bmp", ".gif", ".jp2", ".jpeg", ".png", ".ppm", ".tif", ".webp"):
        cv2.imwrite(str(folder / f"upright{suffix}"), upright)
    side = cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE)
    jpeg = cv2.imencode(".jpg", side)[1].tobytes()
    (folder / "side.JFIF").write_bytes(with_exif(jpeg, 6))
    if cv2.haveImageWriter("x.avif"):
        avif = cv2.imencode(".avif", side)[1].tobytes()
        (folder / "side.avif").write_bytes(turned_avif(avif, 3))
        (folder / "upright.avif").write_bytes(cv2.imencode(".avif", upright)[1].tobytes())
    result = run(folder, "--model", make_tflite(), "--json")
    assert result.exit_code == 0, result.output
    found = lines(result.stdout)
    assert len(found) == len(list(folder.iterdir()))
    (whole,) = (line for line in found if line["image"]["path"].endswith(".png"))
    for line in found:
        assert (line["image"]["width"], line["image"]["height"]) == (180, 160), line
        (face,) = line["faces"]
        # Lossy formats move the box a little; turned otherwise, its middle would be 20 pixels off.
        assert face["box"] == pytest.approx(whole["faces"][0]["box"], abs=10), line["image"]


@pytest.mark.skipif(not cv2.haveImageWriter("x.avif"), reason="this OpenCV writes no AVIF")
@pytest.mark.parametrize("mirror", [None, 0, 1])
@pytest.mark.parametrize("quarters", range(4))
def test_an_avif_is_turned_and_then_mirrored(quarters, mirror, tmp_path) -> None:
    """Against the clock, then top to bottom (0) or left to right (1)."""
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :32], stored[:16, 32:], stored[16:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    avif = cv2.imencode(".avif", stored[..., ::-1], [cv2.IMWRITE_AVIF_QUALITY, 100])[1].tobytes()
    shown = np.rot90(stored, quarters)
    avif = with_property(avif, b"irot", quarters)
    if mirror is not None:
        avif = with_property(avif, b"imir", mirror)
        shown = np.flip(shown, mirror)
    path = tmp_path / "turned.avif"
    path.write_bytes(avif)
    seen = asmnet_kit.read_image(path)
    assert seen.shape == shown.shape
    assert np.abs(seen.astype(int) - shown).mean() < 5


@pytest.mark.parametrize(
    ("kind", "called"),
    [(np.float32, "32-bit floats"), (np.float64, "64-bit floats"), (np.int32, "32-bit whole")],
)
def test_a_tiff_of_samples_that_are_not_read_is_not_called_damaged(
    kind, called, tmp_path, make_tflite
) -> None:
    path = tmp_path / "scan.tif"
    for channels in ((), (3,)):
        values = np.random.default_rng(0).random((20, 30, *channels)) * 100
        cv2.imwrite(str(path), values.astype(kind))
        result = run(path, "--model", make_tflite(), "--jsonl")
        assert result.exit_code == 1, result.output
        assert f"got one of {called}" in lines(result.stdout)[0]["error"]


# What each of EXIF's numbers asks of the stored pixels.
UPRIGHT_BY = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT_BY)
def test_every_orientation_of_exif_is_followed_pixel_by_pixel(orientation, tmp_path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    png = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
    tags = b"eXIf" + orientation_tags(orientation)
    chunk = (len(tags) - 4).to_bytes(4, "big") + tags + zlib.crc32(tags).to_bytes(4, "big")
    webp = cv2.imencode(".webp", stored[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    flagged = b"VP8X" + struct.pack("<IIHBHB", 10, 8, 52, 0, 36, 0)  # EXIF follows; 53 x 37
    exif = b"EXIF" + struct.pack("<I", len(tags) - 4) + tags[4:]
    content = b"WEBP" + flagged + webp[12:] + exif
    for name, encoded in (
        ("p.png", png[:33] + chunk + png[33:]),
        ("p.webp", b"RIFF" + struct.pack("<I", len(content)) + content),
    ):
        (tmp_path / name).write_bytes(encoded)
        seen = asmnet_kit.read_image(tmp_path / name)
        assert np.array_equal(seen, UPRIGHT_BY[orientation](stored)), name


JPEGS_WITH_EXIF = {
    "in a picture behind it": (1, lambda jpeg: jpeg + with_exif(jpeg, 6)),
    "in another segment": (
        1,
        lambda jpeg: with_segment(jpeg, b"Exif\0\0" + orientation_tags(6), 0xE2),
    ),
    "behind a comment of it": (
        6,
        lambda jpeg: with_segment(with_exif(jpeg, 6), b"Exif\0\0junkjunk", 0xFE),
    ),
    "behind the other metadata": (
        6,
        lambda jpeg: with_segment(with_exif(jpeg, 6), b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    ),
    "twice": (6, lambda jpeg: with_exif(with_exif(jpeg, 1), 6)),
    "cut off": (1, lambda jpeg: with_segment(jpeg, b"Exif\0\0" + orientation_tags(6)[:14])),
    **{
        f"{kind} {order}": (
            6,
            lambda jpeg, kind=kind, order=order: with_segment(
                jpeg, b"Exif\0\0" + orientation_tags(6, kind, order)
            ),
        )
        for kind in "BHI"
        for order in "<>"
    },
}


@pytest.mark.parametrize("where", JPEGS_WITH_EXIF)
def test_labels_are_turned_as_the_picture_was(where, tmp_path, frontal_face, make_tflite) -> None:
    """Wherever EXIF or its like stands in a JPEG: labels, turned upright, are what JSON has."""
    orientation, made = JPEGS_WITH_EXIF[where]
    stored = scene(frontal_face)
    if orientation == 6:
        stored = cv2.rotate(stored, cv2.ROTATE_90_COUNTERCLOCKWISE)
    photo, out = tmp_path / "photo.jpg", tmp_path / "labels.csv"
    photo.write_bytes(made(cv2.imencode(".jpg", stored)[1].tobytes()))
    assert run(photo, "--model", make_tflite(), "--out", out).exit_code == 0
    (line,) = lines(run(photo, "--model", make_tflite(), "--jsonl").stdout)
    assert (line["image"]["width"], line["image"]["height"]) == (180, 160)
    seen = np.array(line["faces"][0]["landmarks"])
    if orientation == 6:
        seen = np.stack([seen[:, 1], 179 - seen[:, 0]], axis=-1)
    (label,) = load_dataset(out, "csv").faces
    assert label.landmarks == pytest.approx(seen, abs=0.011)


def test_a_folder_gives_every_ending_of_a_format_that_is_read(photos, make_tflite) -> None:
    """And one without pictures names these alone, not those whose reading says how to convert."""
    page = (Path(__file__).parents[3] / "docs" / "predict.md").read_text()
    folder = photos / "endings"
    folder.mkdir()
    (folder / "notes.txt").write_text("")
    empty = run(folder, "--model", make_tflite())
    named = empty.stderr.partition("expected pictures (")[2].partition(")")[0].split(", ")
    assert {".jpe", ".jfif", ".gif", ".pgm", ".pbm", ".pnm"} < set(named)
    assert ".heic" not in named
    for suffix in named:
        assert suffix in page
        shutil.copy(photos / "two.png", folder / f"a{suffix}")
    result = run(folder, "--model", make_tflite(), "--json")
    assert len(lines(result.stdout)) == len(named) and "left out" not in result.stderr


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_labels_are_of_the_stored_pixels(orientation, tmp_path, frontal_face, make_tflite) -> None:
    """A face that people see upright is stored turned: there its landmarks must lie on it."""
    upright = scene(frontal_face)
    stored = {
        3: cv2.rotate(upright, cv2.ROTATE_180),
        6: cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE),
        7: cv2.rotate(upright, cv2.ROTATE_180).transpose(1, 0, 2),
    }[orientation]
    jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    jpeg = with_exif(jpeg, orientation)
    seen = decode_image(jpeg, name="jpg", upright=True).astype(int)
    assert np.abs(seen - upright[..., ::-1]).mean() < 3
    photo, out = tmp_path / "phone.jpg", tmp_path / "labels.csv"
    photo.write_bytes(jpeg)
    result = run(photo, "--model", make_tflite(), "--out", out)
    assert result.exit_code == 0, result.output
    assert "1 picture not stored upright (EXIF)" in result.stderr
    (label,) = load_dataset(out, "csv").faces
    (line,) = lines(run(photo, "--model", make_tflite(), "--jsonl").stdout)
    x, y = np.array(line["faces"][0]["landmarks"]).T
    expected = {
        3: np.stack([179 - x, 159 - y], axis=-1),
        6: np.stack([y, 179 - x], axis=-1),
        7: np.stack([159 - y, 179 - x], axis=-1)[SCHEME_68.mirror],  # a mirror image
    }[orientation]
    assert label.landmarks == pytest.approx(expected, abs=0.011)
    assert np.abs(label.pose[2]) > 45  # it lies on its side, or on its head
    label.read()  # refuses landmarks that cannot be of the stored picture


def test_drawings_lie_as_their_pictures_do_and_are_no_inputs(photos, make_tflite) -> None:
    model, drawn = make_tflite("sure.tflite", sure=True), photos / "drawn"
    first = run(photos, "--model", model, "--out", drawn)
    assert first.exit_code == 0, first.output
    made = sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.*"))
    assert made == ["drawings.json", "grey.webp.png", "trip/one.jpg", "two.png"]
    before = (drawn / "two.png").read_bytes()
    second = run(photos, "--model", model, "--out", drawn)
    assert "3 pictures, 2 with faces" in second.stderr  # the drawings are left out
    assert (drawn / "two.png").read_bytes() == before
    # One picture's drawing is the same: with rings for the points that are unsure.
    alone = photos.parent / "alone.png"
    assert run(photos / "two.png", "--model", model, "--out", alone).exit_code == 0
    assert alone.read_bytes() == before


def test_points_that_are_unsure_are_hollow_in_a_folder_s_drawings(
    photos, make_tflite, monkeypatch
) -> None:
    """Where the model is unsure of a point, the picture shows in its middle."""
    from asmnet_kit.predict import draw

    rings = []
    monkeypatch.setattr(draw, "_ring", lambda canvas, point, *_: rings.append(point))
    model, drawn = make_tflite("sure.tflite", sure=True), photos / "drawn"
    run(photos / "two.png", photos / "grey.webp", "--model", model, "--out", drawn)
    (line,) = lines(run(photos / "two.png", "--model", model, "--jsonl").stdout)
    hidden = sum(seen < 0.5 for face in line["faces"] for seen in face["visible"])
    assert len(rings) >= hidden > 0


def test_a_picture_that_is_named_twice_is_predicted_once(photos, make_tflite) -> None:
    (photos / "trip" / "up").symlink_to("..")  # a loop
    result = run(photos, photos / "trip" / ".." / "two.png", "--model", make_tflite(), "--json")
    assert [line["image"]["path"] for line in lines(result.stdout)] == [
        str(photos / name) for name in NAMES
    ]
    assert "1 named more than once" in result.stderr


def test_names_that_are_no_utf_8_are_read_and_written(photos, make_tflite) -> None:
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/f\xff.png"))
    (photos / "two.png").rename(odd)
    result = run(photos, "--model", make_tflite(), "--jsonl")
    assert os.fsdecode(os.fsencode(odd)) in [line["image"]["path"] for line in lines(result.stdout)]
    assert run(photos, "--model", make_tflite(), "--out", photos / "labels.csv").exit_code == 0
    assert len(load_dataset(photos / "labels.csv", "csv").faces) == 3
    assert run(photos, "--model", make_tflite(), "--out", photos / "drawn").exit_code == 0
    assert (photos / "drawn" / odd.name).is_file()


def test_names_that_a_csv_cannot_hold_cost_their_picture_alone(photos, make_tflite) -> None:
    (photos / "two.png").rename(photos / "back\\slash.png")
    result = run(photos, "--model", make_tflite(), "--out", photos / "labels.csv")
    assert result.exit_code == 0
    assert "rename the picture" in result.stderr
    assert [face.name for face in load_dataset(photos / "labels.csv", "csv").faces] == [
        "trip/one.jpg"
    ]


def test_no_face_in_any_picture_is_no_error(photos, make_tflite) -> None:
    out = photos / "labels.csv"
    result = run(photos / "grey.webp", "--model", make_tflite(), "--out", out)
    assert result.exit_code == 0
    assert "1 picture, 0 with faces" in result.stderr and "--min-score" in result.stderr
    assert out.read_text().startswith("file,x0,y0,") and out.read_text().count("\n") == 1


@pytest.mark.parametrize("name", ["lines.jsonl", "labels.csv", "drawn"])
def test_nothing_that_can_be_predicted_exits_with_1_and_writes_nothing(
    name, photos, make_tflite
) -> None:
    bad = (photos / "cut.jpg", photos / "phone.heic")
    result = run(*bad, "--model", make_tflite(), "--out", photos / name)
    assert result.exit_code == 1
    assert "none of 2 pictures can be used" in result.stderr
    assert "Traceback" not in result.output
    assert not list(photos.glob(f"*{name}*")) and not leftovers(photos)


def test_a_folder_or_a_list_without_pictures_exits_with_1(tmp_path, make_tflite) -> None:
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty", "--model", make_tflite())
    assert result.exit_code == 1 and "expected pictures" in result.stderr
    for options in (("--jsonl",), ("--out", tmp_path / "l.csv")):
        result = run("-", "--model", make_tflite(), *options, input="\n")
        assert result.exit_code == 1 and "on each line of stdin" in result.stderr


@pytest.fixture
def interrupt(monkeypatch):
    """Ctrl-C, or another error, in the picture of that number, from 1."""

    def at(number: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        predict_file, seen = predict_pictures.predict_file, []

        def interrupted(*arguments, **options):
            seen.append(1)
            if len(seen) == number:
                monkeypatch.undo()
                raise error
            return predict_file(*arguments, **options)

        monkeypatch.setattr(predict_pictures, "predict_file", interrupted)

    return at


def test_an_interruption_leaves_the_earlier_file(photos, make_tflite, interrupt) -> None:
    interrupt(4)
    out = photos / "lines.jsonl"
    out.write_text("the earlier file")
    result = run(photos, "--model", make_tflite(), "--out", out, "--json")
    assert result.exit_code == 130
    assert out.read_text() == "the earlier file" and not leftovers(photos)
    found = lines(result.stdout)  # whole lines of the first three
    assert [line["image"]["path"] for line in found] == [str(photos / n) for n in NAMES[:3]]


def test_lines_go_on_where_they_were_interrupted(photos, make_tflite, interrupt) -> None:
    call = (photos, "--model", make_tflite(), "--out", photos / "lines.jsonl")
    interrupt(4)
    result = run(*call)
    assert result.exit_code == 130
    assert "after 3 of 5 pictures" in result.stderr and "--resume" in result.stderr
    begun = photos / "lines.jsonl.unfinished"
    first = begun.read_bytes()
    assert len(lines(first.decode())) == 3
    begun.write_bytes(first + b'{"schema_version":2,"ima')  # as a full disk cuts it off
    result = run(*call, "--resume")
    assert result.exit_code == 0, result.output
    assert "3 pictures before; 2 pictures, 2 with faces" in result.stderr
    resumed = (photos / "lines.jsonl").read_bytes()
    assert resumed.startswith(first) and not begun.exists()
    assert run(*call).exit_code == 0
    assert (photos / "lines.jsonl").read_bytes() == resumed  # as in one go


def test_lines_go_on_after_any_error(photos, make_tflite, interrupt) -> None:
    """Also after a second one, which must not cost what the first call wrote."""
    call = (photos, "--model", make_tflite(), "--out", photos / "lines.jsonl")
    begun = photos / "lines.jsonl.unfinished"
    interrupt(4, ModelError)
    assert run(*call).exit_code == 1
    assert len(lines(begun.read_text())) == 3
    interrupt(1, ModelError)
    assert run(*call, "--resume").exit_code == 1
    assert len(lines(begun.read_text())) == 3
    refused = run(*call, photos / "nothing.png", "--resume")
    assert refused.exit_code == 2 and len(lines(begun.read_text())) == 3
    assert run(*call, "--resume").exit_code == 0
    assert len(lines((photos / "lines.jsonl").read_text())) == 5 and not begun.exists()


def test_nothing_is_left_where_there_is_nothing_to_go_on_with(
    photos, make_tflite, interrupt
) -> None:
    out = photos.parent / "lines.jsonl"
    interrupt(1, ModelError)
    assert run(photos, "--model", make_tflite(), "--out", out).exit_code == 1
    assert not list(photos.parent.glob("lines*"))
    (photos.parent / "text.png").write_text("no picture")
    result = run(photos.parent / "text.png", "--model", make_tflite(), "--out", out)
    assert result.exit_code == 1 and not list(photos.parent.glob("lines*"))


@pytest.mark.parametrize("more", [(), ("--resume",)], ids=["anew", "resumed"])
def test_two_calls_do_not_write_the_same_lines(more, photos, make_tflite, interrupt) -> None:
    out, model = photos / "lines.jsonl", make_tflite()
    call = (photos, "--model", model, "--out", out)
    interrupt(4)
    assert run(*call).exit_code == 130
    with growing(out, keep=3) as first:
        before = unfinished(out).read_bytes()
        second = run(*call, *more)
        assert second.exit_code == 2 and BUSY in second.stderr and str(out) in second.stderr
        assert unfinished(out).read_bytes() == before
        elsewhere = run(photos, "--model", model, "--out", photos / "others.jsonl")
        assert elsewhere.exit_code == 0, elsewhere.output
        first.write("the end\n")
    assert out.read_bytes() == before + b"the end\n"


def test_a_killed_process_leaves_no_lock(photos, make_tflite) -> None:
    out = photos / "lines.jsonl"
    killed = (
        "import os, sys; from pathlib import Path; from asmnet_kit.predict.unfinished import "
        "growing; lines = growing(Path(sys.argv[1])); lines.__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", killed, str(out)], check=False).returncode == -9
    assert unfinished(out).exists()
    result = run(photos, "--model", make_tflite(), "--out", out)
    assert result.exit_code == 0, result.output
    assert not unfinished(out).exists()


def test_lines_of_other_pictures_are_not_gone_on_with(photos, make_tflite, interrupt) -> None:
    call = ("--model", make_tflite(), "--out", photos / "lines.jsonl")
    interrupt(4)
    run(photos, *call)
    begun = (photos / "lines.jsonl.unfinished").read_bytes()
    (photos / "a.png").write_bytes((photos / "two.png").read_bytes())
    result = run(photos, *call, "--resume")
    assert result.exit_code == 2 and "line 1 is of another picture" in result.stderr
    assert (photos / "lines.jsonl.unfinished").read_bytes() == begun


def test_drawings_go_on_where_they_were_interrupted(photos, make_tflite, interrupt) -> None:
    call = (photos, "--model", make_tflite(), "--out", photos.parent / "drawn")
    interrupt(5)
    assert run(*call).exit_code == 130
    first = photos.parent / "drawn" / "trip" / "one.jpg"
    made = first.stat().st_mtime_ns
    result = run(*call, "--resume")
    assert result.exit_code == 0, result.output
    assert first.stat().st_mtime_ns == made
    assert (photos.parent / "drawn" / "two.png").is_file()
    assert run(*call, "--resume").exit_code == 0  # nothing is left to do


def content_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_drawings_never_take_the_place_of_photographs(photos, make_tflite) -> None:
    """A folder of photographs below the others would lose those of the same names."""
    (photos / "trip" / "two.png").write_bytes((photos / "two.png").read_bytes())
    before = content_of(photos)
    for more in ((), ("--resume",)):
        result = run(photos, "--model", make_tflite(), "--out", photos / "trip", *more)
        assert result.exit_code == 2 and "drawings of an earlier call" in result.stderr
        assert content_of(photos) == before
    drawn = photos / "drawn"
    drawn.mkdir()  # empty: it is taken
    assert run(photos, "--model", make_tflite(), "--out", drawn).exit_code == 0
    (drawn / "drawings.json").write_text("[")
    broken = run(photos, "--model", make_tflite(), "--out", drawn)
    assert broken.exit_code == 2 and "drawings.json" in broken.stderr


def test_a_folder_holds_the_drawings_of_one_model(photos, make_tflite) -> None:
    drawn = photos.parent / "drawn"
    call = (photos, "--out", drawn)
    assert run(*call, "--model", make_tflite("one.tflite")).exit_code == 0
    (drawn / "two.png").unlink()
    before = content_of(drawn)
    for more in ((), ("--resume",)):
        result = run(*call, "--model", make_tflite("other.tflite"), *more)
        assert result.exit_code == 2 and "another (one.tflite)" in result.stderr
        assert content_of(drawn) == before
    assert run(*call, "--model", make_tflite("one.tflite"), "--resume").exit_code == 0
    assert content_of(drawn).keys() == {*before, drawn / "two.png"}


def test_two_calls_do_not_draw_into_the_same_folder(photos, make_tflite) -> None:
    drawn = photos.parent / "drawn"
    drawn.mkdir()
    with alone_in(drawn):
        result = run(photos, "--model", make_tflite(), "--out", drawn)
    assert result.exit_code == 2 and BUSY in result.stderr and not list(drawn.iterdir())


def test_labels_that_are_there_stay(photos, make_tflite) -> None:
    """They may have been corrected by hand; --resume says what it always says of a .csv."""
    out = photos / "labels.csv"
    out.write_text("corrected")
    result = run(photos, "--model", make_tflite(), "--out", out)
    assert result.exit_code == 2 and "rename or delete it" in result.stderr
    resumed = run(photos, "--model", make_tflite(), "--out", out, "--resume")
    assert resumed.exit_code == 2 and "data convert" in resumed.stderr
    assert out.read_text() == "corrected"


def test_finished_lines_are_left_as_they_are(photos, make_tflite) -> None:
    out = photos / "lines.jsonl"
    call = ("--model", make_tflite(), "--out", out)
    assert run(photos, *call).exit_code == 0
    before, made = out.read_bytes(), out.stat().st_mtime_ns
    for named in ((photos,), (photos / "two.png", photos / "grey.webp")):  # all, and some of them
        result = run(*named, *call, "--resume")
        assert result.exit_code == 0 and "none is left to predict" in result.stderr
        assert out.stat().st_mtime_ns == made and not unfinished(out).exists()
    other = run(photos, "--model", make_tflite("other.tflite"), "--out", out, "--resume")
    assert other.exit_code == 2 and f"{out}: line 1 is of another" in other.stderr
    assert out.read_bytes() == before


def test_finished_lines_are_gone_on_with(photos, make_tflite, interrupt) -> None:
    """With pictures that follow those it has; others have no place."""
    out = photos / "lines.jsonl"
    call = ("--model", make_tflite(), "--out", out)
    names = [photos / name for name in NAMES]
    assert run(*names[1:4], *call).exit_code == 0
    first = out.read_bytes()
    between = run(*names, *call, "--resume")
    assert between.exit_code == 2 and "the other 2 cannot follow" in between.stderr
    named = (*names[1:], names[0])
    interrupt(2)
    assert run(*named, *call, "--resume").exit_code == 130
    assert out.read_bytes() == first and unfinished(out).read_bytes().startswith(first)
    assert run(*named, *call, "--resume").exit_code == 0
    found = lines(out.read_text())
    assert out.read_bytes().startswith(first) and not unfinished(out).exists()
    assert [line["image"]["path"] for line in found] == [str(path) for path in named]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("PHOTOS", "--out", "face.png"), "or a folder"),
        (("PHOTOS", "--out", "face.json"), ".jsonl"),
        (("PHOTOS", "--out", "PHOTOS"), "overwrite"),
        (("PHOTOS/two.png", "PHOTOS/grey.webp", "--out", "PHOTOS"), "a new or empty folder"),
        (("PHOTOS", "--out", "PHOTOS/trip"), "a new or empty folder"),
        (("PHOTOS", "--box", "1,2,30,40"), "--box is for one photograph"),
        (("PHOTOS", "--frames", "3"), "--frames is for a video"),
        (("PHOTOS", "-"), "by itself"),
        (("PHOTOS", "--resume"), "--resume goes on with"),
        (("PHOTOS", "--resume", "--out", "PHOTOS/l.csv"), "--resume goes on with"),
        (("PHOTOS/two.png", "PHOTOS/gone.png"), "gone.png: no such file"),
        (("PHOTOS/two.png", "--out", "PHOTOS/trip/l.csv"), "into a folder above all pictures"),
    ],
)
def test_wrong_calls_exit_with_2(photos, make_tflite, arguments, message, monkeypatch) -> None:
    monkeypatch.chdir(photos.parent)
    words = [str(word).replace("PHOTOS", str(photos)) for word in arguments]
    result = run(*words, "--model", make_tflite(), input="")
    assert result.exit_code == 2, result.output
    assert message in result.output and "Traceback" not in result.output
    assert {path.name for path in photos.iterdir()} >= {"two.png", "trip"}
    assert not (photos / "trip" / "l.csv").exists()


def test_a_progress_bar_is_shown_on_a_terminal_and_stdout_stays_clean(photos, make_tflite) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "asmnet_kit", "predict", photos, "--jsonl"]
    done = subprocess.run(
        [*map(str, command), "--model", make_tflite()],
        stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}, check=False,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert done.returncode == 0, shown
    assert len(lines(done.stdout.decode())) == len(NAMES)
    assert b"predict" in shown and b"5/5" in shown


def _read(terminal: int) -> bytes:
    """What a terminal shows; nothing when its other side is closed, which Linux calls an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_a_list_that_is_one_endless_line_is_refused(photos, make_tflite) -> None:
    result = run("-", "--model", make_tflite(), "--jsonl", input=b"x" * (MAX_LINE_BYTES + 9))
    assert result.exit_code == 1
    assert "Error: stdin: expected lines of at most 16 MiB" in result.stderr


@pytest.mark.parametrize("resume", [False, True], ids=["anew", "resumed"])
def test_an_unfinished_line_without_an_end_or_a_pipe_is_not_waited_for(
    resume, photos, make_tflite
) -> None:
    out = photos.parent / "faces.jsonl"
    begun = unfinished(out)
    os.mkfifo(begun)
    call = (photos, "--model", make_tflite(), "--out", out, *(["--resume"] if resume else []))
    result = run(*call)
    assert result.exit_code == (1 if resume else 0), result.output
    assert "got a named pipe" in result.stderr if resume else len(lines(out.read_text())) == 5
    begun.unlink(missing_ok=True)
    with begun.open("wb") as file:
        file.truncate(3 << 30)  # no disk space is taken
    result = run(*call)
    assert result.exit_code == (2 if resume else 0), result.output
    assert "line 1 is of another picture" in result.stderr or not resume


def test_a_link_in_the_unfinished_lines_place_leads_nowhere(photos, make_tflite) -> None:
    out, precious = photos.parent / "faces.jsonl", photos.parent / "precious.txt"
    precious.write_text("keep")
    unfinished(out).symlink_to(precious)
    result = run(photos, "--model", make_tflite(), "--out", out)
    assert result.exit_code == 0, result.output
    assert precious.read_text() == "keep" and not out.is_symlink()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF\n\0", "one path on a line, got a JPEG picture: give the"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "one path on a line, got a PNG picture: give the"),
        (b"a.jpg\0b.jpg\0", "paths end with a line feed here, leave out -print0"),
        (b"\xff\xfea\0.\0j\0p\0g\0\r\0\n\0", "got text in UTF-16: save the list as UTF-8"),
    ],
)
def test_a_list_that_is_none_is_a_wrong_call(content, said, tmp_path, make_tflite) -> None:
    command = [sys.executable, "-m", "asmnet_kit", "predict", "-", "--model", make_tflite()]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.decode() and b"Traceback" not in done.stderr


def test_a_nul_later_in_a_list_leaves_the_lines_before(photos, make_tflite) -> None:
    listed = f"{photos / 'two.png'}\n{photos / 'two.png'}\0".encode()
    result = run("-", "--model", make_tflite(), "--jsonl", input=listed)
    assert result.exit_code == 2 and "leave out -print0" in result.stderr
    assert len(lines(result.stdout)) == 1


def test_blanks_and_marks_around_the_paths_of_a_list_are_told(photos, make_tflite) -> None:
    listed = f"\ufeff{photos / 'two.png'}\n  {photos / 'two.png'} \n {photos / 'gone.png'}\n"
    result = run("-", "--model", make_tflite(), "--jsonl", input=listed.encode())
    marked, blank, gone = (line["error"] for line in lines(result.stdout))
    assert marked is None
    assert blank == f"No such file or directory: leave out the blanks around {photos / 'two.png'}"
    assert gone == "No such file or directory"  # and its name once
