"""The pictures of rendered people: small enough for a page, and what their words say."""

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from scripts import load_script

from asmnet_kit.people.render import draw, people
from asmnet_kit.shipping.shipped import ShippedModel, shipped_models

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    """docs/pictures.py, which is a script of no package."""
    return load_script("docs/pictures.py")


@pytest.mark.parametrize(("name", "limit"), [("people.jpg", 200_000), ("people_own.jpg", 200_000)])
def test_the_sheets_are_as_large_as_the_script_draws_them(pictures, name, limit) -> None:
    assert (DOCS / name).stat().st_size <= limit
    rows = pictures.COUNT // pictures.COLUMNS
    shape = (rows * pictures.SIDE, pictures.COLUMNS * pictures.SIDE, 3)
    assert cv2.imread(str(DOCS / name)).shape == shape


@pytest.mark.skipif(not hasattr(cv2, "imreadanimation"), reason="OpenCV 4.11 reads animations")
def test_the_film_has_its_length_and_fits_a_page(pictures) -> None:
    assert (DOCS / "film.webp").stat().st_size <= 2_000_000
    whole, animation = cv2.imreadanimation(str(DOCS / "film.webp"))
    assert whole
    assert len(animation.frames) == pictures.FILM_SECONDS * pictures.FILM_FPS
    width = pictures.FILM_SIDE * len(pictures.FILM_PEOPLE)
    assert animation.frames[0].shape[:2] == (pictures.FILM_SIDE, width)


def test_own_pictures_change_what_is_seen_and_no_point(pictures, tmp_path: Path) -> None:
    own = pictures.own_data(tmp_path)
    plain, mine = ([*people(2, seed=pictures.SEED, size=64, **kind)] for kind in ({}, {"own": own}))
    for one, other in zip(plain, mine, strict=True):
        np.testing.assert_array_equal(one.landmarks68, other.landmarks68)
    assert any(np.any(one.image != other.image) for one, other in zip(plain, mine, strict=True))


def test_a_hidden_point_has_another_colour(pictures) -> None:
    person = draw(pictures.SEED, 5, 128)  # in profile
    picture = pictures.marked(person)
    hidden = np.flatnonzero(person.self_occluded68 & ~person.occluded68)
    seen = np.flatnonzero(~person.self_occluded68 & ~person.occluded68)
    assert len(hidden) and len(seen)
    for point, colour in ((hidden[0], pictures.BY_HEAD), (seen[0], pictures.SEEN)):
        x, y = np.round(person.landmarks68[point]).astype(int)
        assert np.abs(picture[y, x].astype(int) - colour).max() < 90


@pytest.mark.parametrize("model", shipped_models(), ids=lambda model: model.name)
def test_the_zoo_has_a_picture_of_every_model(model: ShippedModel) -> None:
    zoo = load_script("docs/zoo.py")
    picture = zoo.PICTURES / f"{model.name}.jpg"
    assert picture.stat().st_size <= 60_000
    assert cv2.imread(str(picture)).shape == (zoo.SIDE, zoo.COUNT * zoo.SIDE, 3)


def test_the_phone_apps_pictures_are_there_and_small() -> None:
    shown = load_script("docs/android_pictures.py")
    text = (DOCS / "android.md").read_text(encoding="utf-8")
    for name in shown.PICTURES:
        assert f'src="{name}"' in text
        assert (DOCS / name).stat().st_size <= 150_000
        assert max(cv2.imread(str(DOCS / name)).shape) <= shown.LONGEST
