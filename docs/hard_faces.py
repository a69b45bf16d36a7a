"""Draws docs/uncertainty_hard_faces.jpg: hard faces, marked by a former model and by today's.

Usage: make docs-hard-faces

The kit draws the people itself, of a seed that no training saw. Which twelve are shown depends on
the seed and on the rules of ``hard_ones`` alone, three faces by each rule; boxes are those of the
labelled landmarks. Points of which a model is unsure are rings. The errors of the figure, and of
all the people that it was chosen from, are printed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.files import write_bytes
from asmnet_kit.face.crop import landmark_box
from asmnet_kit.face.pictures import Image, encode_jpeg
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.people.render import Person, people
from asmnet_kit.predict.draw import draw_faces
from asmnet_kit.predict.picture import FacePrediction, predict_face
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.shipping.shipped import model_named

TARGET = Path(__file__).with_name("uncertainty_hard_faces.jpg")
BEFORE, AFTER = "asmnet_nano_synthetic", "asmnet_plus_people"
SEED, COUNT, SIDE = 91, 300, 224  # of the people; pixels of each picture
EACH = 3  # faces by each rule
HEADING = 26  # pixels above a row
LABEL = (58, 20)  # pixels, dark corner with a face's error
JPEG_QUALITY = 74
WHITE, BLACK = (255, 255, 255), (16, 16, 16)


@dataclass(frozen=True, eq=False)
class Marked:
    """A person with what the two models see, ``before`` and ``after``."""

    person: Person
    before: FacePrediction
    after: FacePrediction

    def error(self, face: FacePrediction) -> float:
        """Mean distance from the labels, percent of the longer side of the box around them.

        The distance between the eyes, the usual measure, is next to nothing in a profile.
        """
        labels = self.person.landmarks68
        side = float(np.ptp(self.box.reshape(2, 2), axis=0).max())
        return float(100 * np.linalg.norm(face.landmarks - labels, axis=1).mean() / side)

    @property
    def box(self) -> NDArray[np.float32]:
        """float32 [4] around the labelled landmarks, pixels."""
        return landmark_box(self.person.landmarks68)

    @property
    def brightness(self) -> float:
        """Mean of the picture inside the box, 0..255."""
        x0, y0, x1, y1 = self.box.round().astype(int).clip(0, SIDE)
        return float(self.person.image[y0:y1, x0:x1].mean())

    @property
    def hardness(self) -> dict[str, float]:
        """By rule: how hard the face is, larger is harder."""
        return {
            "turned furthest": abs(float(self.person.pose[0])),
            "darkest": -self.brightness,
            "most covered by hair or things": float(self.person.occluded68.sum()),
            f"largest error of {BEFORE}": self.error(self.before),
        }


def hard_ones(hardness: Sequence[dict[str, float]], each: int = EACH) -> dict[str, list[int]]:
    """The ``each`` hardest faces by every rule, as indices; none twice, earlier rules come first.

    The last rule alone looks at a model: faces that one got most wrong look better with any other,
    so its row flatters the later model.
    """
    chosen: dict[str, list[int]] = {}
    for rule in hardness[0]:
        free = set(range(len(hardness))) - {i for taken in chosen.values() for i in taken}
        chosen[rule] = sorted(free, key=lambda i: (-hardness[i][rule], i))[:each]
    return chosen


def marked_people() -> list[Marked]:
    """The people of the seed, each seen by both models."""
    before, after = (TflitePredictor(model_named(name).path) for name in (BEFORE, AFTER))
    marked = []
    for person in people(COUNT, seed=SEED, size=SIDE):
        box = landmark_box(person.landmarks68)
        seen = [predict_face(person.image, model, box, None, None) for model in (before, after)]
        marked.append(Marked(person, *seen))
    return marked


def sheet(marked: Sequence[Marked], chosen: dict[str, list[int]]) -> Image:
    """A row for each rule: a heading, then of each face the former marks and today's."""
    rows = []
    for rule, indices in chosen.items():
        tiles = [
            tile(marked[i], face) for i in indices for face in (marked[i].before, marked[i].after)
        ]
        heading = np.full((HEADING, SIDE * len(tiles), 3), WHITE, np.uint8)
        write(heading, f"{rule}: before, after", (6, HEADING - 8), BLACK)
        rows += [heading, np.concatenate(tiles, axis=1)]
    return np.concatenate(rows)


def tile(marked: Marked, face: FacePrediction) -> Image:
    """One face with its marks and its error, uint8 [SIDE, SIDE, 3], a white line at its right."""
    scheme = SCHEME_68
    picture = draw_faces(marked.person.image, [replace(face, pose=None)], scheme, factor=1)
    picture[-LABEL[1] :, : LABEL[0]] = BLACK
    write(picture, f"{marked.error(face):.1f} %", (4, SIDE - 5), WHITE)
    picture[:, -2:] = WHITE
    return picture


def write(picture: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Text into a picture, ``corner`` at its bottom left."""
    cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


def main() -> None:
    """Draw the figure and print what is in it."""
    marked = marked_people()
    chosen = hard_ones([face.hardness for face in marked])
    picture = sheet(marked, chosen)
    write_bytes(TARGET, encode_jpeg(picture, name=TARGET.name, quality=JPEG_QUALITY))
    for rule, indices in {**chosen, f"all {COUNT}": range(COUNT)}.items():
        faces = [marked[i] for i in indices]
        before, after = (
            np.mean([f.error(getattr(f, w)) for f in faces]) for w in ("before", "after")
        )
        print(f"{rule}: {before:.2f} -> {after:.2f} % of the box's longer side")
    print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    main()
