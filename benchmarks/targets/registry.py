"""The table of targets: the kit's own, and those that other packages bring.

To add one from another package, name an object with the attributes of ``Target`` in the entry point
group ``asmnet_kit.targets``; the entry point's name is what ``--target`` takes.
"""

from collections.abc import Collection, Sequence

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.plugins import PluginTable
from asmnet_kit.benchmarks.protocol import OPTIONS, Request, Target

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
TARGETS = PluginTable(
    kind="target",
    group="asmnet_kit.targets",
    own=BUILTIN_TARGETS,
    needs=("name", "problem", "measure", "predictor"),  # attributes of ``Target``
)


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
    """Every target, the kit's own first."""
    return TARGETS.names()


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
    target: Target = TARGETS.load(name)
    return target
