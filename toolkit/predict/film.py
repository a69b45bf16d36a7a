"""Films and cameras: frames in, frames with faces drawn upon them or lines of JSON out."""

import errno
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, TextIO, cast

import cv2
import numpy as np

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import replacing
from asmnet_kit.base.kinds import HEAD_BYTES, PLAYLIST, is_text, kind_of
from asmnet_kit.base.own_process import script_command
from asmnet_kit.base.reading import open_file
from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.face.pictures import Image
from asmnet_kit.predict import film_frames
from asmnet_kit.predict.film_frames import CAMERA, FRAME, MEMORY_BYTES, plain_name

ROOM_BYTES = 1 << 16  # that must be free before a film is begun
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # OpenCV's wheels write both without another library

# A smaller film is enlarged by a whole number, or the drawing would hide the faces.
LAST_CAMERA = 99  # OpenCV crashes on numbers that need more than 32 bits
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
        every: give the first of so many frames, and pass over the others.

    Attributes:
        name: of the source, for messages.
        fps: frames per second, all of them.
        expected: how many frames it gives, as the file says; None where it does not say.
        width, height: of the frames, pixels.

    Raises:
        DatasetError: no such file or camera, or nothing that OpenCV can read a frame of.
    """

    def __init__(self, source: Path | int, *, every: int = 1) -> None:
        self.every = every
        self.is_camera = isinstance(source, int)
        if isinstance(source, int) and source > LAST_CAMERA:
            raise DatasetError(f"expected the number of a camera, 0 for the first, got {source}")
        self.name = f"camera {source}" if self.is_camera else str(source)
        self._kind = ""
        if isinstance(source, Path):
            with open_file(source, limit=sys.maxsize) as file:
                head = file.read(HEAD_BYTES)
            self._kind = kind_of(head)
            if not head or is_text(head) or self._kind == PLAYLIST:  # FFmpeg would follow it
                raise DatasetError(self._unreadable("cannot be opened"))
        argument = f"{CAMERA}{source}" if self.is_camera else str(Path(str(source)).absolute())
        # What FFmpeg says in its own way is raised below; a crash of it ends that process alone.
        self._decoder = subprocess.Popen(
            script_command(Path(film_frames.__file__), argument, str(MEMORY_BYTES), str(every)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._describe()
            self._first = self._read()
            if self._first is None:
                raise DatasetError(self._unreadable("gives no frame"))
        except BaseException:
            self.close()
            raise
        self.height, self.width = self._first[1].shape[:2]

    def _describe(self) -> None:
        assert self._decoder.stdout is not None
        line = self._decoder.stdout.readline()
        about = json.loads(line) if line.endswith(b"\n") else {"error": "crashes its decoder"}
        if "error" in about:
            raise DatasetError(self._unreadable(str(about["error"])))
        self.fps = float(about["fps"])
        count = -(-int(about["frames"]) // self.every)
        self.expected = count if count > 0 and not self.is_camera else None

    def _unreadable(self, what: str) -> str:
        kind = "camera" if self.is_camera else "film"
        words = f"{self.name}: expected a {kind} that OpenCV can read, but it {what}"
        damaged = ", cut off or damaged" if "film" in self._kind else ""
        return f"{words}: it is {self._kind}{damaged}" if self._kind else words

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file or the camera."""
        self._decoder.kill()
        if self._decoder.stdout is not None:
            self._decoder.stdout.close()
        self._decoder.wait()

    def frames(self, limit: int | None = None) -> Iterator[Frame]:
        """The frames in order, once; ``limit`` ends them early. A camera goes on until then.

        A frame's index is the film's: with every third they are 0, 3, 6.

        Raises:
            DatasetError: frames of different sizes, or one that crashes the decoder.
        """
        assert self._first is not None
        started = time.monotonic()
        read: tuple[float, Image] | None = self._first
        begin = self._first[0]
        index, seconds = 0, 0.0
        while read is not None and (limit is None or index < limit):
            stamp, image = read
            if image.shape[:2] != (self.height, self.width):
                raise DatasetError(
                    f"{self.name}: frame {index * self.every} is {image.shape[1]} x "
                    f"{image.shape[0]} pixels, the first is {self.width} x {self.height}: "
                    "expected one size"
                )
            if index and self.is_camera:
                seconds = time.monotonic() - started
            elif index:
                # The film's own time stamps, as long as they go on.
                since = stamp - begin
                seconds = since if since > seconds else seconds + self.every / self.fps
            yield Frame(index * self.every, seconds, image)
            index += 1
            if limit is None or index < limit:
                read = self._read()
        if read is None and self._decoder.wait() != 0:
            raise DatasetError(
                f"{self.name}: its decoder ended at frame {index * self.every} "
                f"({_ending(self._decoder.returncode)}): the film is damaged there"
            )

    def _read(self) -> tuple[float, Image] | None:
        """Time stamp and pixels of the next frame; None where there is no whole one."""
        assert self._decoder.stdout is not None
        header = self._decoder.stdout.read(FRAME.size)
        if len(header) < FRAME.size:
            return None
        stamp, height, width = FRAME.unpack(header)
        pixels = np.empty((height, width, 3), np.uint8)
        if cast(BufferedReader, self._decoder.stdout).readinto(pixels.data) < pixels.nbytes:
            return None
        return stamp, np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), np.uint8)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


class FilmWriter:
    """Writes frames of one size into a film."""

    def __init__(self, writer: Any, factor: int) -> None:
        self._writer = writer
        self.factor = factor  # by which frames must be larger than the source's
        self.frames = 0  # written so far

    def write(self, image: Image) -> None:
        """Append a frame, uint8 [H, W, 3], RGB."""
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1


@contextmanager
def film_writer(path: Path, film: Film) -> Iterator[FilmWriter]:
    """A writer of frames like those of ``film``, into a file that appears whole or not at all.

    OpenCV reports no failed write: the film is read again, and replaces what is at ``path`` when
    every frame is in it.

    Raises:
        UsageError: OpenCV writes no such film.
        OSError: it cannot be written whole.
    """
    check_film_name(path)
    factor = max(1, DRAWN_SIDE // max(film.width, film.height))
    size = (film.width * factor, film.height * factor)
    with replacing(path) as temporary, plain_name(temporary) as name:
        temporary.write_bytes(bytes(ROOM_BYTES))  # the system's own words where nothing can be
        codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        with silent_stderr():
            writer = cv2.VideoWriter(name, codec, film.fps / film.every, size)
        if not writer.isOpened():
            raise UsageError(
                f"{path}: this OpenCV writes no {path.suffix} of {size[0]} x {size[1]} pixels; "
                f"try {' or '.join(sorted({*CODECS} - {path.suffix.lower()}))}"
            )
        film_of_frames = FilmWriter(writer, factor)
        try:
            yield film_of_frames
        finally:
            with silent_stderr():
                writer.release()
        _require_whole(temporary, film_of_frames.frames, path)


def _require_whole(temporary: Path, written: int, path: Path) -> None:
    """Check that a film holds the frames that were written.

    Raises:
        OSError: it does not; what is most likely the reason.
    """
    found = 0
    if written:
        with suppress(DatasetError), Film(temporary) as film:
            for _ in film.frames():
                found += 1
    if found < written:
        free = shutil.disk_usage(temporary.parent).free
        raise OSError(
            errno.ENOSPC,
            f"only {found} of {written} frames could be written ({free >> 20} MiB are free there); "
            "what was at this path is unchanged",
            str(path),
        )


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
