"""Give the inputs of a concatenation the same range, without changing what the model computes.

TFLite's CONCATENATION has one scale for all its inputs: taps of small values would share the 255
levels that the largest tap needs. The taps are linear in the kernels before them, so a factor can
move: multiply the kernel and bias that produce a tap, divide the kernels that consume it. It costs
nothing at run time, and one scale per tensor (or output channel) makes the other layers indifferent
to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

import numpy as np
import tf_keras

from asmnet_kit.quantize.private_doors import sources
from asmnet_kit.quantize.source.fold import consumers, is_linear, kernel_of, output_layers

L = tf_keras.layers

# f(s x) = s f(x) for s > 0: a factor passes through.
_HOMOGENEOUS = (
    L.Add,
    L.GlobalAveragePooling2D,
    L.GlobalMaxPooling2D,
    L.AveragePooling2D,
    L.MaxPooling2D,
    L.Reshape,
    L.Flatten,
    L.ZeroPadding2D,
)


@dataclass(frozen=True)
class _Use:
    """One place where a kernel reads values of a group: rows ``first`` to ``last`` of its input."""

    layer: tf_keras.layers.Layer
    rows: slice


@dataclass(frozen=True)
class _Group:
    """Layers whose outputs must share one factor, because additions tie them together."""

    members: frozenset[str]
    producers: tuple[tf_keras.layers.Layer, ...]
    uses: tuple[_Use, ...]


def equalise(model: tf_keras.Model, ranges: Mapping[str, float]) -> dict[str, float]:
    """Scale the inputs of each concatenation to one range, in place.

    Inputs that cannot be scaled exactly (they pass a bounded activation, are outputs, or feed
    something other than convolutions and dense layers) stay, and the others come to the largest of
    them; when all can be scaled they meet at their geometric mean.

    Args:
        model: from ``deployable``.
        ranges: name of a concatenation's input layer -> largest magnitude of its values.

    Returns:
        Factor by name of the concatenation's input layer, those that stayed left out.
    """
    factors: dict[str, float] = {}
    done: set[str] = set()
    for concatenation in [layer for layer in model.layers if isinstance(layer, L.Concatenate)]:
        groups: dict[frozenset[str], tuple[_Group, float]] = {}
        fixed = []
        for tap in sources(concatenation):
            group = _group_of(tap, model)
            if group is None or group.members & done or ranges[tap.name] <= 0:
                fixed.append(ranges[tap.name])
                continue
            largest = max(ranges[tap.name], groups.get(group.members, (group, 0.0))[1])
            groups[group.members] = (group, largest)
        if not groups:
            continue
        logs = [log(largest) for _, largest in groups.values()]
        target = max(fixed, default=0.0) or exp(sum(logs) / len(logs))
        for members, (group, largest) in groups.items():
            _scale(group, target / largest)
            done |= members
            for tap in sources(concatenation):
                if tap.name in members:
                    factors[tap.name] = target / largest
    return factors


def concatenated(model: tf_keras.Model) -> list[str]:
    """Names of the layers that feed a concatenation: those ``equalise`` needs the ranges of."""
    return [
        source.name
        for layer in model.layers
        if isinstance(layer, L.Concatenate)
        for source in sources(layer)
    ]


def _group_of(tap: tf_keras.layers.Layer, model: tf_keras.Model) -> _Group | None:
    """The layers that a factor on ``tap`` reaches, or None when it cannot be exact."""
    outputs = set(output_layers(model))
    members: dict[str, tf_keras.layers.Layer] = {}
    producers, uses = [], []
    pending = [tap]
    while pending:
        layer = pending.pop()
        if layer.name in members:
            continue
        members[layer.name] = layer
        if layer.name in outputs:
            return None
        if isinstance(layer, _HOMOGENEOUS):
            pending.extend(sources(layer))
        elif kernel_of(layer) is not None and is_linear(layer):
            producers.append(layer)
        else:
            return None
        for consumer in consumers(layer, model):
            if isinstance(consumer, _HOMOGENEOUS):
                pending.append(consumer)
                continue
            found = _uses(layer, consumer, model)
            if found is None:
                return None
            uses.extend(found)
    return _Group(frozenset(members), tuple(producers), tuple(uses))


def _uses(
    layer: tf_keras.layers.Layer, consumer: tf_keras.layers.Layer, model: tf_keras.Model
) -> list[_Use] | None:
    """Where ``consumer`` multiplies the values of ``layer`` by a kernel, or None."""
    if kernel_of(consumer) is not None:
        return [_Use(consumer, slice(None))]
    if not isinstance(consumer, L.Concatenate) or consumer.name in output_layers(model):
        return None
    rank = len(layer.output.shape)
    if consumer.axis % rank != rank - 1:
        return None
    readers = consumers(consumer, model)
    if any(kernel_of(r) is None or isinstance(r, L.DepthwiseConv2D) for r in readers):
        return None
    uses, first = [], 0
    for source in sources(consumer):
        last = first + source.output.shape[-1]
        if source is layer:
            uses += [_Use(reader, slice(first, last)) for reader in readers]
        first = last
    return uses


def _scale(group: _Group, factor: float) -> None:
    """Multiply what a group's tensors hold by ``factor``; divide what reads them."""
    for layer in group.producers:
        layer.set_weights([weight * np.float32(factor) for weight in layer.get_weights()])
    for use in group.uses:
        attribute, _ = kernel_of(use.layer) or ("", ())
        variable = getattr(use.layer, attribute)
        kernel = variable.numpy()
        kernel[..., use.rows, :] /= np.float32(factor)  # [..., input channels, output channels]
        variable.assign(kernel)
