"""Landmarks and head pose from a Raspberry Pi camera, one line of JSON for each frame with a face.

    python pi_camera.py [MODEL]

It needs picamera2, which Raspberry Pi OS brings (``sudo apt-get install python3-picamera2``): make
the environment with ``python3 -m venv --system-site-packages``. Ctrl-C ends it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asmnet_kit

SIZE = (640, 480)  # width, height, pixels: more takes longer to copy, and faces are cut out of it


def lines(model: str | None, next_frame: Callable[[], NDArray[np.uint8] | None]) -> Iterator[str]:
    """JSON of each frame in which a face is.

    Args:
        model: a name of ``asmnet-kit models``, a .tflite, or None for the kit's default.
        next_frame: gives uint8 [H, W, 3] in RGB, or None at the end.
    """
    tracker = asmnet_kit.Tracker(model)
    start = time.monotonic()
    while (image := next_frame()) is not None:
        seconds = time.monotonic() - start
        faces: list[dict[str, Any]] = [one.to_json() for one in tracker.update(image, seconds)]
        if faces:
            yield json.dumps({"seconds": round(seconds, 3), "faces": faces})


def main() -> None:
    """Print them until Ctrl-C."""
    from picamera2 import Picamera2

    camera = Picamera2()
    # picamera2 names formats by the order in a 32-bit word: "BGR888" is R, G, B in memory.
    camera.configure(camera.create_video_configuration(main={"size": SIZE, "format": "BGR888"}))
    camera.start()
    try:
        for line in lines(sys.argv[1] if len(sys.argv) > 1 else None, camera.capture_array):
            print(line, flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        camera.stop()


if __name__ == "__main__":
    main()
