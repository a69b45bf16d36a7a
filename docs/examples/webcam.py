"""Landmarks on the pictures of a webcam, with OpenCV.

    python webcam.py [MODEL] [CAMERA]

MODEL is a name of ``asmnet-kit models`` or a .tflite; CAMERA is a number (0 is the first) or a
film. Press q to end. A window needs OpenCV with windows: ``pip install opencv-python`` in place of
``opencv-python-headless``.
"""

import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

import asmnet_kit

WINDOW = "landmarks (q ends)"


def drawn_frames(model: str | None, source: int | str) -> Iterator[NDArray[np.uint8]]:
    """Each frame of a camera or film with its faces drawn upon it, BGR as OpenCV shows it."""
    loaded = asmnet_kit.load(model)
    tracker = asmnet_kit.Tracker(loaded)
    camera = cv2.VideoCapture(source)
    if not camera.isOpened():
        sys.exit(f"camera {source}: cannot be opened; asmnet-kit predict {source} says why")
    start = time.monotonic()
    try:
        while True:
            more, frame = camera.read()
            if not more:
                return
            image = frame[..., ::-1]  # OpenCV's BGR to RGB
            tracked = tracker.update(image, seconds=time.monotonic() - start)
            yield loaded.draw(image, [one.face for one in tracked])[..., ::-1]
    finally:
        camera.release()


def main() -> None:
    """Show them until q is pressed."""
    model, source = [*sys.argv[1:], None, None][:2]
    camera = int(source or 0) if source is None or source.isdecimal() else source
    for frame in drawn_frames(model, camera):
        cv2.imshow(WINDOW, frame)
        if cv2.waitKey(1) == ord("q"):
            break
    cv2.destroyAllWindows()


if __name__ == "__main__":
    main()
