"""``asmnet-kit data``: look a data set over, prepare it for training, or make one."""

import math
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.commands.data_convert import convert
from asmnet_kit.commands.options import (
    MODEL,
    MODEL_HELP,
    InputPath,
    ModelPath,
    NumberRange,
    OnceGroup,
    OutputPath,
    data_options,
    is_given,
    json_option,
    out_option,
    scheme_argument,
    scheme_option,
    seed_option,
    told_default_model,
    workers_option,
)
from asmnet_kit.commands.people_options import own_data, people_options, refuse_people_options

if TYPE_CHECKING:
    from rich.table import Table

    from asmnet_kit.datasets.base import Problem
    from asmnet_kit.datasets.inspection import Inspection
    from asmnet_kit.face.schemes import Scheme
    from asmnet_kit.measure.label_offsets import Offset

split_option = click.option("--split", help="Only this split (train, val, test ...).")
points_option = click.option(
    "--points",
    type=click.Choice(("68", "98")),
    help="Landmarks to read where the format has both (synthetic).  [default: 68]",
)

landmarks_option = scheme_option("Landmarks to give, to which the data's are mapped.")

MAX_DISAGREEMENT = 2.0  # percent of the eye distance
DUPLICATES = {"same": " = ", "pixels": " looks like ", "mirrored": " mirrors "}
SHOWN = 20  # entries of each list on the terminal; --json has them all


@click.group(cls=OnceGroup)
def data() -> None:
    """Inspect, prepare or synthesize landmark data sets.

    Example:  asmnet-kit data inspect --data faces --format 300w --sheet sheet.png
    """


@data.command()
@data_options()
@split_option
@points_option
@landmarks_option
@click.option(
    "--sheet",
    type=OutputPath(dir_okay=False),
    help="Write a contact sheet (PNG) with the landmarks drawn.",
)
@click.option(
    "--max-bad-share",
    type=NumberRange(0, 1),
    default=0.05,
    show_default=True,
    help="Exit with 1 if more than this share of the files is bad.",
)
@workers_option
@json_option
def inspect(
    data: Path,
    data_format: str,
    split: str | None,
    points: str | None,
    scheme: "Scheme | None",
    sheet: Path | None,
    max_bad_share: float,
    workers: int,
    as_json: bool,
) -> None:
    """Check a data set: count faces, decode every picture, list what is wrong.

    Example:  asmnet-kit data inspect --data 300W --format 300w --sheet sheet.png
    """
    from asmnet_kit.base import console
    from asmnet_kit.datasets.inspection import inspect_dataset

    if sheet is not None and sheet.suffix.lower() != ".png":
        raise click.UsageError(f"--sheet: expected a .png file, got {sheet.name}")
    with console.counting("Pictures") as on_progress:
        report = inspect_dataset(
            data,
            data_format,
            split=split,
            points=_points(points, scheme),
            scheme=scheme,
            sheet=sheet,
            workers=workers,
            progress=on_progress,
        )
    if as_json:
        console.print_json(report.to_json())
    else:
        _print_inspection(report)
    if sheet is not None and report.faces:
        console.stderr().print(f"Contact sheet: {sheet}", markup=False)
    if report.bad_share > max_bad_share:
        raise DatasetError(
            f"{data}: unusable faces: {len(report.problems)}, {report.bad_share:.0%} of all; at "
            f"most {max_bad_share:.0%} are accepted (--max-bad-share)"
        )
    if not report.faces:
        console.stderr().print("0 usable faces.")
        return
    console.stderr().print(
        f"{console.counted(report.faces, 'usable face')}. Next: asmnet-kit train --data "
        f"{shlex.quote(str(data))} --format {data_format}{scheme_argument(scheme)} --out RUN",
        markup=False,
    )


@data.command()
@data_options()
@split_option
@click.option(
    "--model",
    type=ModelPath(MODEL),
    help=f"A model that was not trained on these labels: {MODEL_HELP}.  "
    "[default: the kit's default model]",
)
@click.option(
    "--max-offset",
    type=NumberRange(min=0),
    default=0.3,
    show_default=True,
    help="Exit with 1 if the offset in x is larger than this, in percent of the eye distance.",
)
@json_option
def offsets(
    data: Path,
    data_format: str,
    split: str | None,
    model: Path | None,
    max_offset: float,
    as_json: bool,
) -> None:
    """Find labels that lie half a pixel or more beside the faces.

    Example:  asmnet-kit data offsets --data faces --format 300w

    Files that count pixels from 1, or pictures resized without the half pixel, move every label a
    little to the right. The labels are compared with what a model sees in each picture and in its
    mirror image, whose mean leans to neither side. Only x is judged: in y the model's own
    convention does not cancel.
    """
    from asmnet_kit.base import console
    from asmnet_kit.datasets.registry import load_for_model
    from asmnet_kit.measure.label_offsets import SCHEMA_VERSION, label_offsets
    from asmnet_kit.predict.open_predictor import open_predictor

    predictor = open_predictor(model or told_default_model())
    dataset = load_for_model(data, data_format, model_scheme=predictor.scheme, split=split)
    with console.counting("Faces") as on_progress:
        found = label_offsets(dataset, predictor, on_progress=on_progress)
    beyond = {k: o for k, o in found.by_subset.items() if o.is_beyond(max_offset)}
    unsure = {k: o for k, o in found.by_subset.items() if o.is_unsure(max_offset)}
    if as_json:
        console.print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "name": dataset.name,
                "model": predictor.name,
                "split": split,
                "max_offset_percent": max_offset,
                "offsets": {name: offset.to_json() for name, offset in found.by_subset.items()},
                "beyond": sorted(beyond),
                "unsure": sorted(unsure),
                "problems": [problem.to_json() for problem in found.problems],
            }
        )
    else:
        console.stdout().print(_offsets_table(dataset.name, found.by_subset))
    if beyond:
        named = "; ".join(f"{name}: {offset.pixels[0]:+.2f} px" for name, offset in beyond.items())
        raise DatasetError(
            f"{data}: labels lie more than {max_offset:g} % of the eye distance to one side of the "
            f"faces ({named}; + is right). Such files count pixels from 1, or their pictures were "
            "resized without the half pixel: move the labels back, and look again"
        )
    judged = [name for name in found.by_subset if name not in unsure]
    verdicts = [f"Labels within {max_offset:g} % in x: {', '.join(judged)}."] if judged else []
    if unsure:
        few = ", ".join(
            f"{name} ({_with_error(offset.percent[0], offset.error_percent[0])} %, "
            f"{console.counted(offset.faces, 'face')})"
            for name, offset in unsure.items()
        )
        verdicts.append(f"Too few faces to judge: {few}.")
    console.stderr().print(
        f"{' '.join(verdicts)} Next: asmnet-kit train --data {shlex.quote(str(data))} "
        f"--format {data_format} --out RUN",
        markup=False,
    )


@data.command()
@data_options()
@split_option
@click.option(
    "--model",
    "models",
    type=ModelPath(MODEL),
    multiple=True,
    required=True,
    help="What to ask; a name of the kit's (asmnet-kit models), a .tflite, a .keras or a run "
    "folder. Repeatable: the mean of several models is better than each.",
)
@out_option("The .npz file to write.")
@workers_option
@json_option
def teacher(
    data: Path,
    data_format: str,
    split: str | None,
    models: tuple[Path, ...],
    out: Path,
    workers: int,
    as_json: bool,
) -> None:
    """Write the predictions of larger models for a data set, to train with (train --teacher).

    \b
    Example:
      asmnet-kit data teacher --data faces --format 300w --model large.tflite --out taught.npz

    Each face is shown in three crops around its labels and in their mirror images, and the answers
    are averaged. A small network learns from a larger one where labels are missing or noisy. A
    model that was trained on these very faces mostly repeats their labels.
    """
    from asmnet_kit.base import console
    from asmnet_kit.base.files import real_path, refuse_overwriting
    from asmnet_kit.datasets.registry import load_for_model
    from asmnet_kit.measure.teacher_views import ENDING, SCHEMA_VERSION, teach
    from asmnet_kit.predict.open_predictor import open_predictors

    if out.suffix != ENDING:
        raise UsageError(f"--out: expected a name ending in {ENDING}, got {out.name}")
    for model in models:
        if real_path(out) == real_path(model.with_suffix(ENDING)):
            raise UsageError(
                f"--out: {out.name} beside {model.name} is that model's own shape model: choose "
                "another name"
            )
    single = all(model.suffix == ".tflite" for model in models)
    if not single and is_given("workers"):
        raise UsageError("--workers is for .tflite models; TensorFlow has threads of its own")
    open_all = partial(open_predictors, models)
    predictors = open_all()
    scheme = predictors[0].scheme
    dataset = load_for_model(data, data_format, model_scheme=scheme, split=split)
    refuse_overwriting(out, (data, *dataset.picture_files()), option="--out")
    with console.counting("Faces") as on_progress:
        taught = teach(
            dataset,
            predictors,
            on_progress=on_progress,
            reopen=open_all if single else None,
            workers=workers,
        )
    taught.save(out)
    distances = {name: console.number_or_null(nme) for name, nme in taught.nme_percent.items()}
    overall = distances.pop("")
    if as_json:
        console.print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "file": str(out),
                "models": [predictor.name for predictor in predictors],
                "faces": len(taught.names),
                "nme_percent": overall,
                "per_subset": distances,
                "problems": [problem.to_json() for problem in taught.problems],
            }
        )
    distance = ", ".join(
        f"{name or 'all'} {nme:.2f} %" for name, nme in sorted(taught.nme_percent.items())
    )
    console.stderr().print(
        f"{out}: {console.counted(len(taught.names), 'face')}; distance from their labels: "
        f"{distance}. Next: asmnet-kit train --data {shlex.quote(str(data))} "
        f"--format {data_format} --teacher {shlex.quote(str(out))} --teacher-share 0.5 --out RUN",
        markup=False,
    )


@data.command()
@click.option(
    "--photos",
    type=InputPath("a folder of photographs"),
    required=True,
    help="Folder of photographs without labels, subfolders included.",
)
@click.option(
    "--model",
    "models",
    type=ModelPath(MODEL),
    multiple=True,
    help="What to ask; a name of the kit's (asmnet-kit models), a .tflite, a .keras or a run "
    "folder. Repeatable: several models that agree are right more often.  [default: the kit's "
    "default model]",
)
@out_option("Folder for the labelled faces, in 300-W's format; new or empty.")
@click.option(
    "--max-disagreement",
    type=NumberRange(min=0, min_open=True),
    default=MAX_DISAGREEMENT,
    show_default=True,
    help=(
        "Keep a face if its views differ from their mean by at most this, in percent of the "
        "distance between the outer eye corners."
    ),
)
@click.option(
    "--min-face",
    type=NumberRange(min=0),
    default=40.0,
    show_default=True,
    help="Skip smaller faces: minimum for the longer side of the landmarks' box, in pixels.",
)
@click.option(
    "--size",
    type=click.IntRange(min=64),
    default=384,
    show_default=True,
    help="Maximum side of a written picture (a crop of twice the landmarks' box), in pixels.",
)
@json_option
def label(
    photos: Path,
    models: tuple[Path, ...],
    out: Path,
    max_disagreement: float,
    min_face: float,
    size: int,
    as_json: bool,
) -> None:
    """Label your own photographs with models, and keep the faces on which all views agree.

    \b
    Example:
      asmnet-kit data label --photos photos --model asmnet_plus --out labelled

    The kit's detector finds the faces. Each face is shown to every model in three crops and their
    mirror images; if these views agree, their mean becomes the label. OUT holds a picture and a
    .pts for each face that is kept, and faces.csv with every face and why it was left out. An error
    that a model always makes stays in the labels: look at a sheet of the result (asmnet-kit data
    inspect --sheet).
    """
    from asmnet_kit.base import console
    from asmnet_kit.measure.photo_labels import SCHEMA_VERSION, TABLE, label_folder
    from asmnet_kit.predict.detector import detect_faces
    from asmnet_kit.predict.open_predictor import open_predictor

    if not photos.is_dir():
        raise UsageError(f"--photos: expected a folder of photographs, got the file {photos}")
    predictors = [open_predictor(model) for model in models or (told_default_model(),)]
    with console.counting("Photographs") as on_progress:
        faces, problems = label_folder(
            photos,
            out,
            predictors,
            lambda image: [face.box for face in detect_faces(image)],
            max_disagreement_percent=max_disagreement,
            min_face=min_face,
            size=size,
            on_progress=on_progress,
        )
    for problem in problems[:SHOWN]:
        console.stderr().print(f"left out: {problem.name}: {problem.reason}", markup=False)
    kept = sum(not face.reason for face in faces)
    if as_json:
        console.print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "out": str(out),
                "models": [predictor.name for predictor in predictors],
                "faces_found": len(faces),
                "faces_kept": kept,
                "problems": [problem.to_json() for problem in problems],
            }
        )
    if not kept:
        raise DatasetError(
            f"{photos}: none of {console.counted(len(faces), 'face')} found is kept; {out / TABLE} "
            "says why"
        )
    console.stderr().print(
        f"{out}: {kept} of {console.counted(len(faces), 'face')} kept ({TABLE} says why the "
        f"others were not). Look at them: asmnet-kit data inspect --data {shlex.quote(str(out))} "
        "--format 300w --sheet sheet.png",
        markup=False,
    )


data.add_command(convert)


@data.command()
@data_options()
@out_option("Folder of the shards. If a call was interrupted, the same call continues it.")
@split_option
@points_option
@landmarks_option
@click.option(
    "--size",
    type=click.IntRange(min=64),
    default=384,
    show_default=True,
    help="Maximum side of a stored picture (a crop of twice the landmark box), in pixels.",
)
@workers_option
def prepare(
    data: Path,
    data_format: str,
    out: Path,
    split: str | None,
    points: str | None,
    scheme: "Scheme | None",
    size: int,
    workers: int,
) -> None:
    """Write TFRecord shards for fast training (--format records).

    Example:  asmnet-kit data prepare --data 300W --format 300w --out shards
    """
    from asmnet_kit.base import console
    from asmnet_kit.base.openers import open_stage
    from asmnet_kit.datasets.registry import in_scheme, load_dataset

    count = _points(points, scheme)
    dataset = load_dataset(data, data_format, split=split, points=count, scheme=scheme)
    dataset = dataset if scheme is None else in_scheme(dataset, scheme)
    write_shards = open_stage("shard writer")
    with console.counting("Faces") as on_progress:
        prepared = write_shards(
            dataset, out, size=size, fits_poses=True, workers=workers, progress=on_progress
        )
    _print_left_out(prepared.problems)
    console.stderr().print(
        f"{console.counted(prepared.faces, 'face')} in {console.counted(prepared.shards, 'shard')} "
        f"({prepared.size_bytes / 1e6:.1f} MB). "
        f"Next: asmnet-kit train --data {shlex.quote(str(out))} --format records --out RUN",
        markup=False,
    )


@data.command()
@click.option("--count", type=click.IntRange(min=1), required=True, help="Number of faces.")
@out_option("Output folder: train, val and test with pictures, .pts files and poses.")
@seed_option
@click.option(
    "--size",
    type=click.IntRange(min=32, max=512),
    default=128,
    show_default=True,
    help="Side of a picture, pixels.",
)
@click.option(
    "--kind",
    type=click.Choice(("drawn", "people")),
    default="drawn",
    show_default=True,
    help="drawn: simple faces, fast; people: photograph-like ones, slower.",
)
@workers_option
@scheme_option(
    "Landmarks that the folder gives by default: any that follow from the 68 and 98 in its files.  "
    "[default: 68]"
)
@people_options
def synthesize(
    count: int,
    out: Path,
    seed: int,
    size: int,
    kind: str,
    workers: int,
    scheme: "Scheme | None",
    without: tuple[str, ...],
    **own: Any,
) -> None:
    """Draw faces with exact landmarks and head poses.

    Example:  asmnet-kit data synthesize --count 2000 --out faces

    People (--kind people) can have skins, objects, backgrounds and a camera of your own;
    docs/people.md tells how. dataset.json keeps what was used.
    """
    from asmnet_kit.base import console
    from asmnet_kit.datasets.write_synthetic import write_faces
    from asmnet_kit.drawn_faces.write import DRAWN
    from asmnet_kit.people.write import people_with

    if kind == "people":
        renderer = people_with(own_data(own), without=without)
    else:
        refuse_people_options(kind)
        renderer = DRAWN
    with console.counting("Faces") as on_progress:
        write_faces(
            out,
            renderer,
            count=count,
            seed=seed,
            size=size,
            workers=workers,
            scheme=scheme,
            progress=on_progress,
        )
    console.stderr().print(
        f"{console.counted(count, 'face')} in {out}. Next: asmnet-kit train --data "
        f"{shlex.quote(str(out))} --format synthetic --out RUN",
        markup=False,
    )


@data.command()
@out_option("Folder for skins/skin.png and wireframe.png.")
@click.option("--skin", help="Name of the kit's skin to write.  [default: the first]")
def skin_template(out: Path, skin: str | None) -> None:
    """Write a skin of rendered people to start your own from.

    Example:  asmnet-kit data skin-template --out template

    skins/skin.png is the skin, in MakeHuman's layout; wireframe.png, transparent, shows where the
    parts of the head lie on it.
    """
    from asmnet_kit.base import console
    from asmnet_kit.people.skin_template import skin_names, write_template

    names = skin_names()
    if skin is not None and skin not in names:
        raise UsageError(f"--skin: expected one of {', '.join(names)}; got {skin!r}")
    if (painted := out / "skins" / "skin.png").exists():
        raise UsageError(f"{painted} may have been painted on: choose another --out, or delete it")
    write_template(out, skin or names[0])
    console.stderr().print(
        f"{out}: skins/skin.png and wireframe.png. Next: paint on the skin, then: asmnet-kit data "
        f"synthesize --kind people --skins {shlex.quote(str(out / 'skins'))} --skins-share 1 "
        "--count 40 --out people",
        markup=False,
    )


def _points(points: str | None, scheme: "Scheme | None") -> int | None:
    """``--points`` as a number.

    Raises:
        UsageError: ``--scheme`` says the same.
    """
    if points and scheme is not None:
        raise UsageError("--points and --scheme both say which landmarks: give one of them")
    return int(points) if points else None


def _print_inspection(report: "Inspection") -> None:
    """The report as tables and lists on stdout."""
    from rich.text import Text

    from asmnet_kit.base import console

    out = console.stdout()
    words = ("split", "subset")
    title = f"{report.dataset.name} ({report.dataset.format})"
    table = console.table(*words, "faces", title=title, left=words)
    for (split, subset), count in sorted(report.counts.items()):
        table.add_row("" if subset else split or "all", Text(subset), str(count))
    out.print(table)
    lines = [
        f"landmarks per face: {report.dataset.scheme.points}"
        + ("" if report.dataset.scheme.built_in else f" ({report.dataset.scheme.name})"),
        f"faces: {report.faces} ({report.incomplete} with unlabelled points, "
        f"{report.with_pose} with a head pose)",
        f"pictures: {report.pictures}",
    ]
    for what, spread in (
        ("picture width", report.picture_width),
        ("picture height", report.picture_height),
        ("face size", report.face_size),
    ):
        if spread is not None:
            lines.append(
                f"{what}: {spread.smallest:.0f} to {spread.largest:.0f} px, "
                f"median {spread.median:.0f}"
            )
    for line in lines:
        out.print(line, markup=False)
    duplicates = [
        ("in different splits: " if d.across_splits else "") + DUPLICATES[d.kind].join(d.pictures)
        for d in sorted(report.duplicates, key=lambda d: not d.across_splits)
    ]
    _print_list("bad files", [f"{p.name}: {p.reason}" for p in report.problems])
    _print_list(
        "faces with landmarks out of the picture",
        [f"{o.name}: {o.points} points" for o in report.out_of_picture],
    )
    _print_list(
        "pictures with faces in several splits",
        [f"{s.name}: {', '.join(s.splits)}" for s in report.in_several_splits],
    )
    _print_list("duplicate pictures", duplicates)
    if report.rotated:
        _print_list(
            "faces in pictures with an EXIF rotation, which labels must not follow",
            list(report.rotated),
        )


def _offsets_table(name: str, offsets: Mapping[str, "Offset"]) -> "Table":
    from rich.text import Text

    from asmnet_kit.base import console

    table = console.table(
        *("faces of", "faces", "x (right)", "px", "y (down)", "px"),
        title=f"labels of {name} beside the faces, % of the eye distance",
        left=("faces of",),
    )
    for subset, offset in offsets.items():
        axes = [
            (_with_error(percent, error), f"{pixels:+.2f}")
            for percent, error, pixels in zip(
                offset.percent, offset.error_percent, offset.pixels, strict=True
            )
        ]
        table.add_row(Text(subset), str(offset.faces), *axes[0], *axes[1])
    return table


def _with_error(percent: float, error: float) -> str:
    """``+0.27 ± 0.07``; of a single face, which has no error, the figure alone."""
    return f"{percent:+.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")


def _print_left_out(problems: "Sequence[Problem]") -> None:
    """On stderr, what ``data prepare`` left out."""
    from asmnet_kit.base import console

    out = console.stderr()
    for problem in problems[:SHOWN]:
        out.print(f"left out: {problem.name}: {problem.reason}", markup=False)
    if len(problems) > SHOWN:
        out.print(f"left out: {len(problems) - SHOWN} more (dataset.json lists them)", markup=False)


def _print_list(title: str, entries: list[str]) -> None:
    from asmnet_kit.base import console

    out = console.stdout()
    out.print(f"{title}: {len(entries)}", markup=False)
    for entry in entries[:SHOWN]:
        out.print(f"  {entry}", markup=False)
    if len(entries) > SHOWN:
        out.print(f"  ... and {len(entries) - SHOWN} more (--json lists them all)")
