"""A landmark .tflite that the kit did not make, run on crops by its adapter.

A predictor is given crops that its caller cut around a box, upright and centred on it. Where the
adapter wants a shifted or turned crop, or several looks, the caller's crop is a wider *window*, and
the model's own crops are cut out of it here. So every command works with such a model as with any.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.adapters.adapter import Adapter
from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.limits import MAX_INPUT_SIZE
from asmnet_kit.face.crop import Points, landmark_box, warp
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.tflite.runtime import Session, TensorInfo, dequantize, open_runtime

Raw = NDArray[np.generic]
Runner = Callable[[Raw], dict[str, Raw]]

# The window is this much wider than the first crop where later ones may lie elsewhere, and has this
# many pixels for one of the model's: each sampling blurs a little, and less in a finer window.
ROOM, FINENESS = 2.0, 1.5


@dataclass(frozen=True)
class View:
    """A crop of a window: where the model looks.

    Attributes:
        centre: (x, y), fractions of the window's side from its centre.
        side: of the crop, fraction of the window's side.
        turn: radians, clockwise in the image: how far the face is turned, and the crop with it.
    """

    centre: tuple[float, float] = (0.0, 0.0)
    side: float = 1.0
    turn: float = 0.0

    @property
    def rotation(self) -> NDArray[np.float64]:
        """[2, 2], from the window's directions to the crop's."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cosine, sine], [-sine, cosine]])

    def cut(self, window: Image, size: int) -> Image:
        """The crop's pixels, uint8 [size, size, 3]."""
        pixels = len(window)
        if self == View() and pixels == size:
            return window
        middle = (pixels - 1) / 2 + pixels * np.array(self.centre)
        matrix = np.empty((2, 3))
        matrix[:, :2] = size / (self.side * pixels) * self.rotation
        matrix[:, 2] = (size - 1) / 2 - matrix[:, :2] @ middle
        return warp(window, matrix, size)

    def inside(self, points: Points) -> Points:
        """Fractions of the window [N, 2] as fractions of the crop."""
        return np.asarray((points - self.centre) @ self.rotation.T / self.side, np.float32)

    def outside(self, points: Points) -> Points:
        """Fractions of the crop [N, 2] as fractions of the window."""
        return np.asarray(points @ self.rotation * self.side + self.centre, np.float32)


class AdaptedPredictor:
    """A .tflite run by an adapter, without TensorFlow.

    ``input_size`` and ``crop_scale`` are the window's, which callers cut.

    Args:
        session: the model opened on another target; by default on the CPU.

    Attributes:
        runner: runs raw inputs [B, *shape of the input]; ``run_raw`` by default.
        input_name, output_name: of the tensors that are used.
        passes: how often it looks at a face; the kit does not look again (asmnet_kit.face.looks).
        raw_size: side of the model's input, pixels.
        unit_sides: length of one unit of the output, sides of the model's crop.
        first: where the model looks first in a window.

    Raises:
        ModelError: missing, cut off, not a .tflite, or one whose tensors are not what the adapter
            says.
    """

    def __init__(
        self,
        path: Path,
        adapter: Adapter,
        *,
        threads: int = 1,
        session: Session | None = None,
    ) -> None:
        self.name = path.name
        self.adapter = adapter
        self.scheme = adapter.scheme
        self.passes = adapter.passes
        self.raw_size, self.unit_sides = adapter.size, adapter.unit_sides
        self.runtime: Session = session or open_runtime(path, threads=threads)
        self.runner: Runner = self.run_raw
        self.input_name = self._checked_input(path)
        self.output_name = self._checked_output(path)
        off = max(map(abs, adapter.shift))
        room = ROOM if adapter.passes > 1 else 1 + 2 * off
        is_plain = room == 1
        pixels = adapter.size if is_plain else round(FINENESS * room * adapter.size)
        self.input_size = max(min(pixels, MAX_INPUT_SIZE), adapter.size)
        self.crop_scale = room * adapter.crop_scale
        self.first = View((adapter.shift[0] / room, adapter.shift[1] / room), 1 / room)

    def predict(self, crops: Image) -> Prediction:
        """Landmarks of windows, uint8 [B, input_size, input_size, 3], RGB."""
        return Prediction(landmarks=self.adapter.landmarks(self.placed(crops)), pose=None)

    def placed(self, crops: Image) -> Points:
        """The model's own points [B, points, 2] in windows, fractions of the window's side."""
        views = self.views(crops)
        found = self.points(self.runner(self.inputs(crops, views))[self.output_name])
        placed = [view.outside(points) for view, points in zip(views, found, strict=True)]
        return np.stack(placed)

    def views(self, crops: Image) -> list[View]:
        """Where the model looks last in each window, after all its looks before."""
        views = [self.first] * len(crops)
        for _ in range(self.adapter.passes - 1):
            found = self.points(self.runner(self.inputs(crops, views))[self.output_name])
            views = [self._next(view, points) for view, points in zip(views, found, strict=True)]
        return views

    def inputs(self, crops: Image, views: Sequence[View]) -> Raw:
        """The model's raw input for each window: [B, *shape of the input]."""
        size = self.adapter.size
        pixels = np.stack([v.cut(c, size) for v, c in zip(views, crops, strict=True)])
        return self.adapter.inputs(pixels, self.runtime.inputs[self.input_name])

    def points(self, output: Raw) -> Points:
        """The model's own points [B, points, 2] of its raw output [B, ...], fractions of its crop
        from the centre."""
        info = self.runtime.outputs[self.output_name]
        return self.adapter.fractions(dequantize(output, info))

    def landmarks(self, output: Raw) -> Points:
        """The scheme's landmarks [B, N, 2] of a raw output, fractions of the model's crop."""
        return self.adapter.landmarks(self.points(output))

    def run_raw(self, images: Raw) -> dict[str, Raw]:
        """Raw inputs [B, *shape of the input] to raw outputs by name, [B, *shape of the output]."""
        outputs = [self.runtime.run({self.input_name: image}) for image in images]
        return {
            name: np.array([output[name] for output in outputs], info.dtype).reshape(
                -1, *info.shape
            )
            for name, info in self.runtime.outputs.items()
        }

    def _next(self, view: View, points: Points) -> View:
        """The view around the points that another one found; the same where they are no face."""
        adapter = self.adapter
        if not np.isfinite(points).all():
            return view
        placed = view.outside(points)
        turn = view.turn
        if adapter.turn_by is not None:
            left, right = placed[list(adapter.turn_by)]
            turn = float(np.arctan2(right[1] - left[1], right[0] - left[0]))
        upright = View(turn=turn)
        x0, y0, x1, y1 = landmark_box(upright.inside(placed)).tolist()
        side = adapter.again * max(x1 - x0, y1 - y0)
        # Beyond that there is nothing of the window in it.
        if not 1e-3 < side < 1e3:
            return view
        x, y = upright.outside(np.array([[(x0 + x1) / 2, (y0 + y1) / 2]], np.float32))[0].tolist()
        return View((x, y), side, turn)

    def _checked_input(self, path: Path) -> str:
        size = self.adapter.size
        shapes = ((1, size, size, 3), (1, 3, size, size))
        infos = list(self.runtime.inputs.values())
        if len(infos) != 1 or infos[0].shape not in shapes:
            raise ModelError(
                f"{path}: the adapter {self.adapter.name} expects one input of "
                f"{list(shapes[0])} or {list(shapes[1])}, got {_listed(infos)}"
            )
        return infos[0].name

    def _checked_output(self, path: Path) -> str:
        adapter, outputs = self.adapter, self.runtime.outputs
        numbers = adapter.points * adapter.values
        fitting = [n for n, info in outputs.items() if int(np.prod(info.shape)) == numbers]
        if adapter.output is not None:
            fitting = [name for name in fitting if name == adapter.output]
        if len(fitting) != 1:
            called = "" if adapter.output is None else f" called {adapter.output!r}"
            more = "; say which by output.name" if len(fitting) > 1 else ""
            raise ModelError(
                f"{path}: the adapter {adapter.name} expects one output{called} of {numbers} "
                f"numbers, {adapter.values} for each of {adapter.points} points, got "
                f"{_listed(list(outputs.values()))}{more}"
            )
        return fitting[0]


def _listed(infos: Sequence[TensorInfo]) -> str:
    return ", ".join(f"{info.name!r} {list(info.shape)}" for info in infos)
