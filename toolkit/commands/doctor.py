"""``asmnet-kit doctor``: look, print."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import GateError
from asmnet_kit.base.install import install_command
from asmnet_kit.commands.options import InputPath, OnceCommand, json_option

if TYPE_CHECKING:
    from rich.table import Table

    from asmnet_kit.doctor.checks import Diagnosis

STYLES = {"ok": "green", "missing": "yellow", "broken": "red"}


@click.command(cls=OnceCommand)
@click.option(
    "--devices",
    type=InputPath("a file of devices (TOML)"),
    help="Also check the devices in this file; exit with 1 if one is not ready.",
)
@json_option
def doctor(devices: Path | None, as_json: bool) -> None:
    """Show what works on this machine and how to fix the rest.

    Example:  asmnet-kit doctor --json

    Checks Python, the packages, the runtime, the face detector and what each benchmark target
    needs. It changes nothing, and the exit code is 0 except with --devices. "missing" is fine for
    what you do not use; "broken" is to be fixed. Add the output of --json when you report a
    problem.
    """
    from asmnet_kit.base.console import print_json, stderr, stdout
    from asmnet_kit.doctor.checks import BROKEN, diagnose

    diagnosis = diagnose(devices)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        stdout().print(_table(diagnosis), soft_wrap=False)
    stderr().print(_summary(diagnosis), markup=False)
    lost = [c.name for c in diagnosis.checks if c.name.startswith("Device ") and c.status == BROKEN]
    if lost:
        raise GateError(f"{devices}: not ready: {', '.join(lost)}")


def _table(diagnosis: "Diagnosis") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    table.add_column("", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("needed for")
    table.add_column("found, and what to do", ratio=1)
    for check in diagnosis.checks:
        found = Text(check.detail)
        if check.fix:
            found.append(f"\n{check.fix}", style="bold")
        status = Text(check.status, style=STYLES[check.status])
        table.add_row(status, check.name, check.needed_for, found)
    return table


def _summary(diagnosis: "Diagnosis") -> str:
    broken = [check.name for check in diagnosis.checks if check.status == "broken"]
    if broken:
        return f"Broken: {', '.join(broken)}. The table says how to fix it."
    missing = sum(check.status == "missing" for check in diagnosis.checks)
    rest = f"; {missing} optional parts are missing" if missing else ""
    trains = any(check.name == "TensorFlow" and check.status == "ok" for check in diagnosis.checks)
    step = "asmnet-kit quickstart --out quickstart" if trains else install_command("train")
    return f"The kit works here{rest}. Next: {step}"
