"""What a device tells beside its measurements: which machine it is, how warm, whether it is there.

A target says it by methods of its own (``protocol.Target``); for one that has none of them the
answers of this machine, or of a device that is known by its name alone, are given here.
"""

from collections.abc import Callable, Sequence
from typing import Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets.registry import load_target

THIS_MACHINE = ""


def family(target: str) -> str:
    """``android`` of ``android:gpu``: targets of one family are on the same devices."""
    return target.partition(":")[0]


def devices_of(target: str, targets: Sequence[str], devices: Sequence[str]) -> list[str]:
    """Of the devices that a call names, those that one of its targets is measured on.

    A device is written ``FAMILY=NAME`` or ``NAME``. A mere name is of every family where only one
    of the targets' families has devices, else of the one that says it has such names.

    Raises:
        UsageError: it may be of several families, or of none.
    """
    choosing = [one for one in targets if load_target(one).abilities.has_devices]
    families = list(dict.fromkeys(map(family, choosing)))
    found = []
    for device in devices:
        prefix, equals, name = device.partition("=")
        if equals and prefix in families:
            owner = prefix
        else:
            owner, name = _owner_of(device, families, choosing), device
        if owner == family(target):
            found.append(name)
    return found


def _owner_of(device: str, families: Sequence[str], targets: Sequence[str]) -> str:
    if len(families) == 1:
        return families[0]
    takers = dict.fromkeys(family(target) for target in targets if _takes(target, device))
    if len(takers) != 1:
        raise UsageError(
            f"--device {device}: which target is it of? write "
            f"{' or '.join(f'{one}={device}' for one in families)}"
        )
    return next(iter(takers))


def _takes(target: str, device: str) -> bool:
    takes: Callable[[str], bool] | None = getattr(load_target(target), "takes_device", None)
    return takes is None or takes(device)


def machine_of(request: Request) -> str:
    """Which machine runs a request; THIS_MACHINE, or a name that no other machine has.

    Raises:
        RemoteError: the device does not answer.
    """
    target = load_target(request.target)
    if not target.abilities.elsewhere:
        return THIS_MACHINE
    told = _asked(request, "machine_of")
    return f"{family(request.target)} {request.device}" if told is None else str(told)


def temperature_of(request: Request) -> float | None:
    """How warm a request's device is, degrees Celsius; None where it does not tell.

    Raises:
        RemoteError: the device does not answer.
    """
    if load_target(request.target).abilities.elsewhere:
        told: float | None = _asked(request, "temperature")
        return told
    from asmnet_kit.benchmarks.timing.machine import temperature_celsius

    return temperature_celsius()


def look_at(request: Request) -> str:
    """What is found of a request's device, in words.

    Raises:
        RemoteError: the device does not answer, or lacks what a measurement needs.
    """
    return _asked(request, "look") or "works here"


def _asked(request: Request, method: str) -> Any:
    """What a target's own method says; None where it has none."""
    ask = getattr(load_target(request.target), method, None)
    return None if ask is None else ask(request)
