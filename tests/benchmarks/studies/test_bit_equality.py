"""The table of bits: what is compared, what it says, and what it does where a place is missing."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.benchmarks.studies import bit_equality
from asmnet_kit.benchmarks.studies.arm64_parity import Outputs
from asmnet_kit.benchmarks.studies.bit_equality import (
    MARKERS,
    NotHere,
    builtin,
    drawn_inputs,
    jvm_version,
    main,
    on_jvm,
    told,
)
from asmnet_kit.shipping.shipped import find_model
from asmnet_kit.tflite.runtime import TensorInfo, open_runtime

NAME = "asmnet_nano_68_80_qat_w8a8"


def info(kind: type) -> TensorInfo:
    scale = None if kind is np.float32 else 0.5
    return TensorInfo("a", (1, 4), np.dtype(kind), scale, 0)


def test_what_is_told_can_be_counted_by_hand() -> None:
    ours = {"a": np.array([[1, 2, 3, -128]], np.int8)}
    about = {"a": info(np.int8)}
    assert told(ours, {"a": ours["a"].copy()}, about) == "same bits (1)"
    theirs = {"a": np.array([[1, 2, 5, 127]], np.int8)}  # 255 steps, not the 1 of int8's wrap
    assert told(ours, theirs, about) == "up to 255 steps in 50 % of the values (1)"
    real = {"a": np.array([[0, 1, 2, 3]], np.float32)}
    off = {"a": np.array([[0, 1, 2, 3.5]], np.float32)}
    assert told(real, off, {"a": info(np.float32)}) == "up to 5.0e-01 apart (1)"
    with pytest.raises(KitError, match="expected the outputs"):
        told(ours, {"a": ours["a"].astype(np.int16)}, about)


def test_the_command_writes_what_was_measured_and_what_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_builtin(model: Path, given: Outputs) -> Outputs:
        return builtin(model, given, len(given["image"]))

    def nowhere(model: Path, given: Outputs) -> Outputs:
        raise NotHere("no such machine")

    monkeypatch.setattr(bit_equality, "_arm64", lambda cpu: nowhere)
    monkeypatch.setattr(bit_equality, "in_browser", as_builtin)
    monkeypatch.setattr(bit_equality, "on_jvm", as_builtin)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKERS.begin}\nold\n{MARKERS.end}\nafter\n", encoding="utf-8")
    words = [str(find_model(Path(NAME))), "--faces", "4", "--document", str(page)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    (row,) = (line for line in text.splitlines() if line.startswith(f"| `{NAME}`"))
    assert row.count("not measured") == 2 and row.count("same bits as the built-in kernels") == 2
    assert text.count("no such machine") == 2  # once for each place
    done = CliRunner().invoke(main, [*words[:-1], str(tmp_path / "none.md")])
    assert isinstance(done.exception, UsageError)


def test_the_jvm_gives_the_bits_of_xnnpack() -> None:
    model = find_model(Path(NAME))
    given = drawn_inputs(model, 4)
    try:
        theirs = on_jvm(model, given)
    except NotHere as error:
        pytest.skip(str(error))
    runtime = open_runtime(model)
    ((name, inputs),) = given.items()
    ours = [runtime.run({name: one}) for one in inputs]
    for output, values in theirs.items():
        np.testing.assert_array_equal(values, np.stack([run[output] for run in ours]))


def test_the_version_on_the_jvm_is_the_apps() -> None:
    assert jvm_version().startswith("2.21.")
