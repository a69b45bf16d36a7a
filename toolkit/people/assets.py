"""The packed head: mesh, morph targets, skins, hair and light, as training/studies/pack_people.py
writes them.

Everything is millimetres in the frame of asmnet_kit.face.pose: x right, y down, z away from the
camera; the origin lies between the outer eye corners of the mean head. Provenance and licence of
each part: LICENSE-ASSETS beside this file.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError
from asmnet_kit.base.npz import read_npz

Array = NDArray[np.float32]
Ints = NDArray[np.intp]
Bytes = NDArray[np.uint8]

HEAD_FILE = Path(__file__).with_name("head.npz")
LICENCE_FILE = Path(__file__).with_name("LICENSE-ASSETS")
SKIN, TONGUE = 0, 1  # values of ``parts``
MOST = 0.5  # of the vertices: a target that moves more is kept dense
BRIGHTEST = 200.0  # of a panorama, times its encoding's 8


@dataclass(frozen=True, eq=False)
class Strands:
    """Hair, brows, lashes, teeth or a hat: a mesh that hangs on the head's.

    Attributes:
        name: of the asset.
        refs: intp [N, 3] vertices of the head.
        weights: float32 [N, 3] of them.
        offsets: float32 [N, 3], mm, for the size of the base head.
        triangles: intp [T, 3]; uv: float32 [U, 2]; uv_triangles: intp [T, 3].
        image: uint8 [h, w, 4] RGBA, or [h, w] where strokes are all alpha.
        point_vertices, point_weights: [2, 9, 3] the visible outline of a brow (right, left of the
            subject; five on the upper edge from the inner end, four on the lower); else empty.
    """

    name: str
    refs: Ints
    weights: Array
    offsets: Array
    triangles: Ints
    uv: Array
    uv_triangles: Ints
    image: Bytes
    point_vertices: Ints
    point_weights: Array

    def mirrored(self, mirror: Ints) -> "Strands":
        """The same with left and right exchanged; ``mirror`` [V] of the head."""
        return replace(
            self,
            refs=mirror[self.refs],
            offsets=self.offsets * np.array([-1, 1, 1], np.float32),
            triangles=self.triangles[:, ::-1],
            uv_triangles=self.uv_triangles[:, ::-1],
        )

    def placed(self, head: Array, scale: Array) -> Array:
        """Vertices [N, 3] on a head [V, 3]; ``scale`` [3] is its size, 1 for the base head's."""
        at = head[self.refs[:, 0]] * self.weights[:, :1]
        for corner in (1, 2):
            at += head[self.refs[:, corner]] * self.weights[:, corner : corner + 1]
        at += self.offsets * scale
        return at


@dataclass(frozen=True, eq=False)
class Target:
    """How a morph target moves the vertices that it moves: mm at full strength.

    A target that moves most of the head has all vertices, as a slice: adding them is faster.
    """

    vertices: Ints | slice
    offsets: Array

    def add_to(self, head: Array, strength: float) -> None:
        """Move a head [V, 3] in place."""
        head[self.vertices] += np.float32(strength) * self.offsets


@dataclass(frozen=True, eq=False)
class Assets:
    """Attributes:
    vertices: float32 [V, 3], the base head, mm.
    base_numbers: intp [V], each vertex's number in MakeHuman's base.obj.
    mirror: intp [V], each vertex's mirror image.
    triangles, uv_triangles: intp [T, 3]; parts: uint8 [T], SKIN or TONGUE; uv: float32 [U, 2].
    eyes: intp [2, E], vertices of the eyeballs: the subject's right, left.
    vermilion, inner_lip, left_lid: intp loops of vertices.
    occlusion: float32 [V], share of the sky that a vertex of the mean head sees.
    targets: by name: macro/..., eyes/..., unit/... (expression).
    point_numbers, point_vertices, point_weights: landmarks of the 98 as [P], [P, 3], [P, 3].
    lid_vertices, lid_weights: [2, 4, 3], [4, 3]; the 68's own lid points.
    jaw_vertices, jaw_weights: [2, 17, A, 3], [17, A, 3]; the parallels.
    """

    vertices: Array
    base_numbers: Ints
    mirror: Ints
    triangles: Ints
    parts: Bytes
    uv: Array
    uv_triangles: Ints
    eyes: Ints
    vermilion: Ints
    inner_lip: Ints
    left_lid: Ints
    scale_pairs: Ints
    occlusion: Array
    targets: dict[str, Target]
    point_numbers: Ints
    point_vertices: Ints
    point_weights: Array
    lid_vertices: Ints
    lid_weights: Array
    jaw_vertices: Ints
    jaw_weights: Array
    skins: dict[str, Bytes]
    hair: dict[str, Strands]
    brows: dict[str, Strands]
    lashes: dict[str, Strands]
    teeth: dict[str, Strands]
    hats: dict[str, Strands]
    panoramas: dict[str, Array]


@lru_cache(maxsize=1)
def load() -> Assets:
    """Read the packed head, once per process (about 0.4 s)."""
    packed = read_npz(HEAD_FILE, expected="the head of asmnet_kit.people", error=KitError)

    def ints(name: str) -> Ints:
        return packed[name].astype(np.intp)

    return Assets(
        vertices=packed["vertices"],
        base_numbers=ints("base_numbers"),
        mirror=ints("mirror"),
        triangles=ints("triangles"),
        parts=packed["parts"],
        uv=packed["uv"],
        uv_triangles=ints("uv_triangles"),
        eyes=ints("eye_vertices"),
        vermilion=ints("vermilion"),
        inner_lip=ints("inner_lip"),
        left_lid=ints("left_lid"),
        scale_pairs=ints("scale_pairs"),
        occlusion=packed["occlusion"].astype(np.float32),
        targets=_targets(packed),
        point_numbers=ints("point_numbers"),
        point_vertices=ints("point_vertices"),
        point_weights=packed["point_weights"],
        lid_vertices=ints("lid_vertices"),
        lid_weights=packed["lid_weights"],
        jaw_vertices=ints("jaw_vertices"),
        jaw_weights=packed["jaw_weights"],
        skins={
            name.partition("/")[2]: _rgb(packed[name])
            for name in sorted(packed)
            if name.startswith("skin/")
        },
        hair=_strands(packed, "hair"),
        brows=_strands(packed, "brow"),
        lashes=_strands(packed, "lash"),
        teeth=_strands(packed, "teeth"),
        hats=_strands(packed, "hat"),
        panoramas={
            name.partition("/")[2]: _light(packed[name])
            for name in sorted(packed)
            if name.startswith("panorama/")
        },
    )


def _targets(packed: dict[str, NDArray[Any]]) -> dict[str, Target]:
    low_and_high = np.ascontiguousarray(packed["target_deltas"].transpose(0, 2, 1))
    steps = np.cumsum(low_and_high.view(np.int16)[..., 0], axis=1, dtype=np.int16)
    offsets = steps.T.astype(np.float32) * packed["target_quantum"]
    vertices = np.cumsum(packed["target_vertices"], dtype=np.intp)
    starts = packed["target_starts"].tolist()
    count = len(packed["vertices"])
    targets = {}
    for name, start, end in zip(packed["target_names"], starts[:-1], starts[1:], strict=True):
        which, moved = vertices[start:end], offsets[start:end]
        if len(which) < MOST * count:
            targets[str(name)] = Target(which, moved)
        else:
            whole = np.zeros((count, 3), np.float32)
            whole[which] = moved
            targets[str(name)] = Target(slice(None), whole)
    return targets


def _strands(packed: dict[str, NDArray[Any]], kind: str) -> dict[str, Strands]:
    found = {}
    for key in sorted(packed):
        if not (key.startswith(kind + "/") and key.endswith("/refs")):
            continue
        prefix = key.removesuffix("/refs")
        image = _decoded(packed[f"{prefix}/image"], cv2.IMREAD_UNCHANGED)
        if image.ndim == 3 and kind in ("brow", "lash"):
            image = np.ascontiguousarray(image[..., 0])
        elif image.shape[2] == 3:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGBA), np.uint8)
        else:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA), np.uint8)
        points = packed.get(f"{prefix}/point_vertices", np.zeros((2, 0, 3)))
        found[prefix.partition("/")[2]] = Strands(
            name=prefix.partition("/")[2],
            refs=packed[f"{prefix}/refs"].astype(np.intp),
            weights=packed[f"{prefix}/weights"],
            offsets=packed[f"{prefix}/offsets"],
            triangles=packed[f"{prefix}/triangles"].astype(np.intp),
            uv=packed[f"{prefix}/uv"],
            uv_triangles=packed[f"{prefix}/uv_triangles"].astype(np.intp),
            image=image,
            point_vertices=points.astype(np.intp),
            point_weights=packed.get(f"{prefix}/point_weights", np.zeros((2, 0, 3), np.float32)),
        )
    return found


def _decoded(data: NDArray[Any], flags: int) -> Bytes:
    image = cv2.imdecode(data, flags)
    if image is None:
        raise KitError(f"{HEAD_FILE}: holds a picture that OpenCV cannot read")
    return np.asarray(image, np.uint8)


def _rgb(data: NDArray[Any]) -> Bytes:
    return np.ascontiguousarray(_decoded(data, cv2.IMREAD_COLOR)[..., ::-1])


def _light(data: NDArray[Any]) -> Array:
    """A panorama in linear light, float32 [256, 512, 3]; its top is up, its middle straight on."""
    code = _rgb(data).astype(np.float32) / 255
    return np.asarray((np.exp2(code * np.log2(1 + 8 * BRIGHTEST)) - 1) / 8, np.float32)
