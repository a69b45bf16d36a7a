"""``asmnet-kit report``: one page from benchmark results."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.commands.options import (
    RESULTS,
    TFLITE,
    InputPath,
    ModelPath,
    OnceCommand,
    out_option,
)

if TYPE_CHECKING:
    from asmnet_kit.results.report.faces import Gallery


@click.command(cls=OnceCommand, short_help="Write one HTML page from benchmark results.")
@click.argument("results", metavar="RESULT...", nargs=-1, type=InputPath(RESULTS))
@click.option("--title", default="Benchmark report", show_default=True, help="Heading of the page.")
@click.option(
    "--device",
    default="",
    metavar="WORDS",
    help=(
        "The device that matters, by words in its column, for example 'gpu' or 'cpu 1 "
        "thread': models are ranked on it first.  [default: the one with the most models]"
    ),
)
@click.option(
    "--faces",
    multiple=True,
    metavar="MODEL",
    type=ModelPath(TFLITE),
    help=(
        "Draw people with the landmarks of this .tflite or model of the kit. Give it two or "
        "three times, for example for float and int8, to draw the landmarks over each other."
    ),
)
@click.option(
    "--history",
    multiple=True,
    type=InputPath(RESULTS),
    help=(
        "Folder of earlier results, subfolders included; may be given several times. The page "
        "shows each model over time on each device, and where it changed by more than noise. "
        "Without RESULT the page shows the newest of them."
    ),
)
@click.option(
    "--checks",
    type=InputPath("a folder of checks"),
    help=(
        "Folder of what compilers and TensorFlow Lite Micro say about the models, as make "
        "check-reference writes it (benchmarks/reference/checks). It is shown apart from what "
        "was measured."
    ),
)
@out_option("HTML file to write; a Markdown version is written beside it.")
def report(
    results: tuple[Path, ...],
    title: str,
    device: str,
    faces: tuple[Path, ...],
    history: tuple[Path, ...],
    checks: Path | None,
    out: Path,
) -> None:
    """Write one self-contained HTML page from benchmark RESULTs: files, folders or .zip of them.

    \b
    Examples:
      asmnet-kit report results --out report.html --title "ASMNet on our board"
      asmnet-kit report results --faces asmnet_plus_fp16 --faces asmnet_plus --out report.html
      asmnet-kit report results --history past --out report.html
      asmnet-kit report benchmarks/reference --checks benchmarks/reference/checks --out report.html

    The page answers which model to ship, whether it is right, whether its speed holds, what it
    costs, where it ran and what was not measured. It loads nothing from elsewhere, prints well and
    works on a phone. A Markdown version with the same figures is written beside it.
    """
    from asmnet_kit.base.console import counted, stderr, stdout
    from asmnet_kit.results.checks import load_checks
    from asmnet_kit.results.report.build import report_files, write_report
    from asmnet_kit.results.results import load_history, load_results, newest_results

    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"expected --out to end with .html, got {out}")
    if not results and not history:
        raise UsageError("expected RESULT..., --history DIR, or both")
    report_files(out)  # refused before faces are drawn
    past = load_history(history)
    loaded = load_results(results) if results else newest_results(past)
    page, beside = write_report(
        loaded,
        out,
        title=title,
        device=device,
        gallery=_gallery(faces),
        past=past,
        checks=load_checks(checks) if checks else (),
    )
    stdout().print(f"{page}\n{beside}", markup=False)
    stderr().print(
        f"{counted(len(loaded), 'result')} in the report. Next: open {page}", markup=False
    )


def _gallery(models: tuple[Path, ...]) -> "Gallery | None":
    if not models:
        return None
    from asmnet_kit.base.console import counting
    from asmnet_kit.measure.face_gallery import draw_gallery

    with counting("drawing faces") as progress:
        return draw_gallery(models, on_progress=progress)
