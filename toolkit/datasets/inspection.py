"""Looking a data set over before training on it: counts, sizes, bad files, duplicates, a sheet.

Every picture is read and decoded, each once, however many faces it has.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import refuse_overwriting, replacing
from asmnet_kit.base.workers import shared_out
from asmnet_kit.datasets.base import Dataset, Face, Problem, picture_of, where
from asmnet_kit.datasets.face_groups import FaceGroups, by_picture
from asmnet_kit.datasets.registry import in_scheme, load_dataset, of_split
from asmnet_kit.datasets.same_pictures import Duplicate, Pair, Pictures, thumbnail
from asmnet_kit.face.crop import Crop
from asmnet_kit.face.picture_headers import UPRIGHT, stored_orientation
from asmnet_kit.face.pictures import Image, decode_image
from asmnet_kit.face.schemes import Scheme, mirrored

SCHEMA_VERSION = 1

PICTURES_AT_ONCE = 16  # of a process

SHEET_COLUMNS, SHEET_ROWS = 8, 6
TILE = 160  # pixels
TILE_SCALE = 1.5  # of the landmark box: shows some hair and background
POINT_COLOUR, LINE_COLOUR, CAPTION_COLOUR = (0, 255, 0), (255, 200, 0), (255, 255, 255)
DRAWN_BITS = 4  # OpenCV draws at 1/16 pixel with shift=4

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Spread:
    """Order statistics of some sizes, pixels."""

    smallest: float
    median: float
    largest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """None of nothing."""
        array = np.fromiter(values, float)
        if not len(array):
            return None
        return cls(float(array.min()), float(np.median(array)), float(array.max()))

    def to_json(self) -> dict[str, float]:
        return {
            "min": round(self.smallest, 1),
            "median": round(self.median, 1),
            "max": round(self.largest, 1),
        }


@dataclass(frozen=True)
class OutOfPicture:
    """A face with landmarks outside its picture."""

    name: str
    points: int


@dataclass(frozen=True)
class SharedPicture:
    """A picture with faces in several splits, so that a test would be answered by memory."""

    name: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What ``inspect_dataset`` found.

    Attributes:
        dataset: its faces are those whose pictures can be decoded.
        problems: bad annotation files and bad pictures, each with its reason.
        counts: (split or "", subset or "") -> faces; the subset "" counts the whole split.
        pictures: how many different picture files the faces are in.
        picture_width, picture_height: pixels.
        face_size: the longer side of the landmark box, pixels.
        out_of_picture: faces with landmarks outside their picture.
        in_several_splits: pictures that have faces in more than one split.
        duplicates: pictures that are there more than once, stored anew and mirrored included.
        rotated: faces in pictures that carry an EXIF rotation: labels refer to the stored pixels,
            while most programs show such a picture turned.
        annotated: faces whose annotation is fine, of all splits: the split of a bad annotation is
            not always known, so these are what it is one of.
    """

    dataset: Dataset
    problems: tuple[Problem, ...]
    counts: dict[tuple[str, str], int]
    pictures: int
    picture_width: Spread | None
    picture_height: Spread | None
    face_size: Spread | None
    out_of_picture: tuple[OutOfPicture, ...]
    in_several_splits: tuple[SharedPicture, ...]
    duplicates: tuple[Duplicate, ...]
    rotated: tuple[str, ...]
    annotated: int

    @property
    def faces(self) -> int:
        return len(self.dataset.faces)

    @property
    def incomplete(self) -> int:
        """Faces with points that have no label."""
        return sum(not face.complete for face in self.dataset.faces)

    @property
    def with_pose(self) -> int:
        """Faces with a head pose."""
        return sum(face.pose is not None for face in self.dataset.faces)

    @property
    def bad_share(self) -> float:
        """Share of the faces that cannot be used, 0..1: of bad annotations, then of bad pictures.

        Over all splits this is the unusable faces among all.
        """
        annotations = len(self.dataset.problems)
        pictures = len(self.problems) - annotations
        good = self.annotated / max(1, annotations + self.annotated)
        return 1 - good * (self.faces / max(1, pictures + self.faces))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        splits: dict[str, dict[str, Any]] = {}
        for (split, subset), count in sorted(self.counts.items()):
            entry = splits.setdefault(split or "all", {"faces": 0, "subsets": {}})
            if subset:
                entry["subsets"][subset] = count
            else:
                entry["faces"] = count
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.dataset.name,
            "format": self.dataset.format,
            "points": self.dataset.scheme.points,
            "scheme": self.dataset.scheme.reference,
            "faces": self.faces,
            "faces_incomplete": self.incomplete,
            "faces_with_pose": self.with_pose,
            "splits": splits,
            "pictures": self.pictures,
            "picture_width": self.picture_width.to_json() if self.picture_width else None,
            "picture_height": self.picture_height.to_json() if self.picture_height else None,
            "face_size": self.face_size.to_json() if self.face_size else None,
            "problems": [problem.to_json() for problem in self.problems],
            "out_of_picture": [{"name": o.name, "points": o.points} for o in self.out_of_picture],
            "in_several_splits": [
                {"picture": s.name, "splits": list(s.splits)} for s in self.in_several_splits
            ],
            "duplicates": [
                {"pictures": list(d.pictures), "across_splits": d.across_splits, "kind": d.kind}
                for d in self.duplicates
            ],
            "rotated": list(self.rotated),
        }


@dataclass(frozen=True, eq=False)
class _Look:
    """What a process found in one picture file."""

    digest: bytes
    width: int = 0
    height: int = 0
    problem: str | None = None
    thumbnail: NDArray[np.uint8] | None = None
    rotated: bool = False
    problems: tuple[Problem, ...] = ()  # of single faces, whose labels are not of this picture


def inspect_dataset(
    path: Path,
    format: str,
    *,
    split: str | None = None,
    points: int | None = None,
    scheme: Scheme | None = None,
    sheet: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Inspection:
    """Load the data set at ``path`` and look at every picture.

    Args:
        format: a name in datasets.formats.FORMATS.
        split: only this split.
        points: 68 or 98 where the format has both.
        scheme: the landmarks to look at, to which the data's are mapped; None = the data's own.
        sheet: where to write the contact sheet, a PNG; None = none.
        workers: processes that look at the pictures; their number changes nothing.
        progress: called with (pictures done, pictures in all).

    Raises:
        UsageError: unknown format or split; ``sheet`` is one of the pictures.
        DatasetError: nothing there.
    """
    loaded = load_dataset(path, format, points=points, scheme=scheme, max_bad_share=1.0)
    loaded = loaded if scheme is None else in_scheme(loaded, scheme)
    faces = loaded.faces if split is None else of_split(loaded.faces, split, path)
    if sheet is not None:
        refuse_overwriting(sheet, (path, *loaded.picture_files()), option="--sheet")
    of_picture = by_picture(faces)
    pictures = Pictures(of_picture)
    unreadable: dict[str, str] = {}
    misplaced: dict[str, str] = {}
    out_of_picture: list[OutOfPicture] = []
    rotated: list[str] = []
    shared: list[SharedPicture] = []
    for of_one, look in _looks(of_picture, workers, progress):
        pictures.add(look.digest, look.width, look.height, look.thumbnail)
        splits = sorted({face.split for face in of_one if face.split is not None})
        if len(splits) > 1:
            shared.append(SharedPicture(picture_of(of_one[0].name), tuple(splits)))
        misplaced |= {problem.name: problem.reason for problem in look.problems}
        if look.problem is not None:
            unreadable |= {face.name: look.problem for face in of_one}
            continue
        out_of_picture += _out_of_picture(of_one, look)
        rotated += [face.name for face in of_one if look.rotated]
    alike = list(pictures.alike())
    bad = unreadable | misplaced | dict(_unmirrored(alike, loaded.scheme, pictures))
    dataset = Dataset(
        name=loaded.name,
        format=loaded.format,
        scheme=loaded.scheme,
        faces=where(faces, lambda face: face.name not in bad),
        problems=loaded.problems,
    )
    if sheet is not None and dataset.faces:
        write_contact_sheet(sheet, dataset)
    return Inspection(
        dataset=dataset,
        problems=(*loaded.problems, *(Problem(name, reason) for name, reason in bad.items())),
        counts=_counts(dataset.faces),
        pictures=len(of_picture),
        picture_width=Spread.of(pictures.sizes[:, 0]),
        picture_height=Spread.of(pictures.sizes[:, 1]),
        face_size=Spread.of(_longer_side(face) for face in dataset.faces),
        out_of_picture=tuple(out_of_picture),
        in_several_splits=tuple(shared),
        duplicates=(*pictures.same(), *(pictures.pair(*pair) for pair in alike)),
        rotated=tuple(rotated),
        annotated=len(loaded.faces),
    )


def _looks(
    pictures: FaceGroups, workers: int, progress: Progress | None
) -> Iterator[tuple[list[Face], _Look]]:
    """Read and decode each picture once, in their order."""
    with shared_out(
        _looker, pictures, workers=workers, doing="looks at pictures", at_once=PICTURES_AT_ONCE
    ) as looks:
        for done, (of_picture, look) in enumerate(zip(pictures, looks, strict=True), start=1):
            if progress is not None:
                progress(done, len(pictures))
            yield of_picture, look


def _looker() -> Callable[[list[Face]], _Look]:
    return _look_at


def _look_at(faces: list[Face]) -> _Look:
    """Decode the picture that ``faces`` share."""
    encoded = b""
    try:
        encoded = faces[0].picture.read_encoded()
        image = decode_image(encoded, name="")
    except DatasetError as error:
        reason = str(error).removeprefix(": ")  # the problem carries the name already
        return _Look(hashlib.sha256(encoded).digest() if encoded else b"", problem=reason)
    except OSError as error:
        return _Look(b"", problem=f"cannot be read: {error.strerror}")
    height, width = image.shape[:2]
    return _Look(
        hashlib.sha256(encoded).digest(),
        width,
        height,
        thumbnail=thumbnail(image),
        rotated=stored_orientation(encoded) != UPRIGHT,
        problems=tuple(_misplaced(faces, image)),
    )


def _misplaced(faces: Iterable[Face], image: Image) -> Iterator[Problem]:
    """Faces whose landmarks cannot be of ``image``."""
    for face in faces:
        try:
            face.check_picture(image)
        except DatasetError as error:
            yield Problem(face.name, str(error).removeprefix(f"{face.picture.name}: "))


def _counts(faces: Iterable[Face]) -> dict[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for face in faces:
        counts.update((face.split or "", subset) for subset in ("", *face.subsets))
    return dict(counts)


def _longer_side(face: Face) -> float:
    x0, y0, x1, y1 = (float(v) for v in face.box)
    return max(x1 - x0, y1 - y0)


def _out_of_picture(faces: Sequence[Face], look: _Look) -> Iterator[OutOfPicture]:
    """Faces with points beyond the outer edges of the border pixels (-0.5 and size - 0.5)."""
    limit = np.array([look.width, look.height]) - 0.5
    misplaced = {problem.name for problem in look.problems}
    for face in faces:
        if face.name in misplaced:
            continue
        labelled = face.landmarks[face.labelled]
        outside = int(((labelled < -0.5) | (labelled > limit)).any(axis=1).sum())
        if outside:
            yield OutOfPicture(face.name, outside)


def _unmirrored(
    alike: Iterable[Pair], scheme: Scheme, pictures: Pictures
) -> Iterator[tuple[str, str]]:
    """Faces (name, reason) in a mirrored copy whose labels are those of the picture itself.

    Not of a one-sided scheme: its points lie about there in the mirror image, too.
    """
    if scheme.is_one_sided:
        return
    for one, other, kind in alike:
        of_one, of_other = pictures.faces(one), pictures.faces(other)
        if kind != "mirrored" or len(of_one) > 1 or len(of_other) > 1:
            continue
        width = pictures.width(one)
        scale = pictures.width(other) / width
        first, second = of_one[0].landmarks, of_other[0].landmarks
        as_they_are = np.abs(first * scale - second)
        turned = np.abs(mirrored(first, width, scheme) * scale - second)
        if np.nanmean(as_they_are) < np.nanmean(turned):
            yield (
                of_other[0].name,
                f"its picture is that of {of_one[0].name} mirrored, its labels are not",
            )


def write_contact_sheet(path: Path, dataset: Dataset) -> None:
    """Write a PNG with faces spread evenly over the data set, their landmarks drawn on them.

    Raises:
        DatasetError: a picture cannot be decoded.
        OSError: ``path`` cannot be written.
    """
    count = min(len(dataset.faces), SHEET_COLUMNS * SHEET_ROWS)
    chosen = np.linspace(0, len(dataset.faces) - 1, count).round().astype(int)
    columns = min(count, SHEET_COLUMNS)
    sheet = np.zeros((-(-count // columns) * TILE, columns * TILE, 3), np.uint8)
    for place, index in enumerate(chosen):
        top, left = (v * TILE for v in divmod(place, columns))
        sheet[top : top + TILE, left : left + TILE] = draw_tile(
            dataset.faces[index], dataset.scheme
        )
    done, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise DatasetError(f"the contact sheet of {count} faces cannot be encoded as PNG")
    with replacing(path) as temporary:
        temporary.write_bytes(png.tobytes())


def draw_tile(face: Face, scheme: Scheme) -> Image:
    """A face's crop with its landmarks, uint8 [TILE, TILE, 3], RGB."""
    crop = Crop.from_box(face.box, size=TILE, scale=TILE_SCALE)
    tile = crop.cut(face.read())
    points = crop.to_fractions(face.landmarks) * TILE + (TILE - 1) / 2
    for name, part in scheme.parts.items():
        if name in scheme.dots:
            continue
        ring = (*part, part[0]) if name in scheme.closed else part
        for start, end in pairwise(ring):
            if face.labelled[[start, end]].all():
                cv2.line(
                    tile,
                    _drawn(points[start]),
                    _drawn(points[end]),
                    LINE_COLOUR,
                    1,
                    cv2.LINE_AA,
                    DRAWN_BITS,
                )
    for point in points[face.labelled]:
        cv2.circle(tile, _drawn(point), 1 << DRAWN_BITS, POINT_COLOUR, -1, cv2.LINE_AA, DRAWN_BITS)
    caption = face.subsets[0] if face.subsets else ""
    cv2.putText(
        tile, caption, (3, TILE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.35, CAPTION_COLOUR, 1, cv2.LINE_AA
    )
    return tile


def _drawn(point: NDArray[np.float32]) -> tuple[int, int]:
    """Pixels as OpenCV's fixed-point numbers."""
    x, y = np.rint(point * (1 << DRAWN_BITS)).astype(int)
    return int(x), int(y)
