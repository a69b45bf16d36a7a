"""A release that moves what the kit uses privately ends in a message that names the package."""

import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import tf_keras

from asmnet_kit.base.errors import MissingDependency
from asmnet_kit.quantize import private_doors


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (private_doors.give_dense_weights_one_scale, r"tensorflow .*per_channel.*tensorflow=="),
        (private_doors.is_functional, r"tf-keras .*Model\._is_graph_network.*tf-keras=="),
        (private_doors.calls_in_order, r"tf-keras .*Model\._nodes_by_depth"),
        (private_doors.calls_of, r"tf-keras .*Layer\.inbound_nodes"),
        (private_doors.sources, r"tf-keras .*Layer\.inbound_nodes"),
    ],
)
def test_what_has_moved_is_named(use: Callable[[Any], Any], message: str) -> None:
    """Also the converter's switch, which any object would take without a word."""
    with pytest.raises(MissingDependency, match=message):
        use(SimpleNamespace())


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("quantize_layer", private_doors.quantize_layer),
        ("quantize_wrapper", private_doors.quantize_wrapper),
    ],
)
def test_a_module_that_has_moved_is_named(
    name: str, use: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"tensorflow_model_optimization.python.core.quantization.keras.{name}"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency) as raised:
        use()
    assert re.search("tensorflow-model-optimization .*Quantize", str(raised.value))


def test_the_calls_of_a_model_come_in_the_order_of_its_tensors() -> None:
    image = tf_keras.Input((4, 4, 3), name="image")
    first = tf_keras.layers.Conv2D(2, 1, name="first")(image)
    second = tf_keras.layers.Conv2D(2, 1, name="second")(image)
    both = tf_keras.layers.Add(name="both")([second, first])
    model = tf_keras.Model(image, both)
    calls = private_doors.calls_in_order(model)
    assert [call.layer.name for call in calls][-1] == "both"
    assert {call.layer.name for call in calls} == {"first", "second", "both"}
    assert [id(tensor) for tensor in calls[-1].inputs] == [id(second), id(first)]
    assert [layer.name for layer in private_doors.sources(calls[-1].layer)] == ["second", "first"]
    assert private_doors.calls_of(calls[-1].layer) == 1
