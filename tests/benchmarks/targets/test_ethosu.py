"""What the kit makes of Vela's files; a script stands in for Vela, and the real one where it is."""

import importlib.util
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError
from asmnet_kit.base.install import install_command
from asmnet_kit.benchmarks.options import ETHOSU_CHIPS
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets import ethosu
from asmnet_kit.benchmarks.targets.registry import load_target, problem_of
from asmnet_kit.cli import main

SHAPE = (1, 8, 8, 4)
RELU = {"op": "RELU", "into": SHAPE, "shape": SHAPE}
SIN = {"op": "SIN", "shape": SHAPE}
NPU = {"custom": "ethos-u", "into": SHAPE, "shape": SHAPE}
LEFT = """
Warning (supported operators) operator: SIN, ofm: 't2'
Reason: Unsupported opType

"""
ROW = {
    "accelerator_configuration": "Ethos_U55_128",
    "system_config": "Ethos_U55_High_End_Embedded",
    "memory_mode": "Shared_Sram",
    "core_clock": "500000000.0",
    "inference_time": "0.002",
    "sram_memory_used": "100.5",
    "dram_memory_used": "0.0",
    "on_chip_flash_memory_used": "0.0",
    "off_chip_flash_memory_used": "2.0",
    "nn_macs": "1000",
    "cycles_total": "1000000",
}
HAS_VELA = importlib.util.find_spec("ethosu") is not None


@pytest.fixture
def model(make_op_model):
    return make_op_model(RELU, SIN, name="m.tflite")


def put_before_the_package(tmp_path, monkeypatch):
    """The program, which the fixture writes, for other processes, too: there the package would come
    before it where it is installed, so one that runs the program comes before that."""
    if not HAS_VELA:
        return
    package, program = tmp_path / "before" / "ethosu", str(tmp_path / "bin" / "vela")
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    run = f"import os, sys\nos.execv({program!r}, [{program!r}, *sys.argv[1:]])\n"
    (package / "vela.py").write_text(run)
    path = os.pathsep.join(filter(None, [str(package.parent), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def vela(tmp_path, monkeypatch, make_op_model):
    """Puts a program called vela on the PATH that leaves the given files and ends as told."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(ethosu, "MODULE", "no_such_package")  # of this Python, if it has one
    put_before_the_package(tmp_path, monkeypatch)

    def write(*ops, row=ROW, said=LEFT, code=0, compiled=None):
        content = make_op_model(*ops, name="compiled.tflite").read_bytes() if ops else b""
        made, summary, told = (tmp_path / name for name in ("made", "summary", "said"))
        made.write_bytes(content if compiled is None else compiled)
        summary.write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
        told.write_text(said)
        keep = f"cp {made} out/model_vela.tflite\n" if ops or compiled is not None else ""
        program = tmp_path / "bin" / "vela"
        program.write_text(
            "#!/bin/sh\n"
            'if [ "$1" = --version ]; then echo 5.2.0; exit 0; fi\n'
            f'echo "$@" > {tmp_path / "called"}\n'
            f"mkdir -p out\n{keep}cp {summary} out/model_summary_x.csv\n"
            f"cat {told}\nexit {code}\n"
        )
        program.chmod(0o755)
        return lambda: (tmp_path / "called").read_text()

    return write


def _check(model: Path, name: str = "ethosu", **options: str):
    return load_target(name).check(Request(model, target=name, options=options))


def test_the_compiled_file_tells_what_the_npu_runs_and_the_log_why_the_rest_does_not(vela, model):
    vela(NPU, SIN)
    found = _check(model).to_json()
    assert (found["verdict"], found["mapped"], found["total"]) == ("partial", 1, 2)
    assert found["first_blocking"]["op"] == "SIN"
    assert found["first_blocking"]["reason"] == "Unsupported opType"
    assert found["memory_bytes"]["sram"] == 102_912  # 100.5 KiB
    assert found["memory_bytes"]["off_chip_flash"] == 2048
    assert found["tool"]["version"] == "5.2.0"


def test_the_estimate_is_labelled_as_the_compilers_and_leaves_the_cpu_out(vela, model):
    vela(NPU, SIN)
    estimate = _check(model).estimate
    assert estimate["label"] == "compiler's estimate, not measured"
    assert (estimate["milliseconds"], estimate["cycles"]) == (2.0, 1_000_000)
    assert (estimate["clock_mhz"], estimate["cpu_ops_not_included"]) == (500.0, 1)


def test_a_model_that_the_npu_takes_nothing_of_gets_no_estimate(vela, model):
    vela(RELU, SIN)
    found = _check(model)
    assert (found.verdict, found.estimate, found.memory_bytes) == ("none", None, None)


def test_vela_is_told_the_configuration_and_its_defaults_are_the_kits(vela, model):
    called = vela(NPU, SIN, row=ROW | {"memory_mode": "Sram_Only"})
    _check(model, memory_mode="Sram_Only")
    words = shlex.split(called())
    assert "--accelerator-config=ethos-u55-128" in words
    assert "--system-config=Ethos_U55_High_End_Embedded" in words
    assert "--memory-mode=Sram_Only" in words
    assert "--config=Arm/vela.ini" in words


def test_a_summary_of_another_configuration_is_refused(vela, model):
    vela(NPU, SIN)
    with pytest.raises(ModelError, match="expected vela to compile for"):
        _check(model, "ethosu:u85-512")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"compiled": b""}, "got an empty file"),
        ({"compiled": b"\x1c\0\0\0TFL3" + 90 * b"\1"}, "damaged"),
        ({}, "left no compiled model"),
        ({"code": 1, "said": "Error: no\n"}, "ended with exit code 1; its last words: Error: no"),
    ],
)
def test_an_empty_partial_or_missing_file_is_a_failure(vela, model, made, message):
    vela(**made)
    with pytest.raises(ModelError, match=message):
        _check(model)


def test_a_crash_of_vela_is_told_with_its_signal(vela, model, tmp_path):
    vela(NPU, SIN)
    program = tmp_path / "bin" / "vela"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 5 && exit\nkill -SEGV $$\n')
    with pytest.raises(ModelError, match="was killed by signal 11"):
        _check(model)


def test_an_operator_that_is_not_the_models_is_refused(vela, model):
    vela(NPU, SIN, SIN)
    with pytest.raises(ModelError, match="left SIN to the CPU, which is no operator"):
        _check(model)


def test_a_version_of_vela_without_a_figure_is_refused(vela, model):
    vela(NPU, SIN, row={k: v for k, v in ROW.items() if k != "cycles_total"})
    with pytest.raises(ModelError, match="expected a number in the column 'cycles_total'"):
        _check(model)


def test_a_section_that_velas_configuration_lacks_is_a_wrong_call(vela, model):
    vela(code=1, said="ethosu.vela.errors.CliOptionError: 'Section Memory_Mode.Nope not found'\n")
    with pytest.raises(UsageError, match=r"Memory_Mode\.Nope not found"):
        _check(model, memory_mode="Nope")
    with pytest.raises(UsageError, match="expected the name of a section"):
        _check(model, memory_mode="../x")


def test_without_vela_the_message_has_the_command_that_installs_it(monkeypatch, model, tmp_path):
    monkeypatch.setattr(ethosu, "MODULE", "no_such_package")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match=re.escape(install_command("ethosu"))):
        _check(model)
    assert install_command("ethosu") in problem_of("ethosu")


def test_every_configuration_is_a_target_of_its_own():
    assert {load_target(f"ethosu:{chip}").chip for chip in ETHOSU_CHIPS} == set(ETHOSU_CHIPS)


def test_a_compiler_is_not_timed(model, tmp_path):
    words = ["benchmark", str(model), "--target", "ethosu:u55-128", "--out", str(tmp_path / "r")]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 2
    assert "no time to measure; asmnet-kit check MODEL --target ethosu:u55-128" in run.output
    assert not (tmp_path / "r").exists()


def test_the_command_prints_placement_memory_and_the_label(vela, model):
    vela(NPU, SIN)
    run = CliRunner().invoke(main, ["check", str(model), "--target", "ethosu"])
    assert run.exit_code == 0
    assert "compiler's estimate, not measured; 1 operator(s) on the CPU" in run.stdout
    assert "ethosu: partial: 1 of 2 operators map" in run.stderr


@pytest.mark.skipif(not HAS_VELA, reason="ethos-u-vela is not installed: asmnet-kit[ethosu]")
@pytest.mark.parametrize("name", ["ethosu:u55-128", "ethosu:u65-512", "ethosu:u85-512"])
def test_the_real_vela_places_all_of_asmnet_nano(name):
    words = ["check", "asmnet_nano_68_80_qat_w8a8", "--target", name, "--json"]
    found = json.loads(CliRunner().invoke(main, words).stdout)
    assert (found["verdict"], found["mapped"]) == ("full", found["total"])
    assert found["estimate"]["cycles"] > 0
    assert sum(found["memory_bytes"].values()) > 0
