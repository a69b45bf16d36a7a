"""One way to run a model file: raw input and output types, names, and what is refused."""

import sys
import zipfile

import numpy as np
import pytest

from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError
from asmnet_kit.face.logistic_fit import LogisticFit
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.uncertainty import Calibration
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.runtime import TensorInfo


@pytest.mark.parametrize("points", [68, 98])
@pytest.mark.parametrize("int8", [False, True])
def test_outputs_go_by_name_and_come_in_fractions_and_degrees(make_tflite, points, int8):
    """The model predicts the generic face, and as pose the top-left pixel's (v - 128) / 128."""
    predictor = open_predictor(make_tflite(points=points, int8=int8))
    crops = np.full((2, 32, 32, 3), 77, np.uint8)
    crops[0, 0, 0] = (128, 192, 64)  # inputs 0, 0.5, -0.5
    crops[1, 0, 0] = (0, 255, 128)
    predicted = predictor.predict(crops)
    assert (predictor.scheme.points, predictor.input_size) == (points, 32)
    assert predictor.crop_scale == 1.2
    # int8 landmarks have steps of 1/256, so rounding costs up to half of one, and as much again
    # in the runtime's fixed-point multiplication.
    tolerance = 1 / 256 if int8 else 1e-6
    assert predicted.landmarks.dtype == np.float32
    assert np.allclose(predicted.landmarks, generic_reference(points), atol=tolerance)
    expected = [[0, 45, -45], [-90, 90 * 127 / 128, 0]]
    assert np.allclose(predicted.pose, expected, atol=1e-4)


def test_an_int8_model_and_its_float_original_are_fed_the_same_values():
    crops = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    info = TensorInfo("image", (1, 16, 16, 3), np.dtype(np.int8), 1 / 128, 0)
    assert np.array_equal(input_values(crops, info), crops.astype(int) - 128)
    floating = TensorInfo("image", (1, 16, 16, 3), np.dtype(np.float32), None, 0)
    assert np.array_equal(input_values(crops, floating), (crops.astype(float) - 128) / 128)
    # w8a16: values up to 127/128 of a scale of 1/32767 become multiples of 255.99.
    wide = TensorInfo("image", (1, 16, 16, 3), np.dtype(np.int16), 1 / 32768, 0)
    assert np.array_equal(input_values(crops, wide), (crops.astype(int) - 128) * 256)
    # Another scale: half the range clips.
    coarse = TensorInfo("image", (1, 16, 16, 3), np.dtype(np.int8), 1 / 256, -128)
    assert input_values(crops, coarse).max() == 126  # 127/128 x 256 - 128
    assert input_values(crops, coarse).min() == -128


@pytest.mark.parametrize("int8", [False, True])
def test_a_model_that_says_how_sure_it_is_gives_sigma_visibility_and_confidence(make_tflite, int8):
    """u = 0.5 + r of the top-left pixel, r = 2 (v - 128) / 128 of its red; every fourth point 1
    more. The generic face's expected NME and a logistic curve give the confidence."""
    fit = LogisticFit(-6.0, 2.0, 8.0, 100, 10)
    known = Calibration(2.0, 680, fit, "faces", "ab")
    path = make_tflite("sure.tflite", int8=int8, sure=True, calibration=known)
    crops = np.full((2, 32, 32, 3), 128, np.uint8)
    crops[1, 0, 0, 0] = 192  # r = 1
    found = open_predictor(path).predict(crops)
    tolerance = 1 / 32 if int8 else 1e-5  # of u: a step of the int8 output, so of sigma relatively
    for sigma, u in ((found.sigma[0], 0.5), (found.sigma[1], 1.5)):
        np.testing.assert_allclose(sigma[1::4], 2 * 0.01 * np.exp(u), rtol=tolerance)
        np.testing.assert_allclose(sigma[::4], 2 * 0.01 * np.exp(u + 1), rtol=tolerance)
    np.testing.assert_allclose(found.visible[:, :17], 1 / (1 + np.exp(2)), atol=0.01)
    np.testing.assert_allclose(found.visible[:, 17:], 1 / (1 + np.exp(-3)), atol=0.01)
    eyes = np.linalg.norm(found.landmarks[0, 36] - found.landmarks[0, 45])
    expected = np.sqrt(np.pi / 2) * found.sigma.mean(axis=1) / eyes
    odds = np.exp(-6 - 2 * np.log(expected))
    np.testing.assert_allclose(found.confidence, odds / (1 + odds), rtol=1e-4)
    assert found.confidence[0] > found.confidence[1]


def test_a_model_that_is_not_calibrated_gives_sigmas_and_no_confidence(make_tflite):
    found = open_predictor(make_tflite(sure=True)).predict(np.full((1, 32, 32, 3), 128, np.uint8))
    np.testing.assert_allclose(found.sigma[0, 1], 0.01 * np.exp(0.5), rtol=1e-5)
    assert found.confidence is None
    plain = open_predictor(make_tflite()).predict(np.zeros((1, 32, 32, 3), np.uint8))
    assert plain.sigma is None and plain.visible is None and plain.confidence is None


def test_a_model_without_pose_predicts_none(make_tflite):
    predictor = open_predictor(make_tflite(pose=False))
    assert predictor.predict(np.zeros((1, 32, 32, 3), np.uint8)).pose is None


def test_no_crops_give_no_landmarks(make_tflite):
    predicted = open_predictor(make_tflite()).predict(np.zeros((0, 32, 32, 3), np.uint8))
    assert predicted.landmarks.shape == (0, 68, 2)
    assert predicted.pose.shape == (0, 3)


def test_a_truncated_model_is_refused(make_tflite):
    path = make_tflite()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"constant\.tflite"):
        open_predictor(path)


def test_a_model_without_metadata_is_refused(make_tflite):
    with pytest.raises(ModelError, match="metadata"):
        TflitePredictor(make_tflite(metadata=False))


def test_metadata_that_contradicts_the_graph_is_refused(make_tflite):
    from asmnet_kit.tflite.metadata import ModelMetadata, with_metadata

    path = make_tflite(points=68)
    for landmarks, size, message in ((98, 32, "196 values"), (68, 64, "64, 64, 3")):
        about = ModelMetadata(
            architecture="constant", landmarks=landmarks, input_size=size, recipe="none"
        )
        wrong = path.with_name("wrong.tflite")
        wrong.write_bytes(with_metadata(path.read_bytes(), about))
        with pytest.raises(ModelError, match=message):
            open_predictor(wrong)


def test_what_is_no_model_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        open_predictor(tmp_path / "nowhere.tflite")
    with pytest.raises(ModelError, match=r"model\.keras"):
        open_predictor(tmp_path)
    for name, message in (("a.txt", r"got a \.txt file"), ("a.keras", "not a .keras")):
        (tmp_path / name).write_bytes(b"text")
        with pytest.raises(ModelError, match=message):
            open_predictor(tmp_path / name)


def test_a_run_folder_without_tensorflow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "2.21.0"}')
        archive.writestr("config.json", '{"class_name": "Functional", "config": {"layers": []}}')
        archive.writestr("model.weights.h5", "")
    with pytest.raises(MissingDependency, match=r"pip install .*\[train\]"):
        open_predictor(tmp_path)
