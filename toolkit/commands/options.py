"""Options that several commands share, so that they read and behave the same everywhere."""

import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asmnet_kit.base.cores import usable_cores
from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.files import require_exists, require_writable
from asmnet_kit.base.limits import MAX_SEED, MAX_WORKERS, SCHEME_NAMES
from asmnet_kit.base.model_kind import RUNNABLE, ModelKind, expected_words, require_kind
from asmnet_kit.base.places import is_url
from asmnet_kit.base.plugins import PluginTable
from asmnet_kit.datasets.formats import FORMATS, PEOPLE

if TYPE_CHECKING:
    from asmnet_kit.face.plausibility import Plausibility
    from asmnet_kit.face.predictor import Predictor
    from asmnet_kit.face.schemes import Scheme

Command = TypeVar("Command", bound=Callable[..., Any])

# What a command expects at a path, for ``InputPath``.
DATA = "the folder of a data set"
RESULTS = "benchmark results: a .json, or a folder or .zip of them"

SHAPE = re.compile(r"(?:1x)?(\d{1,5})x(\d{1,5})(?:x3)?")  # of a model's input
MAX_SIDE = 4096  # of it, pixels

# The kinds of model that a command takes, for ``ModelPath``.
MODEL = RUNNABLE
MODEL_HELP = f"a name of the kit's (asmnet-kit models), {expected_words(RUNNABLE)}"
TFLITE: tuple[ModelKind, ...] = ("tflite",)


class OnceCommand(click.Command):
    """A command that tells of an option given twice, of which the last value counts.

    Scripts and Makefiles put the value that should count behind their default; others take the
    option for one that may be repeated, as some may (``multiple``).
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # a shell asks how a line goes on
            values, _, given = self.make_parser(ctx).parse_args(list(args))
            for option, times in Counter(given).items():
                if times > 1 and isinstance(option, click.Option) and not may_repeat(option):
                    words = "twice" if times == 2 else f"{times} times"
                    click.echo(
                        f"warning: {option.opts[-1]} is given {words}: only the last one counts, "
                        f"{values[option.name]}",
                        err=True,
                    )
        return super().parse_args(ctx, args)


def may_repeat(option: click.Option) -> bool:
    """Whether an option given twice loses nothing."""
    return option.multiple or option.count or option.is_flag


class OnceGroup(click.Group):
    """A group of such commands."""

    command_class = OnceCommand


class InputPath(click.Path):
    """A file or folder that must be there, refused alike by every command.

    Args:
        expected: what it should be, for the message.
    """

    def __init__(self, expected: str) -> None:
        super().__init__(path_type=Path)
        self.expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        require_exists(path, expected=self.expected)
        return path


class OutputPath(click.Path):
    """A file or folder to write to, refused before minutes are spent on what would not fit there.

    Args:
        options: of ``click.Path``.
    """

    def __init__(self, **options: bool) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        require_writable(path if path.is_dir() else path.parent)
        return path


class DataPath(InputPath):
    """The folder of a data set, or the word people for the renderer of ``--format people``.

    Which of them the word means, the format says, which click may not know yet: the reader of any
    other format refuses a folder called people that is not there.
    """

    def __init__(self) -> None:
        super().__init__(DATA)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if Path(value) == Path(PEOPLE):
            return Path(PEOPLE)
        return super().convert(value, param, ctx)


class DataPlace(DataPath):
    """As ``DataPath``, or the address of prepared data on a server, as text: s3://bucket/faces."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if is_url(value) else super().convert(value, param, ctx)


class NumberRange(click.FloatRange):
    """A number, refused where it is none: NaN is below no limit, so that no limit would hold."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("expected a number, got nan", param, ctx)
        return number


class PluginChoice(click.Choice):  # type: ignore[type-arg, unused-ignore]  # not in click 8.1
    """A name of a table, those that other packages bring included.

    Where a package offers a name that the kit has itself, a line on stderr says that the kit's own
    is used.
    """

    def __init__(self, table: PluginTable) -> None:
        super().__init__(table.names())
        self.table = table

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name: str = super().convert(value, param, ctx)
        for package in self.table.hidden(name):
            click.echo(
                f"{self.table.kind} {name}: the kit's own is used; that of the package {package} "
                "needs another name",
                err=True,
            )
        return name


GIVEN_SCHEME = "asmnet_kit.scheme"  # the words after --scheme, in the context of the call


class SchemeParam(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # not in click 8.1
    """A built-in landmark scheme by its name, or that of a TOML file by its path."""

    name = "scheme"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from asmnet_kit.face.schemes import scheme_named

        if ctx is not None:
            ctx.meta[GIVEN_SCHEME] = value
        return scheme_named(value) if isinstance(value, str) else value


class ModelPath(InputPath):
    """A model's path, or the name of one that comes with the kit; gives a ``Path``.

    Args:
        takes: the kinds that the command takes; others are refused with the way out.
    """

    def __init__(self, takes: Collection[ModelKind]) -> None:
        super().__init__(expected_words(takes))
        self.takes = takes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from asmnet_kit.shipping.shipped import find_model

        path = super().convert(find_model(Path(value)), param, ctx)
        require_kind(path, self.takes)
        return path


def told_default_model() -> Path:
    """The kit's own model, and a line on stderr that says which and on what terms."""
    from asmnet_kit.shipping.shipped import default_model

    shipped = default_model()
    click.echo(
        f"Model: {shipped.name}, the kit's default; licence of its weights: {shipped.licence}. "
        "Others: asmnet-kit models",
        err=True,
    )
    return shipped.path


def plausibility_for(
    predictor: "Predictor", model: Path, named: Path | None
) -> "Plausibility | None":
    """The judge of a model's predictions: of ``--shape-model``, or what lies beside the model.

    Any .npz may bear the model's name: one that cannot judge costs the plausibility and a line on
    stderr, not the command.

    Raises:
        ModelError: ``named`` is no shape model.
        UsageError: ``named`` is one of another number of landmarks.
    """
    from asmnet_kit.face.plausibility import Plausibility, own_plausibility, own_shape_model

    if named is not None:
        return Plausibility.load(named).for_scheme(predictor.scheme)
    try:
        own = own_plausibility(model)
        return None if own is None else own.for_scheme(predictor.scheme)
    except (ModelError, UsageError) as error:
        path = own_shape_model(model)
        reason = str(error).removeprefix(f"{path}: ").removesuffix(".")
        click.echo(
            f"warning: {path}: {reason}. Going on without plausibility; --shape-model names "
            "another file",
            err=True,
        )
        return None


class AdapterName(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # not in click 8.1
    """A built-in adapter's name or an adapter file, as text that names it from any folder."""

    name = "adapter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from asmnet_kit.adapters.adapter import built_in, read_adapter

        read_adapter(value)  # a mistake in it is told before anything else is done
        return str(value) if value in built_in() else str(Path(value).absolute())


def adapter_option(command: Command) -> Command:
    """``--adapter NAME|FILE`` of commands that run a landmark .tflite."""
    return click.option(
        "--adapter",
        type=AdapterName(),
        metavar="NAME|FILE",
        help="How to use a landmark model that the kit did not make: a built-in adapter "
        "(mediapipe, pfld, pfld_rgb) or a .toml (docs/adapters.md).",
    )(command)


def adapter_argument(adapter: str | None) -> str:
    """``--adapter`` for the next command's line, with a blank before it; "" without one."""
    return "" if adapter is None else f" --adapter {shlex.quote(adapter)}"


def is_given(parameter: str) -> bool:
    """Whether the user gave the running command an option, rather than leaving its default."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is not click.core.ParameterSource.DEFAULT


def data_options(
    *, required: bool = True, format_required: bool = True, note: str = ""
) -> Callable[[Command], Command]:
    """``--data DIR --format F``; the format can be left out where plain pictures will do.

    Args:
        note: what the command's ``--help`` adds about ``--data``.
    """

    def decorate(command: Command) -> Command:
        about = "Folder of the data set, or a folder in it; subfolders are searched for pictures."
        command = click.option(
            "--format",
            "data_format",
            type=PluginChoice(FORMATS),
            required=required and format_required,
            help="How the data set is laid out.",
        )(command)
        return click.option(
            "--data",
            type=DataPath(),
            required=required,
            help=f"{about} {note}".strip(),
        )(command)

    return decorate


def parse_shape(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """``112x96`` or ``1x112x96x3`` as (112, 96): height and width."""
    return None if value is None else _height_and_width(value, square=False)


def parse_square(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """``112x112`` or ``1x112x112x3`` as 112."""
    return None if value is None else _height_and_width(value, square=True)[0]


def _height_and_width(value: str, *, square: bool) -> tuple[int, int]:
    expected = "a square" if square else "height x width"
    found = SHAPE.fullmatch(value.strip().lower())
    height, width = (int(found[1]), int(found[2])) if found else (0, 0)
    is_size = 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE
    if not is_size or (square and height != width):
        raise click.BadParameter(
            f"expected {expected} of up to {MAX_SIDE} pixels, batch 1 and 3 channels last, as "
            f"112x112 or 1x112x112x3; got {value!r}"
        )
    return height, width


def input_shape_option(command: Command) -> Command:
    """``--input-shape HxW`` of commands that look into or measure a .tflite."""
    return click.option(
        "--input-shape",
        metavar="HxW",
        callback=parse_shape,
        help="Input size (height x width), if the file leaves it open: 112x112 or 1x112x112x3.",
    )(command)


def shape_argument(shape: tuple[int, int] | None) -> str:
    """``--input-shape`` for the next command's line, with a blank before it; "" for none."""
    return "" if shape is None else f" --input-shape {shape[0]}x{shape[1]}"


def scheme_option(help: str) -> Callable[[Command], Command]:
    """``--scheme NAME|FILE``: a landmark scheme, or None.

    Args:
        help: what the command does with it.
    """
    return click.option(
        "--scheme",
        type=SchemeParam(),
        metavar="NAME|FILE",
        help=f"{help} One of {', '.join(SCHEME_NAMES)}, or a .toml (docs/schemes.md).",
    )


def scheme_argument(scheme: "Scheme | None") -> str:
    """``--scheme`` for the next command's line, with a blank before it; "" where none is needed.

    FILE stands for the file of a scheme that is not built in and that this call did not name.
    """
    if scheme is None:
        return ""
    given = given_scheme()
    file = "FILE" if given is None else shlex.quote(given)
    return f" --scheme {scheme.name if scheme.built_in else file}"


def given_scheme() -> str | None:
    """The name or path that this call gave after ``--scheme``; None without one."""
    context = click.get_current_context(silent=True)
    given = None if context is None else context.meta.get(GIVEN_SCHEME)
    return None if given is None else str(given)


def compared_scheme_option(note: str = "") -> Callable[[Command], Command]:
    """``--scheme NAME|FILE`` of commands that compare a model's landmarks with the data's.

    Args:
        note: what the command's ``--help`` adds.
    """
    about = "Compare in these landmarks, to which the model's and the data's are mapped"
    return scheme_option(f"{about}{note}.")


def boxes_option(command: Command) -> Command:
    """``--boxes landmarks|detector`` of commands that measure accuracy."""
    return click.option(
        "--boxes",
        type=click.Choice(("landmarks", "detector")),
        default="landmarks",
        show_default=True,
        help="Crop around the labelled landmarks, or around the box of a face detector, in which "
        "evaluate and benchmark look again, as predict does (docs/predict.md).",
    )(command)


def measured_split_option(command: Command) -> Command:
    """``--split NAME`` of commands that measure accuracy."""
    return click.option(
        "--split",
        help="Only this split of --data.  [default: test where the data has one, else every face]",
    )(command)


def out_option(help: str) -> Callable[[Command], Command]:
    """``--out PATH``, required."""
    return click.option("--out", type=OutputPath(), required=True, help=help)


def seed_option(command: Command) -> Command:
    """``--seed S``, by default 0."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0, max=MAX_SEED),
        default=0,
        show_default=True,
        help="Random seed.",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``: machine-readable output on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")(command)


def _workers(ctx: click.Context, param: click.Parameter, value: int | None) -> int:
    return value or usable_cores()


workers_option = click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    callback=_workers,
    help="Number of processes; the result does not depend on it.  [default: all usable cores]",
)
