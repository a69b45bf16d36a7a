"""``asmnet-kit predict`` with folders, lists and many pictures: one after the other."""

import math
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, cast

from asmnet_kit.base.console import clean, counted, progress, stderr
from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.datasets.registry import first_problems
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.face.pose import ANGLES
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.predict.film import line_writer
from asmnet_kit.predict.inputs import Inputs, gather, paths_of_list
from asmnet_kit.predict.outputs import Drawings, Labels, Lines, Output, labels_into
from asmnet_kit.predict.picture import FacePrediction, PredictedPicture, predict_file

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
        facts += [f"{name} {angle:.1f}°" for name, angle in zip(ANGLES, face.pose, strict=True)]
    if face.confidence is not None:
        facts.append(f"confidence {face.confidence:.2f}")
    return ", ".join(facts)


@dataclass
class _Tally:
    """What the last line tells."""

    pictures: int = 0
    with_faces: int = 0
    faces: int = 0
    left_out: LeftOut = field(
        default_factory=lambda: LeftOut("the pictures", 0, math.inf, rest="--jsonl")
    )

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
) -> None:
    """Predict every picture that was named; print and write what was asked for.

    A picture that cannot be used is left out and told.

    Args:
        named: pictures and folders; None for a list of them on stdin.
        out: a .csv, a .jsonl or the folder of drawings. Files appear whole or not at all.
        as_lines: print JSON lines.

    Raises:
        UsageError: a picture would be overwritten, or cannot be named in the .csv.
        DatasetError: there is no picture, or none of them can be used.
    """
    inputs, paths = _pictures(named, out)
    tally = _Tally()
    for problem in inputs.problems:
        tally.left_out.add(problem.name, DatasetError(problem.reason))
    with ExitStack() as stack:
        outputs: list[Output] = []
        if as_lines:
            outputs.append(Lines(sys.stdout, predictor, plausibility))
        elif out is None:
            outputs.append(_Words(sys.stdout))
        if out is not None:
            outputs.append(stack.enter_context(_into(out, inputs.root, predictor, plausibility)))
        refused = _refused(inputs.paths, outputs)
        # Lines on a terminal are their own progress, and a bar would get between them.
        shows_lines = (as_lines or out is None) and sys.stdout.isatty()
        bar = stack.enter_context(progress(visible=not shows_lines))
        task = bar.add_task("predict", total=len(inputs.paths) or None, note="")
        for path in paths:
            try:
                if path in refused:
                    raise refused[path]
                picture = predict_file(
                    path, predictor, plausibility=plausibility, min_score=min_score
                )
            except DatasetError as error:
                tally.left_out.add(str(path), error)
                for output in outputs:
                    output.leave_out(path, tally.left_out.problems[-1].reason)
            else:
                tally.add(picture)
                for output in outputs:
                    output.add(picture)
            bar.update(task, advance=1)
        if not tally.pictures:
            raise DatasetError(_none_read(tally))
    stderr().print(_summary(tally, inputs, outputs, out), markup=False)


def _pictures(named: Sequence[Path] | None, out: Path | None) -> tuple[Inputs, Iterable[Path]]:
    """What is known of the pictures, and the pictures; those of a list come as it is read."""
    given: Iterable[Path] = paths_of_list(sys.stdin.buffer) if named is None else named
    if named is None and out is None:
        return Inputs(), given
    is_folder = out is not None and out.suffix.lower() not in (LINES, LABELS)
    inputs = gather(given, leave_out=out if is_folder else None)
    return inputs, inputs.paths


@contextmanager
def _into(
    out: Path, root: Path, predictor: Predictor, plausibility: Plausibility | None
) -> Iterator[Output]:
    """What writes to ``--out``."""
    if out.suffix.lower() == LINES:
        with line_writer(out) as lines:
            yield Lines(lines, predictor, plausibility)
    elif out.suffix.lower() == LABELS:
        with labels_into(out, predictor.scheme) as labels:
            yield labels
    else:
        yield Drawings(out, root, predictor.scheme)


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


def _summary(tally: _Tally, inputs: Inputs, outputs: Sequence[Output], out: Path | None) -> str:
    facts = [f"{counted(tally.pictures, 'picture')}, {tally.with_faces} with faces"]
    facts.append(counted(tally.faces, "face"))
    if inputs.repeated:
        facts.append(f"{inputs.repeated} named more than once")
    if tally.left_out.problems:
        facts.append(f"{len(tally.left_out.problems)} left out")
    said = "; ".join(facts) + ("." if out is None else f"; written to {out}.")
    if not tally.faces:
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
    return f"{turned} Look at them with: asmnet-kit data inspect --data {name} --format csv"
