"""When two results are of one machine."""

import hashlib
import json
import math
from typing import Any

# What a machine is. Other facts change from run to run (load, clock, battery, heat) or by an update
# (system, kernel, Python), which must not make it another machine: it may be what made it slower.
MACHINE_FACTS = ("cpu", "board", "device", "architecture", "cores", "instruction_sets")
BROWSER = "browser"
# The clock is measured; how fine it is, and whether the page is isolated, is the server's doing.
VOLATILE_OF_A_BROWSER = ("clock_ms", "isolated", "user_agent")
VERSIONED_OF_A_BROWSER = ("name", "platform")


def machine_fingerprint(machine: dict[str, Any]) -> str:
    """Alike for two results of one machine."""
    fixed: dict[str, Any] = {fact: machine.get(fact) for fact in MACHINE_FACTS}
    memory = machine.get("memory_bytes")
    if isinstance(memory, (int, float)) and memory > 0:
        # Clouds call all their CPUs alike. The next power of two: a system keeps some for itself.
        fixed["memory_gb"] = 2 ** math.ceil(math.log2(memory / 2**30))
    browser = machine.get(BROWSER)
    if isinstance(browser, dict):
        fixed[BROWSER] = {
            k: without_version(str(v)) if k in VERSIONED_OF_A_BROWSER else v
            for k, v in browser.items()
            if k not in VOLATILE_OF_A_BROWSER
        }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def without_version(name: str) -> str:
    """For example ``Google Chrome`` of ``Google Chrome 142.0.1``."""
    words, _, last = name.rpartition(" ")
    return words if words and last[:1].isdigit() else name
