"""A skin to start one's own from: a packed one, and where the mesh's parts lie on it."""

from pathlib import Path

import cv2
import numpy as np

from asmnet_kit.base.files import write_bytes
from asmnet_kit.people.assets import Bytes, load

SIZE = 2048  # pixels: enough for pores; used with 512
LINE = (0, 160, 0, 255)  # BGRA


def write_template(folder: Path, skin: str) -> None:
    """Write skins/skin.png, a packed skin, and wireframe.png, the mesh on transparent ground, to
    lay over it. The folder skins holds nothing but skins, to be drawn with.

    Args:
        skin: of ``skin_names``.
    """
    image = cv2.resize(load().skins[skin], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    _write_png(
        folder / "skins" / "skin.png", np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    )
    _write_png(folder / "wireframe.png", wireframe(SIZE))


def skin_names() -> list[str]:
    """The packed skins: age, ancestry, sex and a number."""
    return list(load().skins)


def wireframe(size: int) -> Bytes:
    """The triangles in the skin's layout, uint8 [size, size, 4], BGRA."""
    assets = load()
    corners = assets.uv * (1, -1) + (0, 1)  # v runs upwards
    drawn = np.rint(corners * size - 0.5).astype(np.int32)[assets.uv_triangles]
    lines = np.zeros((size, size, 4), np.uint8)
    cv2.polylines(lines, list(drawn), True, LINE, 1)
    return lines


def _write_png(path: Path, image: Bytes) -> None:
    _, encoded = cv2.imencode(".png", image)
    write_bytes(path, encoded.tobytes())
