"""How many cores there are to use."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores that this process may keep busy: its affinity and, in a container, the CPU quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [quota for text in _cpu_limits() if (quota := cpu_quota(text)) is not None]
    return max(1, min(allowed, *(int(quota) for quota in quotas))) if quotas else allowed


def cpu_quota(cpu_max: str) -> float | None:
    """Cores that the text of cgroup v2's cpu.max grants, or None for no limit."""
    fields = cpu_max.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or fields[1] == "0":
        return None
    return int(fields[0]) / int(fields[1])


def _cpu_limits() -> Iterator[str]:
    """The texts of cpu.max of this process's cgroup and of those above it; of version 1 alike."""
    own = re.search(r"^0::/(.*)$", _read(OWN_CGROUP), re.MULTILINE)
    folder = CGROUPS / (own[1] if own else "")
    for one in (folder, *folder.parents):
        if one.is_relative_to(CGROUPS):
            yield _read(one / "cpu.max")
    old = CGROUPS / "cpu"
    yield f"{_read(old / 'cpu.cfs_quota_us').strip()} {_read(old / 'cpu.cfs_period_us').strip()}"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
