"""Architectures of other packages: built like the kit's own, or refused with their package."""

from collections.abc import Callable
from pathlib import Path

import pytest

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.training.networks.build import build

GROUP = "asmnet_kit.architectures"
NETWORK = """
import tf_keras
from asmnet_kit.training.networks.heads import dense_outputs

L = tf_keras.layers

def network(image, *, points):
    x = L.GlobalAveragePooling2D(name="pool")(image)
    RESULT
"""
NESTED = (
    "x = tf_keras.Sequential([L.Dense(8)], name='inner')(x); return dense_outputs(x, points=points)"
)
OTHER_NAME = (
    "return {'landmarks': L.Dense(2 * points, name='out')(x), 'pose': L.Dense(3, name='pose')(x)}"
)


def test_another_packages_network_is_built_by_its_name(offer: Callable[..., Path]) -> None:
    source = NETWORK.replace("RESULT", "return dense_outputs(x, points=points)")
    offer(GROUP, "acme", source, attribute="network")
    model = build("acme", points=98, input_size=64)
    assert model.name == "acme"
    assert model.output_shape == {"landmarks": (None, 196), "pose": (None, 3)}


def test_another_packages_network_has_extra_outputs_where_it_takes_them(
    offer: Callable[..., Path],
) -> None:
    source = NETWORK.replace("RESULT", "return dense_outputs(x, points=points, extra=extra)")
    offer(GROUP, "acme", source.replace("points):", "points, extra=()):"), attribute="network")
    model = build("acme", points=68, input_size=64, extra=("uncertainty",))
    assert model.output_shape["uncertainty"] == (None, 68)
    assert "uncertainty" not in build("acme", points=68, input_size=64).output_shape


def test_another_packages_network_that_takes_no_extra_outputs_is_refused_when_asked(
    offer: Callable[..., Path],
) -> None:
    source = NETWORK.replace("RESULT", "return dense_outputs(x, points=points)")
    offer(GROUP, "acme", source, attribute="network")
    with pytest.raises(UsageError, match="package acme takes no 'extra'"):
        build("acme", points=68, input_size=64, extra=("uncertainty",))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("return image.nothing", "failed (AttributeError"),
        (
            "return x",
            "should return {'landmarks': (None, 136), 'pose': (None, 3)}, got KerasTensor",
        ),
        ("return dense_outputs(x, points=5)", "got {'landmarks': (None, 10), 'pose': (None, 3)}"),
        (NESTED, "should make a flat network, got models inside it (inner)"),
        (OTHER_NAME, "should end with dense_outputs or positional_outputs"),
    ],
)
def test_a_network_that_could_not_be_trained_is_refused_with_its_package(
    offer: Callable[..., Path], result: str, reason: str
) -> None:
    offer(GROUP, "acme", NETWORK.replace("RESULT", result), attribute="network")
    with pytest.raises(ModelError) as caught:
        build("acme", points=68, input_size=64)
    assert "architecture acme: the function of the package acme" in str(caught.value)
    assert reason in str(caught.value)


def test_an_entry_point_that_is_no_function_is_refused(offer: Callable[..., Path]) -> None:
    offer(GROUP, "acme", NETWORK)
    with pytest.raises(UsageError, match="is no architecture: it has no __call__"):
        build("acme", points=68, input_size=64)
