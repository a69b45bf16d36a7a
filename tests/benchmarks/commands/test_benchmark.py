"""The command ``asmnet-kit benchmark``."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.install import install_command
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets.cpu import CPU
from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result
from asmnet_kit.tflite.tensorfile import read_tensors, write_tensors
from wording import EXPECTED_BOARD

QUICK = ["--warmup", "1", "--runs", "5", "--seconds", "0"]


def _run(*arguments):
    return CliRunner().invoke(main, ["benchmark", *map(str, arguments)])


def test_one_file_for_each_model_and_number_of_threads_and_nothing_else(make_tflite, tmp_path):
    out = tmp_path / "results"
    models = [make_tflite("a.tflite"), make_tflite("b.tflite", int8=True)]
    run = _run(*models, "--threads", 1, "--threads", 2, *QUICK, "--out", out)
    assert run.exit_code == 0, run.output
    names = ["a_cpu_1t.json", "a_cpu_2t.json", "b_cpu_1t.json", "b_cpu_2t.json"]
    assert sorted(p.name for p in out.iterdir()) == names
    assert load_result(out / "b_cpu_2t.json")["target"]["threads"] == 2
    assert "asmnet-kit report" in run.stderr


def test_measuring_again_leaves_the_earlier_result_as_it_is(make_tflite, tmp_path):
    out, model = tmp_path / "results", make_tflite("a.tflite")
    assert _run(model, *QUICK, "--out", out).exit_code == 0
    written = (out / "a_cpu_1t.json").read_bytes()
    run = _run(model, *QUICK, "--out", out)
    assert run.exit_code == 0, run.output
    assert (out / "a_cpu_1t.json").read_bytes() == written
    (again,) = {path.name for path in out.iterdir()} - {"a_cpu_1t.json"}
    assert again.startswith("a_cpu_1t_20")


def test_json_on_stdout_is_all_there_is(make_tflite, tmp_path):
    run = _run(make_tflite(), *QUICK, "--json", "--out", tmp_path / "r")
    ((path, result),) = json.loads(run.stdout)["results"].items()
    assert result == load_result(tmp_path / "r" / path.rsplit("/", 1)[-1])


def test_accuracy_stands_beside_the_speed(make_tflite, make_pts_faces, tmp_path):
    data = ["--data", make_pts_faces(), "--format", "300w"]
    threads = ["--threads", 1, "--threads", 2]
    run = _run(make_tflite(), *QUICK, *threads, *data, "--out", tmp_path / "r")
    assert run.exit_code == 0, run.output
    results = [load_result(path) for path in (tmp_path / "r").iterdir()]
    assert [result["accuracy"]["faces"] for result in results] == [3, 3]


def test_accuracy_is_measured_on_the_test_split_where_there_is_one_as_evaluate_does(
    make_tflite, make_pts_faces, tmp_path
):
    faces = make_pts_faces()  # three, all of a test set
    trained_on = faces / "helen" / "trainset"
    trained_on.mkdir()
    for suffix in (".png", ".pts"):
        shutil.copy(faces / "helen" / "testset" / f"0{suffix}", trained_on / f"9{suffix}")
    model, data = make_tflite(), ["--data", faces, "--format", "300w"]
    for split, told, count in (([], "test", 3), (["--split", "train"], "train", 1)):
        run = _run(model, *QUICK, *data, *split, "--json", "--out", tmp_path / "r")
        ((_, result),) = json.loads(run.stdout)["results"].items()
        arguments = [str(word) for word in (model, *data, *split)]
        evaluated = CliRunner().invoke(main, ["evaluate", *arguments, "--json"])
        for accuracy in (result["accuracy"], json.loads(evaluated.stdout)):
            assert (accuracy["faces"], accuracy["split"]) == (count, told)
        counted = "1 face" if count == 1 else f"{count} faces"
        assert f"NME over {counted} of faces ({told})" in run.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_can_be_held_to_cpus_and_the_result_says_so(make_tflite, tmp_path):
    cpu = max(os.sched_getaffinity(0))
    run = _run(make_tflite(), *QUICK, "--affinity", cpu, "--threads", 2, "--out", tmp_path / "r")
    assert run.exit_code == 0, run.output
    result = load_result(tmp_path / "r" / f"constant_cpu_2t_cpus{cpu}.json")
    assert result["target"]["affinity"] == [cpu]
    assert f"--affinity {cpu}" in result["command"]
    # The worker itself saw that it may run on one CPU alone.
    assert "2 threads were asked for, 1 cores may be used" in result["warnings"]
    refused = _run(make_tflite(), *QUICK, "--affinity", "4000", "--out", tmp_path / "none")
    assert refused.exit_code == 2
    assert "--affinity: expected CPUs of" in refused.output


def test_where_a_system_cannot_hold_a_process_to_cpus_it_is_refused(make_tflite, monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(UsageError, match="leave it out"):
        CPU.refuse(Request(make_tflite(), affinity=(0,)))


def test_a_broken_model_fails_the_command_but_not_the_others(make_tflite, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(make_tflite().read_bytes()[:700])
    run = _run(broken, make_tflite("good.tflite"), *QUICK, "--out", tmp_path / "r")
    assert run.exit_code == 1
    assert "1 of 2 measurements failed" in run.output
    assert "broken.tflite" in run.output
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["good_cpu_1t.json"]


def test_a_model_that_is_no_landmark_model_keeps_its_speed(make_tflite, make_pts_faces, tmp_path):
    data = ["--data", make_pts_faces(), "--format", "300w"]
    run = _run(make_tflite(metadata=False), *QUICK, *data, "--out", tmp_path / "r")
    assert run.exit_code == 1
    result = load_result(tmp_path / "r" / "constant_cpu_1t.json")
    assert result["accuracy"] is None
    assert any("accuracy not measured" in warning for warning in result["warnings"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "abacus"], "expected a target of cpu"),
        (["--data", "."], "--data and --format together"),
        (["--split", "test"], "--split chooses a part of --data"),
        (["--seconds", "9", "--max-seconds", "1"], "seconds"),
        (["--threads", "0"], "--threads"),
        (["--affinity", "3-1"], "expected numbers of CPUs such as 0,2 or 4-7"),
        (["--affinity", "0", "--target", "gpu"], "for the targets cpu, linux alone"),
        (
            ["--runtime", "tflite-runtime", "--target", "gpu"],
            "--runtime is for the targets cpu, linux",
        ),
        (["--runtime", "abacus"], "'abacus' is not one of"),
        (["--gpu-precision", "fp16"], "--gpu-precision is for the targets gpu, android:gpu"),
        (["--edgetpu-compiler", "/nope"], "is for the targets edgetpu, linux:edgetpu, got cpu"),
        (["--edgetpu-library", "l.so", "--target", "gpu"], "edgetpu, linux:edgetpu, got gpu"),
        (["--device", "foo", "--target", "cpu", "--target", "gpu"], "--device chooses one"),
        (["--threads", "2", "--target", "gpu"], "--threads are the CPU's"),
        (["--threads", "2", "--target", "linux:gpu", "--device", "p@b"], "--threads are the CPU's"),
        (["--profile", "--no-xnnpack"], "--profile is of XNNPACK's kernels"),
        (["--profile", "--runtime", "tflite-runtime"], "--profile needs ai-edge-litert"),
        (["--device", "bogus", "--target", "edgetpu"], "expected --device usb"),
        (["--device", "-oProxyCommand=x", "--target", "linux"], f"expected {EXPECTED_BOARD}"),
        (["--target", "linux"], "which board?"),
        (["--target", "gpu", "--profile"], "it has no --profile"),
        (["--target", "edgetpu", "--no-xnnpack"], "it has no --no-xnnpack"),
        (
            ["--target", "linux:gpu", "--device", "pi@board", "--profile", "--no-xnnpack"],
            "--profile and --no-xnnpack",
        ),
        (["--threads", "9999"], "--threads"),
        (["--target", "android", "--profile"], "the app on the phone has no --profile"),
        (["--inputs", "."], "--inputs and --outputs together"),
        (["--inputs", ".", "--outputs", "."], "expected the name of a file for the outputs"),
        (
            ["--target", "android", "--benchmark-model", ".", "--data", ".", "--format", "300w"],
            "benchmark_model has no --data",
        ),
        (
            ["--target", "android", "--benchmark-model", ".", "--inputs", ".", "--outputs", "o"],
            "benchmark_model has no --inputs",
        ),
    ],
)
def test_wrong_calls_end_with_2_before_anything_is_measured(
    make_tflite, tmp_path, arguments, message
):
    run = _run(make_tflite(), *arguments, "--out", tmp_path / "r")
    assert run.exit_code == 2
    assert message in run.output
    assert not (tmp_path / "r").exists()


def test_the_command_in_a_result_measures_the_same_again(make_tflite, make_pts_faces, tmp_path):
    data = ["--data", make_pts_faces(), "--format", "300w", "--split", "test"]
    words = [*QUICK, "--max-seconds", 7, "--no-xnnpack", "--runtime", "ai-edge-litert", *data]
    run = _run(make_tflite(), *words, "--json", "--out", tmp_path / "r")
    assert run.exit_code == 0, run.output
    ((_, result),) = json.loads(run.stdout)["results"].items()
    assert result["runtime"]["name"] == "ai-edge-litert"
    program, name, *rest = shlex.split(result["command"])
    assert (program, name) == ("asmnet-kit", "benchmark")
    model, rest = rest[0], rest[1:]
    assert model == "constant.tflite"
    for option, value in zip(words[::2], words[1::2], strict=False):
        if option == "--no-xnnpack":
            break
        assert rest[rest.index(option) + 1] == str(value)
    for option, value in (
        ("--runtime", "ai-edge-litert"),
        *zip(data[::2], data[1::2], strict=True),
    ):
        assert rest[rest.index(option) + 1] == str(value)
    again = _run(make_tflite(), *rest[: rest.index("--out")], "--json", "--out", tmp_path / "s")
    ((_, second),) = json.loads(again.stdout)["results"].items()
    assert second["command"] == result["command"]


@pytest.mark.skipif(
    find_spec("tflite_runtime") is not None, reason="tflite-runtime is installed here"
)
def test_a_runtime_that_is_not_installed_is_told_with_how_to_get_it(make_tflite, tmp_path):
    run = _run(make_tflite(), "--runtime", "tflite-runtime", *QUICK, "--out", tmp_path / "r")
    assert run.exit_code == 1
    assert "tflite-runtime is not installed" in run.output
    assert install_command("edgetpu") in run.output
    assert not (tmp_path / "r").exists()


def test_inputs_run_through_the_measured_model(make_tflite, tmp_path):
    images = np.random.default_rng(0).integers(-128, 127, (3, 1, 32, 32, 3), np.int8)
    write_tensors(tmp_path / "in", {"image": images})
    model, files = (
        make_tflite(int8=True),
        ["--inputs", tmp_path / "in", "--outputs", tmp_path / "o"],
    )
    run = _run(model, *QUICK, *files, "--out", tmp_path / "r")
    assert run.exit_code == 0, run.output
    outputs = read_tensors(tmp_path / "o")
    # The model's pose is the top-left pixel, in steps of the same size.
    assert np.array_equal(outputs["pose"][:, 0], images[:, 0, 0, 0])
    assert outputs["landmarks"].shape == (3, 1, 136)
    (result,) = (load_result(path) for path in (tmp_path / "r").iterdir())
    assert f"--inputs {tmp_path / 'in'} --outputs {tmp_path / 'o'}" in result["command"]
    before, files[3] = (tmp_path / "in").read_bytes(), tmp_path / "in"
    refused = _run(model, *QUICK, *files, "--out", tmp_path / "r")
    assert refused.exit_code == 2 and "--outputs would overwrite" in refused.output
    assert (tmp_path / "in").read_bytes() == before


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"image": np.zeros((1, 1, 8, 8, 3), np.int8)}, "expected the model's inputs"),
        ({"image": np.zeros((1, 1, 32, 32, 3), np.float32)}, "float32 [1, 32, 32, 3]"),
        ({"picture": np.zeros((1, 1, 32, 32, 3), np.int8)}, "expected the model's inputs"),
    ],
)
def test_inputs_of_another_model_are_refused(make_tflite, tmp_path, tensors, message):
    write_tensors(tmp_path / "in", tensors)
    files = ["--inputs", tmp_path / "in", "--outputs", tmp_path / "o"]
    run = _run(make_tflite(int8=True), *QUICK, *files, "--out", tmp_path / "r")
    assert run.exit_code == 1
    assert message in run.output.replace("\n", " ")
    assert not (tmp_path / "o").exists()


def test_inputs_belong_to_one_measurement(make_tflite, tmp_path):
    write_tensors(tmp_path / "in", {"image": np.zeros((1, 1, 32, 32, 3), np.float32)})
    files = ["--inputs", tmp_path / "in", "--outputs", tmp_path / "o"]
    run = _run(make_tflite(), *files, "--threads", 1, "--threads", 2, "--out", tmp_path / "r")
    assert run.exit_code == 2
    assert "one measurement, got 2" in run.output


def test_data_that_cannot_be_read_is_told_before_anything_is_measured(make_tflite, tmp_path):
    arguments = ("--data", tmp_path, "--format", "300w")
    run = _run(make_tflite(), *arguments, "--out", tmp_path / "r")
    assert run.exit_code == 1
    assert "no faces of format 300w" in run.output
    assert not (tmp_path / "r").exists()


def test_an_unwritable_folder_is_one_line(make_tflite, tmp_path):
    (tmp_path / "file").write_text("in the way")
    command = [sys.executable, "-m", "asmnet_kit", "benchmark", str(make_tflite()), *QUICK]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "file" / "r")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "expected a folder to write to" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_adapter_that_does_not_fit_ends_the_measurement(make_tflite, tmp_path):
    words = ["benchmark", str(make_tflite(size=112)), "--adapter", "pfld"]
    words += ["--runs", "2", "--warmup", "0", "--seconds", "0", "--out", str(tmp_path / "out")]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 1
    assert "the adapter pfld expects" in run.output
    assert not list((tmp_path / "out").glob("*.json"))
