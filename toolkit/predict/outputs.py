"""What becomes of the pictures that were predicted: lines of JSON, labels as CSV, drawings."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import (
    alone_in,
    make_folder,
    real_path,
    replacing,
    write_json,
)
from asmnet_kit.base.reading import read_json
from asmnet_kit.datasets.base import Face, PictureFile
from asmnet_kit.datasets.write_csv import CELL, CsvWriter, path_from
from asmnet_kit.face.orientation import StoredPicture
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.face.uncertainty import HIDDEN_BELOW
from asmnet_kit.predict.draw import draw_faces, write_picture
from asmnet_kit.predict.film import json_line
from asmnet_kit.predict.picture import (
    SCHEMA_VERSION,
    FacePrediction,
    PredictedPicture,
    about_model,
)

ABOUT = "drawings.json"  # in a folder of drawings: what predicted them (``about_model``)
DRAWN_SUFFIXES = (".png", ".jpg", ".jpeg")  # kept; a drawing of any other picture is a PNG


class Output(Protocol):
    """Where results go."""

    def check(self, path: Path) -> None:
        """Refuse a picture before it is predicted.

        Raises:
            DatasetError: its results have no place here.
            UsageError: nor have those of others like it.
        """
        ...

    def add(self, picture: PredictedPicture) -> None:
        """Take the results of a picture that was checked."""
        ...

    def leave_out(self, path: Path, reason: str) -> None:
        """Take note of a picture that cannot be used."""
        ...


@dataclass(frozen=True)
class Lines:
    """A line of JSON for each picture, written at once and whole.

    A line has the keys of ``predict --json`` and ``error``: null, or why a picture has no faces.
    """

    file: TextIO
    predictor: Predictor
    plausibility: Plausibility | None

    def check(self, path: Path) -> None:
        """Every picture has a line."""

    def add(self, picture: PredictedPicture) -> None:
        self._write(picture.to_json(self.predictor, self.plausibility), None)

    def leave_out(self, path: Path, reason: str) -> None:
        nothing = {
            "schema_version": SCHEMA_VERSION,
            "image": {"path": str(path), "width": None, "height": None},
            **about_model(self.predictor, self.plausibility),
            "faces": [],
        }
        self._write(nothing, reason)

    def _write(self, record: dict[str, Any], error: str | None) -> None:
        self.file.write(json_line({**record, "error": error}) + "\n")
        self.file.flush()


@dataclass
class Labels:
    """A row of a keypoint CSV for each face, in pixels of the stored picture, as labels are.

    Attributes:
        folder: the CSV's.
        turned: pictures with faces that are not stored upright.
    """

    file: TextIO
    folder: Path
    scheme: Scheme
    turned: int = 0
    _writer: CsvWriter | None = field(default=None, init=False)

    def check(self, path: Path) -> None:
        path_from(self.folder, path)

    def add(self, picture: PredictedPicture) -> None:
        height, width = picture.image.shape[:2]
        stored = StoredPicture(picture.orientation, width, height)
        name = path_from(self.folder, picture.path)
        self.turned += bool(picture.faces) and picture.orientation != 1
        for face in picture.faces:
            self._add_face(name, picture.path, face, stored)

    def leave_out(self, path: Path, reason: str) -> None:
        """It has no labels."""

    def finish(self) -> None:
        """Write the header where there was no face."""
        if self._writer is None:
            CsvWriter(self.file, self.scheme.points, marks=False)

    def _add_face(self, name: str, path: Path, face: FacePrediction, stored: StoredPicture) -> None:
        sigma, visible = face.sigma, face.visible
        if self._writer is None:  # what a model says of one face it says of all
            sigmas = () if sigma is None else (f"sigma{i}" for i in range(len(sigma)))
            self._writer = CsvWriter(
                self.file,
                self.scheme.points,
                marks=visible is not None,
                more=(*sigmas, "confidence"),
            )
        if visible is not None:
            visible = (visible >= HIDDEN_BELOW).astype(np.float32)
            visible = stored.of_each_point(visible, self.scheme)
        label = Face(
            name,
            PictureFile(path),
            stored.points(face.landmarks, self.scheme),
            pose=None if face.pose is None else stored.pose(face.pose),
            detector_box=stored.box(face.box),
            visibility=visible,
        )
        more = ["" if face.confidence is None else f"{face.confidence:.4f}"]
        if sigma is not None:
            of_stored = stored.of_each_point(sigma, self.scheme).tolist()
            more = [*(format(value, CELL) for value in of_stored), *more]
        self._writer.write(name, label, more)


@dataclass
class Drawings:
    """Each picture with its faces drawn upon it, in a folder like the one they came from.

    Attributes:
        folder: of the drawings; no other process writes there (``folder_of_drawings``).
        root: the folder of the pictures, absolute.
        about: what the folder says of the model (``about_model``).
    """

    folder: Path
    root: Path
    scheme: Scheme
    about: Mapping[str, Any]
    _taken: dict[Path, Path] = field(default_factory=dict, init=False)

    def check(self, path: Path) -> None:
        place = self.place_of(path)
        if real_path(place) == real_path(path):
            raise UsageError(f"--out would overwrite {path}: choose another folder")
        if self._taken.setdefault(place, path) != path:
            raise DatasetError(
                f"{path}: its drawing would take the place of that of {self._taken[place]}"
            )

    def add(self, picture: PredictedPicture) -> None:
        drawn = draw_faces(picture.image, picture.faces, self.scheme)
        if not (self.folder / ABOUT).exists():
            write_json(self.folder / ABOUT, self.about)
        write_picture(self.place_of(picture.path), drawn)

    def leave_out(self, path: Path, reason: str) -> None:
        """It has no drawing."""

    def place_of(self, path: Path) -> Path:
        """Where a picture's drawing goes: a.jpg keeps its name, a.webp becomes a.webp.png."""
        place = self.folder / Path(os.path.abspath(path)).relative_to(self.root)  # noqa: PTH100
        keeps = place.suffix.lower() in DRAWN_SUFFIXES
        return place if keeps else place.with_name(f"{place.name}.png")


@contextmanager
def folder_of_drawings(folder: Path, about: Mapping[str, Any]) -> Iterator[None]:
    """Make a folder for drawings, and keep other processes out of it while the block runs.

    A folder that this made and that is empty in the end is removed.

    Args:
        about: what predicts them (``about_model``): a folder holds drawings of one model, else
            nobody could tell which drawing is whose.

    Raises:
        UsageError: another process is writing there; it holds something else than drawings, which
            they might replace, or those of another model.
        OSError: it cannot be made or read.
    """
    is_new = not folder.exists()
    make_folder(folder)
    try:
        with alone_in(folder):
            _require_drawings(folder, about)
            yield
    finally:
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def _require_drawings(folder: Path, about: Mapping[str, Any]) -> None:
    """Raises: UsageError: the folder is not empty and not one of this model's drawings."""
    if all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if not (folder / ABOUT).exists():
        raise UsageError(
            f"{folder}: expected a new or empty folder, or one with drawings of an earlier call "
            f"(with a {ABOUT}): other pictures in it might be replaced"
        )
    try:
        found = read_json(folder / ABOUT)
    except ValueError as error:
        raise UsageError(f"{folder / ABOUT}: {error}; choose another folder") from error
    if found != about:
        model = found.get("model") if isinstance(found, dict) else None
        raise UsageError(
            f"{folder}: expected drawings of this call's model, {about['model']}, with the same "
            f"landmarks and shape model; its {ABOUT} tells of another ({model}): choose another "
            "folder, or delete this one"
        )


@contextmanager
def labels_into(path: Path, scheme: Scheme) -> Iterator[Labels]:
    """Labels of a CSV that appears whole or not at all."""
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        labels = Labels(file, path.parent, scheme)
        yield labels
        labels.finish()
