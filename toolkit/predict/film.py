"""Films and cameras: frames in, frames with faces drawn upon them or lines of JSON out."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import replacing
from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.face.pictures import Image

SCHEMA_VERSION = 2  # 1 had no sigma, visible, confidence and confidence_from
USUAL_FPS = 30.0  # where a file or a camera does not say
MAX_FPS = 1000.0  # what says more says nonsense
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # OpenCV's wheels write both without another library

# A smaller film is enlarged by a whole number, or the drawing would hide the faces.
DRAWN_SIDE = 640  # pixels


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame.

    Attributes:
        index: from 0.
        seconds: since the first, as the film's own time stamps say; phones' frame rates vary.
        image: uint8 [H, W, 3], RGB.
    """

    index: int
    seconds: float
    image: Image


class Film:
    """A film file or a camera, read frame by frame; use it in a ``with`` block.

    Args:
        source: the file's path, or the camera's number.

    Attributes:
        name: of the source, for messages.
        fps: frames per second.
        expected: how many frames the file says it has; None where it does not say.
        width, height: of the frames, pixels.

    Raises:
        DatasetError: no such file or camera, or nothing that OpenCV can read a frame of.
    """

    def __init__(self, source: Path | int) -> None:
        self.is_camera = isinstance(source, int)
        self.name = f"camera {source}" if self.is_camera else str(source)
        if isinstance(source, Path):
            with source.open("rb"):
                pass  # the system's own words where it is missing, a folder or not ours to read
        with silent_stderr():  # FFmpeg says in its own way what is raised below
            self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
            opened = self._capture.isOpened()
            self._first = self._read() if opened else None
            self._begin = self._position()
        if self._first is None:
            self.close()
            what = "gives no frame" if opened else "cannot be opened"
            raise DatasetError(
                f"{self.name}: expected a {'camera' if self.is_camera else 'film'} that OpenCV can "
                f"read, but it {what}"
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= MAX_FPS else USUAL_FPS
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.expected = count if count > 0 and not self.is_camera else None
        self.height, self.width = self._first.shape[:2]

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file or the camera."""
        self._capture.release()

    def frames(self, limit: int | None = None) -> Iterator[Frame]:
        """The frames in order, once; ``limit`` ends them early. A camera goes on until then."""
        started = time.monotonic()
        image = self._first
        index, seconds = 0, 0.0
        while image is not None and (limit is None or index < limit):
            if image.shape[:2] != (self.height, self.width):
                raise DatasetError(
                    f"{self.name}: frame {index} is {image.shape[1]} x {image.shape[0]} pixels, "
                    f"the first is {self.width} x {self.height}: expected one size"
                )
            yield Frame(index, seconds, image)
            index += 1
            if limit is None or index < limit:
                with silent_stderr():
                    image = self._read()
                if self.is_camera:
                    seconds = time.monotonic() - started
                else:
                    stamp = self._position() - self._begin
                    seconds = stamp if stamp > seconds else seconds + 1 / self.fps

    def _position(self) -> float:
        """Time stamp of the frame read last, seconds; 0 where the film has none."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def _read(self) -> Image | None:
        more, pixels = self._capture.read()
        if not more or pixels is None or not pixels.size:
            return None
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


class FilmWriter:
    """Writes frames of one size into a film."""

    def __init__(self, writer: Any, factor: int) -> None:
        self._writer = writer
        self.factor = factor  # by which frames must be larger than the source's

    def write(self, image: Image) -> None:
        """Append a frame, uint8 [H, W, 3], RGB."""
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@contextmanager
def film_writer(path: Path, film: Film) -> Iterator[FilmWriter]:
    """A writer of frames like those of ``film``, into a file that appears whole or not at all.

    Raises:
        UsageError: OpenCV writes no such film.
    """
    check_film_name(path)
    factor = max(1, DRAWN_SIDE // max(film.width, film.height))
    size = (film.width * factor, film.height * factor)
    with replacing(path) as temporary:
        codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        with silent_stderr():
            writer = cv2.VideoWriter(str(temporary), codec, film.fps, size)
        if not writer.isOpened():
            raise UsageError(
                f"{path}: this OpenCV writes no {path.suffix} of {size[0]} x {size[1]} pixels; "
                f"try {' or '.join(sorted({*CODECS} - {path.suffix.lower()}))}"
            )
        try:
            yield FilmWriter(writer, factor)
        finally:
            writer.release()


def check_film_name(path: Path) -> None:
    """Refuse a name whose ending is no film's that can be written.

    Raises:
        UsageError: it is not one of ``CODECS``.
    """
    if path.suffix.lower() not in CODECS:
        raise UsageError(f"{path}: expected a film's ending {' or '.join(CODECS)}")


@contextmanager
def line_writer(path: Path) -> Iterator[TextIO]:
    """A text file for lines of JSON that appears whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def json_line(content: Any) -> str:
    """One line; NaN is refused, since JSON has none."""
    return json.dumps(content, allow_nan=False, separators=(",", ":"))
