"""What an adapter file may say, and what is refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.adapters.adapter import built_in, read_adapter
from asmnet_kit.adapters.linear_map import LinearMap
from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.cli import main

GOOD = """
scheme = "5"
[input]
size = 64
colour = "RGB"
mean = 0
scale = 255
[crop]
scale = 1.5
[output]
points = 6
unit = "pixel"
origin = "corner"
[landmarks]
indices = [0, 1, 2, [3, 4], 5]
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes GOOD with some texts replaced."""

    def write(*changes: tuple[str, str]) -> Path:
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "own.toml"
        path.write_text(text)
        return path

    return write


def test_every_built_in_adapter_can_be_read() -> None:
    assert built_in() == ["mediapipe", "pfld", "pfld_rgb"]
    for name in built_in():
        adapter = read_adapter(name)
        assert adapter.name == name
        assert adapter.content["about"]


def test_the_mesh_points_of_mediapipe_are_as_symmetric_as_the_landmarks() -> None:
    """Every landmark is another point, and the middle of the face is its middle line."""
    adapter = read_adapter("mediapipe")
    first = adapter.choice[:, 0]
    assert len(adapter.choice) == 68
    assert first[[8, 27, 30, 33, 51, 57]].tolist() == [152, 168, 4, 2, 0, 17]
    outer = first[list(adapter.scheme.outer_eye_corners)]
    assert tuple(outer) == adapter.turn_by == (33, 263)


def test_points_are_chosen_and_pairs_are_averaged(write: Callable[..., Path]) -> None:
    adapter = read_adapter(write())
    output = np.arange(12, dtype=np.float32)[None] * 64 / 4  # points (0, 16), (32, 48), ...
    points = adapter.fractions(output)
    np.testing.assert_allclose(points[0, 0], [-0.5, -0.25])
    landmarks = adapter.landmarks(points)[0]
    np.testing.assert_allclose(landmarks[3], (points[0, 3] + points[0, 4]) / 2)
    np.testing.assert_allclose(landmarks[4], points[0, 5])


@pytest.mark.parametrize(
    ("unit", "origin", "value", "fraction"),
    [
        ("pixel", "corner", 48, 0.25),
        ("pixel", "first pixel", 47.5, 0.25),
        ("pixel", "centre", 16, 0.25),
        ("side", "corner", 0.75, 0.25),
        ("half side", "centre", 0.5, 0.25),
    ],
)
def test_every_unit_and_origin_becomes_fractions_from_the_centre(
    write: Callable[..., Path], unit: str, origin: str, value: float, fraction: float
) -> None:
    adapter = read_adapter(write(('"pixel"', f'"{unit}"'), ('"corner"', f'"{origin}"')))
    found = adapter.fractions(np.full((1, 12), value, np.float32))
    np.testing.assert_allclose(found, fraction, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("size = 64", "size = 0"), r"input.size: expected a whole number from 1 to 1024, got 0"),
        (("size = 64", "size = true"), r"input.size: expected a whole number .* got True"),
        (("size = 64", ""), r"input.size is missing"),
        (('"RGB"', '"GRB"'), r"input.colour: expected one of 'RGB', 'BGR', got 'GRB'"),
        (("scale = 255", "scale = 0"), r"input.scale: expected a number above 0 .* got 0"),
        (("mean = 0", "mean = [1, 2]"), r"input.mean: .* or three of them, got \[1, 2\]"),
        (("mean = 0", "mean = nan"), r"input.mean: expected a number"),
        (("scale = 1.5", "scale = 1.5\nturn_by = [0, 1]"), r"crop.turn_by needs passes of 2"),
        (("scale = 1.5", "scale = 1.5\npasses = 2\nturn_by = [1, 1]"), r"two different points"),
        (("scale = 1.5", "scale = 1.5\nshift = [9, 0]"), r"crop.shift: expected two numbers"),
        (
            ("scale = 1.5", "scale = 1.5\nsift = [0, 0]"),
            r"crop.sift: no such key; expected .*shift",
        ),
        (("[3, 4]", "6"), r"landmarks.indices: expected a list of points .* 0 to 5, got 6"),
        (("[3, 4], 5", "5"), r"landmarks.indices: expected 5, one for each landmark .*got 4"),
        (("[3, 4]", "[3, 4, 5]"), r"landmarks.indices: expected a list of points or pairs"),
        (("indices", 'map = "a.npz"\nindices'), r"landmarks.map and indices exclude each other"),
        (("indices = [0, 1, 2, [3, 4], 5]", ""), r"6 points are no landmarks of the scheme 5"),
        (('"5"', "5"), r"scheme: expected a text, got 5"),
        (('"5"', '"seven.toml"'), r"seven.toml: No such file"),
        (("[input]", "[inputs]"), r"input is missing"),
        (("[input]", "[input"), r"expected an adapter \(.toml\), got a damaged one"),
        (("points = 6", "points = 6\nvalues = 1"), r"output.values: .* from 2 to 16, got 1"),
        (('"pixel"', '"pixels"'), r"output.unit: expected one of 'pixel', 'side', 'half side'"),
    ],
)
def test_a_mistake_is_named_with_its_key(
    write: Callable[..., Path], change: tuple[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_adapter(write(change))


def test_a_name_that_is_neither_built_in_nor_a_file_lists_what_is_there() -> None:
    with pytest.raises(UsageError, match=r"expected one of mediapipe, pfld, pfld_rgb, or a \.toml"):
        read_adapter("mediapip")


def test_a_linear_map_is_read_back_and_moves_with_the_face(tmp_path: Path) -> None:
    """Landmarks that are weighted means of points: a ridge of almost nothing finds the weights."""
    rng = np.random.default_rng(0)
    faces = rng.normal(0, 1, (40, 4, 2))
    truth = np.stack([(faces[:, 0] + faces[:, 3]) / 2, faces[:, 2]], axis=1)
    linear = LinearMap.fit(faces, truth, anchors=(0, 1), ridge=1e-9)
    linear.save(tmp_path / "map.npz")
    read = LinearMap.load(tmp_path / "map.npz")
    assert (read.points, read.landmarks, read.anchors) == (4, 2, (0, 1))
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    moved = 7 * faces[:3] @ turn.T + [100, -3]
    np.testing.assert_allclose(read(moved), 7 * truth[:3] @ turn.T + [100, -3], atol=1e-3)


def test_a_high_ridge_leaves_the_chosen_points_and_a_shift_of_each() -> None:
    """In units of the anchors' distance, 4: each landmark lies 1 right of the point chosen."""
    faces = np.random.default_rng(0).normal(0, 1, (30, 4, 2))
    faces[:, :2] = [(0, 0), (4, 0)]
    truth = faces[:, [3, 2]] + [1, 0]
    choice = np.array([[3, 3], [2, 2]])
    linear = LinearMap.fit(faces, truth, anchors=(0, 1), ridge=1e9, choice=choice)
    np.testing.assert_allclose(linear(faces), truth, atol=1e-4)


def test_a_map_of_other_numbers_of_points_is_refused(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    faces = np.random.default_rng(0).normal(0, 1, (9, 4, 2))
    LinearMap.fit(faces, faces, anchors=(0, 1), ridge=1.0).save(tmp_path / "map.npz")
    path = write(("indices = [0, 1, 2, [3, 4], 5]", 'map = "map.npz"'))
    with pytest.raises(ModelError, match=r"a map from 6 points to 5 landmarks, got one from 4"):
        read_adapter(path)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"anchors": np.array([0, 9])},
        {"weights": np.zeros((3, 4))},
        {"weights": np.full((4, 4), np.nan)},
        {"anchors": np.array(["a", "b"])},
    ],
)
def test_a_damaged_map_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    whole = {
        "anchors": np.array([0, 1]),
        "mean_points": np.zeros(4),
        "mean_landmarks": np.zeros(4),
        "weights": np.zeros((4, 4)),
    }
    path = tmp_path / "map.npz"
    np.savez(path, **(whole | arrays if arrays else {"other": np.zeros(3)}))
    with pytest.raises(KitError, match="linear map of an adapter"):
        LinearMap.load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size = 64", f"size = [{'1,' * 20_000}]", "input.size: expected a whole number"),
        ("size = 64", "x" * 9000 + " = 1", "input.size is missing"),
        ("size = 64", ".".join(["a"] * 20_000) + " = 1", "more than 32 dots"),
        ("size = 64", ".".join(["1"] * 20_000) + " = 1", "more than 32 dots"),
        ('scheme = "5"', 'scheme = "\\u001b[31m.toml"', "\ufffd[31m.toml: No such file"),
    ],
    ids=["long value", "long key", "deep key", "deep key of digits", "escape sequence"],
)
def test_what_an_adapter_says_is_quoted_short_and_as_text(
    write: Callable[..., Path],
    make_points_model: Callable[..., Path],
    old: str,
    new: str,
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    adapter, model = write((old, new)), make_points_model([0] * 12, 64)
    with pytest.raises(SystemExit) as ended:
        main(["predict", __file__, "--model", str(model), "--adapter", str(adapter)])
    told = capfd.readouterr().err
    assert ended.value.code == 2 and message in told
    assert len(told) < 2200 and told.count("\n") == 1 and "\x1b" not in told


def test_numbers_in_one_line_are_no_deep_key(write: Callable[..., Path]) -> None:
    values = ", ".join(["0.5"] * 100)
    path = write(("size = 64", f"size = 64\nother = [{values}]"))
    with pytest.raises(UsageError, match=r"input\.other: no such key"):
        read_adapter(path)


def test_a_map_of_too_many_weights_is_refused_before_they_are_widened(tmp_path: Path) -> None:
    arrays = {"anchors": [0, 1], "mean_points": [0] * 16_384, "mean_landmarks": [0] * 8_192}
    weights = np.zeros((16_384, 8_192), np.uint8)  # 128 MiB, which as float64 is 1 GiB
    path = tmp_path / "map.npz"
    np.savez_compressed(path, weights=weights, **{k: np.array(v) for k, v in arrays.items()})
    with pytest.raises(ModelError, match="at most 67108864"):
        LinearMap.load(path)


def test_anchors_are_whole_numbers(tmp_path: Path) -> None:
    means = {"mean_points": np.zeros(4), "mean_landmarks": np.zeros(4), "weights": np.eye(4)}
    np.savez(tmp_path / "map.npz", anchors=np.array([0.5, 1.0]), **means)
    with pytest.raises(ModelError, match="two of the M points as anchors"):
        LinearMap.load(tmp_path / "map.npz")


@pytest.mark.parametrize("key", ["scheme", "map"])
@pytest.mark.parametrize("where", ["../kept", "/", "below/../../kept"])
def test_files_of_an_adapter_lie_in_its_folder(tmp_path: Path, key: str, where: str) -> None:
    """They are there, and would be read: only where they lie is wrong."""
    name = {"scheme": "card.toml", "map": "map.npz"}[key]
    (tmp_path / "kept").mkdir()
    (tmp_path / "own" / "below").mkdir(parents=True)
    (tmp_path / "kept" / "card.toml").write_text('name = "card"\npoints = 4\nnormaliser = "box"\n')
    LinearMap.fit(
        np.random.default_rng(0).normal(0, 1, (40, 4, 2)),
        np.zeros((40, 4, 2)),
        anchors=(0, 1),
        ridge=1,
    ).save(tmp_path / "kept" / "map.npz")
    path = f"{tmp_path}/kept/{name}" if where == "/" else f"{where}/{name}"
    own = 'scheme = "card.toml"' if key == "map" else f'scheme = "{path}"'
    (tmp_path / "own" / "card.toml").write_bytes((tmp_path / "kept" / "card.toml").read_bytes())
    chosen = f'[landmarks]\nmap = "{path}"\n' if key == "map" else ""
    adapter = tmp_path / "own" / "own.toml"
    adapter.write_text(
        f'{own}\n[input]\nsize = 32\ncolour = "RGB"\nmean = 0\nscale = 255\n[crop]\n'
        f'scale = 1.2\n[output]\npoints = 4\nunit = "side"\norigin = "corner"\n{chosen}'
    )
    with pytest.raises(UsageError, match=r"a path inside the adapter's folder, got") as refused:
        read_adapter(adapter)
    assert key in str(refused.value) and str(adapter) in str(refused.value)
    shutil.copy(tmp_path / "kept" / name, tmp_path / "own" / "below")
    adapter.write_text(adapter.read_text().replace(path, f"below/{name}"))
    assert read_adapter(adapter).scheme.points == 4
