"""``asmnet-kit data convert``: any format as CSV, COCO keypoints or 300-W's folders."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.commands.options import (
    OnceCommand,
    data_options,
    json_option,
    out_option,
    scheme_option,
)

if TYPE_CHECKING:
    from asmnet_kit.face.schemes import Scheme

TO = ("csv", "coco", "300w")
SHOWN = 20  # faces left out that are told


@click.command(cls=OnceCommand)
@data_options()
@click.option(
    "--to", type=click.Choice(TO), required=True, help="The format to write (docs/data.md)."
)
@out_option("New or empty folder for the labels and the copied pictures.")
@click.option("--split", help="Only this split (train, val, test ...).")
@click.option(
    "--points",
    type=click.Choice(("68", "98")),
    help="Landmarks to read where the format has both (synthetic).  [default: 68]",
)
@scheme_option(
    "What the landmarks are, where the data does not say it; or what they become, where their "
    "scheme has a map to it (98 to 68, for example)."
)
@json_option
def convert(
    data: Path,
    data_format: str,
    to: str,
    out: Path,
    split: str | None,
    points: str | None,
    scheme: "Scheme | None",
    as_json: bool,
) -> None:
    """Write a data set as CSV, COCO keypoints or 300-W's folders.

    Example:  asmnet-kit data convert --data cvat --format cvat --to csv --out faces

    Pictures are copied unchanged. Faces that cannot be used are skipped and listed. Splits and
    subsets are kept; 300-W's folders can hold one split and one subset. A scheme of your own is
    written to OUT/scheme.toml: give that file to --scheme.
    """
    from asmnet_kit.base import console
    from asmnet_kit.datasets.convert import SCHEMA_VERSION
    from asmnet_kit.datasets.convert import convert as write
    from asmnet_kit.datasets.registry import in_scheme, load_dataset

    if data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise UsageError(f"--out: {out} lies in --data, and would be read as a part of it")
    dataset = load_dataset(
        data, data_format, split=split, points=int(points) if points else None, scheme=scheme
    )
    if scheme is not None:
        dataset = in_scheme(dataset, scheme)
    with console.counting("Pictures") as on_progress:
        done = write(dataset, out, to, progress=on_progress)
    for problem in dataset.problems[:SHOWN]:  # the others have been told as they were met
        console.stderr().print(f"left out: {problem.name}: {problem.reason}", markup=False)
    if len(dataset.problems) > SHOWN:
        console.stderr().print(
            f"left out: {len(dataset.problems) - SHOWN} more (--json lists them)"
        )
    for note in done.notes:
        console.stderr().print(f"left out: {note}", markup=False)
    if as_json:
        console.print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "out": str(out),
                "format": to,
                "scheme": dataset.scheme.name,
                "scheme_file": None if done.scheme_file is None else str(done.scheme_file),
                "points": dataset.scheme.points,
                "faces": done.faces,
                "pictures": done.pictures,
                "problems": [problem.to_json() for problem in done.problems],
                "notes": list(done.notes),
            }
        )
    # Labels of a built-in scheme say by their number what they are.
    scheme_file = done.scheme_file
    own_scheme = "" if scheme_file is None else f" --scheme {shlex.quote(str(scheme_file))}"
    console.stderr().print(
        f"{out}: {console.counted(done.faces, 'face')}. Next: asmnet-kit data inspect --data "
        f"{shlex.quote(str(out))} --format {to}{own_scheme} --sheet sheet.png",
        markup=False,
    )
