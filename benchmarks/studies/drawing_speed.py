"""How many faces one core draws in a second, of each renderer.

Usage: make bench-synthetic [ARGS="--count 400 --size 112"]
"""

import argparse
import time

import cv2

from asmnet_kit.datasets.write_synthetic import Renderer
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.people.write import PEOPLE

BATCH = 20  # faces timed together; the fastest batch is the one that other programs disturbed least


def faces_per_second(
    count: int, *, size: int, seed: int = 0, renderer: Renderer = DRAWN
) -> tuple[float, float]:
    """Faces per second of processor time, one thread.

    Args:
        count: faces to draw and time; one more is drawn before, whose tables all others share.

    Returns:
        Over all faces, and of the fastest batch of up to ``BATCH``.
    """
    cv2.setNumThreads(1)
    renderer.draw(seed, 0, size)  # loads assets, makes masks, noise and spline weights
    total_s, best = 0.0, 0.0
    for start in range(0, count, BATCH):
        faces = min(BATCH, count - start)
        began = time.process_time()
        for index in range(start, start + faces):
            renderer.draw(seed, index, size)
        batch_s = time.process_time() - began
        total_s += batch_s
        best = max(best, faces / batch_s)
    return count / total_s, best


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=400, help="faces (default: 400)")
    parser.add_argument("--size", type=int, default=112, help="side of a picture (default: 112)")
    options = parser.parse_args()
    for renderer in (DRAWN, PEOPLE):
        mean, best = faces_per_second(options.count, size=options.size, renderer=renderer)
        print(
            f"{renderer.kind}: {mean:.1f} faces/s per core at {options.size} px "
            f"(mean of {options.count}; fastest {BATCH}: {best:.1f} faces/s)"
        )


if __name__ == "__main__":
    main()
