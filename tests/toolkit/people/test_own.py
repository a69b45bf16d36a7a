"""What users bring to rendered people, by the commands that they type."""

import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.commands.people_options import OWN, REALISM
from asmnet_kit.datasets import write_synthetic
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.people import own, render
from asmnet_kit.people.camera_settings import DEFAULT_CAMERA, CameraSettings, read_camera
from asmnet_kit.people.own import OwnData, Pictures
from asmnet_kit.people.render import SEGMENTS, people
from wording import OTHER_ARGUMENTS, TRUNCATED_JPEG

GREEN, TRANSPARENT = (40, 200, 40), (0, 0, 0, 0)
DOCS = Path(__file__).parents[3] / "docs" / "people.md"


def synthesize(out, *options, count=3):
    command = ["data", "synthesize", "--kind", "people", "--count", count, "--size", 48]
    command += ["--seed", 5, "--workers", 1, "--out", out, *options]
    return CliRunner().invoke(main, [str(word) for word in command])


def made(out, *options, count=3):
    """The files of a folder that ``synthesize`` made: relative name -> bytes."""
    result = synthesize(out, *options, count=count)
    assert result.exit_code == 0, result.output
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*.*")}


def options_of(out):
    return json.loads((out / "dataset.json").read_text())["arguments"]["options"]


def pictures_of(files):
    return {name: content for name, content in files.items() if name.endswith(".jpg")}


def labels_of(files):
    return {name: content for name, content in files.items() if ".pts" in name or ".csv" in name}


def write_picture(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(
        str(path), np.asarray(image, np.uint8)[..., [2, 1, 0, *range(3, len(image[0, 0]))]]
    )
    return path.parent


def plain(colour, size=64):
    return np.full((size, size, len(colour)), colour, np.uint8)


def cut_out(colour=(200, 30, 30, 255), size=40):
    """A square with a transparent border."""
    image = plain(TRANSPARENT, size)
    image[4:-4, 4:-4] = colour
    return image


def far_behind(person):
    """Where the background is, away from the person's edge: bool [S, S]."""
    behind = (person.mask == SEGMENTS["background"]).astype(np.uint8)
    return cv2.erode(behind, np.ones((5, 5))).astype(bool)


@pytest.fixture
def skins(tmp_path):
    return write_picture(tmp_path / "skins" / "green.png", plain(GREEN))


@pytest.fixture
def occluders(tmp_path):
    return write_picture(tmp_path / "occluders" / "box.png", cut_out())


@pytest.fixture
def backgrounds(tmp_path):
    return write_picture(tmp_path / "backgrounds" / "wall.jpg", plain((20, 20, 220)))


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What is drawn without any option."""
    return made(tmp_path_factory.mktemp("usual") / "people")


# --- skins, occluders, backgrounds --------------------------------------------------------------


def test_what_no_picture_has_changes_no_picture(tmp_path, usual, skins, occluders, backgrounds):
    shares = (word for kind in OWN for word in (f"--{kind}-share", 0))
    brought = ("--skins", skins, "--occluders", occluders, "--backgrounds", backgrounds)
    files = made(tmp_path / "out", *brought, *shares)
    assert pictures_of(files) == pictures_of(usual)
    assert set(options_of(tmp_path / "out")) == set(OWN)


@pytest.mark.parametrize("kind", OWN)
def test_own_pictures_change_what_is_seen_and_no_label(kind, tmp_path, usual, request):
    folder = request.getfixturevalue(kind)
    files = made(tmp_path / "out", f"--{kind}", folder, f"--{kind}-share", 1)
    assert labels_of(files) == labels_of(usual)
    for name, content in pictures_of(files).items():
        assert content != usual[name]
    said = options_of(tmp_path / "out")[kind]
    assert (said["share"], said["pictures"]) == (1.0, 1)
    assert re.fullmatch("[0-9a-f]{64}", said["sha256"])


def test_an_own_skin_is_on_the_face(skins):
    """A camera without film shows its colour; lips and cheeks of the kit's are laid over it."""
    everything_else = set(render.REALISM) - {"texture"}
    brought = OwnData(skins=Pictures.below(skins, "skins", 1.0))
    for person in people(4, seed=2, size=64, masks=True, without=everything_else, own=brought):
        red, green, blue = person.image[person.mask == SEGMENTS["skin"]].mean(axis=0)
        assert green > 1.2 * max(red, blue)


def test_a_share_is_a_share(skins):
    drawn = [Pictures.below(skins, "skins", 0.3).drawn(1, index) for index in range(2000)]
    assert abs(np.mean([found is not None for found in drawn]) - 0.3) < 0.04  # 4 deviations


def test_points_under_an_occluder_are_occluded_and_others_as_before(occluders):
    brought = OwnData(occluders=Pictures.below(occluders, "occluders", 1.0))
    without = {"things", "hair"}  # nothing else hides a point
    hidden = 0
    for person in people(8, seed=4, size=96, masks=True, without=without, own=brought):
        for points, occluded in (
            (person.landmarks68, person.occluded68),
            (person.landmarks98, person.occluded98),
        ):
            column, row = np.rint(points).astype(int).T
            inside = (np.minimum(column, row) >= 0) & (np.maximum(column, row) < 96)
            assert not occluded[~inside].any()
            thing = person.mask == SEGMENTS["thing"]
            deep = cv2.erode(thing.astype(np.uint8), np.ones((3, 3))).astype(bool)
            near = cv2.dilate(thing.astype(np.uint8), np.ones((3, 3))).astype(bool)
            at = row[inside], column[inside]
            assert occluded[inside][deep[at]].all()  # also where the head itself hides it
            assert not occluded[inside][~near[at]].any()
        hidden += int(person.occluded68.sum())
    assert hidden > 20


def test_written_marks_tell_of_points_under_an_own_occluder(tmp_path, occluders):
    files = made(tmp_path / "out", "--occluders", occluders, "--occluders-share", 1)
    brought = OwnData(occluders=Pictures.below(occluders, "occluders", 1.0))
    hidden = {}
    for own_data in (brought, OwnData()):
        hidden[own_data] = [
            person.self_occluded98 | person.occluded98
            for person in people(3, seed=5, size=48, own=own_data)
        ]
    for index, expected in enumerate(hidden[brought]):
        marks = json.loads(files[f"train/face_{index:06d}.vis.json"])["98"]
        assert [mark != "v" for mark in marks] == expected.tolist()
    assert np.sum(hidden[brought]) > np.sum(hidden[OwnData()])


def test_an_occluders_clear_parts_hide_nothing(tmp_path):
    glass = cut_out((200, 200, 255, 100))
    glass[18:22, 18:22, 3] = 255
    folder = write_picture(tmp_path / "o" / "glass.png", glass)
    brought = OwnData(occluders=Pictures.below(folder, "occluders", 1.0))
    without = {"things", "hair"}
    for person, alone in zip(
        people(3, seed=4, size=64, masks=True, without=without, own=brought),
        people(3, seed=4, size=64, masks=True, without=without),
        strict=True,
    ):
        assert person.occluded98.sum() < 12  # of the opaque spot: at most 4 of 4 x 4 pixels
        assert (person.image != alone.image).any()


def test_an_own_background_is_behind_people(backgrounds):
    brought = OwnData(backgrounds=Pictures.below(backgrounds, "backgrounds", 1.0))
    for person in people(3, seed=4, size=64, masks=True, without={"film"}, own=brought):
        behind = cv2.erode(
            (person.mask == SEGMENTS["background"]).astype(np.uint8), np.ones((5, 5))
        )
        red, green, blue = person.image[behind.astype(bool)].mean(axis=0)
        assert blue > 2 * max(red, green)


def test_large_upright_and_sixteen_bit_pictures_are_taken(tmp_path):
    large = write_picture(tmp_path / "s" / "large.jpg", plain(GREEN, 700))
    ((_, digest),) = Pictures.below(large, "skins", 1.0).files
    assert own._prepared("skins", large / "large.jpg", digest).shape == (512, 512, 3)
    deep = np.zeros((30, 20, 4), np.uint16)
    deep[5:15, 5:15] = 65535
    (tmp_path / "o").mkdir()
    cv2.imwrite(str(tmp_path / "o" / "deep.png"), deep)
    ((_, digest),) = Pictures.below(tmp_path / "o", "occluders", 1.0).files
    cut = own._prepared("occluders", tmp_path / "o" / "deep.png", digest)
    assert cut.shape == (10, 10, 4)  # without its margin
    assert (cut == 1).all()


# --- the folder that is written -----------------------------------------------------------------


def test_the_same_files_give_the_same_pictures_on_any_number_of_workers(
    tmp_path, occluders, skins, monkeypatch
):
    monkeypatch.setattr(write_synthetic, "CHUNK", 1)  # or one worker would draw all three
    brought = ("--occluders", occluders, "--skins", skins, "--without", "light")
    one = made(tmp_path / "one", *brought)
    assert one == made(tmp_path / "two", *brought, "--workers", 2)


def test_names_and_copies_of_the_files_do_not_matter(tmp_path, usual):
    first, second = tmp_path / "first", tmp_path / "second"
    for name, colour in (("a", GREEN), ("b", (200, 40, 40))):
        write_picture(first / f"{name}.png", plain(colour))
        write_picture(second / "below" / f"{'zy'['ab'.index(name)]}.png", plain(colour))
    write_picture(second / "copy.png", plain((200, 40, 40)))
    (second / "README.txt").write_text("not a picture")
    one = made(tmp_path / "one", "--skins", first, "--skins-share", 1)
    assert one == made(tmp_path / "two", "--skins", second, "--skins-share", 1)
    assert pictures_of(one) != pictures_of(usual)


def test_a_folder_is_continued_with_the_same_files_only(tmp_path, skins):
    out = tmp_path / "out"
    whole = made(out, "--skins", skins)
    (out / "train" / "face_000001.jpg").unlink()
    assert made(out, "--skins", skins) == whole
    camera = tmp_path / "camera.toml"
    camera.write_text("noise = [[0.1, 0.2]]")
    others = [(), ("--skins", skins, "--skins-share", 0.9), ("--skins", skins, "--camera", camera)]
    others.append(("--skins", skins, "--without", "hair"))
    for other in others:
        refused = synthesize(out, *other)
        assert refused.exit_code == 2
        assert OTHER_ARGUMENTS in refused.stderr
    write_picture(skins / "green.png", plain((0, 0, 255)))
    assert synthesize(out, "--skins", skins).exit_code == 2
    assert {file: (out / file).read_bytes() for file in whole} == whole


def test_folders_of_earlier_versions_are_continued(tmp_path, usual):
    out = tmp_path / "out"
    made(out)
    description = out / "dataset.json"
    content = json.loads(description.read_text())
    del content["arguments"]["options"]  # did not exist
    description.write_text(json.dumps({**content, "complete": False}))
    (out / "train" / "face_000000.jpg").unlink()
    assert made(out) == usual


def test_a_file_that_changes_while_people_are_drawn_stops_it(tmp_path, skins):
    brought = OwnData(skins=Pictures.below(skins, "skins", 1.0))
    own._prepared.cache_clear()
    write_picture(skins / "green.png", plain((1, 2, 3)))
    with pytest.raises(DatasetError, match="changed while people were drawn"):
        next(people(1, seed=0, size=48, own=brought))


BAD_PICTURES = {
    "text": ("skins", "a.png", b"not a picture", "OpenCV can read"),
    "an empty file": ("backgrounds", "a.png", b"", "0 bytes"),
    "a truncated JPEG": (
        "backgrounds",
        "a.jpg",
        cv2.imencode(".jpg", plain(GREEN))[1].tobytes()[:-40],
        TRUNCATED_JPEG,
    ),
    "an oblong skin": (
        "skins",
        "a.png",
        cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes(),
        "expected a square skin in MakeHuman's layout, got 30 x 20 pixels",
    ),
    "an occluder without alpha": (
        "occluders",
        "a.png",
        cv2.imencode(".png", plain(GREEN))[1].tobytes(),
        "expected a picture with transparency",
    ),
    "a transparent occluder": (
        "occluders",
        "a.png",
        cv2.imencode(".png", plain(TRANSPARENT))[1].tobytes(),
        "expected something opaque",
    ),
    "an opaque occluder": (
        "occluders",
        "a.png",
        cv2.imencode(".png", plain((9, 9, 9, 255)))[1].tobytes(),
        "expected an object cut out",
    ),
    "no picture": ("occluders", "a.txt", b"hello", "found none"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_picture_that_cannot_be_used_is_named_before_anything_is_written(case, tmp_path):
    kind, name, content, words = BAD_PICTURES[case]
    folder = tmp_path / "brought"
    folder.mkdir()
    (folder / name).write_bytes(content)
    result = synthesize(tmp_path / "out", f"--{kind}", folder)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert words in result.stderr
    assert str(folder) in result.stderr
    assert not (tmp_path / "out").exists()


# --- the camera ---------------------------------------------------------------------------------


def as_toml(settings):
    return "\n".join(
        f"{name} = {json.dumps(value)}" for name, value in dataclasses.asdict(settings).items()
    )


def test_the_default_camera_in_a_file_draws_the_usual_pictures(tmp_path, usual):
    camera = tmp_path / "camera.toml"
    camera.write_text(as_toml(DEFAULT_CAMERA))
    assert made(tmp_path / "out", "--camera", camera) == usual
    camera.write_text("# nothing")
    assert made(tmp_path / "other", "--camera", camera) == usual


def test_a_camera_does_what_its_file_says(tmp_path):
    camera = tmp_path / "camera.toml"
    camera.write_text(
        "face = [0.3, 0.32]\ngrey_share = 1\ninfrared_share = 0\nfaded_share = 0\n"
        "noise = [[0, 0]]\nnight_share = 0\n"  # noise has colours
    )
    made(tmp_path / "out", "--camera", camera, count=6)
    assert options_of(tmp_path / "out")["camera"]["face"] == [0.3, 0.32]
    for picture in (tmp_path / "out").rglob("*.jpg"):
        image = cv2.imread(str(picture)).astype(int)
        assert np.ptp(image, axis=2).max() <= 2  # grey, but for what JPEG makes of it
    for face in load_dataset(tmp_path / "out", "synthetic").faces:
        # The table of offsets and the visible contour move points after the face was framed.
        assert 0.25 < np.ptp(face.landmarks, axis=0).max() / 48 < 0.4


def test_every_setting_is_used():
    """Its extreme draws other pictures than the default camera."""
    always = {"lens_share", "night_share", "infrared_share", "grey_share", "faded_share"}
    always |= {"contrast_share", "low_resolution_share", "blur_share", "motion_share", "jpeg_share"}
    shares = dataclasses.replace(
        DEFAULT_CAMERA,
        **{**dict.fromkeys(always, 1.0), "infrared_share": 0.0, "faded_share": 0.0},
    )
    extremes = {
        "distance_m": (10.0, 10.0), "face": (0.3, 0.3), "lens": (0.1, 0.1), "exposure": (2.0, 2.0),
        "night_exposure": (1.0, 1.0), "cast": 0.0, "gamma": (1.0, 1.0), "contrast": (2.0, 2.0),
        "low_resolution": (1.0, 1.0), "blur_px": (4.0, 4.0), "motion": (0.2, 0.2),
        "noise": ((0.3, 0.3),), "night_noise": (0.2, 0.2), "jpeg_quality": (1, 1),
        "infrared_share": 0.999, "grey_share": 0.0, "faded_share": 0.5,
    }  # fmt: skip
    extremes |= dict.fromkeys(always - set(extremes), 0.0)
    assert set(extremes) == {setting.name for setting in dataclasses.fields(CameraSettings)}

    def picture(settings):
        return next(people(1, seed=9, size=48, own=OwnData(camera=settings))).image

    usual = picture(shares)
    for name, value in extremes.items():
        if name == "cast":  # in a grey picture nobody sees it
            first = dataclasses.replace(shares, grey_share=0.0)
            assert (picture(dataclasses.replace(first, cast=0.3)) != picture(first)).any()
        elif name == "faded_share":
            first = dataclasses.replace(shares, grey_share=0.0)
            assert (picture(dataclasses.replace(first, faded_share=1.0)) != picture(first)).any()
        else:
            assert (picture(dataclasses.replace(shares, **{name: value})) != usual).any(), name


BAD_CAMERAS = {
    "distances = [1, 2]": "got 'distances'",
    "distance_m = 1.0": "distance_m: expected [low, high], two numbers from 0.25 to 50; got 1.0",
    "distance_m = [0.1, 1]": "two numbers from 0.25 to 50",
    "distance_m = [2, 1]": "the lower one first",
    "distance_m = [1, 2, 3]": "[low, high]",
    "distance_m = [nan, 1]": "two numbers",
    "night_share = 1.5": "night_share: expected a number from 0 to 1; got 1.5",
    "night_share = true": "expected a number",
    "night_share = 'often'": "expected a number",
    "jpeg_quality = [30.5, 90]": "two whole numbers from 1 to 100",
    "noise = [0, 0.1]": "expected [low, high]",
    "noise = []": "expected ranges [[low, high], ...]",
    "grey_share = 0.95": "sum to at most 1",
    "face = [0.5": "not TOML",
}


@pytest.mark.parametrize("text", BAD_CAMERAS)
def test_a_bad_camera_is_refused_before_anything_is_written(text, tmp_path):
    camera = tmp_path / "camera.toml"
    camera.write_text(text)
    result = synthesize(tmp_path / "out", "--camera", camera)
    assert result.exit_code == 2, result.output
    assert str(camera) in result.stderr
    assert BAD_CAMERAS[text] in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_documents_camera_can_be_read_and_its_table_has_every_setting(tmp_path):
    text = DOCS.read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    camera = tmp_path / "camera.toml"
    camera.write_text(example)
    assert read_camera(camera) != DEFAULT_CAMERA
    for name, value in dataclasses.asdict(DEFAULT_CAMERA).items():
        row = next(
            line for line in text.splitlines() if line.startswith("|") and f"`{name}`" in line
        )
        assert f"`{json.dumps(value)}`" in row, name


# --- options ------------------------------------------------------------------------------------


def test_what_can_be_left_out_is_what_the_renderer_knows():
    assert tuple(render.REALISM) == REALISM
    assert tuple(OWN) == own.KINDS


def test_parts_of_the_realism_can_be_left_out(tmp_path, usual):
    files = made(tmp_path / "out", "--without", "film", "--without", "backdrop")
    assert options_of(tmp_path / "out") == {"without": ["backdrop", "film"]}
    assert labels_of(files) == labels_of(usual)
    for person in people(3, seed=5, size=48, without={"film", "backdrop"}, masks=True):
        assert np.ptp(person.image[far_behind(person)]) <= 1  # plain grey


@pytest.mark.parametrize(
    "options",
    [("--without", "hair"), ("--skins", "."), ("--skins-share", 1), ("--camera", ".")],
)
def test_these_options_are_for_people_alone(options, tmp_path):
    result = synthesize(tmp_path / "out", *options, "--kind", "drawn")
    assert result.exit_code == 2
    assert f"{options[0]}: only for --kind people" in result.stderr
    assert not (tmp_path / "out").exists()


def test_contradictory_and_incomplete_options_are_refused(tmp_path, skins):
    contradictory = synthesize(tmp_path / "out", "--skins", skins, "--without", "texture")
    assert contradictory.exit_code == 2
    assert "expected own skins or people without texture, not both" in contradictory.stderr
    incomplete = synthesize(tmp_path / "out", "--occluders-share", 1)
    assert incomplete.exit_code == 2
    assert "--occluders-share: needs --occluders" in incomplete.stderr
    missing = synthesize(tmp_path / "out", "--skins", tmp_path / "nowhere")
    assert missing.exit_code == 2
    assert "no such file or folder; expected a folder of skins" in missing.stderr
    a_file = synthesize(tmp_path / "out", "--skins", skins / "green.png")
    assert a_file.exit_code == 2
    assert "expected a folder of skins, found a file there" in a_file.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="not both"):
        brought = OwnData(camera=dataclasses.replace(DEFAULT_CAMERA, cast=0.0))
        people(1, seed=0, without={"film"}, own=brought)


# --- the template -------------------------------------------------------------------------------


def test_the_template_is_a_skin_to_start_from(tmp_path, usual):
    out = tmp_path / "template"
    command = ["data", "skin-template", "--out", str(out), "--skin", "old_asian_female/0"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    painted = CliRunner().invoke(main, command)  # a second call would replace the painted skin
    assert painted.exit_code == 2 and "may have been painted on" in painted.stderr
    lines = cv2.imread(str(out / "wireframe.png"), cv2.IMREAD_UNCHANGED)
    assert lines.shape == (2048, 2048, 4)
    assert 0.01 < (lines[..., 3] > 0).mean() < 0.5
    # Every landmark's place of the mesh is drawn on: the skin itself lies under the lines.
    ((_, digest),) = Pictures.below(out / "skins", "skins", 1.0).files
    skin = own._prepared("skins", out / "skins" / "skin.png", digest)
    packed = render.load().skins["old_asian_female/0"]
    assert np.abs(skin.astype(int) - packed).mean() < 2  # enlarged and made smaller again
    files = made(tmp_path / "out", "--skins", out / "skins", "--skins-share", 1)
    assert labels_of(files) == labels_of(usual)
    wrong = CliRunner().invoke(main, [*command[:-1], "green"])
    assert wrong.exit_code == 2
    assert "old_asian_female/0" in wrong.stderr
