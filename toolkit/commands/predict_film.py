"""``asmnet-kit predict VIDEO``: follow the faces, draw them or print lines of JSON."""

import shlex
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from asmnet_kit.base.console import counted, progress, stderr
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.predict.draw import draw_faces
from asmnet_kit.predict.film import (
    Film,
    FilmWriter,
    Frame,
    film_writer,
    json_line,
    line_writer,
)
from asmnet_kit.predict.picture import SCHEMA_VERSION, about_model
from asmnet_kit.predict.tracking import (
    BETA,
    MIN_CUTOFF_HZ,
    FaceTracker,
    TrackedFace,
)

LINES = ".jsonl"
COMPLETE = 0.95  # share of the frames a file says it has; containers may count a few too many


@dataclass(frozen=True)
class _Outputs:
    """Where each frame's faces go."""

    lines: list[TextIO]
    drawn: FilmWriter | None
    scheme: Scheme

    def write(self, frame: Frame, faces: list[TrackedFace]) -> None:
        record = {
            "frame": frame.index,
            "seconds": round(frame.seconds, 4),
            "faces": [face.to_json() for face in faces],
        }
        for file in self.lines:
            file.write(json_line(record) + "\n")
        if self.drawn is not None:
            shown = [tracked.face for tracked in faces]
            self.drawn.write(draw_faces(frame.image, shown, self.scheme, factor=self.drawn.factor))


@dataclass
class _Tally:
    """What the last line tells."""

    frames: int = 0
    with_faces: int = 0
    tracks: set[int] = field(default_factory=set)
    seconds: float = 0.0  # of following faces, without reading and drawing

    def add(self, outputs: _Outputs, tracker: FaceTracker, frame: Frame) -> None:
        """Follow the faces into one frame, and write it."""
        started = time.perf_counter()
        faces = tracker.update(frame.image, frame.seconds)
        self.seconds += time.perf_counter() - started
        self.frames += 1
        self.with_faces += bool(faces)
        self.tracks.update(tracked.track for tracked in faces)
        outputs.write(frame, faces)


def predict_film(
    source: Path | int,
    *,
    every: int,
    predictor: Predictor,
    plausibility: Plausibility | None,
    min_score: float,
    smoothing: bool,
    detect_every: int | None,
    limit: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Follow the faces of a film or camera; print and write what was asked for.

    Args:
        source: the film's path or the camera's number.
        every: predict the first of so many frames, and leave out the others.
        detect_every: frames that are predicted; None = once a second.
        limit: stop after predicting so many frames.
        out: a film to draw, or a file of lines of JSON; it appears whole or not at all.

    Raises:
        DatasetError: the film or the camera gives no frame.
        UsageError: a film that cannot be written, or a shape model of other landmarks.
    """
    tracker = FaceTracker(
        predictor,
        plausibility=plausibility,
        smoothing=smoothing,
        detect_every=detect_every,
        min_score=min_score,
    )
    tally = _Tally()
    with ExitStack() as stack:
        film = stack.enter_context(Film(source, every=every))
        lines = [sys.stdout] if as_json else []
        drawn = None
        if out is not None and out.suffix.lower() == LINES:
            lines.append(stack.enter_context(line_writer(out)))
        elif out is not None:
            drawn = stack.enter_context(film_writer(out, film))
        header = {
            "schema_version": SCHEMA_VERSION,
            "kind": "video",
            "video": {
                "path": film.name,
                "width": film.width,
                "height": film.height,
                "fps": film.fps,
            },
            **about_model(predictor, plausibility),
            "smoothing": {"min_cutoff_hz": MIN_CUTOFF_HZ, "beta": BETA} if smoothing else None,
            "detect_every": detect_every,
            "every": every,
        }
        for file in lines:
            file.write(json_line(header) + "\n")
        outputs = _Outputs(lines, drawn, predictor.scheme)
        bar = stack.enter_context(progress())
        task = bar.add_task("predict", total=limit or film.expected, note="")
        try:
            for frame in film.frames(limit):
                tally.add(outputs, tracker, frame)
                bar.update(task, completed=tally.frames)
        except KeyboardInterrupt:
            if not film.is_camera:  # a camera is stopped so; what was written is kept
                raise
    if limit is None and film.expected and tally.frames < COMPLETE * film.expected:
        stderr().print(
            f"warning: {film.name} says it has {film.expected} frames, but {tally.frames} could be "
            "read: it may be cut off",
            markup=False,
        )
    stderr().print(_summary(tally, tracker.detections, film.name, out), markup=False)


def _summary(tally: _Tally, detections: int, name: str, out: Path | None) -> str:
    drawn = "" if out is None else f", written to {out}"
    if not tally.with_faces:
        return (
            f"No face found in any of the {tally.frames} frames of {name}{drawn}: "
            "lower --min-score."
        )
    facts: list[Any] = [
        f"{counted(tally.frames, 'frame')}, {tally.with_faces} with faces",
        f"{counted(len(tally.tracks), 'face')} followed",
        f"detector used in {counted(detections, 'frame')}",
        f"{tally.frames / max(tally.seconds, 1e-9):.0f} frames/s without reading and drawing",
    ]
    camera = name.removeprefix("camera ")
    source = shlex.quote(name) if camera == name else f"{camera} --frames {tally.frames}"
    following = (
        f". Look at it with: asmnet-kit predict {source} --out landmarks.mp4"
        if out is None
        else "."
    )
    return "; ".join(facts) + drawn + following
