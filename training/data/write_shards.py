"""Writing prepared data sets: TFRecord shards of faces with their surroundings.

Large photographs are cut and shrunk to what training can use, so that an epoch reads little. The
layout is described beside the reader, asmnet_kit.datasets.read_shards.

Interrupted at any moment, the same call continues: which faces go into which shard is decided
first (``prepare.json``), each shard appears under its name only when it is whole, and
``dataset.json`` comes last. Memory holds one picture at a time.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from asmnet_kit import __version__
from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import (
    alone_in,
    is_unused,
    leftovers,
    make_folder,
    replacing,
    write_json,
)
from asmnet_kit.base.workers import ready_to_share
from asmnet_kit.datasets.base import Dataset, Face, Problem, chosen
from asmnet_kit.datasets.face_table import NAMES, ROWS, TableWriter, writing_table
from asmnet_kit.datasets.read_shards import INDEX, SCHEMA_VERSION, SUFFIX, read_index, read_shard
from asmnet_kit.datasets.registry import MAX_BAD_SHARE, first_problems
from asmnet_kit.datasets.surroundings import (
    WINDOW_SCALE,
    Surroundings,
    cutter,
    surroundings,
)
from asmnet_kit.face.pose import pose_from_landmarks
from asmnet_kit.face.schemes import Scheme

PLAN = "prepare.json"
PLAN_KEYS = ("fingerprint", "size", "shard_bytes", "faces_per_shard")
LABELS = "labels_fingerprint"  # the plan of an earlier version has none
WINDOW = "window_scale"  # only of another one than WINDOW_SCALE
TOLD = {
    WINDOW: "surroundings of faces",
    "fingerprint": "pictures or landmarks",
    LABELS: "poses, splits, subsets, boxes or visibility",
}

# The crop (1.2 x the box) of the largest input (224 px) then loses no pixel: 224 x 2 / 1.2 = 373.
SIZE = 384
SHARD_BYTES = 64 << 20  # few files, and little to repeat after an interruption
SAMPLED_FACES = 32  # whose records tell how many fit into a shard
UNUSUAL = re.compile(r"[^\w .-]")  # in a split's name: some system's files are not called so
MOST_CHARACTERS = 40  # of a split in a shard's name: file names end at 255 bytes
FACES_AT_ONCE = 16  # of a process
Progress = Callable[[int, int], None]
# Of faces their surroundings, or why there are none, in the same order.
Cut = Callable[[Iterable[Face]], Iterator[Surroundings | DatasetError | OSError]]
PoseOf = Callable[[Face], "NDArray[np.float32] | None"]


class _Window(NamedTuple):
    """What is kept around a face: at most ``size`` pixels, ``scale`` longer sides of its box."""

    size: int
    scale: float


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` has written.

    Attributes:
        out: the folder.
        faces: in all shards.
        shards: how many files.
        size_bytes: of all shards.
        problems: of the data set, and pictures that could not be decoded.
    """

    out: Path
    faces: int
    shards: int
    size_bytes: int
    problems: tuple[Problem, ...]


def prepare(
    dataset: Dataset,
    out: Path,
    *,
    size: int = SIZE,
    window_scale: float = WINDOW_SCALE,
    shard_bytes: int = SHARD_BYTES,
    max_bad_share: float = MAX_BAD_SHARE,
    pose_of: PoseOf = lambda face: face.pose,
    fits_poses: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> Prepared:
    """Write ``dataset`` as TFRecord shards below ``out``, or finish what an earlier call began.

    Args:
        dataset: what to write; its faces keep names, splits, subsets and poses.
        size: a face's surroundings (window_scale x the landmark box) have at most this many pixels
            on a side; larger ones are shrunk.
        window_scale: side of a face's surroundings, in longer sides of its landmark box.
        shard_bytes: about how large a shard becomes.
        max_bad_share: of pictures that cannot be decoded; more is an error.
        pose_of: what a record holds as a face's pose: by default its label, where it has one.
        fits_poses: store the pose that the landmarks imply, where there is none: no label, but
            training then need not fit it at each start, about 1 ms a face.
        workers: processes that cut the faces out of their pictures; their number changes no byte.
        progress: called with (faces done, faces in all) after each face.

    Raises:
        UsageError: ``out`` holds something else, or another process prepares data there.
        DatasetError: a finished shard is damaged, or too many pictures cannot be decoded, or a
            shard cannot be written (no space).
        OSError: the folder cannot be written.
    """
    make_folder(out)
    with alone_in(out):
        window = _Window(size, window_scale)
        plan = _resume_or_plan(dataset, out, window, shard_bytes)
        for leftover in leftovers(out):  # of a call that was killed
            leftover.unlink()
        begin = partial(cutter, *window)
        with (
            ready_to_share(
                begin, workers=workers, doing="cuts out faces", at_once=FACES_AT_ONCE
            ) as cut,
            writing_table(out, points=dataset.scheme.points) as table,
        ):
            poses = _Poses(pose_of, dataset.scheme if fits_poses else None)
            done, index = _prepare(
                dataset, out, plan, window, cut, max_bad_share, poses, table, progress
            )
        index["table"] = table.entry()
        if index["table"] is None:  # the faces do not fit into one
            for name in (ROWS, NAMES):
                (out / name).unlink()
        write_json(out / INDEX, index)
        (out / PLAN).unlink(missing_ok=True)
        return done


def _prepare(
    dataset: Dataset,
    out: Path,
    plan: dict[str, Any],
    window: _Window,
    cut: Cut,
    max_bad_share: float,
    poses: "_Poses",
    table: TableWriter,
    progress: Progress | None,
) -> tuple[Prepared, dict[str, Any]]:
    """Write the shards that are missing; what came of it, and the content of ``dataset.json``."""
    total, done = len(dataset.faces), 0
    splits: Counter[str] = Counter()
    subsets: Counter[str] = Counter()
    written = 0
    problems: list[Problem] = []
    sizes: dict[str, int] = {}
    for name, faces in _shards(dataset, plan["faces_per_shard"]):
        if not (out / name).exists():
            _write_shard(out / name, faces, cut, poses, _shifted(progress, done, total))
        kept = read_shard(out / name, points=dataset.scheme.points)
        table.add(name, map(poses.fitted, kept))
        written += len(kept)
        splits.update(face.split for face in kept if face.split)
        subsets.update(name for face in kept for name in face.subsets)
        sizes[name] = (out / name).stat().st_size
        problems += _left_out(faces, kept, window)
        done += len(faces)
        if progress is not None:
            progress(done, total)
        if len(problems) > max_bad_share * total:
            raise DatasetError(
                f"{dataset.name}: {len(problems)} of {done} pictures cannot be used, more than "
                f"{max_bad_share:.0%} of all {total}:{first_problems(problems)}"
            )
    problems = [*dataset.problems, *problems]
    index = {
        "schema_version": SCHEMA_VERSION,
        "kit_version": __version__,
        "name": dataset.name,
        "format": dataset.format,
        "points": dataset.scheme.points,
        "scheme": dataset.scheme.reference,
        "faces": written,
        "splits": dict(sorted(splits.items())),
        "subsets": dict(sorted(subsets.items())),
        "fingerprint": plan["fingerprint"],
        LABELS: plan.get(LABELS),
        "shards": sizes,
        "prepared": plan,
        "problems": [problem.to_json() for problem in problems],
    }
    done_now = Prepared(out, written, len(sizes), sum(sizes.values()), tuple(problems))
    return done_now, index


@dataclass(frozen=True, eq=False)
class _Poses:
    """What a record says of a face's pose.

    Attributes:
        label: of a face.
        scheme: of the landmarks that a pose without a label is fitted to; None fits none.
    """

    label: PoseOf
    scheme: Scheme | None

    def of(self, face: Face) -> "tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]":
        """The label, and what was fitted where there is none."""
        label = self.label(face)
        if label is not None or self.scheme is None:
            return label, None
        return None, pose_from_landmarks(face.landmarks, self.scheme)

    def fitted(self, face: Face) -> Face:
        """A face of a shard, which an earlier version may have written without."""
        if self.scheme is None or face.pose is not None or face.fitted_pose is not None:
            return face
        return replace(face, fitted_pose=pose_from_landmarks(face.landmarks, self.scheme))


def example(
    face: Face,
    picture: Surroundings,
    pose: NDArray[np.float32] | None,
    fitted_pose: NDArray[np.float32] | None = None,
) -> tf.train.Example:
    """The record of a face; its features are listed in asmnet_kit.datasets.read_shards."""

    def texts(*values: str) -> tf.train.Feature:
        return tf.train.Feature(
            bytes_list=tf.train.BytesList(
                value=[v.encode("utf-8", "surrogateescape") for v in values]
            )
        )

    def floats(values: NDArray[np.float32] | None) -> tf.train.Feature:
        flat = [] if values is None else values.ravel().tolist()
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat))

    feature = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture.encoded])),
        "image/format": texts(picture.format),
        "landmarks": floats(picture.landmarks),
        "pose": floats(pose),
        "detector_box": floats(picture.detector_box),
        "visibility": floats(face.visibility),
        "name": texts(face.name),
        "split": texts(*([face.split] if face.split else [])),
        "subsets": texts(*face.subsets),
    }
    if fitted_pose is not None:
        feature["fitted_pose"] = floats(fitted_pose)
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _resume_or_plan(
    dataset: Dataset, out: Path, window: _Window, shard_bytes: int
) -> dict[str, Any]:
    """The plan of the call that began in ``out``, or a new one.

    Raises:
        UsageError: that call was about other data or options, or other files are in the way.
    """
    asked = {
        "fingerprint": dataset.fingerprint(),
        LABELS: dataset.labels_fingerprint(),
        "size": window.size,
        "shard_bytes": shard_bytes,
    }
    # A plan without it, as earlier versions wrote, is of WINDOW_SCALE.
    wider = {} if window.scale == WINDOW_SCALE else {WINDOW: window.scale}
    for file in (PLAN, INDEX):
        if not (out / file).exists():
            continue
        earlier = read_index(out / file).get("prepared")
        if not isinstance(earlier, dict) or set(earlier) - {LABELS, WINDOW} != set(PLAN_KEYS):
            raise DatasetError(f"{out / file}: written by something else; choose another --out")
        different = [
            TOLD.get(key, key) for key, value in asked.items() if earlier.get(key, value) != value
        ]
        if earlier.get(WINDOW, WINDOW_SCALE) != window.scale:
            different.append(TOLD[WINDOW])
        if different:
            raise UsageError(
                f"{out}: holds shards of other data or options ({', '.join(different)} differ); "
                "choose another --out or remove the folder"
            )
        return earlier
    if not is_unused(out):
        raise UsageError(f"{out}: expected a new or empty folder; choose another --out")
    faces_per_shard = max(1, int(shard_bytes / _mean_record_bytes(dataset, window)))
    plan = {**asked, **wider, "faces_per_shard": faces_per_shard}
    write_json(out / PLAN, {"schema_version": SCHEMA_VERSION, "prepared": plan})
    return plan


def _mean_record_bytes(dataset: Dataset, window: _Window) -> float:
    """Mean size of a record, from a few faces spread over the data set."""
    lengths = []
    for face in dataset.faces[:: max(1, len(dataset.faces) // SAMPLED_FACES)]:
        try:
            lengths.append(example(face, surroundings(face, *window), face.pose).ByteSize())
        except (DatasetError, OSError):
            continue  # reported when its shard is written
    return float(np.mean(lengths)) if lengths else 1.0


def _shards(dataset: Dataset, faces_per_shard: int) -> Iterator[tuple[str, Sequence[Face]]]:
    """(file name, faces) of each shard: split by split, in the order of names."""
    splits = np.array([face.split or "" for face in dataset.faces])
    words: set[str] = set()
    for split in np.unique(splits).tolist():
        faces = chosen(dataset.faces, splits == split)
        word = _word_of(split, words)
        for index, start in enumerate(range(0, len(faces), faces_per_shard)):
            name = f"{word}-{index:05d}{SUFFIX}"
            yield name, faces[start : start + faces_per_shard]


def _word_of(split: str, given: set[str]) -> str:
    """What names the shards of a split (``""``: of none): the split, where a file can be called so.

    Args:
        given: the words of other splits, some of which a system may take for the same; gets this.
    """
    stem = UNUSUAL.sub("_", split)[:MOST_CHARACTERS].lstrip(". ") or ("_" if split else "all")
    word, number = stem, 2
    while word.casefold() in given:
        word, number = f"{stem}_{number}", number + 1
    given.add(word.casefold())
    return word


def _write_shard(
    path: Path,
    faces: Sequence[Face],
    cut: Cut,
    poses: _Poses,
    progress: Callable[[int], None],
) -> None:
    """Write the faces that can be used, in order; the file appears when it is whole."""
    with replacing(path) as temporary:
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for done, (face, picture) in enumerate(
                    zip(faces, cut(faces), strict=True), start=1
                ):
                    if isinstance(picture, Surroundings):  # else _left_out gives the reason
                        record = example(face, picture, *poses.of(face))
                        # Otherwise the order of the features differs from process to process.
                        writer.write(record.SerializeToString(deterministic=True))
                        progress(done)
        except tf.errors.OpError as error:
            reason = error.message.rpartition("; ")[2]  # before it: the temporary file's name
            raise DatasetError(f"{path}: cannot be written: {reason}") from error


def _left_out(faces: Sequence[Face], kept: Sequence[Face], window: _Window) -> list[Problem]:
    """The faces of a shard that it does not hold, each with the reason found by trying again."""
    names = {face.name for face in kept}
    problems = []
    for face in faces:
        if face.name not in names:
            try:
                surroundings(face, *window)
                reason = "could not be read when its shard was written"
            except DatasetError as error:
                reason = str(error).removeprefix(f"{face.picture.name}: ")
            except OSError as error:
                reason = f"cannot be read: {error.strerror}"
            problems.append(Problem(face.name, reason))
    return problems


def _shifted(progress: Progress | None, done: int, total: int) -> Callable[[int], None]:
    def report(count: int) -> None:
        if progress is not None:
            progress(done + count, total)

    return report
