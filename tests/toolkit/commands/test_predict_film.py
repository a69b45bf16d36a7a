"""``asmnet-kit predict VIDEO``: films in, films and lines of JSON out, whole or not at all."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.cli import main
from asmnet_kit.commands.predict_film import _Tally
from asmnet_kit.drawn_faces.film import film
from asmnet_kit.predict.film import Film
from asmnet_kit.shipping.shipped import default_model

FRAMES = 6


def run(*arguments: object):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def write(path: Path, images, fps: float = 25.0) -> Path:
    height, width = images[0].shape[:2] if len(images) else (64, 64)
    codec = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), codec, fps, (width, height))
    for image in images:
        writer.write(image[..., ::-1])
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A drawn face on a wider canvas."""
    images = []
    for frame in film(FRAMES, seed=3, size=160, fps=25, motion=0.5):
        canvas = np.full((160, 240, 3), 90, np.uint8)
        canvas[:, 40:200] = frame.image
        images.append(canvas)
    return write(tmp_path_factory.mktemp("clips") / "clip.mp4", images)


@pytest.fixture(scope="module")
def empty_clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "grey.avi"
    return write(path, [np.full((64, 64, 3), 128, np.uint8)] * 4)


def retimed(path: Path, ticks: list[int]) -> None:
    """Give each frame of an .mp4 a duration of its own: a longer stts box in boxes as much longer.

    ISO/IEC 14496-12: a box is its size (4 bytes, big endian), its type and its content; stts holds
    version and flags, the number of entries, and of each how many frames it is for and how long.
    """
    content = path.read_bytes()
    entries = b"".join((1).to_bytes(4, "big") + tick.to_bytes(4, "big") for tick in ticks)
    start = content.index(b"stts") - 4
    old = int.from_bytes(content[start : start + 4], "big")
    new = b"stts" + bytes(4) + len(ticks).to_bytes(4, "big") + entries
    content = content[:start] + (4 + len(new)).to_bytes(4, "big") + new + content[start + old :]
    assert content.index(b"mdat") < content.index(b"moov")  # so that no frame moves
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        at = content.index(parent) - 4
        size = int.from_bytes(content[at : at + 4], "big") + 4 + len(new) - old
        content = content[:at] + size.to_bytes(4, "big") + content[at + 4 :]
    path.write_bytes(content)


def test_frames_come_at_the_times_that_the_film_says(clip, tmp_path) -> None:
    """Phones write frames when they have them: two of these are shown four times as long as the
    others, and all of them together no longer than before, for so long the film says it is."""
    path = tmp_path / "phone.mp4"
    path.write_bytes(clip.read_bytes())
    content = path.read_bytes()
    at = content.index(b"stts") + 12
    count, tick = (int.from_bytes(content[at + i : at + i + 4], "big") for i in (0, 4))
    assert count == FRAMES  # one entry: all frames as long, 1/25 s
    assert tick % 2 == 0
    retimed(path, [tick // 2, tick // 2, 2 * tick] * 2)
    with Film(path) as read:
        seconds = [frame.seconds for frame in read.frames()]
    assert seconds == pytest.approx([0, 0.02, 0.04, 0.12, 0.14, 0.16])


def test_json_is_a_line_about_the_film_and_one_for_each_frame(clip) -> None:
    result = run(clip, "--json")
    assert result.exit_code == 0, result.output
    about, *frames = (json.loads(line) for line in result.stdout.splitlines())
    assert about["video"] == {"path": str(clip), "width": 240, "height": 160, "fps": 25}
    assert about["model"] == default_model().path.name
    assert about["smoothing"] is not None
    assert [frame["frame"] for frame in frames] == list(range(FRAMES))
    assert [frame["seconds"] for frame in frames] == pytest.approx(np.arange(FRAMES) / 25)
    for frame in frames:
        (face,) = frame["faces"]
        assert face["track"] == 1 and np.shape(face["landmarks"]) == (68, 2)
        assert 0 <= face["plausibility"] <= 1
    assert "6 frames, 6 with faces; 1 face followed; detector used in" in result.stderr


def test_lines_go_into_a_file_too_and_both_say_the_same(clip, tmp_path) -> None:
    out = tmp_path / "lines.jsonl"
    result = run(clip, "--json", "--out", out)
    assert out.read_text() == result.stdout


def test_no_smoothing_changes_all_but_the_first_frame(clip) -> None:
    smoothed, plain = (
        [json.loads(line) for line in run(clip, "--json", *options).stdout.splitlines()]
        for options in ((), ("--no-smoothing",))
    )
    assert plain[0]["smoothing"] is None
    assert plain[1] == smoothed[1]
    assert all(a["faces"] != b["faces"] for a, b in zip(plain[2:], smoothed[2:], strict=True))


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
def test_the_drawn_film_has_every_frame_with_the_face_upon_it(clip, tmp_path, ending) -> None:
    out = tmp_path / "new" / f"drawn{ending}"
    result = run(clip, "--out", out)
    assert result.exit_code == 0, result.output
    assert str(out) in result.stderr and not result.stdout
    with Film(out) as drawn, Film(clip) as original:
        pairs = list(zip(drawn.frames(), original.frames(), strict=True))
        assert drawn.fps == original.fps
    assert len(pairs) == FRAMES
    factor = pairs[0][0].image.shape[1] // 240
    assert factor == 2  # 240 pixels are enlarged towards 640
    for shown, plain in pairs:
        enlarged = cv2.resize(plain.image, None, fx=factor, fy=factor).astype(int)
        changed = (np.abs(shown.image.astype(int) - enlarged) > 60).any(axis=-1)
        assert changed[:, 100:380].sum() > 500 and changed[:, :40].sum() == 0


def test_frames_stops_early_and_detect_every_looks_more_often(clip) -> None:
    result = run(clip, "--json", "--frames", 4, "--detect-every", 2)
    assert len(result.stdout.splitlines()) == 1 + 4
    assert "detector used in 2 frames" in result.stderr


def test_every_second_frame_is_one_of_the_film_with_its_own_number_and_time(clip, tmp_path) -> None:
    result = run(clip, "--json", "--every", 2)
    assert result.exit_code == 0, result.output
    about, *frames = (json.loads(line) for line in result.stdout.splitlines())
    assert about["every"] == 2 and about["video"]["fps"] == 25
    assert [frame["frame"] for frame in frames] == [0, 2, 4]
    assert [frame["seconds"] for frame in frames] == pytest.approx([0, 0.08, 0.16])
    assert all(len(frame["faces"]) == 1 for frame in frames)
    assert "warning" not in result.stderr  # half of the frames are not a film that is cut off
    out = tmp_path / "drawn.avi"
    assert run(clip, "--every", 4, "--out", out).exit_code == 0
    with Film(out) as drawn:
        assert len(list(drawn.frames())) == 2  # frames 0 and 4 of 6
        assert drawn.fps == pytest.approx(25 / 4)  # and so it lasts as long as the film


@pytest.mark.parametrize("every", [5, 15, 30])
def test_a_person_who_walks_is_one_face_however_many_frames_are_left_out(tmp_path, every) -> None:
    """75 pixels a second, three quarters of the face's size."""
    images = []
    for number, frame in enumerate(film(121, seed=3, size=160, fps=30, motion=0)):
        canvas = np.full((160, 480, 3), 90, np.uint8)
        canvas[:, round(2.5 * number) :][:, :160] = frame.image
        images.append(canvas)
    path = write(tmp_path / "walk.avi", images, fps=30)
    result = run(path, "--json", "--every", every)
    assert result.exit_code == 0, result.output
    _, *frames = (json.loads(line) for line in result.stdout.splitlines())
    assert [[face["track"] for face in frame["faces"]] for frame in frames] == [[1]] * len(frames)
    for frame in frames:
        middle = np.mean(frame["faces"][0]["landmarks"], axis=0)[0]
        assert middle - 2.5 * frame["frame"] == pytest.approx(80, abs=20)


def test_frames_counts_the_frames_that_are_predicted(clip) -> None:
    result = run(clip, "--json", "--every", 2, "--frames", 2)
    assert [json.loads(line)["frame"] for line in result.stdout.splitlines()[1:]] == [0, 2]


# A camera: OpenCV opens a film where it is asked for the camera 0.
CAMERA = """
import cv2
capture = cv2.VideoCapture
cv2.VideoCapture = lambda source: capture({film!r} if source == 0 else source)
from asmnet_kit.predict.film_frames import main
main()
"""


@pytest.fixture
def camera(clip, tmp_path, monkeypatch) -> None:
    script = tmp_path / "camera.py"
    script.write_text(CAMERA.format(film=str(clip)))
    monkeypatch.setattr("asmnet_kit.predict.film.film_frames.__file__", str(script))
    monkeypatch.chdir(tmp_path)  # where no file is called 0


@pytest.mark.usefixtures("camera")
def test_a_camera_is_followed_as_a_film_is_and_ends_when_it_does() -> None:
    result = run("0", "--json")
    assert result.exit_code == 0, result.output
    about, *frames = (json.loads(line) for line in result.stdout.splitlines())
    assert about["video"]["path"] == "camera 0"
    assert [frame["frame"] for frame in frames] == list(range(FRAMES))
    assert all(len(frame["faces"]) == 1 for frame in frames)
    seconds = [frame["seconds"] for frame in frames]
    assert seconds == sorted(seconds)  # by the clock
    assert len(run("0", "--jsonl", "--frames", 2).stdout.splitlines()) == 1 + 2


@pytest.mark.usefixtures("camera")
def test_a_camera_is_stopped_with_ctrl_c_and_what_was_written_stays(tmp_path, monkeypatch) -> None:
    add, seen = _Tally.add, []

    def interrupted(*arguments) -> None:
        add(*arguments)
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Tally, "add", interrupted)
    out = tmp_path / "me.jsonl"
    assert run("0", "--out", out).exit_code == 0
    assert len(out.read_text().splitlines()) == 1 + 3


def test_a_film_without_faces_is_no_error_and_says_what_to_try(empty_clip) -> None:
    result = run(empty_clip, "--json")
    assert result.exit_code == 0
    assert all(json.loads(line)["faces"] == [] for line in result.stdout.splitlines()[1:])
    assert "No face found in any of the 4 frames" in result.stderr
    assert "--min-score" in result.stderr


def test_what_is_no_film_exits_with_1_and_leaves_nothing(tmp_path, clip) -> None:
    content = clip.read_bytes()
    bad = {
        "text.mp4": b"no film",
        "empty.mp4": b"",
        "list.mkv": b"ffconcat version 1.0\nfile clip.mp4\n#\0",  # FFmpeg would open that one
        "cut.mp4": content[: len(content) // 2],  # an mp4's index is at its end
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    shutil.copy(clip, tmp_path / "clip.mp4")
    write(tmp_path / "none.avi", [])
    out = tmp_path / "out.mp4"
    for name, message in (
        ("text.mp4", "cannot be opened: it is text"),
        ("empty.mp4", "cannot be opened: it is an empty file"),
        ("list.mkv", "cannot be opened: it is a playlist of films"),
        ("cut.mp4", "cannot be opened: it is an MP4 film, cut off or damaged"),
        ("none.avi", "gives no frame"),
    ):
        result = run(tmp_path / name, "--out", out)
        assert result.exit_code == 1, (name, result.output)
        assert name in result.stderr and message in result.stderr, result.stderr
        assert "Traceback" not in result.output
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_a_film_that_is_cut_off_is_used_as_far_as_it_goes_and_says_so(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
    path = write(tmp_path / "cut.avi", list(noise))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    result = run(path)
    assert result.exit_code == 0
    assert "warning" in result.stderr and "20 frames" in result.stderr


def test_an_interruption_leaves_no_half_film(clip, tmp_path, monkeypatch) -> None:
    """Ctrl-C in the second frame."""
    add, seen = _Tally.add, []

    def interrupted(*arguments) -> None:
        add(*arguments)
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Tally, "add", interrupted)
    for name in ("out.mp4", "out.jsonl"):
        seen.clear()
        assert run(clip, "--out", tmp_path / name).exit_code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("CLIP", "--box", "1,2,30,40"), "--box is for a photograph"),
        (("CLIP", "--out", "drawn.png"), "drawn.png"),
        (("CLIP", "--out", "CLIP"), "overwrite"),
        (("CLIP", "--detect-every", "0"), "--detect-every"),
        (("PHOTO", "--no-smoothing"), "--no-smoothing is for a video"),
        (("PHOTO", "--frames", "3"), "--frames is for a video"),
        (("PHOTO", "--out", "film.mp4"), "film.mp4"),
        (("CLIP", "PHOTO"), "is predicted by itself"),
        (("PHOTO", "0"), "is predicted by itself"),
        (("PHOTO", "--every", "2"), "--every is for a video"),
        (("CLIP", "--out", "labels.csv"), "labels.csv"),
        (("missing.mp4",), "missing.mp4: no such file or folder"),
    ],
)
def test_wrong_calls_exit_with_2(clip, tmp_path, arguments, message) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    names = {"CLIP": str(clip), "PHOTO": str(photo)}
    result = run(*(names.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert message in result.output and "Traceback" not in result.output


def test_a_camera_that_is_not_there_is_said_so() -> None:
    with pytest.raises(DatasetError, match=r"camera 97: expected a camera"):
        Film(97)


def test_a_folder_called_like_a_film_is_a_folder_and_no_camera_has_such_a_number(
    tmp_path, make_tflite
) -> None:
    folder = tmp_path / "d.mp4"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((40, 40, 3), np.uint8))
    run = CliRunner().invoke(main, ["predict", str(folder), "--model", str(make_tflite())])
    assert run.exit_code == 0 and "a.png: no face" in run.stdout
    words = [
        "predict",
        str(folder),
        "--model",
        str(make_tflite()),
        "--out",
        str(tmp_path / "b.mp4"),
    ]
    assert CliRunner().invoke(main, words).exit_code == 2  # a film of a folder's pictures
    run = CliRunner().invoke(main, ["predict", "99999999999", "--model", str(make_tflite())])
    assert run.exit_code == 1
    assert "expected the number of a camera, 0 for the first, got 99999999999" in run.stderr
