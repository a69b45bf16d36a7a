"""The whole way of a camera frame: crop and convert, invoke, landmarks back in the frame.

A face model is used on frames, so its own time is not all: these stages are timed beside it.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.adapters.adapter import read_adapter
from asmnet_kit.adapters.predictor import AdaptedPredictor
from asmnet_kit.base.errors import ModelError
from asmnet_kit.benchmarks.protocol import OnProgress, Request
from asmnet_kit.face.crop import Crop, Points
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import POSE_UNIT_DEGREES
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.tflite.runtime import Session, dequantize

FRAME_WIDTH, FRAME_HEIGHT = 640, 480  # pixels; the preview size of many phones and webcams
# x0, y0, x1, y1: a face half as high as the frame.
FACE_BOX = np.array([210.0, 100.0, 430.0, 340.0], np.float32)
FRAMES = 100  # enough for a median to settle
WARMUP_FRAMES = 5
REPORT_EVERY_S = 1.0


@dataclass(frozen=True)
class FrameStages:
    """Pre- and post-processing of a model that carries the kit's metadata."""

    runtime: Session
    input_size: int
    crop_scale: float
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, runtime: Session, model: Path) -> "FrameStages":
        """The stages as the model's metadata describes them.

        Raises:
            ModelError: it has no metadata, or its tensors have other names.
        """
        metadata = read_metadata(model)
        if set(runtime.inputs) != {"image"} or "landmarks" not in runtime.outputs:
            raise ModelError(
                f"{model}: expected the input 'image' and the output 'landmarks', "
                f"got {', '.join(runtime.inputs)} and {', '.join(runtime.outputs)}"
            )
        return cls(runtime, metadata.input_size, metadata.crop_scale)

    def pre(self, frame: Image) -> tuple[Crop, dict[str, NDArray[Any]]]:
        """Frame to raw input: the crop of the face, in the model's own type."""
        crop = Crop.from_box(FACE_BOX, size=self.input_size, scale=self.crop_scale)
        return crop, {"image": input_values(crop.cut(frame)[None], self.runtime.inputs["image"])}

    def post(
        self, crop: Crop, outputs: dict[str, NDArray[Any]]
    ) -> tuple[Points, NDArray[np.float32] | None]:
        """Raw outputs to landmarks [N, 2] in pixels of the frame, and pose [3] in degrees."""
        info = self.runtime.outputs["landmarks"]
        points = crop.to_picture(dequantize(outputs["landmarks"], info).reshape(-1, 2))
        if "pose" not in outputs:
            return points, None
        pose = POSE_UNIT_DEGREES * dequantize(outputs["pose"], self.runtime.outputs["pose"])
        return points, pose.reshape(-1)


class AdaptedStages:
    """Pre- and post-processing of one look of a model that an adapter describes.

    Raises:
        ModelError: the adapter does not fit the model.
    """

    def __init__(self, predictor: AdaptedPredictor) -> None:
        self.predictor, self.runtime = predictor, predictor.runtime
        passes = predictor.adapter.passes
        more = f"frame stages are those of one look; the adapter looks {passes} times at a face"
        self.notes = (more,) if passes > 1 else ()

    def pre(self, frame: Image) -> tuple[Crop, dict[str, NDArray[Any]]]:
        """Frame to raw input: the first crop of the face, in the model's own type."""
        predictor = self.predictor
        crop = Crop.from_box(FACE_BOX, size=predictor.input_size, scale=predictor.crop_scale)
        raw = predictor.inputs(crop.cut(frame)[None], [predictor.first])
        return crop, {predictor.input_name: raw[0]}

    def post(
        self, crop: Crop, outputs: dict[str, NDArray[Any]]
    ) -> tuple[Points, NDArray[np.float32] | None]:
        """Raw outputs to landmarks [N, 2] in pixels of the frame; there is no pose."""
        found = self.predictor.landmarks(outputs[self.predictor.output_name][None])[0]
        return crop.to_picture(self.predictor.first.outside(found)), None


def stages_of(runtime: Session, request: Request) -> FrameStages | AdaptedStages:
    """The stages of a request's model, opened as ``runtime``.

    Raises:
        ModelError: it has neither the kit's metadata nor an adapter that fits.
    """
    if request.adapter is None:
        return FrameStages.of(runtime, request.model)
    adapter = read_adapter(request.adapter)
    return AdaptedStages(AdaptedPredictor(request.model, adapter, session=runtime))


def camera_frame(seed: int = 0) -> Image:
    """A made-up frame, uint8 [480, 640, 3]: the stages' time does not depend on what it shows."""
    frame: Image = np.random.default_rng(seed).integers(
        0, 256, (FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8
    )
    return frame


def time_stages(
    stages: FrameStages | AdaptedStages,
    on_progress: OnProgress = lambda done, note: None,
    *,
    frames: int = FRAMES,
) -> dict[str, float]:
    """Medians of frames on one thread, milliseconds: ``pre``, ``post`` and ``end_to_end``."""
    import cv2

    cv2.setNumThreads(1)  # handing such small pictures to other threads costs more than it saves
    frame = camera_frame()
    times: dict[str, list[float]] = {"pre": [], "post": [], "end_to_end": []}
    told = time.perf_counter()
    for index in range(WARMUP_FRAMES + frames):
        if time.perf_counter() - told > REPORT_EVERY_S:  # slow models take minutes for all frames
            on_progress(1.0, "frames")
            told = time.perf_counter()
        started = time.perf_counter()
        crop, inputs = stages.pre(frame)
        cropped = time.perf_counter()
        outputs = stages.runtime.run(inputs)
        invoked = time.perf_counter()
        stages.post(crop, outputs)
        ended = time.perf_counter()
        if index >= WARMUP_FRAMES:
            times["pre"].append(1e3 * (cropped - started))
            times["post"].append(1e3 * (ended - invoked))
            times["end_to_end"].append(1e3 * (ended - started))
    return {name: float(np.median(values)) for name, values in times.items()}
