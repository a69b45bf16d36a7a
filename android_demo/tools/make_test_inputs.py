"""Make what the app is built and tested with: an int8 model and a drawn person.

    python android_demo/tools/make_test_inputs.py OUT_FOLDER [MODEL.tflite]

Writes the model, and beside it a few crops as raw inputs (.inputs.tensors) and what the kit's own
runtime answers to them (JSON), which the JVM test compares with. Without a MODEL that is
asmnet_nano, converted untrained: its landmarks mean nothing; its operators, types and metadata are
those of a trained model. Writes a drawn person with landmarks and pose too, what the model sees in
the picture, and what it sees in three looks of the faces of detector.json.
"""

import base64
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import asmnet_kit.quantize  # noqa: F401  # isort: skip  (chooses Keras 2 before TensorFlow starts)
import tf_keras  # isort: skip
from asmnet_kit.base.files import write_bytes, write_json
from asmnet_kit.face.crop import Crop, landmark_box
from asmnet_kit.face.looks import look_again
from asmnet_kit.face.pictures import Image
from asmnet_kit.people.render import draw
from asmnet_kit.predict.detector import detect_faces
from asmnet_kit.predict.open_predictor import open_tflite
from asmnet_kit.quantize.convert import convert
from asmnet_kit.quantize.converter_settings import CALIBRATED_INT8
from asmnet_kit.quantize.source.fold import deployable
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata, with_metadata
from asmnet_kit.tflite.runtime import dequantize, open_runtime
from asmnet_kit.tflite.tensorfile import write_tensors
from asmnet_kit.training.networks.build import build
from golden import drawn_face, picture_of_faces, picture_of_shapes

POINTS, SIZE = 68, 112
CASES = 8
PERSON_SEED, PERSON_INDEX = 24, 0
LONG, SHORT = 640, 480  # sides of a camera's picture


def main(folder: Path, shipped: Path | None = None) -> None:
    for pattern in ("*.tflite", "*.expected.json", "*.inputs.tensors"):
        for old in folder.glob(pattern):
            old.unlink()
    path = untrained(folder) if shipped is None else folder / shipped.name
    if shipped is not None:
        write_bytes(path, shipped.read_bytes())
    write_json(path.with_suffix(".expected.json"), expected(path))
    write_tensors(path.with_suffix(".inputs.tensors"), {"image": inputs(path)})
    write_json(folder / "looks.json", looks(path))
    write_json(folder / "face.json", person(path))  # the last: make takes it for all of them
    print(path)


def untrained(folder: Path) -> Path:
    """asmnet_nano in int8, never trained, with the kit's metadata."""
    tf_keras.utils.set_random_seed(0)
    network = build("asmnet_nano", points=POINTS, input_size=SIZE)
    spread_outputs(network)
    content = convert(deployable(network), CALIBRATED_INT8, crops=crops(32, SIZE))
    metadata = ModelMetadata(
        architecture="asmnet_nano",
        landmarks=POINTS,
        input_size=SIZE,
        recipe="untrained_w8a8",
        licence="Apache-2.0",
    )
    path = folder / metadata.file_name
    write_bytes(path, with_metadata(content, metadata))
    return path


def spread_outputs(network: tf_keras.Model) -> None:
    """Output layers start near zero; larger weights make all of int8's range come up."""
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if layer.name.startswith(("landmarks", "pose")) and layer.get_weights():
            shapes = [weights.shape for weights in layer.get_weights()]
            layer.set_weights([rng.normal(0, 0.1, shape) for shape in shapes])


def crops(count: int, size: int) -> Image:
    """uint8 [count, size, size, 3]: windows of a picture of shapes under growing noise."""
    rng = np.random.default_rng(0)
    picture = picture_of_shapes()
    cut = []
    for index in range(count):
        box = np.array(
            [rng.uniform(0, 20), rng.uniform(0, 15), rng.uniform(35, 60), 46], np.float32
        )
        crop = Crop.from_box(box, size=size).cut(picture).astype(np.float64)
        cut.append(crop + rng.normal(0, 60 * index / count, crop.shape))
    return np.clip(np.stack(cut), 0, 255).astype(np.uint8)


def person(model: Path) -> dict[str, object]:
    """A drawn person, to be cut upright or wide, with the true 68 landmarks of the upright picture,
    pixels, and pose, degrees; and the model's outputs for their box, as real numbers."""
    drawn = draw(PERSON_SEED, PERSON_INDEX, LONG)
    middle = np.mean(drawn.landmarks68, axis=0)
    left, top = (int(v) for v in np.clip(np.round(middle - SHORT / 2), 0, LONG - SHORT))
    landmarks = drawn.landmarks68 - np.array([left, 0], np.float32)
    about, runtime = read_metadata(model), open_runtime(model)
    upright = np.ascontiguousarray(drawn.image[:, left : left + SHORT])
    window = Crop.from_box(
        landmark_box(landmarks), size=about.input_size, scale=about.crop_scale
    ).cut(upright)
    raw = runtime.run({"image": input_values(window[None], runtime.inputs["image"])})
    return {
        "long": LONG,
        "short": SHORT,
        "left": left,
        "top": top,
        "rgb": base64.b64encode(drawn.image.tobytes()).decode("ascii"),
        "landmarks": [float(value) for value in landmarks.ravel()],
        "pose": [float(value) for value in drawn.pose],
        "outputs": {
            name: [float(value) for value in dequantize(values, runtime.outputs[name]).ravel()]
            for name, values in raw.items()
        },
    }


def looks(model: Path) -> dict[str, object]:
    """What the model sees in three looks of the faces that the detector finds in a made picture."""
    picture, predictor = picture_of_faces(drawn_face()), open_tflite(model)
    faces = []
    for found in detect_faces(picture):
        crop, said = look_again(predictor, picture, found.box, name="a small face")
        faces.append(
            {
                "landmarks": crop.to_picture(said.landmarks[0]).ravel().tolist(),
                "pose": None if said.pose is None else said.pose[0].tolist(),
                "sigma": None if said.sigma is None else (said.sigma[0] * crop.side).tolist(),
                "visible": None if said.visible is None else said.visible[0].tolist(),
                "confidence": None if said.confidence is None else float(said.confidence[0]),
            }
        )
    return {"faces": faces}


def expected(path: Path) -> dict[str, object]:
    """Crops and raw outputs of the builtin kernels and of XNNPACK."""
    cases = []
    runtimes = {"xnnpack": open_runtime(path), "builtin": open_runtime(path, xnnpack=False)}
    info = runtimes["builtin"].inputs["image"]
    for crop in crops(CASES, info.shape[1]):
        raw = {"image": input_values(crop[None], info)}
        outputs = {
            kernels: {name: values.ravel().tolist() for name, values in runtime.run(raw).items()}
            for kernels, runtime in runtimes.items()
        }
        cases.append({"crop": base64.b64encode(crop.tobytes()).decode("ascii"), **outputs})
    return {"cases": cases}


def inputs(path: Path) -> NDArray[np.generic]:
    """The same crops as raw inputs, [CASES, 1, size, size, 3]."""
    info = open_runtime(path).inputs["image"]
    return input_values(crops(CASES, info.shape[1]), info)[:, None]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
