"""The table of targets: the kit's own, and those that other packages bring.

To add one from another package, name an object with the attributes of ``Target`` in the entry point
group ``asmnet_kit.targets``; the entry point's name is what ``--target`` takes.
"""

import importlib
from collections.abc import Collection, Sequence
from importlib.metadata import EntryPoint, entry_points

from asmnet_kit.base.errors import UsageError, one_line
from asmnet_kit.benchmarks.protocol import OPTIONS, Request, Target

ENTRY_POINT_GROUP = "asmnet_kit.targets"
TARGET_ATTRIBUTES = ("name", "problem", "measure", "predictor")  # of ``Target``
# Targets of the kit, by name: "module:object", loaded when one is asked for.
BUILTIN_TARGETS = {
    "cpu": "asmnet_kit.benchmarks.targets.cpu:CPU",
    "gpu": "asmnet_kit.benchmarks.targets.gpu:GPU",
    "edgetpu": "asmnet_kit.benchmarks.targets.edgetpu:EDGETPU",
    "android": "asmnet_kit.benchmarks.targets.android:ANDROID",
    "android:gpu": "asmnet_kit.benchmarks.targets.android:ANDROID_GPU",
    "android:nnapi": "asmnet_kit.benchmarks.targets.android:ANDROID_NNAPI",
    "linux": "asmnet_kit.benchmarks.targets.linux:LINUX",
    "linux:gpu": "asmnet_kit.benchmarks.targets.linux:LINUX_GPU",
    "linux:edgetpu": "asmnet_kit.benchmarks.targets.linux:LINUX_EDGETPU",
}


def refuse_unowned(options: Collection[str], targets: Sequence[str]) -> None:
    """Refuse options of ``OPTIONS`` that none of the targets follows.

    Raises:
        UsageError: naming the option and the targets that do.
    """
    for name in options:
        if not any(OPTIONS[name] in target.split(":") for target in targets):
            owners = [target for target in BUILTIN_TARGETS if OPTIONS[name] in target.split(":")]
            raise UsageError(
                f"--{name.replace('_', '-')} is for the target{'s' if len(owners) > 1 else ''} "
                f"{', '.join(owners)}, got {', '.join(targets)}"
            )


def target_names() -> list[str]:
    """Every target there is, the kit's own first."""
    others = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return [*BUILTIN_TARGETS, *sorted(others - BUILTIN_TARGETS.keys())]


def refuse_request(request: Request) -> None:
    """Let a request's target refuse what it has no way to do.

    Raises:
        UsageError: it does, or there is no such target.
    """
    refuse = getattr(load_target(request.target), "refuse", None)
    if refuse is not None:
        refuse(request)


def load_target(name: str) -> Target:
    """The target called ``name``.

    Raises:
        UsageError: there is none, or the package that brings it is broken.
    """
    if name in BUILTIN_TARGETS:
        module, attribute = BUILTIN_TARGETS[name].split(":")
        target: Target = getattr(importlib.import_module(module), attribute)
        return target
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _load_entry_point(point)
    raise UsageError(f"expected a target of {', '.join(target_names())}, got {name!r}")


def _load_entry_point(point: EntryPoint) -> Target:
    """Another package's target; whatever its import raises is that package's fault."""
    package = point.dist.name if point.dist is not None else "another package"
    whose = f"target {point.name}: {package}'s {point.value}"
    try:
        found: Target = point.load()
    except Exception as error:
        raise UsageError(
            f"{whose} cannot be loaded ({type(error).__name__}: {one_line(error)}): "
            f"repair or uninstall {package}"
        ) from error
    missing = [name for name in TARGET_ATTRIBUTES if not hasattr(found, name)]
    if missing:
        raise UsageError(f"{whose} is no target: it has no {', '.join(missing)}")
    return found
