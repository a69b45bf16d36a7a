"""``asmnet-kit predict``: parse, predict, print."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import real_path, require_exists
from asmnet_kit.base.kinds import HEAD_BYTES, known_binary
from asmnet_kit.base.reading import open_file
from asmnet_kit.commands.options import (
    MODEL,
    InputPath,
    ModelPath,
    NumberRange,
    is_given,
    json_option,
    plausibility_for,
    told_default_model,
)

if TYPE_CHECKING:
    from rich.table import Table

    from asmnet_kit.face.plausibility import Plausibility
    from asmnet_kit.face.predictor import Predictor
    from asmnet_kit.predict.picture import FacePrediction

SCHEMA_VERSION = 2  # 1 had no sigma, visible, confidence and confidence_from
PICTURES = (".png", ".jpg", ".jpeg")
FILMS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".ts",
    ".mts", ".m2ts",
)  # fmt: skip
FILM_OUTPUTS = (".mp4", ".avi", ".jsonl")
FARTHEST = 2**20  # pixels: no picture is larger
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
        if max(map(abs, (x0, y0, x1, y1))) > FARTHEST:
            raise click.BadParameter(f"expected pixels, at most {FARTHEST}, got {value!r}")
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes)


@click.command()
@click.argument("source", metavar="IMAGE|VIDEO", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=ModelPath(MODEL),
    help="A model of the kit by its name (asmnet-kit models), a .tflite, a .keras or a run "
    "folder.  [default: the kit's default model]",
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
    type=NumberRange(0, 1),
    help="Leave out faces of which the detector is less sure.  [default: 0.5]",
)
@click.option(
    "--shape-model",
    "shape_model_path",
    type=InputPath("a shape_model.npz"),
    help="A shape_model.npz that judges the plausibility; run folders and the kit's models bring "
    "their own.",
)
@click.option(
    "--no-smoothing",
    is_flag=True,
    help="Video: give each frame's landmarks as predicted, without the 1 € filter.",
)
@click.option(
    "--detect-every",
    metavar="FRAMES",
    type=click.IntRange(min=1),
    help="Video: look for faces at least this often; in between they are followed.  [default: 30]",
)
@click.option(
    "--frames", type=click.IntRange(min=1), help="Video: stop after this many; a camera needs it."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Draw the result into this .png or .jpg; of a video into this .mp4 or .avi, or write a "
    "line of JSON for each frame into this .jsonl.",
)
@json_option
def predict(
    source: Path,
    model: Path | None,
    boxes: tuple[BoxOption, ...],
    min_score: float | None,
    shape_model_path: Path | None,
    no_smoothing: bool,
    detect_every: int | None,
    frames: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find landmarks and head pose in a photograph or a video.

    Coordinates are pixels of the upright picture: a photograph's EXIF rotation is followed first,
    as viewers do. (0, 0) is the centre of the top-left pixel. Angles are degrees: yaw > 0 towards
    the image's right, pitch > 0 up, roll > 0 clockwise. Confidence is the probability that a
    face's error (NME) is at most 8 percent, from how sure the model is of each landmark where it
    says so, else from how plausible the predicted shape is. Landmarks that are unsure or hidden
    are drawn as rings.

    In a video faces are followed from frame to frame and their landmarks smoothed. --json prints a
    line about the video, then one for each frame. A camera is a number: 0 is the first.

    \b
    Examples:
      asmnet-kit predict photo.jpg --out landmarks.png
      asmnet-kit predict film.mp4 --out landmarks.mp4
    """
    camera = str(source).isdecimal() and not source.exists()
    is_film = camera or source.suffix.lower() in FILMS or _begins_like_a_film(source)
    _refuse_contradictions(boxes=boxes, min_score=min_score, is_film=is_film)
    if not camera:
        require_exists(source, expected="a photograph, a video or the number of a camera")
    if source.is_dir() and not is_film:
        raise DatasetError(f"{source}: expected a photograph or a video, got a folder")
    if camera and frames is None:
        raise UsageError("a camera does not end: say after how many frames to stop with --frames")
    if out is not None:
        _check_output(out, source, FILM_OUTPUTS if is_film else PICTURES)
    if model is None:
        model = told_default_model()
    from asmnet_kit.predict.detector import MIN_SCORE
    from asmnet_kit.predict.open_predictor import open_predictor

    predictor = open_predictor(model)
    plausibility = plausibility_for(predictor, model, shape_model_path)
    score = MIN_SCORE if min_score is None else min_score
    if is_film:
        from asmnet_kit.commands.predict_film import predict_film

        predict_film(
            int(str(source)) if camera else source,
            predictor=predictor,
            plausibility=plausibility,
            min_score=score,
            smoothing=not no_smoothing,
            detect_every=detect_every,
            limit=frames,
            out=out,
            as_json=as_json,
        )
    else:
        _predict_picture(source, predictor, boxes, score, plausibility, out, as_json)


def _begins_like_a_film(source: Path) -> bool:
    """Whether a file without a film's ending, or any, is one all the same."""
    try:
        with open_file(source, limit=sys.maxsize) as file:
            return "film" in (known_binary(file.read(HEAD_BYTES)) or "")
    except OSError:
        return False  # what opens it says why


def _refuse_contradictions(
    *, boxes: tuple[BoxOption, ...], min_score: float | None, is_film: bool
) -> None:
    if boxes and min_score is not None:
        raise UsageError(
            "--min-score is the detector's, and --box does without it: give one of the two"
        )
    if boxes and is_film:
        raise UsageError("--box is for a photograph: in a video a detector finds the faces")
    if not is_film:
        for name in ("no_smoothing", "detect_every", "frames"):
            if is_given(name):
                option = name.replace("_", "-")
                raise UsageError(
                    f"--{option} is for a video, a file ending in {', '.join(FILMS)}, or a camera"
                )


def _predict_picture(
    image: Path,
    predictor: "Predictor",
    boxes: tuple[BoxOption, ...],
    min_score: float,
    plausibility: "Plausibility | None",
    out: Path | None,
    as_json: bool,
) -> None:
    import numpy as np

    from asmnet_kit.base.console import print_json, stderr, stdout
    from asmnet_kit.face.pictures import read_image
    from asmnet_kit.predict.picture import predict_image

    picture = read_image(image, upright=True)
    faces = predict_image(
        picture,
        predictor,
        boxes=[np.array(box, np.float32) for box in boxes] or None,
        plausibility=plausibility,
        min_score=min_score,
    )
    if out is not None:
        from asmnet_kit.predict.draw import draw_faces, write_picture

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
    stderr().print(_summary(len(faces), image, out, as_json=as_json), markup=False)


def _check_output(out: Path, source: Path, endings: tuple[str, ...]) -> None:
    if out.suffix.lower() not in endings:
        raise UsageError(f"--out: expected a name ending in {', '.join(endings)}, got {out.name}")
    if real_path(out) == real_path(source):
        raise UsageError(f"--out would overwrite {source}: choose another name")


def _table(faces: "list[FacePrediction]", image: Path) -> "Table":
    from asmnet_kit.base.console import table

    headings = ("face", "box", "yaw", "pitch", "roll", "confidence", "from")
    found = table(*headings, title=str(image), left=("box",))
    for number, face in enumerate(faces, start=1):
        pose = ["-"] * 3 if face.pose is None else [f"{angle:.1f}°" for angle in face.pose]
        found.add_row(
            str(number),
            ", ".join(f"{edge:.0f}" for edge in face.box),
            *pose,
            "-" if face.confidence is None else f"{face.confidence:.2f}",
            face.confidence_from or "-",
        )
    return found


def _summary(count: int, image: Path, out: Path | None, *, as_json: bool) -> str:
    from asmnet_kit.base.console import counted

    if not count:
        return f"No face found in {image}: lower --min-score, or say where with --box x0,y0,x1,y1."
    found = counted(count, "face")
    if out is not None:
        return f"{found}, drawn into {out}."
    other = "" if as_json else ", or get them with --json"
    return f"{found}. Look at the landmarks with --out landmarks.png{other}."
