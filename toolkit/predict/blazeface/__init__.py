"""BlazeFace, the face detection networks of MediaPipe (Apache-2.0), run without MediaPipe.

Each network sees one square window and answers for a fixed grid of anchor points: how likely a face
is there, its box and six key points. Anchors and decoding follow MediaPipe's
``ssd_anchors_calculator`` and ``tensors_to_detections_calculator`` with the options of
``modules/face_detection``. The weights lie beside this file; its README.md says where from.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.crop import Crop
from asmnet_kit.face.pictures import Image
from asmnet_kit.tflite.runtime import open_runtime

# An anchor's answer, as pairs: box centre, box width and height, then the key points.
KEY_POINTS = 6
_VALUES = 2 * (2 + KEY_POINTS)
_MAX_LOGIT = 80.0  # exp(80) still fits float32


@dataclass(frozen=True)
class Network:
    """One of the shipped networks.

    Attributes:
        file: name of its weights.
        size: side of its input, pixels.
        grids: (stride in pixels, anchors at each cell), in the order of its answers.
    """

    file: str
    size: int
    grids: tuple[tuple[int, int], ...]

    @property
    def path(self) -> Path:
        return Path(__file__).with_name(self.file)

    def anchors(self) -> NDArray[np.float32]:
        """The middle of the grid cell of each answer, pixels of the input: [A, 2]."""
        middles = []
        for stride, repeats in self.grids:
            cells = self.size // stride
            y, x = np.mgrid[:cells, :cells]
            middle = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride
            middles.append(np.repeat(middle, repeats, axis=0))
        return np.concatenate(middles).astype(np.float32)


SHORT_RANGE = Network("face_detection_short_range.tflite", 128, ((8, 2), (16, 6)))
FULL_RANGE = Network("face_detection_full_range.tflite", 192, ((4, 1),))


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a network found in one window.

    Attributes:
        boxes: float32 [K, 4] x0, y0, x1, y1, pixels of the picture. The network's own convention:
            square, from the forehead to below the lower lip.
        scores: float32 [K], 0..1.
        key_points: float32 [K, 6, 2], pixels of the picture: the eye, and the ear below, on the
            image's left are 0 and 4, on its right 1 and 5; 2 is the nose, 3 the mouth.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    key_points: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)


class BlazeFace:
    """A loaded network. Not to be shared between threads."""

    def __init__(self, network: Network, *, threads: int = 1) -> None:
        self._size = network.size
        self._anchors = network.anchors()
        self._runtime = open_runtime(network.path, threads=threads)
        outputs = {info.shape[-1]: name for name, info in self._runtime.outputs.items()}
        if set(outputs) != {1, _VALUES} or len(self._runtime.inputs) != 1:
            raise ModelError(f"{network.path}: not the BlazeFace weights that the kit ships")
        self._scores, self._values = outputs[1], outputs[_VALUES]
        (self._input,) = self._runtime.inputs

    def find(
        self, image: Image, *, centre: tuple[float, float], side: float, min_score: float
    ) -> Candidates:
        """Look for faces in a square window, which may reach beyond the picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            centre: (x, y) of the window's middle, pixels of the picture.
            side: of the window, pixels of the picture.
            min_score: leave out what scores less.
        """
        window = Crop(centre, side, self._size)
        pixels = window.cut(image)[None].astype(np.float32)
        answer = self._runtime.run({self._input: (pixels - 127.5) / 127.5})
        logits = np.clip(answer[self._scores].reshape(-1), -_MAX_LOGIT, _MAX_LOGIT)
        scores = 1 / (1 + np.exp(-logits))
        kept = scores >= min_score
        anchors = self._anchors[kept, None]  # [K, 1, 2]
        values = answer[self._values].reshape(-1, 2 + KEY_POINTS, 2)[kept]
        middle, half = values[:, :1] + anchors, values[:, 1:2] / 2
        points = np.concatenate([middle - half, middle + half, values[:, 2:] + anchors], axis=1)
        # Anchors count from the input's corner: its middle is at size / 2.
        points = window.to_picture((points / self._size - 0.5).astype(np.float32))
        return Candidates(
            points[:, :2].reshape(-1, 4), scores[kept].astype(np.float32), points[:, 2:]
        )
