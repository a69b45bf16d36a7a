"""``asmnet-kit report``: one page from benchmark results."""

from pathlib import Path

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.commands.options import RESULTS, InputPath, out_option


@click.command(short_help="Write one HTML page from benchmark results.")
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=InputPath(RESULTS))
@click.option("--title", default="Benchmark report", show_default=True, help="Heading of the page.")
@out_option("HTML file to write; the same in Markdown is written beside it.")
def report(results: tuple[Path, ...], title: str, out: Path) -> None:
    """Write one self-contained page from benchmark RESULTs, which are files or folders of them.

    The page loads nothing from anywhere, prints well and works on a phone. A Markdown version with
    the same figures is written beside it.

    \b
    Example:
      asmnet-kit report results --out report.html --title "ASMNet on our board"
    """
    from asmnet_kit.base.console import counted, stderr, stdout
    from asmnet_kit.results.report.build import write_report
    from asmnet_kit.results.results import load_results

    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"expected --out to end with .html, got {out}")
    loaded = load_results(results)
    page, beside = write_report(loaded, out, title=title)
    stdout().print(f"{page}\n{beside}", markup=False)
    stderr().print(
        f"{counted(len(loaded), 'result')} in the report. Next: open {page}", markup=False
    )
