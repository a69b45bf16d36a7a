"""Draws the pictures of rendered people for README and docs/people.md.

Usage: make docs-pictures

``people.jpg``: people with their exact points. ``people_own.jpg``: the same with own skins, objects
and backgrounds, which are made here. ``film.webp``: a film of turning heads, followed by the
default model through the detector and the tracker, as ``asmnet-kit predict film.mp4`` does; unsure
points are rings.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.files import temporary_folder, write_bytes
from asmnet_kit.face.pictures import Image, encode_jpeg
from asmnet_kit.people.own import OwnData, Pictures
from asmnet_kit.people.render import Person, draw, people
from asmnet_kit.people.skin_template import skin_names, write_template
from asmnet_kit.predict.draw import draw_faces
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.predict.tracking import FaceTracker
from asmnet_kit.shipping.shipped import default_model

DOCS = Path(__file__).parent
SEED, COUNT, SIDE, COLUMNS = 24, 16, 200, 8  # of the sheets; pixels of each picture
SEEN, BY_HEAD, BY_THING = (80, 255, 80), (70, 120, 255), (255, 60, 60)
JPEG_QUALITY = 80
BLUE, YELLOW = (40, 70, 190), (240, 200, 70)

FILM_SEED, FILM_PEOPLE = 24, (0, 9, 7)
FILM_SIDE, FILM_SECONDS, FILM_FPS, WEBP_QUALITY = 256, 12, 8, 55
ENLARGED = 2  # for drawing: finer lines
# Whole turns in the film's length, so that it can run in a loop without a jump.
YAW, PITCH, ROLL = (48.0, 2), (14.0, 3), (8.0, 1)  # degrees, periods


def marked(person: Person) -> Image:
    """A person with the 68 points: seen, hidden by the head, hidden by hair or a thing."""
    picture = person.image.copy()
    flags = zip(person.landmarks68, person.self_occluded68, person.occluded68, strict=True)
    for point, by_head, by_thing in flags:
        colour = BY_THING if by_thing else BY_HEAD if by_head else SEEN
        x, y = np.round(point * 16).astype(int)
        cv2.circle(picture, (int(x), int(y)), 24, colour, -1, cv2.LINE_AA, 4)
    return picture


def sheet(drawn: Sequence[Person]) -> Image:
    """Rows of COLUMNS people."""
    tiles = [marked(person) for person in drawn]
    rows = [tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def own_data(folder: Path) -> OwnData:
    """Face paint, a leaf, a microphone and a brick wall, written as a user's files would be."""
    write_template(folder, skin_names()[0])
    for name in ("objects", "rooms"):
        (folder / name).mkdir()
    skin = folder / "skins" / "skin.png"
    _write(skin, _painted(cv2.cvtColor(cv2.imread(str(skin)), cv2.COLOR_BGR2RGB)))
    _write(folder / "objects" / "leaf.png", _leaf())
    _write(folder / "objects" / "microphone.png", _microphone())
    _write(folder / "rooms" / "wall.png", _wall())
    return OwnData(
        skins=Pictures.below(folder / "skins", "skins", 0.75),
        occluders=Pictures.below(folder / "objects", "occluders", 0.75),
        backgrounds=Pictures.below(folder / "rooms", "backgrounds", 0.75),
    )


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    cv2.imwrite(str(path), cv2.cvtColor(picture, order))


def _painted(skin: Image) -> Image:
    """Two stripes down each half of the face, which lies on its side in the layout."""
    painted = skin.copy()
    side = len(skin)
    face = slice(int(0.75 * side), int(0.97 * side))  # forehead to chin
    for top, colour in ((0.445, BLUE), (0.480, YELLOW), (0.545, YELLOW), (0.580, BLUE)):
        painted[int(top * side) : int((top + 0.013) * side), face] = colour
    return painted


def _leaf() -> NDArray[np.uint8]:
    leaf = np.zeros((120, 240, 4), np.uint8)
    cv2.ellipse(leaf, (120, 60), (112, 50), 0, 0, 360, (60, 170, 60, 255), -1, cv2.LINE_AA)
    cv2.line(leaf, (8, 60), (232, 60), (30, 110, 30, 255), 4, cv2.LINE_AA)
    for x in range(40, 210, 28):
        for y in (22, 98):
            cv2.line(leaf, (x, 60), (x + 22, y), (30, 110, 30, 255), 2, cv2.LINE_AA)
    return leaf


def _microphone() -> NDArray[np.uint8]:
    microphone = np.zeros((260, 110, 4), np.uint8)
    cv2.rectangle(microphone, (42, 90), (68, 255), (40, 40, 44, 255), -1)
    cv2.circle(microphone, (55, 55), 50, (90, 90, 96, 255), -1, cv2.LINE_AA)
    for offset in range(-40, 41, 16):
        half = int((50**2 - offset**2) ** 0.5) - 3
        cv2.line(microphone, (55 - half, 55 + offset), (55 + half, 55 + offset), (60, 60, 64, 255))
        cv2.line(microphone, (55 + offset, 55 - half), (55 + offset, 55 + half), (60, 60, 64, 255))
    return microphone


def _wall() -> Image:
    wall = np.full((512, 512, 3), (206, 200, 190), np.uint8)
    rng = np.random.default_rng(0)
    for row, y in enumerate(range(0, 512, 64)):
        for x in range(-64 * (row % 2), 512, 128):
            red = int(rng.integers(140, 185))
            cv2.rectangle(wall, (x + 4, y + 4), (x + 123, y + 59), (red, red // 2, red // 2), -1)
    return wall


def frames() -> Iterator[tuple[float, Image]]:
    """(seconds, RGB) of a film: people side by side, each turning the head in its own time."""
    count = FILM_SECONDS * FILM_FPS
    for number in range(count):
        tiles = []
        for place, index in enumerate(FILM_PEOPLE):
            at = number / count + place / len(FILM_PEOPLE)
            angles = [size * np.sin(2 * np.pi * turns * at) for size, turns in (YAW, PITCH, ROLL)]
            person = draw(
                FILM_SEED, index, FILM_SIDE, pose=np.array(angles), without=("film", "things")
            )
            tiles.append(person.image)
        yield number / FILM_FPS, np.concatenate(tiles, axis=1)


def film() -> bytes:
    """The film with what the default model sees, as an animated WebP."""
    predictor = open_predictor(default_model().path)
    tracker = FaceTracker(predictor)
    drawn = []
    for seconds, frame in frames():
        faces = [tracked.face for tracked in tracker.update(frame, seconds)]
        large = draw_faces(frame, faces, predictor.scheme, factor=ENLARGED)
        size = (frame.shape[1], frame.shape[0])
        drawn.append(cv2.resize(large, size, interpolation=cv2.INTER_AREA))
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in drawn]
    animation.durations = [1000 // FILM_FPS] * len(drawn)
    whole, encoded = cv2.imencodeanimation(
        ".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY]
    )
    if not whole:
        raise OSError("this OpenCV writes no animated WebP")
    return bytes(encoded)


def main() -> None:
    """Draw all of them."""
    of_kit = sheet([*people(COUNT, seed=SEED, size=SIDE)])
    _save("people.jpg", encode_jpeg(of_kit, name="people.jpg", quality=JPEG_QUALITY))
    with temporary_folder() as folder:
        mine = sheet([*people(COUNT, seed=SEED, size=SIDE, own=own_data(folder))])
    _save("people_own.jpg", encode_jpeg(mine, name="people_own.jpg", quality=JPEG_QUALITY))
    _save("film.webp", film())


def _save(name: str, content: bytes) -> None:
    write_bytes(DOCS / name, content)
    print(f"wrote docs/{name}, {len(content) // 1000} kB")


if __name__ == "__main__":
    main()
