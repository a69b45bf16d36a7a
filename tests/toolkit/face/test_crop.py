"""The one way from a picture to a model's input and back; half a pixel here is 1 % NME."""

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.crop import Crop, landmark_box, warp
from asmnet_kit.face.input_values import to_float_input, to_int8_input
from asmnet_kit.face.pictures import decode_image, read_image

BLACK = (0, 0, 0)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def ramp(height, width):
    """R = 2x, G = 2y, B = x + y: linear, so bilinear sampling is exact but for rounding."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)


def box(*corners):
    return np.array(corners, np.float32)


def sampled(crop):
    """Where the crop's pixels lie in the picture: the inverse of q = k (p - c) + (size - 1) / 2."""
    q = np.arange(crop.size)
    x, y = (c + (q - (crop.size - 1) / 2) * crop.side / crop.size for c in crop.centre)
    return np.meshgrid(x, y)


def test_the_crop_of_a_box_is_a_square_round_its_centre():
    crop = Crop.from_box(box(10, 20, 30, 60), size=112)
    assert (crop.centre, crop.size) == ((20.0, 40.0), 112)
    assert crop.side == pytest.approx(1.2 * 40)


def test_an_identity_crop_is_the_picture_itself():
    """side = size = 20 round (9.5, 9.5), the middle of pixels 0..19: k = 1, no shift."""
    image = noise(20, 20)
    crop = Crop(centre=(9.5, 9.5), side=20, size=20)
    assert np.allclose(crop.matrix, [[1, 0, 0], [0, 1, 0]])
    assert np.array_equal(crop.cut(image), image)


def test_a_crop_of_the_same_scale_is_a_window_with_black_outside():
    image = noise(20, 20)
    crop = Crop(centre=(1.5, 18.5), side=4, size=4)  # x 0..3, y 17..20
    cut = crop.cut(image)
    assert np.array_equal(cut[:3], image[17:20, 0:4])
    assert not cut[3].any()


def test_an_even_crop_round_a_pixel_centre_samples_half_way_between_pixels():
    image = np.zeros((5, 5, 3), np.uint8)
    image[2, 2] = 200
    cut = Crop(centre=(2.0, 2.0), side=2, size=2).cut(image)  # at 1.5 and 2.5
    assert (cut == 50).all()


@pytest.mark.parametrize("side", [11.0, 25.0, 40.0, 60.0])
@pytest.mark.parametrize("centre", [(40.0, 45.0), (43.3, 38.75)])
def test_a_crop_of_a_ramp_shows_each_pixels_place(side, centre):
    """Enlarged, reduced up to two times: red / 2 is x and green / 2 is y of where it was sampled.

    OpenCV rounds a sample's place to 1/32 px and its value to an integer: up to 2/32 + 0.5 of red.
    """
    crop = Crop(centre=centre, side=side, size=30)
    x, y = sampled(crop)
    cut = crop.cut(ramp(100, 100)).astype(float)
    for channel, expected in zip(np.moveaxis(cut, -1, 0), (2 * x, 2 * y, x + y), strict=True):
        assert np.abs(channel - expected).max() <= 0.57


@pytest.mark.parametrize("side", [64.0, 80.0, 100.0])
@pytest.mark.parametrize("centre", [(50.0, 50.0), (52.7, 47.3)])
def test_a_strongly_reduced_ramp_keeps_its_place(side, centre):
    """Block averages of a linear picture are its value at the blocks' centres: no shift at all.

    They are integers here, so what is left is OpenCV's 1/64 px of place in blocks of at most 5 px
    (2 x 5/64 of red) and the final rounding; half a pixel would be 1.0 of red.
    """
    crop = Crop(centre=centre, side=side, size=20)
    x, y = sampled(crop)
    cut = crop.cut(ramp(120, 120)).astype(float)
    inside = (x > 8) & (x < 111) & (y > 8) & (y < 111)
    for channel, expected in zip(np.moveaxis(cut, -1, 0), (2 * x, 2 * y, x + y), strict=True):
        assert np.abs(channel - expected)[inside].max() <= 0.67


def brute_force(image, matrix, size):
    """Halve from the picture's top-left corner while k < 0.5, then sample bilinearly."""
    n = 1
    while n * np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < 0.5:
        n *= 2
    height, width = (-(-length // n) for length in image.shape[:2])
    padded = np.zeros((height * n, width * n, 3))
    padded[: image.shape[0], : image.shape[1]] = image
    small = padded
    while len(small) > height:
        rows, columns = len(small) // 2, small.shape[1] // 2
        small = (small.reshape(rows, 2, columns, 2, 3).sum(axis=(1, 3)) + 2) // 4
    result = np.zeros((size, size, 3))
    linear, shift = matrix[:, :2], matrix[:, 2]
    for row in range(size):
        for column in range(size):
            place = np.linalg.solve(linear, np.array([column, row]) - shift)
            x, y = (place - (n - 1) / 2) / n
            left, top = int(np.floor(x)), int(np.floor(y))
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                if 0 <= top + i < height and 0 <= left + j < width:
                    weight = (1 - abs(x - left - j)) * (1 - abs(y - top - i))
                    result[row, column] += weight * small[top + i, left + j]
    return result


@pytest.mark.parametrize(
    "crop",
    [
        Crop(centre=(50.0, 40.0), side=60, size=20),  # n = 2
        Crop(centre=(50.3, 40.9), side=77, size=16),  # n = 4
        Crop(centre=(5.0, 85.0), side=90, size=20),  # over two borders
        Crop(centre=(97.0, 70.0), side=60, size=20),  # partial blocks at the right and bottom
        Crop(centre=(50.0, 45.0), side=300, size=20),  # n = 8, all of the picture inside
        Crop(centre=(50.0, 40.0), side=40.01, size=20),  # just below k = 0.5
    ],
)
def test_reducing_more_than_twice_halves_first(crop):
    """Against brute force. OpenCV's 1/32 px of place is up to 2 x 255/32 of noise, and rounding."""
    image = noise(91, 101)
    expected = brute_force(image, crop.matrix, crop.size)
    difference = np.abs(crop.cut(image) - expected)
    assert difference.max() <= 2 * 255 / 32 + 1
    assert difference.mean() < 2


@pytest.mark.parametrize("degrees", [30, 90, 180])
def test_a_turned_and_reduced_crop_averages_the_same_blocks(degrees):
    angle, k = np.radians(degrees), 0.2
    linear = k * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, np.array([9.5, 9.5]) - linear @ [50, 45]])
    image = noise(91, 101)
    difference = np.abs(warp(image, matrix, 20) - brute_force(image, matrix, 20))
    assert difference.max() <= 2 * 255 / 32 + 1
    assert difference.mean() < 2


def test_a_crop_that_is_far_larger_than_its_picture_costs_no_more_than_the_picture():
    cut = Crop(centre=(20.0, 20.0), side=1e9, size=16).cut(np.full((40, 40, 3), 255, np.uint8))
    assert cut.max() <= 1  # the picture is a millionth of a crop's pixel


def test_a_reduced_crop_of_a_constant_picture_is_constant():
    image = np.full((50, 50, 3), 77, np.uint8)
    assert (Crop(centre=(24.5, 24.5), side=40, size=10).cut(image) == 77).all()


@pytest.mark.parametrize("side", [10.0, 100.0])
def test_a_crop_beside_the_picture_is_black(side):
    crop = Crop(centre=(-500.0, 900.0), side=side, size=16)
    assert not crop.cut(noise(20, 20)).any()


def test_the_places_of_landmarks_and_pixels_agree():
    """A dot drawn at a landmark is seen at the landmark's place in the enlarged crop."""
    image = np.zeros((60, 60, 3), np.uint8)
    image[31, 22] = 255
    crop = Crop.from_box(box(10, 15, 35, 40), size=120)
    fraction = crop.to_fractions(np.float32([[22, 31]]))[0]
    weight = crop.cut(image)[..., 0].astype(float)
    y, x = np.mgrid[:120, :120]
    seen = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    assert np.allclose(seen, fraction * 120 + (120 - 1) / 2, atol=0.05)
    assert np.allclose(seen, crop.matrix @ [22, 31, 1], atol=0.05)


def test_fractions_and_pictures_points_undo_each_other():
    crop = Crop.from_box(box(10, 20, 30, 60), size=112)
    points = np.float32([[10, 20], [20, 40], [30, 60]])
    fractions = crop.to_fractions(points)
    assert np.allclose(fractions, [[-10 / 48, -20 / 48], [0, 0], [10 / 48, 20 / 48]])
    assert np.allclose(crop.to_picture(fractions), points)
    assert fractions.dtype == crop.to_picture(fractions).dtype == np.float32
    assert np.isnan(crop.to_fractions(np.float32([[np.nan, np.nan]]))).all()


def test_a_mirrored_picture_gives_the_mirrored_crop():
    """x of the picture becomes width - 1 - x, x of the crop size - 1 - x."""
    image = noise(80, 60)
    crop = Crop(centre=(25.0, 40.0), side=30, size=30)
    other = Crop(centre=(59 - 25.0, 40.0), side=30, size=30)
    assert np.array_equal(other.cut(np.ascontiguousarray(image[:, ::-1])), crop.cut(image)[:, ::-1])


def test_boxes_that_are_none_are_refused():
    for corners in ((1, 2, 1, 2), (5, 5, 1, 1), (np.nan, 0, 1, 1), (0, 0, np.inf, 1)):
        with pytest.raises(DatasetError, match="expected a box"):
            Crop.from_box(box(*corners), size=112)


def test_the_landmark_box_spans_the_labelled_points_without_margin():
    points = np.float32([[3, 9], [np.nan, np.nan], [8, 4], [5, 5]])
    assert np.array_equal(landmark_box(points), [3, 4, 8, 9])
    with pytest.raises(DatasetError, match="at least 2 labelled points, got 1"):
        landmark_box(points[:2])


def test_pixel_values_become_model_inputs():
    values = np.array([0, 1, 127, 128, 129, 255], np.uint8)
    assert np.array_equal(to_int8_input(values), [-128, -127, -1, 0, 1, 127])
    assert np.allclose(to_float_input(values) * 128, [-128, -127, -1, 0, 1, 127])
    assert to_float_input(values).dtype == np.float32


def encoded(image, suffix):
    return bytes(cv2.imencode(suffix, image[..., ::-1])[1])


def test_a_picture_is_read_as_rgb(tmp_path):
    image = noise(7, 5)
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(image, ".png"))
    assert np.array_equal(read_image(path), image)
    grey = bytes(cv2.imencode(".png", image[..., 0])[1])
    assert decode_image(grey, name="grey").shape == (7, 5, 3)


def test_exif_rotation_is_ignored_since_annotations_refer_to_stored_pixels():
    """A little-endian EXIF block with orientation 6 (turn by 90 degrees), put after the SOI."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    payload = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload
    jpeg = encoded(noise(8, 16), ".jpg")
    turned = jpeg[:2] + segment + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (16, 8, 3)
    assert decode_image(turned, name="turned").shape == (8, 16, 3)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_picture_is_refused(share, suffix):
    content = encoded(noise(64, 64), suffix)
    with pytest.raises(DatasetError, match="half-done"):
        decode_image(content[: int(share * len(content))], name="half-done")


def test_a_missing_picture_is_refused_with_its_path(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.jpg: No such file"):
        read_image(tmp_path / "nowhere.jpg")


def test_the_crop_scale_is_the_contracts():
    assert CROP_SCALE == 1.2


def test_sampling_with_a_fourth_channel_changes_no_bit():
    """The short cut for small pictures against OpenCV's own three channels."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = (int(v) for v in rng.integers(2, 90, 2))
        size = int(rng.integers(48, 80))
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        angle, k = rng.uniform(-3, 3), rng.uniform(0.55, 2.5)
        turn = k * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.concatenate([turn, rng.uniform(-30, 60, (2, 1))], axis=1)
        expected = cv2.warpAffine(
            picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        assert np.array_equal(warp(picture, matrix, size), expected)
