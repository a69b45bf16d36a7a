"""On what was measured: machines and their names in a report."""

from collections.abc import Sequence
from typing import Any

from asmnet_kit.results.machine import machine_fingerprint
from asmnet_kit.results.results import Result


def machines_of(
    results: Sequence[Result],
) -> tuple[dict[str, str], list[tuple[str, dict[str, Any]]]]:
    """Names by fingerprint (machine 1, machine 2 ...), and the facts of each machine."""
    names: dict[str, str] = {}
    machines = []
    for result in results:
        fingerprint = machine_fingerprint(result["machine"])
        if fingerprint not in names:
            names[fingerprint] = f"machine {len(names) + 1}"
            machines.append((names[fingerprint], _shown_facts(result["machine"])))
    return names, machines


def _shown_facts(machine: dict[str, Any]) -> dict[str, str]:
    """A machine's facts as text; what is unknown is left out."""
    shown = {}
    for key, value in machine.items():
        if value in (None, [], ""):
            continue
        name = key.removesuffix("_bytes").removesuffix("_mhz").replace("_", " ")
        if key.endswith("_bytes") and isinstance(value, (int, float)):
            shown[name] = f"{value / 1e9:.1f} GB"
        elif key.endswith("_mhz"):
            shown[name] = f"{value} MHz"
        elif isinstance(value, list):
            shown[name] = ", ".join(str(item) for item in value)
        else:
            shown[name] = str(value)
    return shown
