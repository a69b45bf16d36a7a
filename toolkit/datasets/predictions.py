"""What ``asmnet-kit predict`` found, as labels: its ``--json`` and its JSON lines.

    {"schema_version": 2, "image": {"path": "photos/ann.jpg", "width": 640, "height": 480},
     "model": "asmnet_plus", "scheme": "68",
     "faces": [{"box": [...], "landmarks": [[201.3, 107.2], ...], "pose": {"yaw": ...},
                "visible": [...], ...}]}

One object in a ``.json``, or one a line in a ``.jsonl``. Pictures are looked for in the folder of
the file, in those above it up to ``--data`` and, as ``predict`` was called there, in the current
folder; then by the end of their path beside the file and above it. ``predict`` counts pixels of the
upright picture; labels are of the stored one, so EXIF's rotation is undone. A point whose
``visible`` is below one half is hidden. Splits are folders. (Labels as CSV, ``predict --out
labels.csv``, are the format ``csv``.)

Left out: lines of pictures without a face, and frames of films, which are no pictures.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.reading import MAX_LABELS_BYTES, open_text, parse_json
from asmnet_kit.datasets.base import PictureFile, Problem
from asmnet_kit.datasets.folders import Listing, Reading, split_named
from asmnet_kit.datasets.picture_sides import turn_of
from asmnet_kit.datasets.records import (
    LabelFiles,
    PicturesBelow,
    Record,
    add_faces,
    finite,
    merged,
    of_one_address,
    usable_box,
)
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_from, scheme_named
from asmnet_kit.face.uncertainty import HIDDEN_BELOW

SUFFIXES = (".json", ".jsonl")
ANGLES = ("yaw", "pitch", "roll")


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of the predictions at or below ``root``.

    Args:
        scheme: one that the landmarks may be of, beside those that are built in.

    Raises:
        DatasetError: no such file.
    """
    reading = Reading(points=0)
    files = LabelFiles(root, SUFFIXES, reading.problems)
    pictures = PicturesBelow(files.root, typed_in=Path.cwd())
    records: list[Record] = []
    found = False
    for listing, where, content in _objects(files, reading.problems):
        image = content.get("image") if isinstance(content, dict) else None
        faces = content.get("faces") if isinstance(content, dict) else None
        if not isinstance(image, dict) or not isinstance(faces, list):
            continue  # another kind of JSON, or a frame of a film
        found = True
        try:
            own = _scheme(content)
            if own is not None and reading.scheme not in (None, own):
                raise DatasetError("expected landmarks of the scheme that the others have")
        except DatasetError as error:
            reading.problems.append(Problem(where, str(error)))
            continue
        reading.scheme = own or reading.scheme
        for number, face in enumerate(faces, start=1):
            about = where + (f" face {number}" if len(faces) > 1 else "")
            try:
                record = _record(face, content, about, listing, files, pictures, own)
                records.append(record)
            except DatasetError as error:
                reading.problems.append(Problem(about, str(error)))
    if not found:
        raise files.nothing("a .json or .jsonl of asmnet-kit predict, of pictures")
    if reading.scheme is not None:
        reading.points = reading.scheme.points
    kept = of_one_address(records, reading.problems)
    add_faces(reading, merged(kept, reading.problems), scheme)
    return reading


def _objects(files: LabelFiles, problems: list[Problem]) -> Iterator[tuple[Listing, str, Any]]:
    """The folder, the place and the content of each object."""
    for listing, file in files:
        name = listing.name_of(file)
        if not file.lower().endswith(".jsonl"):
            for content in files.json_of(listing, file):
                yield listing, name, content
            continue
        try:
            with open_text(listing.folder / file, limit=MAX_LABELS_BYTES) as text:
                for number, line in enumerate(text, start=1):
                    where = f"{name} line {number}"
                    try:
                        content = parse_json(line) if line.strip() else None
                    except ValueError as error:
                        problems.append(Problem(where, f"expected JSON: {error}"))
                        continue
                    yield listing, where, content
        except OSError as error:
            problems.append(Problem(name, f"cannot be read: {error.strerror}"))


def _record(
    face: Any,
    content: dict[str, Any],
    where: str,
    listing: Listing,
    files: LabelFiles,
    pictures: PicturesBelow,
    scheme: Scheme | None,
) -> Record:
    """A face, in pixels of the picture as it is stored.

    Raises:
        DatasetError: the reason why it cannot be used.
    """
    if not isinstance(face, dict):
        raise DatasetError(f"expected an object, got {type(face).__name__}")
    image = content["image"]
    written = image.get("path")
    if not isinstance(written, str):
        raise DatasetError("expected the path of a picture under image.path")
    name, picture = pictures.find(listing.parts, written, foreign=True)
    pairs = _numbers(face.get("landmarks"), "landmarks", (-1, 2))
    box = None if face.get("box") is None else _numbers(face["box"], "box", (4,))
    pose = None
    if isinstance(face.get("pose"), dict):
        pose = np.array([finite(face["pose"].get(angle)) for angle in ANGLES], np.float32)
    visible = None
    if face.get("visible") is not None:
        visible = (_numbers(face["visible"], "visible", (len(pairs),)) >= HIDDEN_BELOW).astype(
            np.float32
        )
    width, height = (finite(image.get(side)) for side in ("width", "height"))
    try:
        stored = turn_of(picture, (width, height), turns=True)
    except OSError as error:
        raise DatasetError(f"{name} cannot be read: {error.strerror}") from error
    if stored is not None:
        if scheme is None and str(len(pairs)) in BUILT_IN:
            scheme = scheme_named(str(len(pairs)))
        if scheme is None or scheme.points != len(pairs):
            raise DatasetError(
                "its picture is stored turned, and the file does not say the landmarks' scheme: "
                "predict it again"
            )
        pairs = stored.points(pairs.astype(np.float32), scheme).astype(np.float64)
        box = None if box is None else stored.box(box.astype(np.float32)).astype(np.float64)
        pose = None if pose is None else stored.pose(pose)
        visible = None if visible is None else stored.of_each_point(visible, scheme)
    folders = (*files.ancestors, *listing.parts, *name.split("/")[:-1])
    return Record(
        where=where,
        name=name,
        picture=picture,
        address=_address(written, picture, listing, files.root),
        pairs=pairs,
        split=split_named(folders),
        pose=pose,
        box=None if box is None else usable_box(box.tolist()),
        visibility=visible,
    )


def _address(written: str, picture: PictureFile, listing: Listing, root: Path) -> str:
    """What says which picture was meant: the found one, where the whole path leads to it.

    From the current folder, or from the folder of the file and those above it, as documented.
    """
    parts = listing.parts
    for folder in (Path.cwd(), *(root.joinpath(*parts[:n]) for n in range(len(parts) + 1))):
        try:
            if (folder / written).samefile(picture.path):
                return str(picture.path)
        except (OSError, ValueError):  # there is none, or no file has such a name
            continue
    return written


def _scheme(content: dict[str, Any]) -> Scheme | None:
    """Of a file's landmarks; None where it does not say.

    Raises:
        DatasetError: what it says is no scheme.
    """
    said = content.get("scheme")
    try:
        return None if said is None else scheme_from(said, where="its scheme")
    except UsageError as error:
        raise DatasetError(str(error)) from error


def _numbers(value: Any, key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Finite numbers of a shape, -1 for any length."""
    try:
        numbers = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(f"expected numbers under {key}") from error
    fits = numbers.ndim == len(shape) and all(
        wanted in (-1, got) for wanted, got in zip(shape, numbers.shape, strict=True)
    )
    if not fits or not np.isfinite(numbers).all():
        raise DatasetError(f"expected finite numbers {list(shape)} under {key}")
    return numbers
