"""What one call of ``asmnet-kit benchmark`` asks for, as requests; what cannot be is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import refuse_overwriting, require_writable
from asmnet_kit.benchmarks.devices import devices_of
from asmnet_kit.benchmarks.options import FLAGS
from asmnet_kit.benchmarks.protocol import Abilities, Request
from asmnet_kit.benchmarks.targets.registry import (
    load_target,
    options_in_words,
    refuse_request,
    takers,
)
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.sizing import sized_input
from asmnet_kit.tflite.tensorfile import read_tensors


def requests_for(
    models: Sequence[Path],
    targets: Sequence[str],
    template: Request,
    *,
    threads: Sequence[int] = (),
    devices: Sequence[str] = (),
) -> list[Request]:
    """One request for each model x target x device x number of threads, in that order.

    Each target gets only what it can follow: without devices or threads of its own it is measured
    once, of the devices it gets its own (``devices.devices_of``), and of the template's options
    those that it declares.

    Args:
        threads, devices: those of the template where none are given.

    Raises:
        UsageError: there is no such target, or nobody knows which one a device is of.
    """
    able = {target: load_target(target).abilities for target in targets}
    own = {
        target: devices_of(target, targets, devices) if able[target].has_devices else []
        for target in able
    }
    return [
        replace(
            template,
            model=model,
            target=target,
            device=device,
            threads=count,
            options=_declared(template.options, able[target]),
        )
        for model in dict.fromkeys(models)
        for target in able
        for device in dict.fromkeys(own[target] or [template.device])
        for count in dict.fromkeys((able[target].uses_threads and threads) or [template.threads])
    ]


def refuse_unfollowed(
    targets: Sequence[str],
    *,
    options: Mapping[str, str],
    threads: Sequence[int] = (),
    devices: Sequence[str] = (),
) -> None:
    """Refuse what the user gave and none of the targets can follow.

    Raises:
        UsageError: it does, or there is no such target.
    """
    able = [load_target(target).abilities for target in targets]
    got = ", ".join(dict.fromkeys(targets))
    if devices and not any(one.has_devices for one in able):
        raise UsageError(
            f"--device chooses one of several, which {got} does not have: leave it out"
        )
    if threads and not any(one.uses_threads for one in able):
        raise UsageError(f"--threads are the CPU's, which {got} does not compute on: leave it out")
    for name in options:
        if not any(name in _declared(options, one) for one in able):
            raise UsageError(_unfollowed(name, targets))


def refuse_requests(requests: Sequence[Request]) -> None:
    """Refuse what the targets have no way to do, before anything is measured.

    Raises:
        UsageError: it does, a file is given for several measurements that belongs to one, or the
            outputs cannot be written.
        TensorFileError: the inputs cannot be read.
        ModelError: a model whose size is given cannot be read.
    """
    models = {request.model for request in requests}
    for request in requests:
        for option in load_target(request.target).abilities.options:
            if option.of_one_model and option.name in request.options and len(models) > 1:
                raise UsageError(f"{_given_as(option.name)} is of one MODEL, got {len(models)}")
        refuse_request(request)
    first = requests[0]
    if first.input_shape:
        height, width = first.input_shape
        for model in models:
            sized_input(read_graph(model), (height, width), name=str(model))
    if first.inputs is None or first.outputs is None:
        return
    require_writable(first.outputs.parent)
    if first.outputs.is_dir():
        raise UsageError(
            f"{first.outputs}: expected the name of a file for the outputs, got a folder"
        )
    refuse_overwriting(first.outputs, (first.inputs, *models), option="--outputs")
    read_tensors(first.inputs)
    if len(requests) > 1:
        raise UsageError(
            f"--outputs takes the outputs of one measurement, got {len(requests)}: name one model, "
            f"target, device and number of threads"
        )


def _declared(options: Mapping[str, str], able: Abilities) -> dict[str, str]:
    """Of these options, those that a target has."""
    names = {option.name for option in able.options}
    return {name: value for name, value in options.items() if name in names}


def _unfollowed(name: str, targets: Sequence[str]) -> str:
    owners = takers(name)
    if owners:
        return (
            f"{_given_as(name)} is for the target{'s' if len(owners) > 1 else ''} "
            f"{', '.join(owners)}, got {', '.join(targets)}"
        )
    return f"{_given_as(name)}: no target has such an option; {options_in_words(list(targets))}"


def _given_as(name: str) -> str:
    return FLAGS[name].flag if name in FLAGS else f"--option {name}"
