"""The one way to load a data set of any format."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from asmnet_kit.base.console import counted, stderr
from asmnet_kit.base.errors import DatasetError, KitError, UsageError
from asmnet_kit.base.places import is_url
from asmnet_kit.base.plugins import fault
from asmnet_kit.datasets.base import Dataset, Face, Problem, by_name, where
from asmnet_kit.datasets.face_table import FaceTable
from asmnet_kit.datasets.folders import (
    SPLIT_FOLDERS,
    Reading,
    ancestors_of,
    require_folder,
    split_named,
    walk,
)
from asmnet_kit.datasets.formats import FORMATS
from asmnet_kit.datasets.read_shards import open_labels
from asmnet_kit.datasets.stored_faces import FaceList
from asmnet_kit.datasets.synthetic import drawn_for
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_of

PREPARED = "records"  # shards, whose pictures are cut out of the original ones
MAX_BAD_SHARE = 0.05
MEASURED_SPLIT = "test"  # what accuracy is measured on by default
DRAWN = ("68", "98")  # schemes that come together in formats that have both
SHOWN_PROBLEMS = 5  # in an error message; ``data inspect`` lists them all


def load_dataset(
    path: Path | str,
    format: str,
    *,
    split: str | None = None,
    subset: str | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    points: int | None = None,
    scheme: Scheme | None = None,
) -> Dataset:
    """The faces of a data set, in the order of their names.

    Annotation files are validated, pictures only looked for; decoding may still fail later. Where
    the labels leave open what scheme they are of, a line on stderr says which was taken; another
    one tells labels that were left out because newer ones are there.

    Args:
        path: the folder, at any level; of ``records`` also an address on a server, as text.
        format: a name in ``formats.FORMATS``.
        split: only this split ("train"); None = all faces.
        subset: only this subset ("common").
        max_bad_share: of unusable files among all; more is an error. 1 accepts any number, even
            when no face is left, as long as it is known how many points one has.
        points: 68 or 98 for a format that has both (synthetic); elsewhere it must be what the
            data has.
        scheme: what the landmarks are, where nothing in the data says it and there are as many;
            synthetic faces come with it where it follows from their 68 or 98. ``in_scheme`` maps
            others.

    Raises:
        UsageError: unknown format, split, subset or number of points, or points of no known
            scheme.
        DatasetError: nothing found, or too many bad files; the message lists the first few.
    """
    path = path if is_url(path) else Path(path)
    if format == PREPARED and (opened := open_labels(path)) is not None:
        return _by_table(opened, path, split, subset, points)
    if isinstance(path, str):
        raise UsageError(
            f"{path}: only --format {PREPARED} is read from a server, got {format}: run data "
            "prepare and put its folder there"
        )
    reading = _read(path, format, points, scheme)
    # Without a face nothing says how many points there are, where the format itself does not.
    if not reading.faces and not (reading.points and reading.problems and max_bad_share >= 1):
        raise DatasetError(_nothing_found(path, format, reading.problems))
    bad, total = len(reading.problems), len(reading.problems) + len(reading.faces)
    if bad > max_bad_share * total:
        raise DatasetError(
            f"{path}: {bad} of {total} faces are unusable, more than {max_bad_share:.0%}:"
            f"{first_problems(reading.problems)}"
        )
    found = _scheme_of(reading, format, scheme)
    for note in reading.notes:
        stderr().print(f"{Path(path).resolve().name}: {note}", markup=False)
    if reading.guess and found != scheme:
        stderr().print(
            f"{Path(path).resolve().name}: {reading.guess}. Points of another scheme: --scheme "
            "NAME|FILE (docs/schemes.md)",
            markup=False,
        )
    faces = by_name(reading.faces)
    if split is not None:
        faces = of_split(faces, split, path)
    return Dataset(
        name=Path(path).resolve().name,
        format=format,
        scheme=found,
        faces=faces if subset is None else _of_subset(faces, subset, path, split),
        problems=tuple(reading.problems),
        origins=tuple(sorted(reading.origins)) or (format,),
    )


def _by_table(
    opened: tuple[FaceTable, Scheme, str],
    path: Path | str,
    split: str | None,
    subset: str | None,
    points: int | None,
) -> Dataset:
    """Prepared faces by their table of labels; see ``load_dataset``."""
    faces, scheme, origin = opened
    if points not in (None, scheme.points):
        raise UsageError(
            f"{path}: asked for {points} landmarks, format {PREPARED} has {scheme.points} here"
        )
    if split is not None:
        faces = of_split(faces, split, path)
    if subset is not None:
        chosen = faces.of_subset(subset)
        if not len(chosen):
            raise UsageError(
                f"{path}: no subset {subset!r}; {_available(faces.subsets, 'subsets')}"
            )
        faces = chosen
    name = path.rstrip("/").rpartition("/")[2] if isinstance(path, str) else path.resolve().name
    return Dataset(name, PREPARED, scheme, faces, origins=(origin,))


def load_for_model(
    path: Path, format: str, *, model_scheme: Scheme, split: str | None = None
) -> Dataset:
    """The faces of a data set, with the landmarks of a model where the data has several kinds.

    Args:
        model_scheme: landmarks of the model. Data with as many points and no scheme of its own has
            these; synthetic faces come with 68 and 98; elsewhere another number is the data's to
            say, and what uses both refuses or maps it.
        split: only this split; None = all faces.

    Raises:
        UsageError, DatasetError: as ``load_dataset``.
    """
    return load_dataset(path, format, split=split, scheme=model_scheme)


def in_scheme(dataset: Dataset, scheme: Scheme) -> Dataset:
    """The faces with another scheme's landmarks, by the map of their own.

    A face of which fewer than two points are left is a problem of the result.

    Raises:
        UsageError: there is no map.
    """
    if dataset.scheme == scheme:
        return dataset
    faces, problems = FaceList(), list(dataset.problems)
    for face in dataset.faces:
        try:
            faces.append(face.in_scheme(dataset.scheme, scheme))
        except DatasetError as error:
            problems.append(Problem(face.name, str(error)))
    return replace(dataset, scheme=scheme, faces=faces[:], problems=tuple(problems))


def load_to_measure(
    path: Path,
    format: str,
    *,
    model_scheme: Scheme,
    split: str | None = None,
    subset: str | None = None,
    compared: Scheme | None = None,
) -> tuple[Dataset, str | None]:
    """The faces that a model's accuracy is measured on, and the split they are.

    Where the data has splits, but not ``test``, a line on stderr says what is measured on instead.

    Args:
        model_scheme: as for ``load_for_model``.
        split: None = the split ``test`` where the data has one, else every face. A subset does not
            change that: what has no face in the test split may have been trained on.
        compared: what model and data are compared in. Where it is a scheme of one's own and the
            model's is a built-in one, data with as many points and no scheme of its own has these.

    Raises:
        UsageError, DatasetError: as ``load_dataset``.
    """
    dataset = _load_to_compare(path, format, model_scheme, compared, split)
    faces = dataset.faces
    if split is None:
        held_back = where(faces, lambda face: face.split == MEASURED_SPLIT)
        if held_back:
            faces, split = held_back, MEASURED_SPLIT
    if subset is not None:
        faces = _of_subset(faces, subset, path, split)
    present = {face.split for face in faces if face.split is not None} if split is None else ()
    if present:
        stderr().print(
            f"{dataset.name}: no split {MEASURED_SPLIT!r}: measured on all {len(faces)} faces "
            f"({_available(present, 'splits')})",
            markup=False,
        )
    return replace(dataset, faces=faces), split


def _load_to_compare(
    path: Path, format: str, model_scheme: Scheme, compared: Scheme | None, split: str | None
) -> Dataset:
    # Readers know the built-in schemes by themselves; one of somebody's own they must be given.
    if compared is None or compared.built_in or not model_scheme.built_in:
        return load_for_model(path, format, model_scheme=model_scheme, split=split)
    if compared.points != model_scheme.points:
        # Data that can be read as the model's keeps the box around all of the points.
        try:
            dataset = load_for_model(path, format, model_scheme=model_scheme, split=split)
        except KitError:
            return load_for_model(path, format, model_scheme=compared, split=split)
        if dataset.scheme.leads_to(compared):
            return dataset
    return load_for_model(path, format, model_scheme=compared, split=split)


@overload
def of_split(faces: FaceTable, split: str, path: Path | str) -> FaceTable: ...


@overload
def of_split(faces: Sequence[Face], split: str, path: Path | str) -> Sequence[Face]: ...


def of_split(faces: Sequence[Face], split: str, path: Path | str) -> Sequence[Face]:
    """Those of ``faces``, which were read at ``path``, that are in a split.

    Raises:
        UsageError: there are none.
    """
    members = in_split(faces, split)
    if not members:
        named = faces.splits if isinstance(faces, FaceTable) else [face.split for face in faces]
        present = {name for name in named if name is not None}
        raise UsageError(f"{path}: no split {split!r}; {_available(present, 'splits')}")
    return members


def in_split(faces: Sequence[Face], split: str | None) -> Sequence[Face]:
    """Those of ``faces`` that are in a split, or in none; may be empty."""
    if isinstance(faces, FaceTable):
        return faces.of_split(split)
    return where(faces, lambda face: face.split == split)


def _of_subset(faces: Sequence[Face], subset: str, path: Path, split: str | None) -> Sequence[Face]:
    members = where(faces, lambda face: subset in face.subsets)
    if not members:
        present = {name for face in faces for name in face.subsets}
        of = f" in its split {split!r}; choose another with --split" if split else ""
        raise UsageError(f"{path}: no subset {subset!r}{of}; {_available(present, 'subsets')}")
    return members


def splits_of(path: Path | str, format: str, *, scheme: Scheme | None = None) -> tuple[str, ...]:
    """The splits that the faces at ``path`` belong to, train, val and test first; may be empty.

    Args:
        scheme: as for ``load_dataset``.

    Raises:
        UsageError: unknown format.
        DatasetError: the folder cannot be read.
    """
    place = path if is_url(path) else Path(path)
    if format == PREPARED and (opened := open_labels(place)) is not None:
        return _usual_first(set(opened[0].splits))
    path = Path(path)
    module = FORMATS.load(format)
    if hasattr(module, "split_of_folder"):  # then the files themselves need not be read
        require_folder(path)
        ancestors = ancestors_of(path)
        splits = {
            module.split_of_folder(ancestors, listing.parts)
            for listing in walk(path, [])  # reading the faces says what cannot be listed
            if any(file.lower().endswith(module.SUFFIX) for file in listing.files)
        }
    else:
        splits = {face.split for face in _read(path, format, None, scheme).faces}
    return _usual_first({split for split in splits if split is not None})


def _usual_first(found: set[str]) -> tuple[str, ...]:
    usual = ("train", "val", "test")
    return (*(name for name in usual if name in found), *sorted(found - set(usual)))


def split_of_path(path: Path | str) -> str | None:
    """The split that a folder is or lies in, for refusing what test faces must not be used for.

    It is the folder's own name, else that of a folder above which stands beside another split's:
    "test" for ``DATA/test``, and for ``DATA/test/ytf`` where there is a ``DATA/train``. A folder
    above that stands alone, as ``/home/test``, is whoever's. Readers never look above the folder
    they are given (``ancestors_of``).
    """
    path = Path(path).resolve()
    if (own := split_named(ancestors_of(path))) is not None:
        return own
    for folder in path.parents:
        split = SPLIT_FOLDERS.get(folder.name.lower())
        if split is not None and any(
            (folder.parent / name).is_dir()
            for name, other in SPLIT_FOLDERS.items()
            if other != split
        ):
            return split
    return None


def has_both_schemes(format: str) -> bool:
    """Whether data of a format has 68 and 98 landmarks, so that ``points`` chooses.

    Raises:
        UsageError: unknown format.
    """
    return _takes(format, "points")


def _takes(format: str, parameter: str) -> bool:
    return parameter in inspect.signature(FORMATS.load(format).read).parameters


def _scheme_of(reading: Reading, format: str, asked: Scheme | None) -> Scheme:
    """What a reading's points are: what the data says, else ``asked``, else a built-in scheme."""
    if reading.scheme is not None:
        return reading.scheme
    open_to_say = _takes(format, "scheme") or str(reading.points) not in BUILT_IN
    if asked is not None and asked.points == reading.points and open_to_say:
        return asked
    return scheme_of(reading.points)


def _read(path: Path, format: str, points: int | None, scheme: Scheme | None) -> Reading:
    if points is not None and str(points) not in DRAWN:
        raise UsageError(
            f"expected {' or '.join(DRAWN)} as a number of landmarks, got {points}: name another "
            "scheme with --scheme"
        )
    choice: dict[str, Any] = {}
    if has_both_schemes(format):
        says_points = scheme is not None and scheme.name in DRAWN
        if scheme is not None and points is None and (says_points or not _takes(format, "scheme")):
            drawn = drawn_for(scheme)
            points = None if drawn is None else drawn.points
        choice["points"] = points
    if _takes(format, "scheme"):
        choice["scheme"] = scheme
    package = FORMATS.package(format)
    read = FORMATS.load(format).read
    if package is None:
        reading: Reading = read(path, **choice)
    else:
        reading = _read_by(package, format, read, path, choice)
    if points not in (None, reading.points):
        raise UsageError(
            f"{path}: asked for {points} landmarks, format {format} has {reading.points} here"
        )
    return reading


def _read_by(package: str, format: str, read: Any, path: Path, choice: dict[str, Any]) -> Reading:
    """What another package's reader finds, refused with the package's name where it is wrong.

    Raises:
        DatasetError: the reader fails, or gives anything but faces as the kit's readers do.
    """
    whose = f"{path}: the reader of format {format}, from the package {package},"
    try:
        reading = read(path, **choice)
    except (KitError, OSError):
        raise
    except Exception as error:
        raise DatasetError(f"{whose} failed ({fault(error)}): report it to {package}") from error
    if wrong := _wrong_in(reading):
        raise DatasetError(f"{whose} {wrong}: report it to {package}")
    assert isinstance(reading, Reading)
    return reading


def _wrong_in(reading: Any) -> str | None:
    """Why a reader's answer cannot be used; None where it can."""
    if not isinstance(reading, Reading):
        return f"should return a Reading, got {type(reading).__name__}"
    names = set()
    for face in reading.faces:
        if not isinstance(face, Face):
            return f"should give faces of type Face, got {type(face).__name__}"
        landmarks = np.asarray(face.landmarks)
        if landmarks.shape != (reading.points, 2) or landmarks.dtype != np.float32:
            return (
                f"should give landmarks float32 [{reading.points}, 2], got {landmarks.dtype} "
                f"{list(landmarks.shape)} for {face.name}"
            )
        if face.name in names:
            return f"should give every face a name of its own, got {face.name} twice"
        names.add(face.name)
    return None


def _nothing_found(path: Path, format: str, problems: list[Problem]) -> str:
    if problems:
        bad = counted(len(problems), "bad file")
        return f"{path}: no usable face, {bad}:{first_problems(problems)}"
    return f"{path}: no faces of format {format} below this folder; is the format right?"


def first_problems(problems: Sequence[Problem]) -> str:
    """The first few problems, one an indented line each, for the end of an error message."""
    lines = [f"\n  {problem.name}: {problem.reason}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"\n  ... and {len(problems) - SHOWN_PROBLEMS} more (data inspect lists them)")
    return "".join(lines)


def _available(names: Iterable[str], what: str) -> str:
    return f"its {what}: {', '.join(sorted(names))}" if names else f"it has no {what}"
