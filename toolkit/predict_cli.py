"""``asmnet-kit predict``: parse, predict, print."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.errors import UsageError
from asmnet_kit.options import ModelType, json_option

if TYPE_CHECKING:
    from rich.table import Table

    from asmnet_kit.plausibility import Plausibility
    from asmnet_kit.predict import FacePrediction

SCHEMA_VERSION = 1
PICTURES = (".png", ".jpg", ".jpeg")
BoxOption = tuple[float, float, float, float]


def _parse_boxes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[BoxOption, ...]:
    boxes = []
    for value in values:
        try:
            x0, y0, x1, y1 = (float(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(
                f"expected four numbers x0,y0,x1,y1 in pixels, got {value!r}"
            ) from None
        finite = all(map(math.isfinite, (x0, y0, x1, y1)))
        if not (finite and x0 < x1 and y0 < y1):
            raise click.BadParameter(f"expected finite x0 < x1 and y0 < y1, got {value!r}")
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes)


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=ModelType(),
    help="A model of the kit by its name (asmnet-kit models), a .tflite, a .keras or a run folder. "
    "Unless told, the kit's default model.",
)
@click.option(
    "--box",
    "boxes",
    metavar="X0,Y0,X1,Y1",
    callback=_parse_boxes,
    multiple=True,
    help="Where a face is, in pixels; repeat it for more. Without it a detector looks for faces.",
)
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    help="Leave out faces of which the detector is less sure.  [default: 0.5]",
)
@click.option(
    "--shape-model",
    "shape_model_path",
    type=click.Path(path_type=Path),
    help="A shape_model.npz that judges the plausibility; run folders and the kit's models bring "
    "their own.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Draw the result into this .png or .jpg."
)
@json_option
def predict(
    image: Path,
    model: Path | None,
    boxes: tuple[BoxOption, ...],
    min_score: float | None,
    shape_model_path: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find landmarks and head pose in a photograph.

    Coordinates are pixels of the upright picture: a photograph's EXIF rotation is followed first,
    as viewers do. (0, 0) is the centre of the top-left pixel. Angles are degrees: yaw > 0 towards
    the image's right, pitch > 0 up, roll > 0 clockwise. Plausibility, 0 to 1, says how far the
    predicted shape can be trusted: with a calibrated shape model, as the kit's models have, the
    probability that the error (NME) is at most 8 percent.

    Example:  asmnet-kit predict photo.jpg --out landmarks.png
    """
    if boxes and min_score is not None:
        raise UsageError("--min-score is the detector's, and --box does without it: drop one")
    if out is not None:
        _check_output(out, image)
    if model is None:
        model = _default_model()
    import numpy as np

    from asmnet_kit.console import print_json, stderr, stdout
    from asmnet_kit.detect import MIN_SCORE
    from asmnet_kit.images import read_image
    from asmnet_kit.predict import predict_image
    from asmnet_kit.predictor import open_predictor

    picture = read_image(image, upright=True)
    predictor = open_predictor(model)
    plausibility = _plausibility(model, shape_model_path)
    faces = predict_image(
        picture,
        predictor,
        boxes=[np.array(box, np.float32) for box in boxes] or None,
        plausibility=plausibility,
        min_score=MIN_SCORE if min_score is None else min_score,
    )
    if out is not None:
        from asmnet_kit.draw import draw_faces, write_picture

        write_picture(out, draw_faces(picture, faces, predictor.scheme))
    if as_json:
        height, width = picture.shape[:2]
        print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "image": {"path": str(image), "width": width, "height": height},
                "model": predictor.name,
                "plausibility_means": None if plausibility is None else plausibility.meaning,
                "faces": [face.to_json() for face in faces],
            }
        )
    elif faces:
        stdout().print(_table(faces, image), soft_wrap=False)
    (stderr() if as_json else stdout()).print(_summary(len(faces), image, out), markup=False)


def _default_model() -> Path:
    """The kit's own model, and a line that says which and on what terms."""
    from asmnet_kit.shipped import default_model

    shipped = default_model()
    click.echo(
        f"Model: {shipped.name}, the kit's default; licence of its weights: {shipped.licence}. "
        "Others: asmnet-kit models",
        err=True,
    )
    return shipped.path


def _check_output(out: Path, image: Path) -> None:
    if out.suffix.lower() not in PICTURES:
        raise UsageError(f"--out: expected a name ending in {', '.join(PICTURES)}, got {out.name}")
    if out.resolve() == image.resolve():
        raise UsageError("--out would overwrite IMAGE: choose another name")


def _plausibility(model: Path, path: Path | None) -> "Plausibility | None":
    from asmnet_kit.plausibility import Plausibility, own_plausibility

    return own_plausibility(model) if path is None else Plausibility.load(path)


def _table(faces: "list[FacePrediction]", image: Path) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(str(image)))
    for column in ("face", "box", "yaw", "pitch", "roll", "plausibility"):
        table.add_column(column, justify="left" if column == "box" else "right")
    for number, face in enumerate(faces, start=1):
        pose = ["-"] * 3 if face.pose is None else [f"{angle:.1f}°" for angle in face.pose]
        table.add_row(
            str(number),
            ", ".join(f"{edge:.0f}" for edge in face.box),
            *pose,
            "-" if face.plausibility is None else f"{face.plausibility:.2f}",
        )
    return table


def _summary(count: int, image: Path, out: Path | None) -> str:
    if not count:
        return f"No face found in {image}: lower --min-score, or say where with --box x0,y0,x1,y1."
    found = f"{count} face{'s' if count > 1 else ''}"
    if out is not None:
        return f"{found}, drawn into {out}."
    return f"{found}. Look at the landmarks with --out landmarks.png, or get them with --json."
