"""On what was measured: machines and their names in a report."""

from collections.abc import Sequence
from typing import Any

from asmnet_kit.results.machine import machine_fingerprint
from asmnet_kit.results.results import Result

# Of one run, not of the machine; each result's page has them.
OF_A_RUN = (
    "load_average", "frequency_mhz", "memory_available_bytes", "usable_cores",
    "temperature_celsius", "battery", "thermal_status", "power_save_mode", "battery_percent",
    "battery_charging", "battery_celsius", "before",
)  # fmt: skip
MOST_VALUES = 3  # of a fact that an update changed


def machines_of(
    results: Sequence[Result],
) -> tuple[dict[str, str], list[tuple[str, dict[str, str]]]]:
    """Names by fingerprint (machine 1, machine 2 ...), and the facts of each machine.

    A fact that an update changed between its results has the values of all.
    """
    by_machine: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_machine.setdefault(machine_fingerprint(result["machine"]), []).append(result["machine"])
    names = {fingerprint: f"machine {n}" for n, fingerprint in enumerate(by_machine, start=1)}
    return names, [(names[key], _shown_facts(found)) for key, found in by_machine.items()]


def _shown_facts(machines: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The facts of one machine's results as text; what is unknown is left out."""
    shown: dict[str, dict[str, None]] = {}
    for machine in machines:
        for key, value in machine.items():
            if key not in OF_A_RUN and value not in (None, [], ""):
                name = key.removesuffix("_bytes").removesuffix("_mhz").replace("_", " ")
                shown.setdefault(name, {})[_text(key, value)] = None
    return {
        name: "; ".join(values) if len(values) <= MOST_VALUES else f"{len(values)} different ones"
        for name, values in ((name, list(values)) for name, values in shown.items())
    }


def _text(key: str, value: Any) -> str:
    if key.endswith("_bytes") and isinstance(value, (int, float)):
        return f"{value / 1e9:.1f} GB"
    if key.endswith("_mhz"):
        return f"{value} MHz"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
