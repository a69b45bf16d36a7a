"""When two results are of one machine."""

import hashlib
import json
from typing import Any

# Facts that change from run to run, or by an update, do not make it another machine.
VOLATILE_FACTS = (
    "load_average",
    "frequency_mhz",
    "memory_available_bytes",
    "usable_cores",
    "temperature_celsius",
    "battery",
)
# The clock is measured; how fine it is, and whether the page is isolated, is the server's doing.
VOLATILE_OF_A_BROWSER = ("clock_ms", "isolated", "user_agent")
VERSIONED_OF_A_BROWSER = ("name", "platform")


def machine_fingerprint(machine: dict[str, Any]) -> str:
    """Alike for two results of one machine."""
    fixed = {k: v for k, v in machine.items() if k not in VOLATILE_FACTS}
    browser = fixed.get("browser")
    if isinstance(browser, dict):
        fixed["browser"] = {
            k: without_version(str(v)) if k in VERSIONED_OF_A_BROWSER else v
            for k, v in browser.items()
            if k not in VOLATILE_OF_A_BROWSER
        }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def without_version(name: str) -> str:
    """For example ``Google Chrome`` of ``Google Chrome 142.0.1``."""
    words, _, last = name.rpartition(" ")
    return words if words and last[:1].isdigit() else name
