"""The whole inputs that the doors' damage begins with, all made by the kit.

``python -m fuzz.seeds FOLDER`` makes them; with TensorFlow, since a run and shards are among them.
"""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner
from scipy.io import savemat

from asmnet_kit.adapters.linear_map import LinearMap
from asmnet_kit.cli import main
from asmnet_kit.datasets.pts import parse_pts, write_pts
from asmnet_kit.drawn_faces.film import film
from asmnet_kit.shipping.shipped import find_model
from asmnet_kit.tflite.metadata import ModelMetadata, with_metadata
from asmnet_kit.tflite.tensorfile import write_tensors
from made_labels import MADE
from made_models import EXECUTABLES, chain_model, constant_face_model, edgetpu_package

SIDE = 64  # pixels of the drawn faces
FACES = 12
TINY = ("--arch", "asmnet_nano", "--input-size", "64", "--batch-size", "4", "--epochs", "1")
COMPILER_LOG = """Edge TPU Compiler version 16.0.384591198
Model compiled successfully in 3129 ms.

Input model: nano.tflite
Input size: 4.35MiB
Output model: nano_edgetpu.tflite
Output size: 5.66MiB
On-chip memory used for caching model parameters: 4.49MiB
On-chip memory remaining for caching model parameters: 3.01MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 45
Operation log: nano_edgetpu.log

Operator                       Count      Status

ADD                            42         Mapped to Edge TPU
DEQUANTIZE                     3          Operation is working on an unsupported data type
"""


def kit(*arguments: object) -> None:
    """Run a command of the kit that must succeed."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exit_code:
        raise RuntimeError(f"{arguments}: {result.output}") from result.exception


def make_seeds(folder: Path) -> None:
    """Write every seed into ``folder``, which is new."""
    faces = folder / "synthetic"
    kit("data", "synthesize", "--count", FACES, "--size", SIDE, "--workers", 1, "--out", faces)
    _pictures(faces, folder)
    _labels(faces, folder)
    for format, make in MADE.items():
        make(folder / format)
    _films(folder / "films")
    _models(folder)
    _texts(folder)
    _training(folder)
    _models_from_elsewhere(folder)


def _pictures(faces: Path, folder: Path) -> None:
    picture = cv2.imread(str(faces / "train" / "face_000000.jpg"))
    (folder / "pictures").mkdir()
    for suffix in (".jpg", ".png", ".bmp", ".webp", ".tif"):
        cv2.imwrite(str(folder / "pictures" / f"a{suffix}"), picture)
    # Square, cut out, a picture: each of the three options takes it.
    (folder / "own").mkdir()
    cut_out = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    cut_out[:4] = 0
    cv2.imwrite(str(folder / "own" / "a.png"), cut_out)


def _labels(faces: Path, folder: Path) -> None:
    """The same drawn faces in every other format of labels."""
    pictures = sorted((faces / "train").glob("*.jpg"))[:4]
    for name in ("300w", "merlrav", "csv", "wflw/WFLW_images", "aflw2000"):
        (folder / name).mkdir(parents=True)
        for picture in pictures:
            shutil.copy(picture, folder / name)
    rows = [",".join(["file", *(f"{axis}{index}" for index in range(68) for axis in "xy")])]
    lines = []
    for picture in pictures:
        points = parse_pts(picture.with_suffix(".pts").read_text(), points=68)
        write_pts(folder / "300w" / f"{picture.stem}.pts", points)
        write_pts(folder / "merlrav" / f"{picture.stem}.pts", points)
        rows.append(",".join([picture.name, *(f"{value:.3f}" for value in points.ravel())]))
        many = np.concatenate([points, points[:30]]).ravel()
        end = f"3 4 60 60 0 0 0 0 0 0 {picture.name}"
        lines.append(" ".join([*(f"{value:.4f}" for value in many), end]))
        turned = {"pt3d_68": np.vstack([points.T + 1, np.zeros(68)])}
        pose = {"Pose_Para": np.array([[0.1, -0.2, 0.0, 0, 0, 0, 1.0]])}
        savemat(folder / "aflw2000" / f"{picture.stem}.mat", turned | pose)
    (folder / "csv" / "labels.csv").write_text("\n".join(rows) + "\n")
    lists = folder / "wflw" / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    (lists / "list_98pt_rect_attr_train.txt").write_text("\n".join(lines) + "\n")


def _films(folder: Path) -> None:
    folder.mkdir()
    for suffix, codec in ((".mp4", "mp4v"), (".avi", "MJPG")):
        path = str(folder / f"film{suffix}")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), 25.0, (96, 96))
        for frame in film(4, seed=3, size=96, fps=25, motion=0.5):
            writer.write(frame.image[..., ::-1])
        writer.release()


def _models(folder: Path) -> None:
    """A model of the kit, small ones with known answers, and one of many operators."""
    models, foreign = folder / "models", folder / "foreign"
    models.mkdir()
    foreign.mkdir()
    shipped = find_model(Path("asmnet_nano"))
    shutil.copy(shipped, models / "nano.tflite")
    about = ModelMetadata(architecture="constant", landmarks=68, input_size=32, recipe="none")
    for name, int8 in (("float", False), ("int8", True)):
        content = constant_face_model(68, 32, int8=int8, pose=True)
        (models / f"{name}.tflite").write_bytes(with_metadata(content, about))
    (foreign / "operators.tflite").write_bytes(chain_model(_operators()))
    custom = {"custom": "edgetpu-custom-op", "payload": edgetpu_package(EXECUTABLES)}
    compiled = chain_model([custom | {"into": (1, 8, 8, 3), "shape": (1, 8)}])
    (foreign / "x_edgetpu.tflite").write_bytes(compiled)
    shutil.copy(shipped.with_suffix(".npz"), folder / "shape_model.npz")
    write_tensors(folder / "inputs.tensors", {"image": np.zeros((2, 1, 32, 32, 3), np.float32)})


def _operators() -> list[dict[str, object]]:
    """Operators whose constants a runtime believes: kernels, axes, paddings, shapes, strides."""
    whole = np.int32
    return [
        {"op": "CONV_2D", "into": (1, 8, 8, 3), "shape": (1, 8, 8, 4),
         "constants": [np.ones((4, 3, 3, 3), np.int8), np.zeros(4, whole)],
         "options": ("Conv2DOptions", {"strideH": 1, "strideW": 1})},
        {"op": "DEPTHWISE_CONV_2D", "shape": (1, 8, 8, 4),
         "constants": [np.ones((1, 3, 3, 4), np.int8), np.zeros(4, whole)],
         "options": ("DepthwiseConv2DOptions", {"strideH": 1, "strideW": 1,
                                                "depthMultiplier": 1})},
        {"op": "PAD", "shape": (1, 10, 10, 4),
         "constants": [np.array([[0, 0], [1, 1], [1, 1], [0, 0]], whole)]},
        {"op": "STRIDED_SLICE", "shape": (1, 5, 5, 4),
         "constants": [np.array(v, whole) for v in ([0] * 4, [1, 10, 10, 4], [1, 2, 2, 1])],
         "options": ("StridedSliceOptions", {})},
        {"op": "RESHAPE", "shape": (1, 25, 4), "constants": [np.array([1, 25, 4], whole)]},
        {"op": "TRANSPOSE", "shape": (1, 4, 25), "constants": [np.array([0, 2, 1], whole)]},
        {"op": "MEAN", "shape": (1, 4), "constants": [np.array([2], whole)],
         "options": ("ReducerOptions", {})},
    ]  # fmt: skip


def _texts(folder: Path) -> None:
    quick = ("--runs", 2, "--warmup", 0, "--seconds", 0)
    kit("benchmark", folder / "models" / "float.tflite", *quick, "--out", folder / "results")
    with zipfile.ZipFile(folder / "results.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "results").glob("*.json")):
            archive.write(path, path.name)
    # A folder that holds labels of two formats and results.
    shutil.copytree(folder / "300w", folder / "mixed")
    shutil.copy(folder / "csv" / "labels.csv", folder / "mixed")
    shutil.copy(next((folder / "results").glob("*.json")), folder / "mixed" / "result.json")
    (folder / "compiler.log").write_text(COMPILER_LOG)
    (folder / "recipe.toml").write_text(
        '[about]\nsummary = "tiny"\n[train]\narch = "asmnet_nano"\ninput_size = 64\n'
        'epochs = 1\nbatch_size = 4\nlearning_rate = 1e-3\nloss = "asm"\nalpha = "constant:1"\n'
        'asm_aligned = true\nsampling = "1.5"\n'
    )
    (folder / "camera.toml").write_text(
        "distance_m = [0.4, 1.5]\nlens_share = 1\nnight_share = 0.3\n"
        "noise = [[0, 0.01], [0.01, 0.04]]\njpeg_quality = [40, 70]\n"
    )
    _schemes_and_adapters(folder)
    lines = folder / "lines.jsonl"
    kit("predict", folder / "pictures" / "a.png", "--model", folder / "models" / "int8.tflite",
        "--out", lines, "--jsonl")  # fmt: skip
    lines.rename(folder / "lines.jsonl.unfinished")
    (folder / "box.txt").write_text("0,0,60,60")
    (folder / "folder.json").write_text("[]")


def _schemes_and_adapters(folder: Path) -> None:
    (folder / "scheme.toml").write_text(
        'name = "fox"\npoints = 68\nnormaliser = [36, 45]\nmirror = [[36, 45], [39, 42]]\n'
        '[parts]\neyes = { points = [36, 39, 42, 45], draw = "ring" }\n'
        "[maps]\n5 = [[36, 39], [42, 45], 30, 48, 54]\n"
    )
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter.toml").write_text(
        'about = "a test"\nscheme = "68"\n[input]\nsize = 32\ncolour = "RGB"\n'
        "mean = [0, 0.5, 1]\nscale = 255\n[crop]\nscale = 1.6\nshift = [0.0, -0.1]\npasses = 2\n"
        'again = 1.5\nturn_by = [36, 45]\n[output]\npoints = 68\nunit = "side"\n'
        'origin = "centre"\n[landmarks]\nmap = "map.npz"\n'
    )
    same = LinearMap((36, 45), np.zeros(136), np.zeros(136), np.eye(136))
    same.save(folder / "adapter" / "map.npz")


def _training(folder: Path) -> None:
    """A finished run, one that has its last epoch but not its end, shards, a teacher's answers."""
    data = ("--data", folder / "synthetic", "--format", "synthetic")
    kit("data", "prepare", *data, "--out", folder / "records")
    kit("data", "teacher", *data, "--model", "asmnet_nano", "--out", folder / "teacher.npz")
    kit("train", *data, *TINY, "--out", folder / "run")
    shutil.copytree(folder / "run", folder / "unfinished")
    manifest = folder / "unfinished" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"finished_at": None}))
    (folder / "unfinished" / "model.keras").unlink()


def _models_from_elsewhere(folder: Path) -> None:
    """The run's network as other programs save theirs."""
    import tensorflow as tf

    from asmnet_kit.training.networks.keras_predictor import load_model

    model = load_model(folder / "run")
    (folder / "elsewhere").mkdir()
    model.save(folder / "elsewhere" / "net.h5")
    # A signature of the outputs by name, with the batch open: what Keras' own export() writes.
    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
    serve = tf.function(lambda image: dict(model(image)), input_signature=[spec])
    tf.saved_model.save(model, str(folder / "elsewhere" / "saved"), signatures=serve)


if __name__ == "__main__":
    make_seeds(Path(sys.argv[1]))
