"""Which head pose is nearest to the truth: the model's own output, or one from its landmarks?

Usage: make pose-study ARGS="--model M --people DIR --held-back DIR --out DIR"

Compared are the pose output of a .tflite (the *image head*), ``solvePnP`` on its landmarks with the
generic face, tiny networks from landmarks to pose (``pose_networks``), and means of two. Tiny
networks learn from what the model predicts on rendered people (``--people``, format synthetic); all
are judged on other rendered people, whose pose is exact (``--held-back``). On photographs
(``--photos``) nobody knows the pose: there a 3-D face in that pose is laid over the points that can
be seen, moved and scaled as fits best, and the rest of the distance tells how well pose and points
go together. Predictions are kept in OUT: a study that was interrupted goes on where it stopped.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.console import counting
from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import make_folder, replacing, write_text
from asmnet_kit.base.npz import read_npz
from asmnet_kit.cli import KitCommand
from asmnet_kit.commands.options import (
    DATA,
    TFLITE,
    InputPath,
    ModelPath,
    PluginChoice,
    out_option,
)
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.datasets.formats import FORMATS
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.boxes import Box
from asmnet_kit.face.crop import Crop
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.training.studies.pose_networks import (
    EPOCHS,
    Answers,
    Design,
    Trained,
    train,
)
from asmnet_kit.training.studies.pose_report import (
    Estimate,
    Report,
    fitted_poses,
    marked_face,
    mean_of,
)

FORMAT = "synthetic"
# A second crop of each face to train on, around a box as a detector's may be: standard deviations
# of its middle, of the box's longer side, and of the logarithm of its side.
BOX_SHIFT, BOX_SIZE = 0.04, 0.07
ON_LABELS = ", on labelled landmarks"  # what is left where a model sees landmarks exactly

DESIGNS = (
    Design("tiny network"),
    Design("– 64 and 32 hidden units", hidden=(64, 32)),
    Design("– landmarks as in the file", frame="crop"),
    Design("– the same, 64 and 32 hidden units", hidden=(64, 32), frame="crop"),
    Design("– trained on labelled landmarks", labels=True),
    Design("– with sigmas and visibilities", sure=True),
    Design("– with the image head's pose", head=True),
    Design("– Deep Sets", hidden=(24, 24), sets=True),
)
HEAD = "image head"
# Names of estimates whose mean is judged, too.
MEANS = ((HEAD, DESIGNS[0].title), (HEAD, DESIGNS[3].title))


@click.command(cls=KitCommand)
@click.option("--model", type=ModelPath(TFLITE), required=True, help="With a pose output.")
@click.option(
    "--people", type=InputPath(DATA), required=True, help="Rendered people to learn from."
)
@click.option("--held-back", type=InputPath(DATA), required=True, help="Others, to judge by.")
@click.option("--held-back-split", help="Only this split of them.")
@click.option("--photos", type=InputPath(DATA), help="Photographs to judge by.")
@click.option("--photos-format", type=PluginChoice(FORMATS), help="Their layout.")
@click.option("--photos-split", default="val", show_default=True, help="Only this split of them.")
@click.option("--photos-subset", help="Only this subset of them.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs.")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=EPOCHS, show_default=True, help="Each."
)
@out_option("Folder of the predictions, the tables (study.md) and study.json.")
def main(
    model: Path,
    people: Path,
    held_back: Path,
    held_back_split: str | None,
    photos: Path | None,
    photos_format: str | None,
    photos_split: str,
    photos_subset: str | None,
    seeds: int,
    epochs: int,
    out: Path,
) -> None:
    """Compare a model's pose with poses from its landmarks.

    \b
    Example:
      python -m asmnet_kit.training.studies.pose_study --model asmnet_plus_people \\
        --people people --held-back others --out study
    """
    from asmnet_kit.training.environment import import_tensorflow

    if (photos is None) != (photos_format is None):
        raise UsageError("--photos and --photos-format belong together: expected both or neither")
    predictor = TflitePredictor(model)
    points = predictor.scheme.points
    learnt_from = load_dataset(people, FORMAT, points=points)
    judged_by = load_dataset(held_back, FORMAT, points=points, split=held_back_split)
    if shared := {face_key(f) for f in learnt_from.faces} & {face_key(f) for f in judged_by.faces}:
        raise UsageError(
            f"{held_back}: {len(shared)} of its faces are in {people}, too: expected people that "
            "the networks do not learn from"
        )
    import_tensorflow()
    make_folder(out)
    cache = _Cache(predictor, hashlib.sha256(model.read_bytes()).hexdigest(), out)
    learnt = Answers.joined(
        [
            cache.answers("people", learnt_from),
            cache.answers("people_moved", learnt_from, moved=True),
        ]
    )
    judged = {"people": cache.answers("held_back", judged_by)}
    if photos is not None and photos_format is not None:
        shown = load_dataset(photos, photos_format, split=photos_split, subset=photos_subset)
        judged["photos"] = cache.answers("photos", shown)
    if len(judged["people"].pose) == 0 or not np.isfinite(judged["people"].truth).all():
        raise DatasetError(f"{held_back}: expected the pose of every face")
    estimates = estimates_of(predictor.scheme, learnt, judged, seeds=seeds, epochs=epochs)
    report = Report(predictor.scheme, judged, estimates)
    write_text(out / "study.md", report.text())
    write_text(out / "study.json", json.dumps(report.to_json(), indent=2) + "\n")
    click.echo(report.text(), nl=False)


def face_key(face: Face) -> bytes:
    """What tells one drawn face from another, wherever it lies: its landmarks."""
    return face.landmarks.tobytes()


@dataclass(frozen=True, eq=False)
class _Cache:
    """A model's answers, kept as files of OUT that name the model and the data they belong to."""

    predictor: Predictor
    model_sha256: str
    out: Path

    def answers(self, name: str, dataset: Dataset, *, moved: bool = False) -> Answers:
        path = self.out / f"{name}.npz"
        source = f"{self.model_sha256} {dataset.fingerprint()}"
        if path.is_file():
            stored = read_npz(path, expected="predictions of this study (.npz)")
            if str(stored.pop("source")) == source:
                return Answers(**stored)
        found = answers_of(self.predictor, dataset, moved=moved)
        with replacing(path) as temporary, temporary.open("wb") as file:
            arrays = {field.name: getattr(found, field.name) for field in fields(found)}
            np.savez(file, source=np.array(source), **arrays)
        return found


def answers_of(predictor: Predictor, dataset: Dataset, *, moved: bool = False) -> Answers:
    """What the model says of a data set's faces; pictures that cannot be read are left out.

    Args:
        moved: crop around boxes that are moved and scaled by lot, as a detector's would be.

    Raises:
        UsageError: a model without a pose output.
        DatasetError: too many pictures cannot be read.
    """
    points = predictor.scheme.points
    random = np.random.default_rng(0)
    left_out = LeftOut(dataset.name, len(dataset.faces))
    parts = []
    with counting(f"predicting {dataset.name}") as progress:
        for done, face in enumerate(dataset.faces, 1):
            box = _as_detected(face.box, random) if moved else face.box
            crop = Crop.from_box(box, size=predictor.input_size, scale=predictor.crop_scale)
            try:
                pixels = crop.cut(face.read())
            except (DatasetError, OSError) as error:
                left_out.add(face.name, error)
                continue
            said = predictor.predict(pixels[None])
            if said.pose is None:
                raise UsageError(f"{predictor.name}: expected a model with a pose output")
            unknown = np.full((1, points), np.nan, np.float32)
            truth = np.full(3, np.nan, np.float32) if face.pose is None else face.pose
            parts.append(
                Answers(
                    landmarks=said.landmarks,
                    labels=crop.to_fractions(face.landmarks)[None],
                    pose=said.pose.astype(np.float32),
                    truth=truth[None],
                    sigma=unknown if said.sigma is None else said.sigma,
                    visible=unknown if said.visible is None else said.visible,
                )
            )
            progress(done, len(dataset.faces))
    if not parts:
        raise DatasetError(f"{dataset.name}: expected faces with a picture, got none")
    return Answers.joined(parts)


def _as_detected(box: Box, random: np.random.Generator) -> Box:
    side = float(np.ptp(box.reshape(2, 2), axis=0).max())
    middle = box.reshape(2, 2).mean(axis=0) + random.normal(0, BOX_SHIFT * side, 2)
    half = side * np.exp(random.normal(0, BOX_SIZE)) / 2
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def estimates_of(
    scheme: Scheme,
    learnt: Answers,
    judged: Mapping[str, Answers],
    *,
    seeds: int,
    epochs: int,
) -> dict[str, list[Estimate]]:
    """Every way to a pose, for each set of faces that is judged.

    Args:
        learnt: what the tiny networks learn from.
        judged: set -> what the model says of its faces.
    """
    estimates = {
        name: [Estimate(HEAD, answers.pose[None]), *_solved(answers, scheme)]
        for name, answers in judged.items()
    }
    exact = judged["people"].as_labelled()
    by_labels = _solved(exact, scheme, where=ON_LABELS)
    knows_more = bool(np.isfinite(learnt.sigma).all() and np.isfinite(learnt.visible).all())
    for design in DESIGNS:
        if design.sure and not knows_more:
            continue
        click.echo(f"training: {design.title}", err=True)
        trained = [train(design, learnt, scheme, seed=seed, epochs=epochs) for seed in range(seeds)]
        weights = trained[0].weights
        for name, answers in judged.items():
            estimates[name].append(Estimate(design.title, _poses(trained, answers), weights))
        if design.labels:
            title = f"{DESIGNS[0].title}{ON_LABELS}"
            by_labels.append(Estimate(title, _poses(trained, exact), weights))
    for known in estimates.values():
        titles = {estimate.title: estimate for estimate in known}
        known += [mean_of(titles[first], titles[second]) for first, second in MEANS]
    estimates["people"] += by_labels
    return estimates


def _poses(trained: list[Trained], answers: Answers) -> NDArray[np.float32]:
    """Of networks that differ by their seed: [S, B, 3]."""
    return np.stack([network.pose_of(answers) for network in trained])


def _solved(answers: Answers, scheme: Scheme, *, where: str = "") -> list[Estimate]:
    """``solvePnP`` with the generic face, and with that face as annotators mark it."""
    faces = {"solvePnP": None, "solvePnP, face as annotators mark it": marked_face(scheme)}
    return [
        Estimate(f"{title}{where}", fitted_poses(answers.landmarks, scheme, face)[None])
        for title, face in faces.items()
    ]


if __name__ == "__main__":
    main()
