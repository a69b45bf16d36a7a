"""Writing drawn faces as a folder: this room's renderer for asmnet_kit.datasets."""

from collections.abc import Callable
from pathlib import Path

from asmnet_kit.datasets.write_synthetic import Renderer, write_faces
from asmnet_kit.drawn_faces.render import SyntheticFace, pose_of, synthesize


def _draw(seed: int, index: int, size: int) -> SyntheticFace:
    return next(synthesize(1, seed=seed, size=size, start=index))


def _check(seed: int, size: int) -> None:
    synthesize(0, seed=seed, size=size)


DRAWN = Renderer("drawn", version=2, draw=_draw, pose_of=pose_of, check=_check)


def write_synthetic(
    out: Path,
    *,
    count: int,
    seed: int,
    size: int = 112,
    val_share: float = 0.1,
    test_share: float = 0.1,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw ``count`` faces into the folder ``out``; see ``write_faces``."""
    write_faces(
        out,
        DRAWN,
        count=count,
        seed=seed,
        size=size,
        val_share=val_share,
        test_share=test_share,
        workers=workers,
        progress=progress,
    )
