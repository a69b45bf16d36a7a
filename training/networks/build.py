"""Makes a network by its name."""

import inspect
from collections.abc import Collection
from typing import Any

import tf_keras

from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.base.plugins import fault
from asmnet_kit.face.schemes import MAX_POINTS
from asmnet_kit.training.catalogue import check_input_size
from asmnet_kit.training.networks.architectures import ARCHITECTURES
from asmnet_kit.training.networks.heads import landmark_layer, output_widths

CHANNELS = 3  # red, green, blue


def build(
    name: str,
    *,
    points: int,
    input_size: int,
    extra: Collection[str] = (),
    pose: bool = True,
) -> tf_keras.Model:
    """A fresh network: flat and functional, as quantization-aware training wants it.

    Args:
        name: one of ``architectures.ARCHITECTURES``.
        points: number of landmarks.
        input_size: side of the square input, pixels.
        extra: further outputs, names of ``heads.EXTRA_OUTPUTS``.
        pose: whether it has the output ``pose``, which nothing would teach without poses.

    Returns:
        A model from ``image`` float32 [B, S, S, 3], RGB, (v - 128) / 128, to a dictionary of
        ``landmarks`` float32 [B, 2 points] (x, y interleaved, fractions of the crop side from its
        centre), with ``pose`` float32 [B, 3] (yaw, pitch, roll, degrees / 90) and the extra
        outputs, float32 [B, N] each.

    Raises:
        UsageError: an unknown name, number of landmarks or size, the package that brings the
            architecture cannot be loaded, or another package's has no extra outputs.
        ModelError: another package's architecture does not make such a network.
    """
    network, package = ARCHITECTURES.load(name), ARCHITECTURES.package(name)
    check_input_size(input_size)
    if not 1 <= points <= MAX_POINTS:
        raise UsageError(f"expected 1 to {MAX_POINTS} landmarks, got {points}")
    image = tf_keras.Input((input_size, input_size, CHANNELS), dtype="float32", name="image")
    if package is None:
        outputs = network(image, points=points, extra=extra)
        return tf_keras.Model(image, _wanted(outputs, pose), name=name)
    whose = f"architecture {name}: the function of the package {package}"
    asked: dict[str, Any] = {"extra": extra} if extra else {}
    if extra and not _takes_extra(network):
        raise UsageError(
            f"{whose} takes no 'extra', so it cannot give {' and '.join(extra)}: train it without, "
            f"or let it take extra and hand it to the functions of networks.heads"
        )
    try:
        outputs = network(image, points=points, **asked)
        if wrong := _wrong_outputs(outputs, output_widths(points, extra)):
            raise ModelError(f"{whose} {wrong}")
        model = tf_keras.Model(image, _wanted(outputs, pose), name=name)
    except KitError:
        raise
    except Exception as error:
        raise ModelError(f"{whose} failed ({fault(error)}): report it to {package}") from error
    if wrong := _wrong_layers(model, points):
        raise ModelError(f"{whose} {wrong}")
    return model


def _wanted(outputs: dict[str, Any], pose: bool) -> dict[str, Any]:
    return outputs if pose else {k: v for k, v in outputs.items() if k != "pose"}


def _takes_extra(network: Any) -> bool:
    parameters = inspect.signature(network).parameters
    return "extra" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _wrong_outputs(outputs: Any, widths: dict[str, int]) -> str | None:
    """Why an architecture's answer are not the outputs of ``widths``; None where they are."""
    expected = {name: (None, width) for name, width in widths.items()}
    found = (
        {name: tuple(getattr(tensor, "shape", ())) for name, tensor in outputs.items()}
        if isinstance(outputs, dict)
        else type(outputs).__name__
    )
    return None if found == expected else f"should return {expected}, got {found}"


def _wrong_layers(model: tf_keras.Model, points: int) -> str | None:
    """Why a network can be neither started nor quantized; None where it can."""
    nested = [layer.name for layer in model.layers if isinstance(layer, tf_keras.Model)]
    if nested:
        return (
            f"should make a flat network, got models inside it ({', '.join(nested)}), which "
            "quantization-aware training cannot handle: call their layers instead"
        )
    layer = landmark_layer(model)
    if layer is None or getattr(layer, "bias", None) is None or layer.bias.shape != (2 * points,):
        return "should end with dense_outputs or positional_outputs of networks.heads"
    return None
