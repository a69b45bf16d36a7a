"""What is inside a compiled model, read from the real compiler's output and from damaged copies."""

import numpy as np
import pytest

from asmnet_kit.base.errors import ModelError
from asmnet_kit.benchmarks.checking import executable
from asmnet_kit.benchmarks.checking.executable import read_compiled
from asmnet_kit.tflite.reader import read_graph

SHAPE = (1, 8, 8, 4)


def test_a_compiled_model_shows_its_memory_instructions_and_cycles(edgetpu_pair):
    """The numbers are those that ``EXECUTABLES`` of made_models.py was made of."""
    compiled = read_compiled(edgetpu_pair[1])
    assert compiled.cpu_ops == ()
    assert compiled.sizes() == (49_152, 900 + 100)
    assert compiled.cycles == 21_000
    assert compiled.cached_bytes == 4096
    assert compiled.streamed_bytes == 0
    assert compiled.instruction_bytes == 1000 + 24  # without the 256 that load the weights
    (package,) = compiled.packages
    assert package.compiler_version == "343520747"
    assert package.min_runtime_version == 13
    caching, execution = package.executables
    assert (caching.kind, execution.kind) == ("PARAMETER_CACHING", "EXECUTION_ONLY")
    assert execution.outputs == ("layer_0", "layer_1")


def test_a_real_compiled_model_shows_its_memory_instructions_and_cycles(shared):
    path = shared / "data" / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    compiled = read_compiled(path)
    assert compiled.cpu_ops == ()
    assert compiled.sizes()[0] == 128 * 128 * 3
    assert compiled.cycles == 21568
    assert compiled.streamed_bytes == 0
    kinds = {e.kind for e in compiled.packages[0].executables}
    assert kinds == {"EXECUTION_ONLY", "PARAMETER_CACHING"}
    # The model's 478,812 bytes of weights and biases, padded to tiles.
    assert 478_812 <= compiled.cached_bytes < 1.2 * 478_812


def test_a_model_that_is_not_compiled_says_so(make_op_model):
    path = make_op_model({"op": "RELU", "into": SHAPE, "shape": SHAPE})
    with pytest.raises(ModelError, match="compile it with edgetpu_compiler first"):
        read_compiled(path)


def test_a_custom_operator_without_a_package_says_so(make_op_model):
    op = {"custom": "edgetpu-custom-op", "into": SHAPE, "shape": SHAPE, "payload": b"nothing"}
    with pytest.raises(ModelError, match="holds no DWN1 package"):
        read_compiled(make_op_model(op))


@pytest.mark.parametrize("compiled_by", ["conftest", "the real compiler"])
def test_damaged_packages_are_errors_and_never_crashes(compiled_by, request):
    if compiled_by == "conftest":
        _, path = request.getfixturevalue("edgetpu_pair")
    else:
        folder = request.getfixturevalue("shared") / "data" / "edgetpu_pairs"
        path = folder / "model_padding_stride_128x128x3_edgetpu.tflite"
    (op,) = read_graph(path).ops
    start = op.custom_options.find(b"DWN1") - 4
    content = op.custom_options[start:]
    rng = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    # Half of the damage goes where the tables are: the beginning, and those of the executables.
    for number in range(1500):
        damaged = bytearray(content)
        for _ in range(1 + number % 4):
            place = rng.integers(len(damaged) if number % 2 else 600)
            damaged[place] = rng.integers(256)
        if number % 5 == 0:
            damaged = damaged[: rng.integers(8, len(damaged))]
        broken = type(op)(**{**vars(op), "custom_options": bytes(damaged)})
        try:
            executable._package(broken, "m")
            outcomes["read"] += 1
        except ModelError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100
