"""``asmnet-kit predict``: parse, predict, print."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import refuse_overwriting, require_exists
from asmnet_kit.base.kinds import HEAD_BYTES, known_binary
from asmnet_kit.base.reading import open_file
from asmnet_kit.commands.options import (
    MODEL,
    MODEL_HELP,
    InputPath,
    ModelPath,
    NumberRange,
    OnceCommand,
    OutputPath,
    adapter_option,
    is_given,
    json_option,
    plausibility_for,
    scheme_option,
    told_default_model,
)

if TYPE_CHECKING:
    from rich.table import Table

    from asmnet_kit.face.plausibility import Plausibility
    from asmnet_kit.face.predictor import Predictor
    from asmnet_kit.face.schemes import Scheme
    from asmnet_kit.predict.picture import FacePrediction

PICTURES = (".png", ".jpg", ".jpeg")
FILMS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".ts",
    ".mts", ".m2ts",
)  # fmt: skip
FILM_OUTPUTS = (".mp4", ".avi", ".jsonl")
LABELS = ".csv"
TABLES = (".jsonl", LABELS)  # of any number of pictures
LIST = Path("-")  # paths on stdin
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


@click.command(cls=OnceCommand)
@click.argument(
    "sources",
    metavar="IMAGE|FOLDER|VIDEO|CAMERA|- ...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "--model",
    type=ModelPath(MODEL),
    help=f"The model: {MODEL_HELP}.  [default: the kit's default model]",
)
@adapter_option
@scheme_option(
    "Landmarks to give, to which the model's are mapped; of a .keras with landmarks of your own, "
    "what they are."
)
@click.option(
    "--box",
    "boxes",
    metavar="X0,Y0,X1,Y1",
    callback=_parse_boxes,
    multiple=True,
    help=(
        "Box of a face, in pixels; may be given several times. Without it a detector finds "
        "the faces."
    ),
)
@click.option(
    "--min-score",
    type=NumberRange(0, 1),
    help="Skip faces with a lower detector score.  [default: 0.5]",
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
    "--no-smoothing",
    is_flag=True,
    help="Video: do not smooth the landmarks (1 € filter).",
)
@click.option(
    "--detect-every",
    metavar="FRAMES",
    type=click.IntRange(min=1),
    help=(
        "Video: run the face detector at least every so many predicted frames; in between, faces "
        "are tracked.  [default: once a second]"
    ),
)
@click.option(
    "--every",
    metavar="N",
    type=click.IntRange(min=1),
    help="Video: predict only every Nth frame.  [default: 1]",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    help="Video: stop after this many predicted frames. Without it a camera runs until Ctrl-C.",
)
@click.option(
    "--out",
    type=OutputPath(),
    help="Pictures: draw the result into this .png or .jpg, or those of several into this folder; "
    "write a line of JSON for each into this .jsonl, or labels to train on into this .csv. Video: "
    "draw it into this .mp4 or .avi, or write a line for each frame into this .jsonl.",
)
@click.option(
    "--resume",
    is_flag=True,
    help=(
        "Several pictures: continue an earlier call of the same model; skip what it has already "
        "written to --out (a .jsonl or a folder)."
    ),
)
@click.option(
    "--jsonl",
    "as_lines",
    is_flag=True,
    help="Print a line of JSON for each picture or frame, however many there are.",
)
@json_option
def predict(
    sources: tuple[Path, ...],
    model: Path | None,
    adapter: str | None,
    scheme: "Scheme | None",
    boxes: tuple[BoxOption, ...],
    min_score: float | None,
    shape_model_path: Path | None,
    no_smoothing: bool,
    detect_every: int | None,
    every: int | None,
    frames: int | None,
    out: Path | None,
    resume: bool,
    as_lines: bool,
    as_json: bool,
) -> None:
    """Find landmarks and head pose in photographs or a video.

    \b
    Examples:
      asmnet-kit predict photo.jpg --out landmarks.png
      asmnet-kit predict photos --out photos/labels.csv
      asmnet-kit predict film.mp4 --out landmarks.mp4

    Coordinates are pixels of the upright picture: the EXIF rotation of a photograph is applied
    first, as viewers do. (0, 0) is the centre of the top-left pixel. Angles are in degrees: yaw > 0
    towards the image's right, pitch > 0 up, roll > 0 clockwise. Confidence is the probability that
    a face's error (NME) is at most 8 percent; it comes from how sure the model is of each landmark,
    or from how plausible the predicted shape is if the model does not say. Unsure or hidden
    landmarks are drawn as rings.

    For a folder, every picture in it and in its subfolders is predicted; - reads a list of paths
    from stdin, one a line. --json then prints a line for each picture. A picture that cannot be
    read is skipped and reported; the exit code is 1 if none can be read.

    In a video, faces are tracked from frame to frame and their landmarks smoothed. --json prints a
    line about the video, then one for each frame. A camera is a number: 0 is the first.
    """
    source = sources[0]
    camera = _is_camera(source)
    is_film = camera or _is_film(source)
    is_many = not is_film and (
        len(sources) > 1
        or as_lines
        or source == LIST
        or source.is_dir()
        or (out is not None and (out.suffix.lower() in TABLES or _is_folder_name(out)))
    )
    _refuse_contradictions(boxes=boxes, min_score=min_score, is_film=is_film, is_many=is_many)
    _check_sources(sources)
    if out is not None:
        _check_output(out, sources, is_film=is_film, is_many=is_many)
    if resume and not (is_many and out is not None and out.suffix.lower() != LABELS):
        raise UsageError(
            "--resume goes on with several pictures and --out, a .jsonl or a folder of drawings; "
            "labels (.csv) can be made of a .jsonl: asmnet-kit data convert"
        )
    if out is not None and out.suffix.lower() == LABELS and out.exists():
        raise UsageError(
            f"{out}: its labels may have been corrected by hand: rename or delete it, or choose "
            "another name"
        )
    if model is None:
        if adapter is not None:
            raise UsageError("--adapter says how to use --model, which is not given")
        model = told_default_model()
    from asmnet_kit.predict.detector import MIN_SCORE
    from asmnet_kit.predict.open_predictor import open_predictor

    predictor = open_predictor(model, scheme=scheme, adapter=adapter)
    plausibility = plausibility_for(predictor, model, shape_model_path)
    if scheme is not None and scheme != predictor.scheme:
        predictor = _mapped(predictor, scheme, is_film=is_film)
        plausibility = None  # it judges the model's own landmarks
    score = MIN_SCORE if min_score is None else min_score
    if is_film:
        from asmnet_kit.commands.predict_film import predict_film

        predict_film(
            int(str(source)) if camera else source,
            every=every or 1,
            predictor=predictor,
            plausibility=plausibility,
            min_score=score,
            smoothing=not no_smoothing,
            detect_every=detect_every,
            limit=frames,
            out=out,
            as_json=as_json or as_lines,
        )
    elif is_many:
        from asmnet_kit.commands.predict_pictures import predict_pictures

        predict_pictures(
            None if source == LIST else sources,
            predictor=predictor,
            plausibility=plausibility,
            min_score=score,
            out=out,
            as_lines=as_json or as_lines,
            resume=resume,
        )
    else:
        _predict_picture(source, predictor, boxes, score, plausibility, out, as_json)


def _mapped(predictor: "Predictor", scheme: "Scheme", *, is_film: bool) -> "Predictor":
    """The predictor with another scheme's landmarks.

    Raises:
        UsageError: there is no map, or faces cannot be followed by these landmarks.
    """
    from asmnet_kit.face.predictor import InScheme

    if is_film and not scheme.outlines_face:
        raise UsageError(
            f"--scheme {scheme.name}: in a video faces are followed by landmarks that outline "
            "them, such as 68: leave it out, and take those that you need"
        )
    return InScheme(predictor, scheme)


def _is_camera(source: Path) -> bool:
    return str(source).isdecimal() and not source.exists()


def _is_film(source: Path) -> bool:
    """By its ending; or by its first bytes, where it has no ending or another one."""
    if source.is_dir():
        return False  # whatever its name ends in
    if source.suffix.lower() in FILMS:
        return True
    try:
        with open_file(source, limit=sys.maxsize) as file:
            return "film" in (known_binary(file.read(HEAD_BYTES)) or "")
    except OSError:
        return False  # what opens it says why


def _check_sources(sources: Sequence[Path]) -> None:
    """Raises: UsageError: they are not there, or cannot be predicted in one call."""
    for source in sources:
        alone = _is_camera(source) or source == LIST or _is_film(source)
        if alone and len(sources) > 1:
            raise UsageError(
                f"{source}: a video, a camera or a list on stdin (-) is predicted by itself, got "
                f"{len(sources)} inputs"
            )
        if not (_is_camera(source) or source == LIST):
            require_exists(
                source, expected="a photograph, a folder, a video or the number of a camera"
            )


def _refuse_contradictions(
    *, boxes: tuple[BoxOption, ...], min_score: float | None, is_film: bool, is_many: bool
) -> None:
    if boxes and min_score is not None:
        raise UsageError(
            "--min-score is the detector's, and --box does without it: give one of the two"
        )
    if boxes and is_film:
        raise UsageError("--box is for a photograph: in a video a detector finds the faces")
    if boxes and is_many:
        raise UsageError("--box is for one photograph: in others a detector finds the faces")
    if not is_film:
        for name in ("no_smoothing", "detect_every", "every", "frames"):
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
    from asmnet_kit.predict.picture import predict_file

    picture = predict_file(
        image,
        predictor,
        boxes=[np.array(box, np.float32) for box in boxes] or None,
        plausibility=plausibility,
        min_score=min_score,
    )
    faces = picture.faces
    if out is not None:
        from asmnet_kit.predict.draw import draw_faces, write_picture

        write_picture(out, draw_faces(picture.image, faces, predictor.scheme))
    if as_json:
        print_json(picture.to_json(predictor, plausibility))
    elif faces:
        stdout().print(_table(faces, image), soft_wrap=False)
    stderr().print(_summary(len(faces), image, out, as_json=as_json), markup=False)


def _check_output(out: Path, sources: Sequence[Path], *, is_film: bool, is_many: bool) -> None:
    endings = FILM_OUTPUTS if is_film else TABLES if is_many else (*PICTURES, *TABLES)
    if out.suffix.lower() not in endings and (is_film or not _is_folder_name(out)):
        folder = "" if is_film else ", or a folder"
        raise UsageError(
            f"--out: expected a name ending in {', '.join(endings)}{folder}, got {out.name}"
        )
    refuse_overwriting(out, sources, option="--out")


def _is_folder_name(out: Path) -> bool:
    """Whether ``--out`` names a folder: one that is there, or a name without an ending."""
    return out.is_dir() or not out.suffix


def _table(faces: "list[FacePrediction]", image: Path) -> "Table":
    from asmnet_kit.base.console import degrees, table

    headings = ("face", "box", "yaw", "pitch", "roll", "confidence", "from")
    found = table(*headings, title=str(image), left=("box",))
    for number, face in enumerate(faces, start=1):
        pose = ["-"] * 3 if face.pose is None else [degrees(angle) for angle in face.pose]
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
