"""``asmnet-kit evaluate``: parse, measure, print."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.model_kind import KINDS, model_kind
from asmnet_kit.commands.options import (
    MODEL,
    InputPath,
    ModelPath,
    OnceCommand,
    OutputPath,
    adapter_argument,
    adapter_option,
    boxes_option,
    compared_scheme_option,
    data_options,
    is_given,
    json_option,
    measured_split_option,
    plausibility_for,
    workers_option,
)

if TYPE_CHECKING:
    from rich.table import Table

    from asmnet_kit.datasets.base import Dataset
    from asmnet_kit.face.logistic_fit import LogisticFit
    from asmnet_kit.face.plausibility import Plausibility
    from asmnet_kit.face.schemes import Scheme
    from asmnet_kit.measure.evaluate import Evaluation, Scores


# With fewer, a calibration is worth a warning. With faces drawn 300 times from 625 photographs, the
# factor of sigma varies by 20 % for 3 faces, 10 % for 10, 4 % for 100 and 1.5 % for 600, and a
# probability of 0.92 by 0.05 for 3 failed faces, 0.04 for 5 and 0.025 for 12.
ENOUGH_FACES = 100
ENOUGH_FAILURES = 5


@click.command(cls=OnceCommand)
@click.argument("model", type=ModelPath(MODEL))
@adapter_option
@data_options()
@measured_split_option
@compared_scheme_option("; of a .keras with landmarks of your own, what they are")
@click.option("--subset", help="Only this subset, for example 'common' of 300-W.")
@boxes_option
@click.option("--complete-only", is_flag=True, help="Only faces on which every point is labelled.")
@click.option(
    "--ced",
    "ced_path",
    type=OutputPath(),
    help="Plot the cumulative error distribution into this picture.",
)
@click.option(
    "--sparsification",
    "sparsification_path",
    type=OutputPath(),
    help="Plot the error that remains without the least sure points and faces into this picture.",
)
@click.option(
    "--shape-model",
    "shape_model_path",
    type=InputPath("a shape_model.npz"),
    help=(
        "A shape_model.npz to judge plausibility with; run folders and the kit's models have "
        "their own."
    ),
)
@click.option(
    "--calibrate",
    "calibrated_path",
    type=OutputPath(),
    help=(
        "Calibrate on these faces, which must not be the test split, and write the result to "
        "this file: a .tflite is a copy of MODEL with calibrated sigmas and confidence (MODEL "
        "itself may be named), an .npz is the shape model with its plausibility."
    ),
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads of a .tflite.  [default: 1]"
)
@workers_option
@json_option
def evaluate(
    model: Path,
    adapter: str | None,
    data: Path,
    data_format: str,
    split: str | None,
    scheme: "Scheme | None",
    subset: str | None,
    boxes: str,
    complete_only: bool,
    ced_path: Path | None,
    sparsification_path: Path | None,
    shape_model_path: Path | None,
    calibrated_path: Path | None,
    threads: int | None,
    workers: int,
    as_json: bool,
) -> None:
    """Measure a model's accuracy on a data set.

    Example:  asmnet-kit evaluate model.tflite --data faces --format 300w --ced ced.png

    MODEL is a .tflite (no TensorFlow needed), a run folder, a .keras, an .h5, a SavedModel or the
    name of a model of the kit (asmnet-kit models).

    NME is the mean error of the labelled points in percent of the distance between the outer eye
    corners, or of the normaliser of the landmarks' scheme. Faces without both corners are counted
    as skipped. A face that the detector misses counts as a failure; the mean NME is over the faces
    found. The pose is compared with the data's labels or, without labels, with the pose of a
    generic 3-D face fitted to the landmarks. If the model says how sure it is (train --uncertainty,
    --visibility), the figures also show how right it is about that.
    """
    if threads is not None and model.suffix != ".tflite":
        raise UsageError("--threads is for a .tflite; TensorFlow chooses its own: leave it out")
    if is_given("workers") and model.suffix != ".tflite":
        raise UsageError("--workers is for a .tflite; TensorFlow has threads of its own")
    from asmnet_kit.base.console import counting, print_json, stderr, stdout
    from asmnet_kit.base.files import real_path, refuse_overwriting
    from asmnet_kit.datasets.registry import load_to_measure
    from asmnet_kit.measure.ced_plot import check_plot, plot_ced
    from asmnet_kit.measure.evaluate import evaluate as measure
    from asmnet_kit.measure.sparsification_plot import plot_sparsification
    from asmnet_kit.predict.open_predictor import open_predictor

    plots = {"--ced": ced_path, "--sparsification": sparsification_path}
    written = {option: path for option, path in plots.items() if path is not None}
    for path in written.values():
        check_plot(path)  # rather now than after minutes of measuring
    if len({real_path(path) for path in written.values()}) < len(written):
        raise UsageError(f"--ced and --sparsification both name {ced_path}: choose another name")
    reopen = partial(open_predictor, model, threads=threads or 1, scheme=scheme, adapter=adapter)
    predictor = reopen()
    if threads and not is_given("workers"):
        workers = max(1, workers // threads)
    plausibility = plausibility_for(predictor, model, shape_model_path)
    dataset, split = load_to_measure(
        data,
        data_format,
        split=split,
        subset=subset,
        model_scheme=predictor.scheme,
        compared=scheme,
    )
    for option, path in written.items():
        refuse_overwriting(path, (data, *dataset.picture_files()), option=option)
    if calibrated_path is not None:
        if scheme not in (None, predictor.scheme) and calibrated_path.suffix == ".npz":
            raise UsageError(
                "--calibrate into an .npz fits a shape of the model's own landmarks: leave out "
                "--scheme"
            )
        if adapter is not None and calibrated_path.suffix == ".tflite":
            raise UsageError("--calibrate into a .tflite is for models of the kit: drop --adapter")
        _check_calibration(calibrated_path, model, plausibility, split, data)
    with counting("evaluate") as on_progress:
        result = measure(
            predictor,
            dataset,
            boxes=boxes,
            complete_only=complete_only,
            plausibility=plausibility,
            scheme=scheme,
            on_progress=on_progress,
            reopen=reopen if model.suffix == ".tflite" else None,
            workers=workers,
        )
    if ced_path is not None:
        plot_ced(result, ced_path)
    if sparsification_path is not None:
        plot_sparsification(result, sparsification_path)
    messages = stderr()
    for line in _remarks(result, dataset):
        messages.print(line, markup=False)
    if as_json:
        source = {"model_sha256": _sha256(model), "split": split, "subset": subset}
        print_json({**result.to_json(), **source})
    else:
        stdout().print(_table(result, split))
    if calibrated_path is not None:  # after the figures: what it may refuse must not cost them
        _calibrate(result, model, predictor.scheme, plausibility, calibrated_path)
        if calibrated_path.suffix == ".tflite":
            model = calibrated_path  # what to go on with
    drawn = {"CED": ced_path, "Sparsification": sparsification_path}
    messages.print(_summary(result, model, drawn, adapter), markup=False)


def _check_calibration(
    path: Path,
    model: Path,
    plausibility: "Plausibility | None",
    split: str | None,
    data: Path,
) -> None:
    """Refuse, before anything is measured, what a calibration cannot be made of."""
    from asmnet_kit.datasets.registry import MEASURED_SPLIT, split_of_path
    from asmnet_kit.face.uncertainty import UNCERTAINTY
    from asmnet_kit.tflite.metadata import read_metadata

    if path.suffix not in (".npz", ".tflite"):
        raise UsageError(f"--calibrate: expected a name ending in .tflite or .npz, got {path.name}")
    if path.suffix == ".tflite":
        if model.suffix != ".tflite":
            raise UsageError(
                f"--calibrate {path.name} stores what it finds in a copy of MODEL, which must be a "
                f".tflite, got {model}: quantize it first"
            )
        if UNCERTAINTY not in read_metadata(model).outputs:
            raise UsageError(
                f"{model} does not say how sure it is of a landmark: train one with --uncertainty, "
                "or calibrate a shape model's plausibility into an .npz"
            )
    elif plausibility is None:
        raise UsageError("--calibrate needs a shape model: name one with --shape-model")
    if MEASURED_SPLIT in (split, split_of_path(data)):
        raise UsageError(
            "--calibrate: say which faces with --split, for example val; what is fitted to the "
            f"split {MEASURED_SPLIT!r} cannot be judged by it"
        )


def _calibrate(
    result: "Evaluation",
    model: Path,
    own: "Scheme",
    plausibility: "Plausibility | None",
    path: Path,
) -> None:
    if path.suffix == ".tflite":
        _calibrate_file(result, model, own, path)
    else:
        _calibrate_plausibility(result, plausibility, path)


def _calibrate_file(result: "Evaluation", model: Path, own: "Scheme", path: Path) -> None:
    """Write a copy of the model with what its sigmas are worth on the faces measured."""
    from dataclasses import replace

    from asmnet_kit.base.console import stderr
    from asmnet_kit.base.errors import DatasetError
    from asmnet_kit.base.files import write_bytes
    from asmnet_kit.face.logistic_fit import needs_both_kinds
    from asmnet_kit.measure.calibrate import calibration_of, faces_within_and_above, has_nme_of
    from asmnet_kit.tflite.metadata import read_metadata, with_metadata

    metadata = read_metadata(model)
    earlier = metadata.calibration
    found = calibration_of(result, earlier, own)
    within, above = faces_within_and_above(result)
    fit = found.confidence
    if fit is not None:
        told = f"confidence from {fit.faces} faces, {above} of them above {fit.limit_percent:g} %"
    else:
        why = (
            needs_both_kinds(within + above, above)
            if has_nme_of(result, own)
            else f"needs errors divided by the {own.normaliser_text}, got the "
            f"{result.scheme.normaliser_text}: calibrate with another --scheme"
        )
        told = f"no confidence, which {why}"
        if kept := _confidence_of(path):
            raise DatasetError(
                f"{path}: {told}; it has a confidence, of {kept.faces} faces: to keep that, write "
                "to another file"
            )
    write_bytes(path, with_metadata(model.read_bytes(), replace(metadata, calibration=found)))
    messages = stderr()
    messages.print(
        f"sigma calibrated on {found.points} points, factor {found.factor:.3f}; {told}: {path}",
        markup=False,
    )
    if result.boxes != "detector":
        messages.print(
            "calibrated in boxes around the labels, in which fewer faces fail than in those of the "
            "detector that predict uses: --boxes detector calibrates for these",
            markup=False,
        )
    if remark := _few_remark(within, above, of_confidence=fit is not None):
        messages.print(remark, markup=False)


def _confidence_of(path: Path) -> "LogisticFit | None":
    """Of a model that is there already."""
    from asmnet_kit.base.errors import KitError
    from asmnet_kit.tflite.metadata import read_metadata

    try:
        calibration = read_metadata(path).calibration if path.exists() else None
    except KitError:  # no model of the kit
        return None
    return None if calibration is None else calibration.confidence


def _few_remark(within: int, above: int, *, of_confidence: bool) -> str:
    """A warning where a calibration comes from so few faces that others would give another."""
    from asmnet_kit.base.console import counted

    faces = within + above
    if faces < ENOUGH_FACES:
        return (
            f"warning: calibrated on only {counted(faces, 'face')}, others would give other "
            f"figures: take {ENOUGH_FACES} or more, of different people"
        )
    rarer = min(within, above)
    if of_confidence and rarer < ENOUGH_FAILURES:
        side = "above" if above <= within else "within"
        return (
            f"warning: the calibration knows only {counted(rarer, 'face')} {side} 8 %: take "
            f"{ENOUGH_FAILURES} or more, of different people"
        )
    return ""


def _calibrate_plausibility(
    result: "Evaluation", plausibility: "Plausibility | None", path: Path
) -> None:
    from dataclasses import replace

    from asmnet_kit.base.console import stderr
    from asmnet_kit.face.logistic_fit import LogisticFit

    if plausibility is None or result.residual is None:
        return  # refused before
    calibration = LogisticFit.fit(result.residual, result.nme)
    replace(plausibility, calibration=calibration).save(path)
    stderr().print(
        f"plausibility calibrated on {calibration.faces} faces, {calibration.failures} of them "
        f"above {calibration.limit_percent:g} %: {path}",
        markup=False,
    )
    within = calibration.faces - calibration.failures
    if remark := _few_remark(within, calibration.failures, of_confidence=True):
        stderr().print(remark, markup=False)


def _sha256(model: Path) -> str | None:
    """Of a model that is one file: what the figures belong to."""
    import hashlib

    return hashlib.sha256(model.read_bytes()).hexdigest() if model.is_file() else None


def _remarks(result: "Evaluation", dataset: "Dataset") -> list[str]:
    """What the figures do not show."""
    from asmnet_kit.base.console import counted

    remarks = []
    if dataset.problems:
        remarks.append(
            f"{counted(len(dataset.problems), 'bad file')} left out: see asmnet-kit data inspect"
        )
    if result.problems:
        unread = counted(len(result.problems), "face")
        remarks.append(f"{unread} could not be read: left out (--json lists all)")
    if missed := result.scores.faces_missed:
        uncounted = missed + result.scores.faces - result.scores.failure_rate_faces
        but = f" but {uncounted} without both outer eye corners" if uncounted else ""
        single = missed == 1 and not uncounted
        they = "it counts as a failure" if single else f"all{but} count as failures"
        remarks.append(
            f"the detector missed {counted(missed, 'face')}: {they} and in the AUC; "
            "mean NME and pose are over the faces found"
        )
    if result.faces_incomplete:
        remarks.append(f"{counted(result.faces_incomplete, 'face')} with missing points left out")
    if remark := _foreshortened_remark(result):
        remarks.append(remark)
    ranking = result.ranking.get(None)
    if ranking is not None and ranking.auroc["residual"] is not None:
        remarks.append(
            f"plausibility: AUROC {ranking.auroc['residual']:.3f} for an NME above 8 % "
            f"({ranking.failures} of {ranking.faces} faces)"
        )
    remarks += _sureness_remarks(result)
    if result.pose_source == "landmarks":
        remarks.append("no pose labels: the pose is compared with one fitted to the landmarks")
    return remarks


def _foreshortened_remark(result: "Evaluation") -> str:
    """How many faces have a useless normaliser, what they do to the mean, and the way out."""
    from asmnet_kit.base.console import counted
    from asmnet_kit.face.metrics import mean_nme

    close = result.foreshortened
    if not close.any():
        return ""
    count = counted(int(close.sum()), "face")
    others = _figure(mean_nme(result.nme[~close & ~result.missed]), 2)
    return (
        f"profiles: {count} of {result.scores.faces} with a {result.scheme.normaliser_text} below "
        "a tenth of the box's side, where a small error is many percent: NME "
        f"{_figure(mean_nme(result.nme[close]), 2)} % of these, {others} % of the others; to "
        'normalise by the box instead: --scheme FILE with normaliser = "box" (docs/schemes.md)'
    )


def _sureness_remarks(result: "Evaluation") -> list[str]:
    """How right the model is about how sure it is."""
    remarks = []
    if (sure := result.sureness.get(None)) is not None:
        covered = ", ".join(f"{share:.1f} %" for share in sure.coverage_percent.values())
        remarks.append(
            f"uncertainty: the 50 and 90 % circles hold {covered} of {sure.points} points; mean "
            f"sigma {_figure(sure.sharpness_percent, 2)} % of the eye distance"
            f"{_auroc(sure.auroc, ' for an NME above 8 %')}"
        )
        remarks.append(
            "mean error without the least sure 0, 10, 20, 30 %: points "
            + ", ".join(_figure(error, 2) for error in sure.points_percent.values())
            + " %; faces "
            + ", ".join(_figure(error, 2) for error in sure.faces_percent.values())
            + " %"
        )
    if (visibility := result.visibility.get(None)) is not None:
        remarks.append(
            f"visibility: {visibility.hidden} of {visibility.points} points are hidden"
            f"{_auroc(visibility.auroc)}"
        )
    return remarks


def _table(result: "Evaluation", split: str | None) -> "Table":
    from rich.table import Table
    from rich.text import Text

    where = f" ({split})" if split else ""
    title = f"{result.model} on {result.dataset}{where}, boxes from {result.boxes}"
    table = Table(title=Text(title))  # as text: a folder called [x] is no markup
    table.add_column("faces of")
    headings = ["faces", "skipped", "missed", "NME %"]
    headings += [f"FR@{t} %" for t in result.scores.failure_rate_percent]
    headings += [f"AUC@{t}" for t in result.scores.auc]
    headings += ["yaw °", "pitch °", "roll °"]
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_row("all", *_cells(result.scores), end_section=True)
    for name, scores in result.per_subset.items():
        table.add_row(Text(name), *_cells(scores))
    return table


def _cells(scores: "Scores") -> list[str]:
    mae: dict[str, Any] = scores.pose_mae_deg or {}
    return [
        str(scores.faces),
        str(scores.faces_skipped),
        str(scores.faces_missed),
        _figure(scores.nme_percent, 2),
        *(_figure(rate, 2) for rate in scores.failure_rate_percent.values()),
        *(_figure(area, 3) for area in scores.auc.values()),
        *(_figure(mae.get(angle), 2) for angle in ("yaw", "pitch", "roll")),
    ]


def _auroc(value: float | None, of: str = "") -> str:
    """What is added to a remark; nothing where there is none: all failed, or none did."""
    figure = _figure(value, 3)
    return "" if figure == "-" else f"; AUROC {figure}{of}"


def _figure(value: float | None, digits: int) -> str:
    """NaN and None, which differ from themselves or are nothing, are a dash."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def _summary(
    result: "Evaluation", model: Path, plots: dict[str, Path | None], adapter: str | None
) -> str:
    from asmnet_kit.base.console import counted

    drawn = "".join(f" {what}: {path}." for what, path in plots.items() if path)
    named = f"{shlex.quote(str(model))}{adapter_argument(adapter)}"
    kind = model_kind(model)
    if kind == "tflite":
        following = f"asmnet-kit benchmark {named} --target cpu --out results"
    else:
        recipe = "qat_w8a8" if KINDS[kind].layers else "ptq_w8a8"
        following = f"asmnet-kit quantize {named} --data ... --recipe {recipe} --out models"
    over = counted(result.scores.faces, "face")
    return f"NME {result.scores.nme_percent:.2f} % over {over}.{drawn} Next: {following}"
