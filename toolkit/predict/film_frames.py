"""Decodes a film in a process of its own: what crashes FFmpeg then costs one film.

    python film_frames.py SOURCE [LIMIT_BYTES [EVERY]]

SOURCE is a path, or ``camera:N``; of a film every EVERYth frame is sent, the first of them, and the
others are passed over. On stdout comes a line of JSON about the film ({"error": ...}
where it cannot be read), then for each frame a header (``FRAME``) and its pixels, BGR. Memory is
limited, so a film that claims giant frames ends this process instead of the machine.
"""

import contextlib
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import cv2

from asmnet_kit.base.files import temporary_folder

FRAME = struct.Struct("<dII")  # time stamp in seconds, height, width
CAMERA = "camera:"
MEMORY_BYTES = 2 * 10**9
USUAL_FPS = 30.0  # where a file or a camera does not say
MAX_FPS = 1000.0  # what says more says nonsense


@contextlib.contextmanager
def plain_name(path: Path) -> Iterator[str]:
    """A name of ``path`` that C code takes: a link where its own is no UTF-8.

    ``path`` need not exist yet: what is written to the link is written there.
    """
    try:
        str(path).encode()
        yield str(path)
    except UnicodeEncodeError:
        with temporary_folder() as folder:
            link = folder / f"film{path.suffix if path.suffix.isascii() else ''}"
            link.symlink_to(path.absolute())
            yield str(link)


def send(source: str, out: BinaryIO, every: int = 1) -> None:
    """Write a film's description and frames to ``out`` until it ends or nobody reads on."""
    with contextlib.ExitStack() as stack:
        if source.startswith(CAMERA):
            capture = cv2.VideoCapture(int(source.removeprefix(CAMERA)))
        else:
            capture = cv2.VideoCapture(stack.enter_context(plain_name(Path(source))))
        opened = capture.isOpened()
        more, pixels = capture.read() if opened else (False, None)
        if not more or pixels is None or not pixels.size:
            what = "gives no frame" if opened else "cannot be opened"
            _line(out, {"error": what})
            return
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        _line(
            out,
            {
                "fps": fps if 0 < fps <= MAX_FPS else USUAL_FPS,
                "frames": _count(capture),
                "height": pixels.shape[0],
                "width": pixels.shape[1],
            },
        )
        while more and pixels is not None and pixels.size:
            seconds = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            out.write(FRAME.pack(seconds, *pixels.shape[:2]))
            out.write(pixels.data)
            out.flush()
            if not all(capture.grab() for _ in range(every - 1)):  # decoded, but not converted
                return
            more, pixels = capture.read()


def _count(capture: Any) -> int:
    count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return int(count) if 0 < count < 2**53 else 0


def _line(out: BinaryIO, content: dict[str, Any]) -> None:
    out.write(json.dumps(content).encode() + b"\n")
    out.flush()


def main() -> None:
    """Send the film that the command line names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    source = sys.argv[1]
    if len(sys.argv) > 2:
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no frame
    try:
        send(source, frames, int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    except BrokenPipeError:  # the parent has enough
        with contextlib.suppress(OSError):
            frames.close()
    except (cv2.error, MemoryError) as error:
        print(" ".join(str(error).split())[-300:], file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
