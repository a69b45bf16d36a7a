"""A run folder, a .keras and a .tflite of the same network are measured to the same figures."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.measure.evaluate import evaluate
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.quantize.convert import convert
from asmnet_kit.quantize.converter_settings import FLOAT32
from asmnet_kit.tflite.metadata import ModelMetadata, with_metadata
from asmnet_kit.training import manifest
from asmnet_kit.training.networks.build import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder, its model as .keras and .tflite, and 10 pictures of noise."""
    folder = tmp_path_factory.mktemp("models")
    tf_keras.utils.set_random_seed(3)
    model = build("asmnet_nano", points=68, input_size=64)
    # Batch statistics of noise, without which an untrained network's outputs hardly differ.
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(tf.random.normal([16, 64, 64, 3]), training=True)
    run = folder / "run"
    run.mkdir()
    manifest.write_manifest(run, {"schema_version": manifest.SCHEMA_VERSION})
    model.save(run / "model.keras")
    model.save(folder / "model.keras")
    about = ModelMetadata(architecture="asmnet_nano", landmarks=68, input_size=64, recipe="fp32")
    content = convert(model, FLOAT32)
    (folder / "model.tflite").write_bytes(with_metadata(content, about))
    random = np.random.default_rng(0)
    for index in range(10):
        blurred = cv2.GaussianBlur(random.uniform(0, 255, (100, 100, 3)), (0, 0), 5)
        picture = cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX)
        cv2.imwrite(str(folder / f"{index}.png"), picture.astype(np.uint8))
    return folder


@pytest.mark.slow
def test_all_kinds_of_model_file_give_the_same_figures(folder):
    """Float arithmetic in another order: 1e-4 of the eye distance, 1e-3 degrees are plenty."""
    truth = (generic_reference(68) * 60 + 50).astype(np.float32)
    faces = tuple(Face(f"{i}.png", PictureFile(folder / f"{i}.png"), truth) for i in range(10))
    dataset = Dataset("noise", "300w", SCHEME_68, faces)
    results = [
        evaluate(open_predictor(folder / name), dataset, batch=4)
        for name in ("run", "model.keras", "model.tflite")
    ]
    first = results[0]
    assert first.nme.std() > 0.01  # the pictures matter
    for other in results[1:]:
        assert np.allclose(other.nme, first.nme, atol=0.01)
        assert other.scores.pose_mae_deg == pytest.approx(first.scores.pose_mae_deg, abs=1e-3)
        assert (other.input_size, other.crop_scale) == (first.input_size, first.crop_scale)
