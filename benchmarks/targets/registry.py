"""The table of targets: the kit's own, and those that other packages bring.

To add one from another package, name an object with the attributes of ``Target`` in the entry point
group ``asmnet_kit.targets``; the entry point's name is what ``--target`` takes. What a target can
do, it says itself in its ``abilities``: nothing else in the kit knows a target's name.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.base.plugins import PluginTable, fault
from asmnet_kit.benchmarks.options import ETHOSU_CHIPS, Option
from asmnet_kit.benchmarks.protocol import Abilities, Request, Target

if TYPE_CHECKING:  # it reads models, which the table itself never does
    from asmnet_kit.benchmarks.checking.check import Check

TARGETS = PluginTable(
    kind="target",
    group="asmnet_kit.targets",
    own={
        "cpu": "asmnet_kit.benchmarks.targets.cpu:CPU",
        "gpu": "asmnet_kit.benchmarks.targets.gpu:GPU",
        "edgetpu": "asmnet_kit.benchmarks.targets.edgetpu:EDGETPU",
        "ethosu": "asmnet_kit.benchmarks.targets.ethosu:ETHOSU",
        **{
            f"ethosu:{chip}": f"asmnet_kit.benchmarks.targets.ethosu:{chip.upper()}"
            for chip in ETHOSU_CHIPS
        },
        "npu": "asmnet_kit.benchmarks.targets.npu:NPU",
        "tflm": "asmnet_kit.benchmarks.targets.tflm:TFLM",
        "android": "asmnet_kit.benchmarks.targets.android:ANDROID",
        "android:gpu": "asmnet_kit.benchmarks.targets.android:ANDROID_GPU",
        "android:nnapi": "asmnet_kit.benchmarks.targets.android:ANDROID_NNAPI",
        "android:npu": "asmnet_kit.benchmarks.targets.android:ANDROID_NPU",
        "browser": "asmnet_kit.benchmarks.targets.browser:BROWSER",
        "browser:wasm": "asmnet_kit.benchmarks.targets.browser:BROWSER_WASM",
        "browser:wasm-threads": "asmnet_kit.benchmarks.targets.browser:BROWSER_THREADS",
        "browser:webgpu": "asmnet_kit.benchmarks.targets.browser:BROWSER_WEBGPU",
        "linux": "asmnet_kit.benchmarks.targets.linux:LINUX",
        "linux:gpu": "asmnet_kit.benchmarks.targets.linux:LINUX_GPU",
        "linux:edgetpu": "asmnet_kit.benchmarks.targets.linux:LINUX_EDGETPU",
    },
    needs=("name", "abilities", "problem", "measure", "predictor"),
)


def load_target(name: str) -> Target:
    """The target called ``name``.

    Raises:
        UsageError: there is none, or the package that brings it is broken.
    """
    target: Target = TARGETS.load(name)
    if not isinstance(target.abilities, Abilities):
        raise UsageError(
            f"target {name}: expected abilities of the class Abilities of "
            f"asmnet_kit.benchmarks.protocol, got {type(target.abilities).__name__}: repair or "
            f"uninstall {TARGETS.package(name)}"
        )
    return target


def targets_that(can: Callable[[Abilities], bool]) -> list[str]:
    """Names of the targets whose abilities fulfil ``can``; broken ones of other packages cannot."""
    return [name for name, target in _every_target() if can(target.abilities)]


def takers(option: str) -> list[str]:
    """Names of the targets that have an option of that name."""
    return targets_that(lambda abilities: any(own.name == option for own in abilities.options))


def problem_of(name: str, request: Request | None = None) -> str | None:
    """Why a target cannot work here and what to do about it, or None when it can.

    That it cannot be loaded is a problem, too.
    """
    try:
        return load_target(name).problem(request)
    except KitError as error:
        return str(error)
    except Exception as error:
        return _blamed(name, "problem()", error)


def refuse_request(request: Request) -> None:
    """Refuse a request of what its target has no way to do.

    Raises:
        UsageError: naming the options and the target, or there is no such target.
    """
    target = load_target(request.target)
    able = target.abilities
    _refuse_options(request, able)
    refuse = getattr(target, "refuse", None)
    if refuse is not None:
        try:
            refuse(request)
        except KitError:
            raise
        except Exception as error:
            raise UsageError(_blamed(request.target, "refuse()", error)) from error
    if request.affinity and not able.takes_affinity:
        holders = targets_that(lambda abilities: abilities.takes_affinity)
        raise UsageError(
            f"--affinity is for the targets {', '.join(holders)} alone, got {request.target}"
        )
    _refuse_kernel_options(request, able)


def checker(name: str) -> Callable[[Request], "Check"]:
    """What tells of a model on the target called ``name`` without a device.

    Raises:
        UsageError: there is no such target, or it has no ``check``.
    """
    if name not in TARGETS.names():
        raise UsageError(f"expected a target of {', '.join(checkable())}; got {name!r}")
    check: Callable[[Request], Check] | None = getattr(load_target(name), "check", None)
    if check is None:
        raise UsageError(
            f"target {name}: asmnet-kit check knows only {', '.join(checkable())}; "
            f"asmnet-kit benchmark measures on {name}"
        )
    return check


def checkable() -> list[str]:
    """Names of the targets that tell of a model without a device."""
    return [name for name, target in _every_target() if hasattr(target, "check")]


def refuse_check(request: Request) -> None:
    """Refuse a check of what its target has no way to tell.

    Raises:
        UsageError: naming the option and the target, or there is no such target.
    """
    checker(request.target)
    _refuse_options(request, load_target(request.target).abilities)


def options_in_words(names: list[str]) -> str:
    """The options of targets, for a message: ``mychip takes speed; cpu takes runtime``."""
    told = [(name, _names_of(load_target(name).abilities.options)) for name in names]
    return "; ".join(f"{name} takes {own or 'none'}" for name, own in told)


def targets_of_others() -> dict[str, str | None]:
    """Why each target that another package brings cannot work here, or None: for the doctor."""
    return {name: problem_of(name) for name in TARGETS.names() if name not in TARGETS.own}


def _every_target() -> Iterator[tuple[str, Target]]:
    for name in TARGETS.names():
        try:
            yield name, load_target(name)
        except UsageError:
            continue  # whoever asks for it is told


def _refuse_options(request: Request, able: Abilities) -> None:
    """Refuse options that a target does not declare, and values that they cannot have."""
    declared = {option.name: option for option in able.options}
    for name, value in request.options.items():
        if name not in declared:
            raise UsageError(f"option {name}: target {request.target} has none of that name")
        declared[name].check(value)


def _refuse_kernel_options(request: Request, able: Abilities) -> None:
    """Refuse what is about the CPU's kernels, for a target that runs none of them."""
    asked = {
        "--profile": request.profile and not able.has_profiler,
        "--no-xnnpack": not request.xnnpack and not able.has_xnnpack,
    }
    given = [option for option, is_asked in asked.items() if is_asked]
    if given:
        raise UsageError(
            f"target {request.target}: it has no {' and '.join(given)}, which is about the CPU's "
            f"kernels: remove it from the command"
        )


def _names_of(options: tuple[Option, ...]) -> str:
    return ", ".join(option.name for option in options)


def _blamed(name: str, what: str, error: Exception) -> str:
    """That another package's code failed, for a message; a fault of the kit's own stays one."""
    package = TARGETS.package(name)
    if package is None:
        raise error
    return f"target {name}: {package}'s {what} failed ({fault(error)}): update or uninstall it"
