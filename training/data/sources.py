"""Which faces a run trains on and which it is validated on: never those of a test set.

What is trained on is no measure of accuracy, nor is what the best epoch was chosen by.
"""

import hashlib
import os
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.places import is_url
from asmnet_kit.datasets.base import Dataset, Face, FileSlice, Picture, chosen, picture_of
from asmnet_kit.datasets.face_table import CheckedPicture, FaceTable
from asmnet_kit.datasets.registry import (
    MEASURED_SPLIT,
    in_scheme,
    in_split,
    load_dataset,
    of_split,
    split_of_path,
    splits_of,
)
from asmnet_kit.datasets.remote import RemotePicture
from asmnet_kit.face.schemes import Scheme, scheme_of
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.people import PeopleStream
from asmnet_kit.training.data.sampling import clip_of
from asmnet_kit.training.data.teacher_labels import Teacher, relabel
from asmnet_kit.training.subset_options import subset_names


@dataclass(frozen=True, eq=False)
class Sources:
    """The faces of a run.

    Attributes:
        train: what is learnt.
        val: what the epochs are compared on. A picture is in both only where the data's own splits
            say so, which a warning tells.
        description: where ``val`` came from, for the terminal.
        label_weights: name of a training face -> float32 [N], what an error at each of its points
            counts; a face that is not in it counts 1 at each.
        stream: the people whose first ones ``train`` is, where they are drawn as the run goes.
    """

    train: Dataset
    val: Dataset
    description: str
    label_weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    stream: PeopleStream | None = None

    @property
    def epoch_faces(self) -> int:
        """Faces that a run without sampling weights shows in an epoch."""
        return len(self.train.faces) if self.stream is None else self.stream.faces_per_epoch


# What helps when there are too few pictures to hold some out, in the words of ``train``.
HOLD_OUT_ADVICE = "give --val-data, or another --val-share"


def choose_sources(
    config: TrainConfig, *, advice: str = HOLD_OUT_ADVICE, scheme: Scheme | None = None
) -> Sources:
    """Load the data sets that ``config`` names; its teacher improves the training labels.

    Trained on: ``split``; else the split ``train`` where there is one; else everything, if the
    folder has no splits at all. Validated on: ``val_data``; else the split ``val``; else pictures
    held out by ``seed``. With the format ``people``: on people of the seed, new ones in each epoch,
    and validated on ``val_data``, else on people whom no seed trains on.

    Args:
        advice: what the user may do about too few pictures to hold some out; commands differ.
        scheme: of the landmarks; None = the settings', else the data's own.

    Raises:
        UsageError: a split called test to train or validate on, or splits of which none is an
            obvious choice.
        DatasetError: a data set or the teacher cannot be used.
    """
    sources = _chosen_faces(config, advice, scheme or config.landmark_scheme())
    if not config.teacher:
        return sources
    teacher = Teacher.load(Path(config.teacher))
    if conventions := config.teacher_conventions():
        teacher = _calibrated(teacher, sources.train, conventions)
    taught = relabel(
        sources.train,
        teacher,
        shares=config.teacher_shares(),
        fill_weight=config.fill_weight,
    )
    stderr().print(
        f"Teacher: averaged into the labels of {taught.averaged} of {len(taught.dataset.faces)} "
        f"faces, {taught.filled} missing points filled in"
    )
    return replace(sources, train=taught.dataset, label_weights=taught.weights)


def _calibrated(teacher: Teacher, train: Dataset, conventions: Mapping[str, str]) -> Teacher:
    """The teacher in the labels' conventions, and a line about what that changed."""
    better = teacher.calibrated(train, conventions)
    changes = [
        f"{subset} {teacher.nme_percent(train, subset):.2f} -> "
        f"{better.nme_percent(train, subset):.2f} %"
        for subset in conventions
    ]
    stderr().print(f"Teacher calibrated; its distance from the labels: {', '.join(changes)}")
    return better


def _chosen_faces(config: TrainConfig, advice: str, scheme: Scheme | None) -> Sources:
    if config.draws_people:
        sources = _people(config, scheme)
        _tell_copies(sources)
        return sources
    data = _place(config.data)
    if MEASURED_SPLIT in (config.split, split_of_path(data)):
        raise UsageError(
            f"{data}: training on a test split is refused, since its NME would say nothing "
            "afterwards: train on another split or folder"
        )
    splits = splits_of(data, config.format, scheme=scheme)
    split = config.split or _training_split(data, splits)
    whole = load_dataset(data, config.format, points=config.points or None, scheme=scheme)
    if split and not config.split:
        _tell_unsplit(whole.faces)

    def part(split: str | None) -> Dataset:
        faces = whole.faces if split is None else of_split(whole.faces, split, data)
        read = replace(whole, faces=faces)
        return in_scheme(read, scheme) if config.scheme and scheme is not None else read

    train = part(split)
    told: set[str] = set()
    if config.val_data:
        val = _validation_folder(config, train.scheme)
        _refuse_shared(train, val)
        sources = Sources(train, val, config.val_data)
    elif split not in (None, "val") and "val" in splits:
        sources = Sources(train, part("val"), "the split val")
        told = _tell_shared_with_val(sources)
    else:
        sources = hold_out(
            train,
            share=config.val_share,
            seed=config.seed,
            clips=subset_names(config.clips),
            advice=advice,
        )
    if split and MEASURED_SPLIT in splits:
        used = [train.faces] if config.val_data else [train.faces, sources.val.faces]
        _tell_shared_with_test(in_split(whole.faces, MEASURED_SPLIT), used)
    _tell_copies(sources, told)
    return sources


def _people(config: TrainConfig, scheme: Scheme | None) -> Sources:
    """People that are drawn as the run goes, and people or a folder to validate on."""
    config.check_people()
    stream = PeopleStream.of(config, seed=config.seed)
    points = scheme_of(stream.sitting.points)
    if scheme not in (None, points):
        raise UsageError(f"people are drawn with 68 or 98 landmarks, got --scheme {config.scheme}")
    if config.val_data:  # first: it takes no time to be refused
        val, source = _validation_folder(config, points), config.val_data
    else:
        val = stream.to_validate_on(config.people_to_validate_on)
        source = f"{len(val.faces)} people that no run is trained on"
    return Sources(stream.known(), val, source, stream=stream)


def _validation_folder(config: TrainConfig, scheme: Scheme) -> Dataset:
    """The faces of ``val_data``: its split ``val``, where it has one."""
    folder, format = _place(config.val_data), config.val_format or config.format
    has_val = "val" in splits_of(folder, format, scheme=scheme)
    val = load_dataset(folder, format, split="val" if has_val else None, scheme=scheme)
    val = _like(scheme, val, folder, config)
    _refuse_test(val, folder)
    return val


def _place(text: str) -> Path | str:
    """Where a data set is: a folder, or an address on a server."""
    return text if is_url(text) else Path(text)


def _like(scheme: Scheme, val: Dataset, folder: Path | str, config: TrainConfig) -> Dataset:
    """Faces to validate on with the landmarks of those trained on; mapped where ``--scheme`` asks.

    Raises:
        UsageError: they have others.
    """
    if config.scheme:
        return in_scheme(val, scheme)
    if val.scheme != scheme:
        raise UsageError(
            f"{folder}: asked for {scheme.points} landmarks, format {val.format} has "
            f"{val.scheme.points} here; --scheme {scheme.name} would map them"
        )
    return val


def _refuse_test(val: Dataset, folder: Path | str) -> None:
    """Refuse to choose the best epoch by faces that accuracy is measured on afterwards.

    Raises:
        UsageError: there are some.
    """
    # Read from a folder below its split's, as DATA/test/SET, a face is in no split.
    of_folder = split_of_path(folder)
    if isinstance(val.faces, FaceTable):
        splits = [of_folder] * len(val.faces.of_split(None))
        splits += [MEASURED_SPLIT] * len(val.faces.of_split(MEASURED_SPLIT))
    else:
        splits = [face.split or of_folder for face in val.faces]
    held_back = splits.count(MEASURED_SPLIT)
    if held_back:
        raise UsageError(
            f"--val-data {folder}: {held_back} of its {len(val.faces)} faces are a test split. "
            "Validating on them is refused, since the best epoch is chosen by them and their NME "
            "would say nothing afterwards: name a folder or split of other faces, or leave "
            "--val-data out (pictures are then held out)"
        )


def _refuse_shared(train: Dataset, val: Dataset) -> None:
    """Refuse pictures that are trained on and validated on.

    Raises:
        UsageError: naming one.
    """
    tables = any(isinstance(side.faces, FaceTable) for side in (train, val))
    # Millions of faces need not be looked at one by one where their files are others.
    if tables and _shards_of(train.faces).isdisjoint(_shards_of(val.faces)):
        return
    trained = {_file_of(face) for face in train.faces}
    shared = [face for face in val.faces if _file_of(face) in trained]
    if shared:
        raise UsageError(
            f"--val-data: {len(shared)} of its {len(val.faces)} faces are trained on, "
            f"{shared[0].name} among them: leave it out (pictures are then held out), or name "
            "another folder"
        )


def _tell_unsplit(faces: Sequence[Face]) -> None:
    """Say how many faces are not used since they are in no split, where others are in one."""
    unsplit = len(in_split(faces, None))
    if unsplit:
        stderr().print(
            f"{unsplit} of the {len(faces)} faces are in no split and are not used: give each a "
            "split (train, val, test), or none of them",
            markup=False,
        )


def _shared(faces: Sequence[Face], *others: Sequence[Face]) -> list[str]:
    """The names of ``faces`` whose pictures others of the same data set are in, too."""
    pictures = {picture_of(name) for name in _names(faces)}
    both = {
        picture
        for other in others
        for name in _names(other)
        if (picture := picture_of(name)) in pictures
    }
    return [name for name in _names(faces) if picture_of(name) in both] if both else []


def _names(faces: Sequence[Face]) -> Iterator[str]:
    if isinstance(faces, FaceTable):
        return faces.iterate_names()
    return (face.name for face in faces)


def _tell_shared_with_val(sources: Sources) -> set[str]:
    """Warn of pictures with faces in the splits that are trained and validated on: those faces."""
    faces = sources.val.faces
    if shared := _shared(faces, sources.train.faces):
        _warn(
            f"{len(shared)} of the {len(faces)} faces validated on are in pictures that are "
            f"trained on, {picture_of(shared[0])} among them: the validation NME looks better than "
            "it is; asmnet-kit data inspect lists them",
        )
    return set(shared)


def _tell_shared_with_test(faces: Sequence[Face], used: Sequence[Sequence[Face]]) -> None:
    """Warn of pictures that are trained or validated on, with ``faces`` in the split test.

    Args:
        used: to train and validate on, of the same data set.
    """
    if shared := _shared(faces, *used):
        _warn(
            f"{len(shared)} of the {len(faces)} faces of the split {MEASURED_SPLIT} are in "
            f"pictures that this run uses, {picture_of(shared[0])} among them: evaluate "
            "measures them too well afterwards; asmnet-kit data inspect lists them",
        )


def _warn(message: str) -> None:
    stderr().print(f"warning: {message}", markup=False, style="yellow")


def _tell_copies(sources: Sources, told: Collection[str] = ()) -> None:
    """Warn of pictures that are validated on and trained on under another name.

    Only files of one size can be the same, so few are read.

    Args:
        told: faces to validate on whose pictures are trained on under the same name.
    """
    trained_faces, val_faces = _perhaps_copies(sources.train.faces, sources.val.faces)
    trained = _by_size(trained_faces)
    copies = []
    for size, places in _by_size(val_faces).items():
        if size in trained:
            alike = chosen(trained_faces, trained[size])
            digests = {_digest(face): face.name for face in alike}
            copies += [
                (face.name, digests[digest])
                for face in chosen(val_faces, places)
                if face.name not in told and (digest := _digest(face)) in digests and digest
            ]
    if copies:
        _warn(
            f"{len(copies)} of the {len(sources.val.faces)} pictures validated on are "
            f"trained on under another name, {copies[0][0]} as {copies[0][1]}: the validation NME "
            "looks better than it is; asmnet-kit data inspect lists them",
        )


def _perhaps_copies(
    train: Sequence[Face], val: Sequence[Face]
) -> tuple[Sequence[Face], Sequence[Face]]:
    """Those that can be copies, where tables of labels say it: no picture need be read then."""
    if not isinstance(train, FaceTable) and not isinstance(val, FaceTable):
        return train, val
    keys = _picture_keys(train), _picture_keys(val)
    shared = np.intersect1d(*keys)
    return (
        chosen(train, np.isin(keys[0], shared)),
        chosen(val, np.isin(keys[1], shared)),
    )


def _picture_keys(faces: Sequence[Face]) -> NDArray[np.uint64]:
    """``FaceTable.picture_keys`` of any faces; 0 of a picture that cannot be read."""
    if isinstance(faces, FaceTable):
        return faces.picture_keys()
    return np.array([_key(face) for face in faces], np.uint64)


def _key(face: Face) -> int:
    try:
        content = face.picture.read_encoded()
    except (OSError, DatasetError):
        return 0  # what reads it says so
    return len(content) << 32 | zlib.crc32(content)


def _by_size(faces: Sequence[Face]) -> dict[int, list[int]]:
    """The places of the faces whose pictures have a size, in bytes."""
    found: dict[int, list[int]] = {}
    for place, face in enumerate(faces):
        with suppress(OSError):
            found.setdefault(face.picture.size_bytes(), []).append(place)
    return found


def _digest(face: Face) -> bytes:
    try:
        return hashlib.sha256(face.picture.read_encoded()).digest()
    except (OSError, DatasetError):
        return b""  # what reads it says so


def _file_of(face: Face) -> tuple[str, int]:
    """The picture of a face, however its folder was named: its file, and where in a shard it is."""
    shard = _place_in_shard(face.picture)
    return (os.path.realpath(face.picture.name), 0) if shard is None else shard


def _place_in_shard(picture: Picture) -> tuple[str, int] | None:
    """The shard that a picture is in, and where; None of a picture in a file of its own."""
    if isinstance(picture, RemotePicture):
        return picture.store.place(picture.shard), picture.offset
    if isinstance(picture, CheckedPicture):
        picture = picture.source
    if isinstance(picture, FileSlice):
        return os.path.realpath(picture.path), picture.offset
    return None


def _shards_of(faces: Sequence[Face]) -> set[str]:
    """The shards in which pictures of these faces are."""
    if isinstance(faces, FaceTable):
        return faces.shard_places()
    return {place[0] for face in faces if (place := _place_in_shard(face.picture))}


def _training_split(data: Path | str, splits: Sequence[str]) -> str | None:
    if not splits or "train" in splits:
        return "train" if splits else None
    raise UsageError(
        f"{data}: expected a split called train, found {', '.join(splits)}: choose one with --split"
    )


def hold_out(
    dataset: Dataset,
    *,
    share: float,
    seed: int,
    clips: Sequence[str] = (),
    advice: str = HOLD_OUT_ADVICE,
) -> Sources:
    """Take a share of the *pictures* away for validation.

    All faces of one picture, pictures made from one photograph and frames of one clip stay on one
    side.

    Args:
        clips: subsets of clips; see ``sampling.sampling_of``.

    Raises:
        UsageError: too few pictures for both sides.
    """
    faces = dataset.faces
    if isinstance(faces, FaceTable) and not clips:
        taken = [photograph_named(name, dataset.origins) for name in faces.iterate_names()]
    else:
        taken = [clip_of(face, clips) or photograph_of(face, dataset.origins) for face in faces]
    photographs = sorted(set(taken))
    held = round(share * len(photographs))
    if held < 1 or held == len(photographs):
        raise UsageError(
            f"expected enough pictures to hold {share:.0%} out for validation, got "
            f"{len(photographs)}: {advice}"
        )
    drawn = np.random.default_rng(seed).permutation(len(photographs))[:held]
    val = {photographs[index] for index in drawn}
    is_held = np.fromiter((photograph in val for photograph in taken), np.bool_, len(taken))
    return Sources(
        replace(dataset, faces=chosen(faces, ~is_held)),
        replace(dataset, faces=chosen(faces, is_held)),
        f"{held} of {len(photographs)} pictures, held out by the seed",
    )


def photograph_of(face: Face, origins: Collection[str]) -> str:
    """``photograph_named`` of a face."""
    return photograph_named(face.name, origins)


def photograph_named(face_name: str, origins: Collection[str]) -> str:
    """What a picture was made from: its name without ``#2`` (second face) and ``_mirror``.

    300W-LP turns one photograph into ``NAME_0.jpg`` ... ``NAME_17.jpg``, so there the number goes
    too, and ``_Flip`` folders hold the mirrored ones.

    Args:
        origins: ``Dataset.origins``.
    """
    name = re.sub(r"_mirror(?=\.\w+$)", "", picture_of(face_name))
    if "300w_lp" in origins:
        name = re.sub(r"_\d+(?=\.\w+$)", "", name).replace("_Flip", "")
    return name
