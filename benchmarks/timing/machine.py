"""Facts about the machine that a latency depends on. What is unknown is None, not guessed."""

import os
import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from asmnet_kit.base.cores import usable_cores
from asmnet_kit.machine.cpu import cpu_model, field, instruction_sets, small_file, this_cpuinfo

# Names that Linux gives to sensors of processors.
CPU_SENSORS = ("coretemp", "k10temp", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")
HOT_CELSIUS = 85.0  # processors throttle from 85 (Raspberry Pi) to 100 degrees

MAX_OTHERS_SHARE = 0.05  # of the machine's CPU time; above it other processes disturb the samples
MAX_WAITED_SHARE = 0.05  # of the time of the runs, for which another process had the core
MAX_FREQUENCY_CHANGE = 0.05
# Two clocks of one machine: adjusting one to the world's time changes it by at most 0.05 %, and a
# coarse one ticks every 15.6 ms.
MAX_CLOCK_SHARE, MAX_CLOCK_S = 0.01, 0.05
READINGS, MOMENT_S = 20, 0.001  # both clocks are read within a moment; another program may come in


def machine_facts() -> dict[str, Any]:
    """CPU, instruction sets, clock, load, memory, operating system, Python and container hints."""
    cpuinfo = this_cpuinfo()
    memory = psutil.virtual_memory()
    load = os.getloadavg()
    return {
        "cpu": cpu_model(cpuinfo),
        "board": _board(),
        "architecture": platform.machine(),
        "cores": psutil.cpu_count(logical=True) or 1,
        "physical_cores": psutil.cpu_count(logical=False),
        "usable_cores": usable_cores(),
        "instruction_sets": instruction_sets(cpuinfo),
        "frequency_mhz": frequency_mhz(),
        "frequency_max_mhz": _frequency_max_mhz(),
        "governor": governor(),
        "temperature_celsius": temperature_celsius(),
        "battery": battery(),
        "load_average": [round(value, 2) for value in load],
        "memory_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "container": container_hints(cpuinfo),
    }


def governor() -> str | None:
    """The frequency governor of the first core, for example ``performance``."""
    return small_file(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip() or None


def frequency_mhz() -> float | None:
    """The current clock, averaged over the cores."""
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return round(frequency.current, 1) if frequency and frequency.current else None


def temperature_celsius() -> float | None:
    """The hottest sensor of the processor, where the machine tells."""
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):  # psutil has none on macOS and Windows
        return None
    known = [entry.current for name in CPU_SENSORS for entry in sensors.get(name, [])]
    return round(max(known), 1) if known else None


def battery() -> str | None:
    """For example ``80 %, plugged in``; None on machines without one."""
    try:
        state = psutil.sensors_battery()
    except (AttributeError, OSError):
        return None
    if state is None:
        return None
    return f"{state.percent:.0f} %, {'plugged in' if state.power_plugged else 'discharging'}"


def container_hints(cpuinfo: str) -> list[str]:
    """Signs that the machine is shared or virtual; empty when none is seen."""
    hints = []
    if Path("/.dockerenv").exists():
        hints.append("docker")
    if Path("/run/.containerenv").exists():
        hints.append("podman")
    if "kubepods" in small_file(Path("/proc/1/cgroup")) or "KUBERNETES_SERVICE_HOST" in os.environ:
        hints.append("kubernetes")
    if "hypervisor" in (field(cpuinfo, "flags") or "").split():
        hints.append("virtual machine")
    if "microsoft" in platform.release().lower():
        hints.append("WSL")
    return hints


@dataclass(frozen=True)
class CpuUse:
    """CPU time so far, in seconds: of the whole machine, of this process, and the wall clock.

    Attributes:
        waited_s: for how long this thread was ready to run and another had its core; None where
            the kernel does not tell.
        second_clock_s: a clock that nothing adjusts, beside the one that times the runs.
    """

    machine_busy_s: float
    process_s: float
    wall_s: float
    frequency_mhz: float | None
    waited_s: float | None = None
    second_clock_s: float | None = None

    @classmethod
    def now(cls, clock: Callable[[], float] = time.perf_counter) -> "CpuUse":
        """Now.

        Args:
            clock: of the wall, seconds: the one that times the runs.
        """
        wall_s, second_clock_s = _read_together(clock)
        times = psutil.cpu_times()
        busy = times.user + times.system + getattr(times, "nice", 0.0) + getattr(times, "irq", 0.0)
        busy += getattr(times, "softirq", 0.0) + getattr(times, "steal", 0.0)
        # The process's own clock is exact; the kernel's counts are in ticks of 10 ms.
        return cls(busy, time.process_time(), wall_s, frequency_mhz(), _waited_s(), second_clock_s)


def clock_step(before: CpuUse, after: CpuUse) -> str | None:
    """That the clock of the runs disagrees with a second one, in a sentence; None if it does not.

    After a suspended or moved virtual machine, or where a program sets the clock.
    """
    if before.second_clock_s is None or after.second_clock_s is None:
        return None
    wall, second = after.wall_s - before.wall_s, after.second_clock_s - before.second_clock_s
    if abs(wall - second) <= MAX_CLOCK_SHARE * second + MAX_CLOCK_S:
        return None
    return f"the clock stepped: {wall:.3f} s passed by it, {second:.3f} s by a second clock"


def disturbances(before: CpuUse, after: CpuUse, *, threads: int) -> list[str]:
    """What may have disturbed the samples taken between two readings, in sentences."""
    reasons = []
    cores = psutil.cpu_count(logical=True) or 1
    wall = after.wall_s - before.wall_s
    own = after.process_s - before.process_s
    others = (after.machine_busy_s - before.machine_busy_s) - own
    # The machine's time is counted in ticks of 10 ms: below half a second its share says nothing.
    if wall > 0.5 and others / (wall * cores) > MAX_OTHERS_SHARE:
        reasons.append(
            f"other processes (or other guests of the host) used "
            f"{100 * others / (wall * cores):.0f} % of the machine's CPU time during the runs"
        )
    if wall > 0.5 and before.waited_s is not None and after.waited_s is not None:
        share = (after.waited_s - before.waited_s) / wall
        if share > MAX_WAITED_SHARE:
            reasons.append(
                f"another process was on the same core: for {100 * share:.0f} % of the time of the "
                f"runs this one waited for it"
            )
    if before.frequency_mhz and after.frequency_mhz:
        change = after.frequency_mhz / before.frequency_mhz - 1
        if abs(change) > MAX_FREQUENCY_CHANGE:
            reasons.append(
                f"the clock went from {before.frequency_mhz:.0f} to {after.frequency_mhz:.0f} MHz "
                f"during the runs"
            )
    temperature = temperature_celsius()
    if temperature is not None and temperature >= HOT_CELSIUS:
        reasons.append(f"the processor is at {temperature:.0f} degrees Celsius and may throttle")
    power = battery()
    if power is not None and "discharging" in power:
        reasons.append(f"the machine runs on its battery ({power})")
    mode = governor()
    if mode not in (None, "performance"):
        reasons.append(
            f"frequency scaling is on (governor {mode!r}; 'performance' holds the clock)"
        )
    usable = usable_cores()
    if threads > usable:
        reasons.append(f"{threads} threads were asked for, {usable} cores may be used")
    return reasons


def peak_rss_bytes() -> int | None:
    """The largest resident memory this process has had.

    Linux: VmHWM, which starts anew at exec. (getrusage's ru_maxrss does not: a child started by a
    large parent would report the parent's memory.)
    """
    match = re.search(
        r"^VmHWM:\s*(\d+) kB", small_file(Path("/proc/self/status")), flags=re.MULTILINE
    )
    if match:
        return int(match[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    return None


def _waited_s() -> float | None:
    """Linux: the second number is the nanoseconds that this thread waited for a core."""
    fields = small_file(Path("/proc/self/schedstat")).split()
    return int(fields[1]) / 1e9 if len(fields) == 3 and fields[1].isdigit() else None


def _read_together(clock: Callable[[], float]) -> tuple[float, float | None]:
    """``clock`` and a second one at the same moment; None where other programs never let it be."""
    for _ in range(READINGS):
        before, wall, after = _second_clock_s(), clock(), _second_clock_s()
        if after - before < MOMENT_S:
            return wall, before
    return wall, None


def _second_clock_s() -> float:
    if hasattr(time, "CLOCK_MONOTONIC_RAW"):
        return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    return time.monotonic()


def _board() -> str | None:
    text = small_file(Path("/proc/device-tree/model")) or small_file(
        Path("/sys/devices/virtual/dmi/id/product_name")
    )
    return text.strip("\0 \n") or None


def _frequency_max_mhz() -> float | None:
    text = small_file(Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")).strip()
    return int(text) / 1000 if text.isdigit() else None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform())
    except OSError:
        return platform.platform()
