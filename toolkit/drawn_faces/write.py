"""Writing drawn faces as a folder: this room's renderer for asmnet_kit.datasets."""

from asmnet_kit.datasets.write_synthetic import Renderer
from asmnet_kit.drawn_faces.render import SyntheticFace, pose_of, synthesize


def _draw(seed: int, index: int, size: int) -> SyntheticFace:
    return next(synthesize(1, seed=seed, size=size, start=index))


def _check(seed: int, size: int) -> None:
    synthesize(0, seed=seed, size=size)


DRAWN = Renderer("drawn", version=2, draw=_draw, pose_of=pose_of, check=_check)
