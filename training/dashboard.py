"""``--dashboard``: a page that shows a training while it runs, and ends with it.

The page is TensorBoard's. TensorFlow 2.21 no longer brings it, so it is an extra of the kit.
"""

import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from asmnet_kit.base.errors import KitError, require_installed
from asmnet_kit.base.own_process import script_command
from asmnet_kit.training import dashboard_page

Command = TypeVar("Command", bound=Callable[..., Any])

EXTRA = "dashboard"
STARTS_WITHIN_S = 120.0  # TensorBoard imports TensorFlow, which takes its time on a busy machine
ENDS_WITHIN_S = 10.0


def dashboard_option(command: Command) -> Command:
    """``--dashboard`` of commands that train."""
    return click.option(
        "--dashboard",
        is_flag=True,
        help="Show loss and NME in the browser while it trains: starts TensorBoard (extra "
        "[dashboard]) for this machine alone and prints its address.",
    )(command)


@contextmanager
def told_dashboard(logs: Path, *, asked: bool) -> Iterator[None]:
    """The page for the block, where it was asked for; its address goes to the terminal.

    Args:
        logs: folder of the logs, at any depth; it need not be there yet.

    Raises:
        MissingDependency: TensorBoard is not installed.
        KitError: the page does not start.
    """
    if not asked:
        yield
        return
    from asmnet_kit.base.console import stderr

    with dashboard(logs) as address:
        stderr().print(f"Dashboard: {address} (ends with this command)", markup=False)
        yield


@contextmanager
def dashboard(logs: Path) -> Iterator[str]:
    """TensorBoard for the block, in a process of its own; gives its address.

    Args and errors: as for ``told_dashboard``.
    """
    require_installed("tensorboard", extra=EXTRA)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            script_command(Path(dashboard_page.__file__), str(logs)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the training, which ends the page
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], STARTS_WITHIN_S)
            address = process.stdout.readline().decode().strip() if ready else ""
            if not address:
                said.seek(0)
                last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
                reason = last if ready else f"no answer within {STARTS_WITHIN_S:g} s"
                raise KitError(
                    f"--dashboard: TensorBoard did not start ({reason}): leave --dashboard out"
                )
            yield address
        finally:
            process.stdin.close()
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
