"""How many faces one core draws in a second, of each renderer (``make bench-synthetic``)."""

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
    """(faces per second of processor time over all, the same of the fastest batch), one thread."""
    cv2.setNumThreads(1)
    renderer.draw(seed, 0, size)  # loads assets, makes masks, noise and spline weights
    seconds = []
    for start in range(0, count, BATCH):
        began = time.process_time()
        for index in range(start, start + BATCH):
            renderer.draw(seed, index, size)
        seconds.append((time.process_time() - began) / BATCH)
    return len(seconds) / sum(seconds), 1 / min(seconds)


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
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
