"""``asmnet-kit predict`` with folders, lists and many pictures: one after the other."""

import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO, cast

from asmnet_kit.base.console import clean, counted, degrees, progress, stderr
from asmnet_kit.base.errors import DatasetError, Interrupted
from asmnet_kit.commands.options import scheme_argument
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.datasets.registry import first_problems
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.face.pose import ANGLES
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.predict.inputs import Inputs, gather, paths_of_list
from asmnet_kit.predict.outputs import (
    Drawings,
    Labels,
    Lines,
    Output,
    folder_of_drawings,
    labels_into,
)
from asmnet_kit.predict.picture import (
    FacePrediction,
    PredictedPicture,
    about_model,
    predict_file,
)
from asmnet_kit.predict.unfinished import finished_lines, growing, is_complete

LINES, LABELS = ".jsonl", ".csv"


@dataclass(frozen=True)
class _Words:
    """A line for each face, for people."""

    file: TextIO

    def check(self, path: Path) -> None:
        """Every picture has a line."""

    def add(self, picture: PredictedPicture) -> None:
        name = clean(str(picture.path))
        lines = [
            f"{name}: face {number}: {_words(face)}\n"
            for number, face in enumerate(picture.faces, start=1)
        ]
        self.file.write("".join(lines) or f"{name}: no face\n")
        self.file.flush()

    def leave_out(self, path: Path, reason: str) -> None:
        """It is told on stderr."""


def _words(face: FacePrediction) -> str:
    facts = ["box " + ",".join(f"{edge:.0f}" for edge in face.box)]
    if face.pose is not None:
        facts += [f"{name} {degrees(angle)}" for name, angle in zip(ANGLES, face.pose, strict=True)]
    if face.confidence is not None:
        facts.append(f"confidence {face.confidence:.2f}")
    return ", ".join(facts)


@dataclass
class _Tally:
    """What the last line tells."""

    pictures: int = 0  # that were read
    with_faces: int = 0
    faces: int = 0
    left_out: LeftOut = field(
        default_factory=lambda: LeftOut("the pictures", 0, math.inf, rest="--jsonl")
    )

    @property
    def seen(self) -> int:
        """Pictures that have been dealt with."""
        return self.pictures + len(self.left_out.problems)

    def add(self, picture: PredictedPicture) -> None:
        self.pictures += 1
        self.with_faces += bool(picture.faces)
        self.faces += len(picture.faces)


def predict_pictures(
    named: Sequence[Path] | None,
    *,
    predictor: Predictor,
    plausibility: Plausibility | None,
    min_score: float,
    out: Path | None,
    as_lines: bool,
    resume: bool,
) -> None:
    """Predict every picture that was named; print and write what was asked for.

    A picture that cannot be used is left out and told.

    Args:
        named: pictures and folders; None for a list of them on stdin.
        out: a .csv, a .jsonl or the folder of drawings. Files appear whole or not at all.
        as_lines: print JSON lines.
        resume: leave alone the pictures that an earlier call has written to ``out``.

    Raises:
        UsageError: a picture would be overwritten, or cannot be named in the .csv; or ``resume``
            with what another call has begun.
        DatasetError: there is no picture, or none of them can be used.
        Interrupted: by Ctrl-C, where ``resume`` can go on.
    """
    with ExitStack() as stack:
        if out is not None and _is_folder(out):
            about = about_model(predictor, plausibility)
            stack.enter_context(folder_of_drawings(out, about))
        inputs, paths = _pictures(named, out)
        tally = _Tally()
        for problem in inputs.problems:
            tally.left_out.add(problem.name, DatasetError(problem.reason))
        done = _done(out, inputs, predictor, plausibility) if out is not None and resume else []
        outputs: list[Output] = []
        if as_lines:
            outputs.append(Lines(sys.stdout, predictor, plausibility))
        elif out is None:
            outputs.append(_Words(sys.stdout))
        if out is not None and not _is_left(out, inputs.paths, done):
            into = _into(out, inputs.root, predictor, plausibility, keep=len(done))
            outputs.append(stack.enter_context(into))
        refused = _refused(inputs.paths, outputs)
        # Lines on a terminal are their own progress, and a bar would get between them.
        shows_lines = (as_lines or out is None) and sys.stdout.isatty()
        bar = stack.enter_context(progress(visible=not shows_lines))
        task = bar.add_task(
            "predict", total=len(inputs.paths) or None, completed=len(done), note=""
        )
        predict = partial(
            predict_file, predictor=predictor, plausibility=plausibility, min_score=min_score
        )
        try:
            for path in _without(done, paths):
                _predict_one(path, predict, outputs, tally, refused.get(path))
                bar.update(task, advance=1)
        except KeyboardInterrupt as error:
            if out is None or out.suffix.lower() == LABELS:
                raise
            raise Interrupted(
                f"interrupted after {len(done) + tally.seen} of {len(inputs.paths)} pictures: the "
                "same command with --resume goes on from there"
            ) from error
        if not (tally.pictures or done):
            raise DatasetError(_none_read(tally))
    stderr().print(_summary(tally, inputs, outputs, out, before=len(done)), markup=False)


def _predict_one(
    path: Path,
    predict: Callable[[Path], PredictedPicture],
    outputs: Sequence[Output],
    tally: _Tally,
    refusal: DatasetError | None,
) -> None:
    try:
        if refusal is not None:
            raise refusal
        picture = predict(path)
    except DatasetError as error:
        tally.left_out.add(str(path), error)
        for output in outputs:
            output.leave_out(path, tally.left_out.problems[-1].reason)
        return
    for output in outputs:
        output.add(picture)
    tally.add(picture)


def _done(
    out: Path, inputs: Inputs, predictor: Predictor, plausibility: Plausibility | None
) -> list[Path]:
    """The pictures whose results are there."""
    if out.suffix.lower() == LINES:
        about = about_model(predictor, plausibility)
        return inputs.paths[: finished_lines(out, inputs.paths, about)]
    drawings = _drawings(out, inputs.root, predictor, plausibility)
    return [path for path in inputs.paths if drawings.place_of(path).exists()]


def _is_left(out: Path, paths: Sequence[Path], done: Sequence[Path]) -> bool:
    """Whether ``out`` is a finished file that lacks nothing, and stays as it is."""
    return out.suffix.lower() == LINES and is_complete(out, paths, len(done))


def _is_folder(out: Path) -> bool:
    return out.suffix.lower() not in (LINES, LABELS)


def _drawings(
    out: Path, root: Path, predictor: Predictor, plausibility: Plausibility | None
) -> Drawings:
    return Drawings(out, root, predictor.scheme, about_model(predictor, plausibility))


def _without(done: Iterable[Path], paths: Iterable[Path]) -> Iterator[Path]:
    gone = set(done)
    return (path for path in paths if path not in gone)


def _pictures(named: Sequence[Path] | None, out: Path | None) -> tuple[Inputs, Iterable[Path]]:
    """What is known of the pictures, and the pictures; those of a list come as it is read."""
    given: Iterable[Path] = paths_of_list(sys.stdin.buffer) if named is None else named
    if named is None and out is None:
        return Inputs(), given
    inputs = gather(given, leave_out=out if out is not None and _is_folder(out) else None)
    return inputs, inputs.paths


@contextmanager
def _into(
    out: Path,
    root: Path,
    predictor: Predictor,
    plausibility: Plausibility | None,
    *,
    keep: int,
) -> Iterator[Output]:
    """What writes to ``--out``, where ``keep`` results are already."""
    if out.suffix.lower() == LINES:
        with growing(out, keep=keep) as lines:
            yield Lines(lines, predictor, plausibility)
    elif out.suffix.lower() == LABELS:
        with labels_into(out, predictor.scheme) as labels:
            yield labels
    else:
        yield _drawings(out, root, predictor, plausibility)


def _refused(paths: Iterable[Path], outputs: Sequence[Output]) -> dict[Path, DatasetError]:
    """The pictures whose results have no place, before minutes are spent on the others.

    Raises:
        UsageError: the call would overwrite a picture, or asks for labels that nobody could read.
    """
    refused = {}
    for path in paths:
        try:
            for output in outputs:
                output.check(path)
        except DatasetError as error:
            refused[path] = error
    return refused


def _none_read(tally: _Tally) -> str:
    problems = tally.left_out.problems
    if not problems:
        return "expected a picture's path on each line of stdin, got nothing"
    return f"none of {counted(len(problems), 'picture')} can be used:{first_problems(problems)}"


def _summary(
    tally: _Tally, inputs: Inputs, outputs: Sequence[Output], out: Path | None, *, before: int
) -> str:
    if before and not tally.seen:
        return f"{counted(before, 'picture')} before, none is left to predict: {out} is complete."
    facts = [f"{counted(before, 'picture')} before"] if before else []
    facts += [f"{counted(tally.pictures, 'picture')}, {tally.with_faces} with faces"]
    facts += [counted(tally.faces, "face")]
    if inputs.repeated:
        facts.append(f"{inputs.repeated} named more than once")
    if tally.left_out.problems:
        facts.append(f"{len(tally.left_out.problems)} left out")
    said = "; ".join(facts) + ("." if out is None else f"; written to {out}.")
    if tally.pictures and not tally.faces:
        said += " Lower --min-score to find more."
    for output in outputs:
        if isinstance(output, Labels) and tally.faces:
            said += _about_labels(output, cast(Path, out))
    return said


def _about_labels(labels: Labels, out: Path) -> str:
    turned = ""
    if labels.turned:
        turned = (
            f" {counted(labels.turned, 'picture')} not stored upright (EXIF): the labels are of "
            "the stored pixels, where faces lie on their side; store pictures upright before you "
            "train on them (exiftran -a, or ImageMagick's -auto-orient)."
        )
    name = shlex.quote(str(out))
    scheme = scheme_argument(None if labels.scheme.built_in else labels.scheme)
    return f"{turned} Look at them with: asmnet-kit data inspect --data {name} --format csv{scheme}"
