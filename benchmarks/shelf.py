"""A shelf of devices: the file that names them, and what each is asked to measure.

[devices.pixel]                        # a name of yours
targets = ["android:gpu", "android"]
device = "R58M12ABC"                   # as --device takes it
threads = [1, 4]
entry_temperature = 32                 # degrees Celsius
entry_minutes = 20                     # to wait for it, at most
cool_down = 60                         # seconds between two measurements
options = {gpu_precision = "fp16"}
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.base.limits import MAX_THREADS
from asmnet_kit.base.reading import read_toml
from asmnet_kit.benchmarks.call import refuse_unfollowed, requests_for
from asmnet_kit.benchmarks.devices import look_at, temperature_of
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets.registry import load_target, problem_of

TABLE = "devices"


@dataclass(frozen=True)
class Care:
    """How a device is treated between its measurements.

    Attributes:
        entry_temperature: wait before a measurement until it is at most so warm, degrees Celsius;
            None for no wait.
        entry_minutes: to wait for that at most; then the device is given up.
        cool_down: seconds of rest between two of its measurements.
    """

    entry_temperature: float | None = None
    entry_minutes: float = 15.0
    cool_down: float = 0.0


@dataclass(frozen=True)
class Job:
    """One measurement of a call.

    Attributes:
        name: of the device in the file of devices; empty where none is used.
    """

    request: Request
    care: Care = Care()
    name: str = ""


@dataclass(frozen=True)
class Device:
    """A device of the file."""

    name: str
    targets: tuple[str, ...]
    device: str = ""
    threads: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    care: Care = Care()

    def jobs(
        self, models: Sequence[Path], template: Request, *, threads: Sequence[int] = ()
    ) -> list[Job]:
        """What it measures of some models.

        Args:
            template: what all measurements have in common; the device's own options come first.
            threads: where the file gives none.

        Raises:
            UsageError: none of its targets has an option that the file gives it.
        """
        refuse_unfollowed(self.targets, options=self.options, threads=self.threads)
        asked = replace(template, device=self.device, options={**template.options, **self.options})
        requests = requests_for(models, self.targets, asked, threads=self.threads or threads)
        return [Job(request, self.care, self.name) for request in requests]


def read_devices(path: Path, *, care: Care = Care()) -> tuple[Device, ...]:
    """The devices of a file, in its order.

    Args:
        care: of those for which the file says nothing else.

    Raises:
        UsageError: no such file, or what it says is no shelf of devices.
    """
    try:
        content = read_toml(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path}: cannot be read: {why}") from error
    named = content.get(TABLE)
    if set(content) != {TABLE} or not isinstance(named, dict) or not named:
        raise UsageError(
            f"{path}: expected tables [{TABLE}.NAME] and nothing else, got "
            f"{', '.join(content) or 'an empty file'} (docs/scale.md has an example)"
        )
    return tuple(
        _device(f"{path}: {TABLE}.{name}", name, told, care) for name, told in named.items()
    )


def named_devices(devices: Sequence[Device], names: Sequence[str], path: Path) -> list[Device]:
    """Those of these names, or all where none is given.

    Raises:
        UsageError: the file has none of a name.
    """
    for name in names:
        if name not in {device.name for device in devices}:
            known = ", ".join(device.name for device in devices)
            raise UsageError(f"--device {name}: {path} names {known}")
    return [device for device in devices if not names or device.name in names]


def _device(where: str, name: str, told: Any, care: Care) -> Device:
    if not isinstance(told, dict):
        raise UsageError(f"{where}: expected a table, got {told!r}")
    known = ("targets", "device", "threads", "options", *(one.name for one in fields(Care)))
    if unknown := sorted(set(told) - set(known)):
        raise UsageError(f"{where}: expected {', '.join(known)}; got {', '.join(unknown)}")
    targets, threads = told.get("targets"), told.get("threads", [])
    if not _are(targets, str) or not targets:
        raise UsageError(f'{where}: expected targets = ["android", ...], got {targets!r}')
    if not _are(threads, int) or not all(1 <= count <= MAX_THREADS for count in threads):
        raise UsageError(f"{where}: expected threads = [1, ...], got {threads!r}")
    device, options = told.get("device", ""), told.get("options", {})
    if not isinstance(device, str):
        raise UsageError(f"{where}: expected device = a text, got {device!r}")
    if not isinstance(options, dict) or not _are(list(options.values()), str):
        raise UsageError(f"{where}: expected options of texts, got {options!r}")
    for target in targets:
        if device and not load_target(target).abilities.has_devices:
            raise UsageError(f"{where}: target {target} has no devices to choose from: {device!r}")
    given = {one.name: told[one.name] for one in fields(Care) if one.name in told}
    for key, value in given.items():
        if type(value) not in (int, float) or not (key == "entry_temperature" or value >= 0):
            raise UsageError(f"{where}: expected {key} = a number, got {value!r}")
    return Device(
        name, tuple(targets), device, tuple(threads), dict(options), replace(care, **given)
    )


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def look_over(path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """For the doctor: of each device and target of a file, what was found and what is wrong.

    Returns:
        (name, target) -> (found, problem), one of which is empty.

    Raises:
        UsageError: as ``read_devices``.
    """
    jobs = [
        (
            device,
            Request(Path("MODEL"), target=target, device=device.device, options=device.options),
        )
        for device in read_devices(path)
        for target in device.targets
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        looked = pool.map(lambda job: _look(job[1]), jobs)
    return {
        (device.name, request.target): found
        for (device, request), found in zip(jobs, looked, strict=True)
    }


def _look(request: Request) -> tuple[str, str]:
    problem = problem_of(request.target)
    if problem:
        return "", problem
    try:
        found, temperature = look_at(request), temperature_of(request)
    except KitError as error:
        return "", str(error)
    warm = "does not tell its temperature" if temperature is None else f"{temperature:.1f} °C"
    return f"{found}; {warm}", ""
