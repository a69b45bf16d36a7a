"""Writing synthetic faces as a folder that the ``synthetic`` format reads.

    OUT/dataset.json                          counts, seed, size, scheme: what the folder is
    OUT/{train,val,test}/face_000000.jpg      the picture
    OUT/{train,val,test}/face_000000.pts      68 landmarks, 1-based like every .pts
    OUT/{train,val,test}/face_000000.pts98    98 landmarks
    OUT/{train,val,test}/face_000000.vis.json which can be seen, of people alone (``visibility``)
    OUT/{train,val,test}/pose.csv             name, yaw, pitch, roll in degrees

Faces are numbered through the splits: the first are the training faces. A face's files appear
whole or not at all, its picture last; ``dataset.json`` is written with ``"complete": false`` first
and with true at the end, when all the others are on the disk, so that an interrupted call can be
continued. After a power cut a name may be there without its content: such a face is drawn again.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import (
    alone_in,
    is_unused,
    leftovers,
    make_folder,
    write_bytes,
    write_json,
    write_text,
)
from asmnet_kit.base.reading import read_json
from asmnet_kit.base.workers import shared_out
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.synthetic import drawn_for
from asmnet_kit.datasets.visibility import FILE_END, SUFFIX, format_marks
from asmnet_kit.face.pictures import encode_jpeg
from asmnet_kit.face.schemes import Scheme

SCHEMA_VERSION = 1
FORMAT = "synthetic"
JPEG_QUALITY = 95
# How the files of a face end, when they are whole.
ENDINGS = {".pts": b"}\n", ".pts98": b"}\n", ".jpg": b"\xff\xd9"}
VISIBILITY_ENDING = {SUFFIX: FILE_END}  # where the renderer knows it
CHUNK = 8  # faces that a process draws at a time; a person takes half a second


class DrawnFace(Protocol):
    """What a renderer yields: picture uint8 [S, S, 3] RGB, landmarks float32 [N, 2] in pixels."""

    @property
    def image(self) -> NDArray[np.uint8]: ...
    @property
    def landmarks68(self) -> NDArray[np.float32]: ...
    @property
    def landmarks98(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True, eq=False)
class Renderer:
    """Draws face number i of a seed, which depends on (seed, i) alone.

    Attributes:
        kind: its name in dataset.json.
        version: raised when a seed draws other faces, so that an old folder is not continued.
        draw: (seed, index, size) -> a face; a function of a module, or a partial one, so that
            workers can import it.
        pose_of: (seed, index) -> float32 [3] yaw, pitch, roll in degrees, without drawing.
        check: refuses a bad (seed, size) with a UsageError.
        marks_of: (a face that it drew) -> which of its 68 and 98 landmarks can be seen, as
            ``visibility.marks_of`` writes it; None for a renderer that does not know.
        options: what else its faces depend on, as JSON gives it back; kept in dataset.json, and a
            folder is continued with the same options only.
    """

    kind: str
    version: int
    draw: Callable[[int, int, int], DrawnFace]
    pose_of: Callable[[int, int], NDArray[np.float32]]
    check: Callable[[int, int], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    marks_of: Callable[[Any], Mapping[int, str]] | None = None

    @property
    def endings(self) -> dict[str, bytes]:
        """How the files of a face end, when they are whole."""
        return ENDINGS if self.marks_of is None else {**ENDINGS, **VISIBILITY_ENDING}


@dataclass(frozen=True)
class _Plan:
    """What was asked for; equal plans make equal folders."""

    count: int
    seed: int
    size: int
    val_share: float
    test_share: float
    renderer: int
    kind: str
    options: dict[str, Any]
    scheme: str | dict[str, Any] | None  # ``Scheme.reference``

    def splits(self) -> dict[str, range]:
        """The faces of each split: training first, test last."""
        val, test = round(self.count * self.val_share), round(self.count * self.test_share)
        train = self.count - val - test
        return {
            "train": range(train),
            "val": range(train, train + val),
            "test": range(train + val, self.count),
        }

    def split_of(self, index: int) -> str:
        return next(split for split, indices in self.splits().items() if index in indices)

    def picture(self, out: Path, index: int) -> Path:
        """Where the picture of a face goes, the last of its files to be written."""
        return out / self.split_of(index) / face_name(index)


@dataclass(frozen=True)
class _Chunk:
    """Faces that one worker draws."""

    plan: _Plan
    renderer: Renderer
    out: Path
    indices: tuple[int, ...]


def write_faces(
    out: Path,
    renderer: Renderer,
    *,
    count: int,
    seed: int,
    size: int = 112,
    val_share: float = 0.1,
    test_share: float = 0.1,
    workers: int = 1,
    scheme: Scheme | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw ``count`` faces into the folder ``out``; the result does not depend on ``workers``.

    Args:
        out: a new or empty folder, or one that an interrupted call with the same arguments left.
        renderer: what draws them.
        size: side of the pictures, pixels.
        val_share, test_share: of the faces, 0..1.
        workers: processes.
        scheme: the landmarks that reading the folder gives by default; None = 68. The files hold
            68 and 98, from which they must follow.
        progress: called with (faces done, count).

    Raises:
        UsageError: counts, shares or workers out of range, a scheme that does not follow, or
            another process draws there.
        UsageError: ``out`` holds something else.
    """
    if count < 1 or workers < 1:
        raise UsageError(f"expected count and workers of at least 1, got {count} and {workers}")
    if min(val_share, test_share) < 0 or val_share + test_share > 1:
        raise UsageError(
            f"expected shares >= 0 that sum to at most 1, got val {val_share}, test {test_share}"
        )
    if scheme is not None and drawn_for(scheme) is None:
        raise UsageError(
            f"faces are drawn with 68 and 98 landmarks, from which {scheme.name} does not follow: "
            "expected a scheme that they have a map to (68, 98, 5), or a file with points chosen "
            "[from] them (docs/schemes.md)"
        )
    renderer.check(seed, size)  # before anything is written
    plan = _Plan(
        count, seed, size, val_share, test_share,
        renderer.version, renderer.kind, dict(renderer.options),
        None if scheme is None else scheme.reference,
    )  # fmt: skip
    make_folder(out)
    with alone_in(out):
        _claim(out, plan)
        folders = [out / split for split, indices in plan.splits().items() if indices]
        for folder in folders:
            make_folder(folder)
        for folder in (out, *folders):
            for leftover in leftovers(folder):  # of a call that was killed
                leftover.unlink(missing_ok=True)
        _write(plan, renderer, out, workers, progress)


def _write(
    plan: _Plan,
    renderer: Renderer,
    out: Path,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    chunks = list(_chunks(plan, renderer, out))
    done = plan.count - sum(len(chunk.indices) for chunk in chunks)
    if progress is not None:
        progress(done, plan.count)
    with shared_out(_writer, chunks, workers=workers, doing="draws faces") as written:
        for faces in written:
            done += faces
            if progress is not None:
                progress(done, plan.count)

    for split, indices in plan.splits().items():
        if indices:
            _write_poses(out / split, renderer, plan.seed, indices)
    os.sync()  # once, rather than for each of many small files
    gone = sum(
        not _is_whole(plan.picture(out, index), renderer.endings) for index in range(plan.count)
    )
    if gone:
        raise DatasetError(
            f"{out}: {gone} of {plan.count} faces are gone: files were removed while they were "
            "drawn; run the same command again"
        )
    write_json(out / "dataset.json", _description(plan, complete=True))


def _chunks(plan: _Plan, renderer: Renderer, out: Path) -> Iterator[_Chunk]:
    """The faces that are not there yet."""
    missing = [
        index
        for index in range(plan.count)
        if not _is_whole(plan.picture(out, index), renderer.endings)
    ]
    for start in range(0, len(missing), CHUNK):
        yield _Chunk(plan, renderer, out, tuple(missing[start : start + CHUNK]))


def _claim(out: Path, plan: _Plan) -> None:
    """Mark ``out`` as the folder of this plan, or refuse it."""
    description = out / "dataset.json"
    if description.is_file():
        try:
            found = read_json(description)
        except ValueError:
            found = None
        arguments = found.get("arguments") if isinstance(found, dict) else None
        # Earlier versions drew one kind and did not name it, and had no options and no scheme.
        earlier: dict[str, Any] = {"kind": "drawn", "options": {}, "scheme": None}
        if not isinstance(arguments, dict) or {**earlier, **arguments} != asdict(plan):
            raise UsageError(
                f"{out}: holds a data set made with other arguments or other files of your own; "
                "choose another folder"
            )
        return
    if not is_unused(out):
        raise UsageError(f"{out}: expected a new or empty folder; choose another one")
    write_json(description, _description(plan, complete=False))


def _description(plan: _Plan, *, complete: bool) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "format": FORMAT,
        "points": [68, 98],
        "scheme": plan.scheme,
        "counts": {split: len(indices) for split, indices in plan.splits().items()},
        "arguments": asdict(plan),
        "complete": complete,
    }


def _writer() -> Callable[[_Chunk], int]:
    return _write_chunk


def _write_chunk(chunk: _Chunk) -> int:
    """Draw and write the faces of a chunk; how many they are."""
    plan = chunk.plan
    for index in chunk.indices:
        picture = plan.picture(chunk.out, index)
        face = chunk.renderer.draw(plan.seed, index, plan.size)
        if chunk.renderer.marks_of is not None:
            marks = format_marks(chunk.renderer.marks_of(face))
            write_text(picture.with_suffix(SUFFIX), marks, durable=False)
        _write_face(picture, face)
    return len(chunk.indices)


def _is_whole(picture: Path, endings: Mapping[str, bytes]) -> bool:
    """Whether all files of a face are there and end as they should."""
    for suffix, ending in endings.items():
        path = picture.with_suffix(suffix)
        if not (path.is_file() and path.read_bytes().endswith(ending)):
            return False
    return True


def face_name(index: int) -> str:
    """The file name of a face's picture."""
    return f"face_{index:06d}.jpg"


def _write_face(picture: Path, face: DrawnFace) -> None:
    write_pts(picture.with_suffix(".pts"), face.landmarks68, durable=False)
    write_pts(picture.with_suffix(".pts98"), face.landmarks98, durable=False)
    encoded = encode_jpeg(face.image, name=str(picture), quality=JPEG_QUALITY)
    write_bytes(picture, encoded, durable=False)


def _write_poses(folder: Path, renderer: Renderer, seed: int, indices: range) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "yaw", "pitch", "roll"))
    for index in indices:
        angles = (f"{angle:.4f}" for angle in renderer.pose_of(seed, index))
        writer.writerow((face_name(index), *angles))
    write_text(folder / "pose.csv", text.getvalue())
