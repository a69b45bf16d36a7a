"""Bits of arm64 against this machine's; this machine's Python stands in for the emulated one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import KitError
from asmnet_kit.benchmarks.studies import arm64_parity
from asmnet_kit.benchmarks.studies.arm64_parity import (
    FOLDER,
    Machine,
    emulated,
    largest_difference,
    main,
    run_child,
)
from asmnet_kit.shipping.shipped import find_model

HERE = Machine((sys.executable,), {})
READY = (FOLDER / "complete").is_file()


def test_equal_bits_differ_by_nothing_and_one_level_by_one():
    ours = {"a": np.array([1, -128], np.int8), "b": np.array([0.5], np.float32)}
    assert largest_difference(ours, {k: v.copy() for k, v in ours.items()}) == 0
    assert largest_difference(ours, {**ours, "a": np.array([2, -128], np.int8)}) == 1
    wrapped = {**ours, "a": np.array([1, 127], np.int8)}  # 255 levels, not the 1 of int8's wrap
    assert largest_difference(ours, wrapped) == 255
    with pytest.raises(KitError, match="expected the outputs"):
        largest_difference(ours, {"a": ours["a"]})


def test_the_child_gives_every_output_of_every_run_and_the_same_ones_again(make_tflite):
    model = make_tflite(int8=True)
    outputs = run_child(HERE, model)
    assert sorted({name.partition("_")[0] for name in outputs}) == ["run0", "run1", "run2"]
    assert largest_difference(outputs, run_child(HERE, model)) == 0


def test_an_int8_model_that_differs_fails_the_command(make_tflite, monkeypatch):
    monkeypatch.setattr(arm64_parity, "prepare", lambda folder: "qemu")
    monkeypatch.setattr(arm64_parity, "emulated", lambda folder, qemu, cpu: HERE)
    model = str(make_tflite(int8=True))
    run = CliRunner().invoke(main, [model, "--cpu", "max"])
    assert (run.exit_code, "on max: equal to the last bit" in run.output) == (0, True)
    monkeypatch.setattr(arm64_parity, "largest_difference", lambda ours, theirs: 3.0)
    run = CliRunner().invoke(main, [model, "--cpu", "max"])
    assert "differ by up to 3" in run.output
    assert run.exit_code != 0


def test_a_python_that_crashes_is_one_clear_error(make_tflite, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho uncaught signal 11 >&2; exit 139\n")
    program.chmod(0o755)
    with pytest.raises(KitError, match="ended with 139: uncaught signal 11"):
        run_child(Machine((str(program),), {}), make_tflite())


@pytest.mark.slow
@pytest.mark.skipif(not READY, reason="no emulated machine: make parity-arm64 fetches it")
def test_the_emulated_arm64_gives_this_machines_bits():
    qemu = arm64_parity.prepare(FOLDER)
    model = find_model(Path("asmnet_nano_68_80_qat_w8a8"))
    theirs = run_child(emulated(FOLDER, qemu, "max"), model)
    assert largest_difference(run_child(HERE, model), theirs) == 0
