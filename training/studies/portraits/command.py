"""Turns photographs that one may use freely into training data with 68 and 98 landmarks.

Usage: make people-portraits ARGS="--pictures DIR --out OUT"

    OUT/labels68.csv, OUT/labels98.csv   two tables of the same pictures, for --format csv; column
                                         subset: portraits (as they are), turned (made from them)
    OUT/pictures/                        the pictures of the tables

1. MediaPipe's face mesh (Apache-2.0) is taken from its npm package, checked by hash.
2. The map from its 468 vertices to the landmarks is learnt on rendered people alone.
3. The largest face that the kit's detector finds is labelled by the mesh and the map, in the
   picture and in its mirror image. With --student the mean of this and of what that model sees
   counts, mirrored and in several crops. Where the two images or the two labellers disagree, the
   picture is left out.
4. --turned pictures are made of the labelled ones, by turning them in depth and reshaping them.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base import console
from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import is_unused, make_folder, write_text
from asmnet_kit.cli import KitCommand
from asmnet_kit.face.crop import Window, landmark_box
from asmnet_kit.face.pictures import Image, read_image
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.measure.photo_labels import agreed_landmarks
from asmnet_kit.people.labels import IN_68, JAW, OF_98
from asmnet_kit.predict.detector import detect_faces
from asmnet_kit.predict.inputs import photographs_in
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.training.studies.portraits.face_mesh import FaceMesh, fetch
from asmnet_kit.training.studies.portraits.mesh_map import COUNTS, MeshMap, learn
from asmnet_kit.training.studies.portraits.turning import (
    Labelled,
    turned_pictures,
    write_picture,
)

Array = NDArray[np.float64]

CACHE = Path("build/people")
MAX_APART = 4.5  # percent of the eye distance: of mirror images, and of mesh and student
SIDE = 224  # pixels: largest of a written portrait
SURROUNDINGS = 2.0  # side of a written portrait, of the landmark box's longer side
FOLDER = "pictures"


@click.command(cls=KitCommand)
@click.option("--pictures", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--student", type=click.Path(path_type=Path, exists=True), help="A 68-point model.")
@click.option("--people", default=1600, show_default=True, help="That the map is learnt on.")
@click.option("--turned", "count", default=10000, show_default=True, help="Pictures to make.")
@click.option("--seed", default=5, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default=CACHE, show_default=True)
def main(
    pictures: Path, out: Path, student: Path | None, people: int, count: int, seed: int, cache: Path
) -> None:
    """Label portraits and turn them."""
    if not is_unused(out):
        raise UsageError(f"{out}: expected an empty or new folder; choose another --out")
    model = fetch(cache)
    click.echo(f"learning the map on {people} rendered people", err=True)
    to_landmarks = learn(model, count=people)
    make_folder(out / FOLDER)
    predictor = open_predictor(student) if student else None
    kept = list(_labelled(pictures, out, FaceMesh(model), to_landmarks, predictor))
    if not kept:
        raise DatasetError(f"{pictures}: no face in it could be labelled")
    turned = turned_pictures(kept, out / FOLDER, count, seed=seed)
    rows = [(face.file.name, face.landmarks, "portraits") for face in kept]
    rows += [(name, landmarks, "turned") for name, landmarks in turned]
    for points in COUNTS:
        write_text(out / f"labels{points}.csv", _table(rows, points))
    click.echo(f"{len(kept)} portraits and {len(turned)} turned ones in {out}", err=True)


def _labelled(
    folder: Path, out: Path, mesh_of: FaceMesh, to_landmarks: MeshMap, student: Predictor | None
) -> Iterator[Labelled]:
    """The faces that are kept, each written with its surroundings."""
    photographs = photographs_in(folder, [])
    with console.counting("Portraits") as on_progress:
        for number, path in enumerate(photographs):
            on_progress(number + 1, len(photographs))
            try:
                image = read_image(path, upright=True)
            except DatasetError as error:
                click.echo(f"left out: {error}", err=True)
                continue
            for found in detect_faces(image)[:1]:
                mesh, mirrored = mesh_of.both_ways(image, found.box)
                landmarks, apart = to_landmarks.of_both(mesh, mirrored)
                if student is not None:
                    landmarks, further = _with(student, landmarks, image, str(path))
                    apart = max(apart, further)
                box = landmark_box(landmarks[68].astype(np.float32))
                height, width = image.shape[:2]
                if apart > MAX_APART or box.min() < 0 or (box[2:] > [width - 1, height - 1]).any():
                    continue
                window = Window.cut(image, box, scale=SURROUNDINGS, size=SIDE)
                file = out / FOLDER / f"portrait_{number:06d}.jpg"
                write_picture(file, window.image)
                yield Labelled(
                    file,
                    np.c_[window.inside(mesh[:, :2]), mesh[:, 2] * np.mean(window.shrink)],
                    {
                        n: window.inside(points).astype(np.float64)
                        for n, points in landmarks.items()
                    },
                )


def _with(
    student: Predictor, landmarks: dict[int, Array], image: Image, name: str
) -> tuple[dict[int, Array], float]:
    """The mean of the mesh's landmarks and a model's, and how far apart they are, in percent of the
    eye distance. The 98 move as those that they share with the 68; jaw points between two such as
    their mean; the others stay."""
    box = landmark_box(landmarks[68].astype(np.float32))
    seen, _ = agreed_landmarks(image, box, [student], name=name)
    half = (seen - landmarks[68]) / 2
    left, right = student.scheme.outer_eye_corners
    eyes = np.linalg.norm(landmarks[68][left] - landmarks[68][right])
    moved = np.zeros_like(landmarks[98])
    moved[OF_98] = half[IN_68]
    moved[1 : JAW - 1 : 2] = (moved[0 : JAW - 2 : 2] + moved[2:JAW:2]) / 2
    apart = 100 * float(np.linalg.norm(2 * half, axis=1).mean() / eyes)
    return {68: landmarks[68] + half, 98: landmarks[98] + moved}, apart


def _table(rows: list[tuple[str, dict[int, Array], str]], points: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{axis}{number}" for number in range(points) for axis in "xy"]
    writer.writerow(("file", *columns, "subset", "split"))
    for name, landmarks, subset in rows:
        values = (f"{value:.3f}" for value in landmarks[points].ravel())
        writer.writerow((f"{FOLDER}/{name}", *values, subset, "train"))
    return text.getvalue()


if __name__ == "__main__":
    main()
