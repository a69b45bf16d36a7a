"""docs/examples: each program does what it says, with something in the camera's place."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ai_edge_litert
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scripts import load_script

from asmnet_kit.cli import main
from asmnet_kit.face.pictures import Image
from asmnet_kit.people.render import draw
from asmnet_kit.shipping.shipped import model_named

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
MODEL = "asmnet_nano_people"
LITERT = Path(ai_edge_litert.__path__[0]) / "libLiteRt.so"


@pytest.fixture(scope="module")
def person() -> Image:
    return draw(24, 0, 256).image


def test_the_webcam_program_draws_upon_each_frame(tmp_path: Path, person: Image) -> None:
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (256, 256))
    for _ in range(3):
        writer.write(person[..., ::-1])
    writer.release()
    frames = list(load_script("docs/examples/webcam.py").drawn_frames(MODEL, str(film)))
    assert len(frames) == 3
    plain = cv2.resize(person[..., ::-1], frames[0].shape[1::-1])
    changed = np.abs(frames[0].astype(int) - plain).max(axis=2) > 100
    assert 0.001 < changed.mean() < 0.2  # dots and lines, not another picture


def test_the_webcam_program_says_that_there_is_no_camera(tmp_path: Path) -> None:
    program = load_script("docs/examples/webcam.py")
    with pytest.raises(SystemExit, match=r"missing\.avi: cannot be opened"):
        next(program.drawn_frames(MODEL, str(tmp_path / "missing.avi")))


def test_the_pi_program_tells_each_frame_with_a_face(person: Image) -> None:
    frames: Iterator[Image] = iter([person, np.zeros_like(person), person])
    program = load_script("docs/examples/pi_camera.py")
    told = [json.loads(line) for line in program.lines(MODEL, lambda: next(frames, None))]
    assert len(told) in (2, 3)  # a face that is lost for a moment is followed on
    assert all(len(face["landmarks"]) == 68 for frame in told for face in frame["faces"])
    assert told[0]["faces"][0]["track"] == 1


def test_the_page_of_gradio_gets_a_drawing_and_faces(person: Image) -> None:
    find = load_script("docs/examples/gradio_app.py").Landmarks(MODEL)
    drawn, faces = find(person)
    assert drawn.shape[2] == 3
    assert [len(face["landmarks"]) for face in faces] == [68]
    assert find(None) == (None, [])


@pytest.fixture(scope="module")
def landmarks_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ program, built by the commands of the page."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler: sudo apt-get install g++")
    if not LITERT.is_file():
        pytest.skip(f"this ai-edge-litert has no {LITERT.name}")
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\$ (g\+\+ .*)$", page, re.MULTILINE)
    folder = tmp_path_factory.mktemp("cpp")
    words = shlex.split(command.replace("$LITERT", str(LITERT.parent)))
    words[words.index("docs/examples/cpp/landmarks.cpp")] = str(EXAMPLES / "cpp" / "landmarks.cpp")
    words = [*words, "-Wall", "-Wextra", "-Werror"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    return folder / "landmarks"


# It samples by exact weights, OpenCV by steps of 1/32 pixel: values differ by a grey level at most,
# which moves float outputs by hundredths and int8 ones by some levels.
@pytest.mark.parametrize(
    ("model", "limit"), [("asmnet_plus_fp16", 0.2), ("asmnet_plus_people", 4.0)]
)
@pytest.mark.parametrize("size", [256, 600])  # enlarged; halved
def test_the_cpp_program_gives_what_predict_gives(
    tmp_path: Path, landmarks_program: Path, model: str, limit: float, size: int
) -> None:
    person = draw(24, 0, size)
    for name in ("face.ppm", "face.png"):
        cv2.imwrite(str(tmp_path / name), person.image[..., ::-1])
    box = [*person.landmarks68.min(axis=0), *person.landmarks68.max(axis=0)]
    words = [f"{value:.2f}" for value in box]
    done = subprocess.run(
        [str(landmarks_program), str(model_named(model).path), "face.ppm", *words],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    *points, pose = done.stdout.splitlines()
    asked = ["predict", str(tmp_path / "face.png"), "--model", model, "--box", ",".join(words)]
    (face,) = json.loads(CliRunner().invoke(main, [*asked, "--json"]).stdout)["faces"]
    found = np.array([line.split() for line in points], float)
    side = max(box[2] - box[0], box[3] - box[1])
    assert np.abs(found - face["landmarks"]).max() < limit * side / 200
    told = dict(zip(pose.split()[::2], map(float, pose.split()[1::2]), strict=True))
    assert told == pytest.approx(face["pose"], abs=1.5 if limit > 1 else 0.1)


@pytest.mark.parametrize(
    ("picture", "box", "message"),
    [
        (b"P5 2 2 255\n1234", ["0", "0", "9", "9"], "expected a binary PPM"),
        (b"P6 9 9 255\n1234", ["0", "0", "9", "9"], "ends too early"),
        (b"P6 1 1 255\n123", ["9", "0", "0", "9"], "X0 < X1"),
    ],
)
def test_the_cpp_program_refuses_what_it_cannot_use(
    tmp_path: Path, landmarks_program: Path, picture: bytes, box: list[str], message: str
) -> None:
    (tmp_path / "face.ppm").write_bytes(picture)
    words = [str(landmarks_program), str(model_named(MODEL).path), "face.ppm", *box]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_every_example_is_told_and_has_no_path_of_its_maker() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.rglob("*"):
        if path.is_file() and path.name not in ("README.md", "litert_c.h"):
            assert f"({path.relative_to(EXAMPLES).as_posix()})" in page
            assert not re.search(r"/(?:home|root|tmp)/", path.read_text(encoding="utf-8"))
