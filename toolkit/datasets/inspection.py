"""Looking a data set over before training on it: counts, sizes, bad files, duplicates, a sheet.

Every picture is read and decoded, each once, however many faces it has.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import replacing
from asmnet_kit.base.workers import shared_out
from asmnet_kit.datasets.base import Dataset, Face, Problem
from asmnet_kit.datasets.registry import in_scheme, load_dataset, of_split
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

THUMB = 32  # pixels a side
SAME_GREY = 1.5  # mean grey levels between thumbnails: a JPEG stored anew differs by less than 1
SAME_SHAPE = 0.02  # between the ratios of width to height
FLAT = 24  # grey levels: a picture with fewer shows nothing by which it could be known
MOST_ALIKE = 50  # candidates looked at for each band, so that thousands alike take no hour

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
class Duplicate:
    """Different files with the same picture.

    Attributes:
        pictures: names of their first faces.
        across_splits: whether they are in different splits, so that a test would be answered by
            memory.
        kind: ``same`` bytes, the same ``pixels`` stored anew, or ``mirrored``.
    """

    pictures: tuple[str, ...]
    across_splits: bool
    kind: str = "same"


@dataclass(frozen=True)
class OutOfPicture:
    """A face with landmarks outside its picture."""

    name: str
    points: int


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
            "duplicates": [
                {"pictures": list(d.pictures), "across_splits": d.across_splits, "kind": d.kind}
                for d in self.duplicates
            ],
            "rotated": list(self.rotated),
        }


@dataclass(frozen=True, eq=False)
class _Picture:
    """One picture file, seen once."""

    faces: tuple[Face, ...]
    digest: bytes
    width: int
    height: int
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
        UsageError: unknown format or split.
        DatasetError: nothing there.
    """
    loaded = load_dataset(path, format, points=points, scheme=scheme, max_bad_share=1.0)
    loaded = loaded if scheme is None else in_scheme(loaded, scheme)
    faces = loaded.faces if split is None else of_split(loaded.faces, split, path)
    pictures = list(_pictures(faces, workers, progress))
    bad = {face.name: p.problem for p in pictures if p.problem is not None for face in p.faces}
    bad |= {problem.name: problem.reason for p in pictures for problem in p.problems}
    good = [picture for picture in pictures if picture.problem is None]
    alike = list(_alike(good))
    bad |= dict(_unmirrored(alike, loaded.scheme, {p.faces[0].name: p for p in good}))
    dataset = Dataset(
        name=loaded.name,
        format=loaded.format,
        scheme=loaded.scheme,
        faces=tuple(face for face in faces if face.name not in bad),
        problems=loaded.problems,
    )
    if sheet is not None and dataset.faces:
        write_contact_sheet(sheet, dataset)
    return Inspection(
        dataset=dataset,
        problems=(*loaded.problems, *(Problem(name, reason) for name, reason in bad.items())),
        counts=_counts(dataset.faces),
        pictures=len(pictures),
        picture_width=Spread.of(picture.width for picture in good),
        picture_height=Spread.of(picture.height for picture in good),
        face_size=Spread.of(_longer_side(face) for face in dataset.faces),
        out_of_picture=tuple(_out_of_picture(good)),
        duplicates=(*_duplicates(pictures), *alike),
        rotated=tuple(face.name for p in good if p.rotated for face in p.faces),
        annotated=len(loaded.faces),
    )


def _pictures(faces: Iterable[Face], workers: int, progress: Progress | None) -> Iterator[_Picture]:
    """Read and decode each picture once, in the order of the faces."""
    faces_of: defaultdict[str, list[Face]] = defaultdict(list)
    for face in faces:
        faces_of[face.picture.name].append(face)
    shared = list(faces_of.values())
    with shared_out(
        _looker, shared, workers=workers, doing="looks at pictures", at_once=PICTURES_AT_ONCE
    ) as pictures:
        for done, (of_picture, picture) in enumerate(zip(shared, pictures, strict=True), start=1):
            if progress is not None:
                progress(done, len(shared))
            # The faces that are here, rather than copies of them that were sent to and fro.
            yield replace(picture, faces=tuple(of_picture))


def _looker() -> Callable[[list[Face]], _Picture]:
    return _look_without_faces


def _look_without_faces(faces: list[Face]) -> _Picture:
    return replace(_look_at(faces), faces=())


def _look_at(faces: list[Face]) -> _Picture:
    """Decode the picture that ``faces`` share."""
    encoded = b""
    try:
        encoded = faces[0].picture.read_encoded()
        image = decode_image(encoded, name="")
    except DatasetError as error:
        reason = str(error).removeprefix(": ")  # the problem carries the name already
        digest = hashlib.sha256(encoded).digest() if encoded else b""
        return _Picture(tuple(faces), digest, 0, 0, reason)
    except OSError as error:
        return _Picture(tuple(faces), b"", 0, 0, f"cannot be read: {error.strerror}")
    height, width = image.shape[:2]
    return _Picture(
        tuple(face for face in faces),
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


def _out_of_picture(pictures: Iterable[_Picture]) -> Iterator[OutOfPicture]:
    """Faces with points beyond the outer edges of the border pixels (-0.5 and size - 0.5)."""
    for picture in pictures:
        limit = np.array([picture.width, picture.height]) - 0.5
        misplaced = {problem.name for problem in picture.problems}
        for face in picture.faces:
            if face.name in misplaced:
                continue
            labelled = face.landmarks[face.labelled]
            outside = int(((labelled < -0.5) | (labelled > limit)).any(axis=1).sum())
            if outside:
                yield OutOfPicture(face.name, outside)


def _duplicates(pictures: Iterable[_Picture]) -> Iterator[Duplicate]:
    same: defaultdict[bytes, list[_Picture]] = defaultdict(list)
    for picture in pictures:
        if picture.digest:
            same[picture.digest].append(picture)
    for group in same.values():
        if len(group) > 1:
            splits = {face.split for picture in group for face in picture.faces}
            yield Duplicate(tuple(p.faces[0].name for p in group), across_splits=len(splits) > 1)


def thumbnail(image: Image) -> NDArray[np.uint8]:
    """A picture as uint8 [THUMB, THUMB] grey values, by which the same one is known again."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)


def _alike(pictures: Sequence[_Picture]) -> Iterator[Duplicate]:
    """Pairs of pictures that were stored anew, or mirrored; those of the same bytes are known.

    Candidates agree in one of the bands of their rows' differences; the thumbnails then decide.
    """
    for kind in ("pixels", "mirrored"):
        at: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
        for index, picture in enumerate(pictures):
            if picture.thumbnail is None or np.ptp(picture.thumbnail) < FLAT:
                continue
            looked_for = picture.thumbnail[:, ::-1] if kind == "mirrored" else picture.thumbnail
            seen: set[int] = set()
            for band, key in _bands(looked_for):
                for other in at[band, key][:MOST_ALIKE]:
                    if other not in seen:
                        seen.add(other)
                        if _is_same(pictures[other], picture, looked_for):
                            yield _pair(pictures[other], picture, kind)
            for band, key in _bands(picture.thumbnail):
                at[band, key].append(index)


def _bands(thumbnail: NDArray[np.uint8]) -> Iterator[tuple[int, bytes]]:
    """Which of neighbouring blocks is lighter, in four bands from top to bottom."""
    blocks = cv2.resize(thumbnail, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = np.packbits(blocks[:, 1:] > blocks[:, :-1], axis=1)
    for band in range(4):
        yield band, bits[2 * band : 2 * band + 2].tobytes()


def _is_same(one: _Picture, other: _Picture, looked_for: NDArray[np.uint8]) -> bool:
    if one.digest == other.digest or one.thumbnail is None:
        return False
    shape = abs(one.width / one.height - other.width / other.height)
    difference = np.abs(one.thumbnail.astype(np.int16) - looked_for).mean()
    return shape < SAME_SHAPE and float(difference) < SAME_GREY


def _unmirrored(
    alike: Iterable[Duplicate], scheme: Scheme, pictures: Mapping[str, _Picture]
) -> Iterator[tuple[str, str]]:
    """Faces (name, reason) in a mirrored copy whose labels are those of the picture itself."""
    for pair in alike:
        one, other = (pictures[name] for name in pair.pictures)
        if pair.kind != "mirrored" or len(one.faces) > 1 or len(other.faces) > 1:
            continue
        scale = other.width / one.width
        first, second = (picture.faces[0].landmarks for picture in (one, other))
        as_they_are = np.abs(first * scale - second)
        turned = np.abs(mirrored(first, one.width, scheme) * scale - second)
        if np.nanmean(as_they_are) < np.nanmean(turned):
            yield (
                other.faces[0].name,
                f"its picture is that of {one.faces[0].name} mirrored, its labels are not",
            )


def _pair(one: _Picture, other: _Picture, kind: str) -> Duplicate:
    splits = {face.split for face in (*one.faces, *other.faces)}
    return Duplicate((one.faces[0].name, other.faces[0].name), len(splits) > 1, kind)


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
