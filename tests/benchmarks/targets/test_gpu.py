"""The GPU target: for real on a software Vulkan driver where a browser brings one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.runner import benchmark_model
from asmnet_kit.benchmarks.targets import gpu
from asmnet_kit.benchmarks.targets.gpu import (
    ADAPTER,
    CPU,
    GPU,
    HARDWARE,
    SOFTWARE,
    GpuSession,
    open_gpu,
)
from asmnet_kit.benchmarks.timing.litert_library import (
    CPU_ACCELERATOR,
    GPU_ACCELERATOR,
    LibraryError,
)
from asmnet_kit.cli import main
from asmnet_kit.machine.vulkan import loaded_drivers, software_vulkan, vulkan_drivers
from asmnet_kit.results.results import load_result

SHAPE = (1, 8, 8, 4)
QUICK = ["--warmup", "1", "--runs", "3", "--seconds", "0"]


@pytest.fixture
def software():
    """Skips where no software Vulkan driver is, or where the system's own would be taken."""
    if software_vulkan() is None:
        pytest.skip("no SwiftShader on this machine (apt-get install chromium-common)")
    if vulkan_drivers():
        pytest.skip("this machine has Vulkan drivers of its own")


@pytest.fixture
def split_model(make_op_model):
    """A RELU for the GPU and an ARG_MAX that it does not have."""
    return make_op_model(
        {"op": "RELU", "into": SHAPE, "into_type": "float32", "shape": SHAPE, "type": "float32"},
        {
            "op": "ARG_MAX",
            "shape": SHAPE[:3],
            "type": "int64",
            "constants": [np.array([3], np.int32)],
            "options": ("ArgMaxOptions", {"outputType": 4}),
        },
    )


def test_a_model_runs_in_software_with_proof_and_never_as_a_gpu(software, make_tflite):
    request = Request(
        make_tflite(size=32), target="gpu", warmup_runs=1, runs=3, min_seconds=0.0, threads=1
    )
    result = benchmark_model(request, on_progress=lambda *_: None)
    target = result["target"]
    assert (target["requested"], target["actual"], target["software"]) == ("gpu", SOFTWARE, True)
    assert "SwiftShader" in target["adapter"]
    assert any("libvk_swiftshader" in line for line in target["proof"])
    assert "LiteRtCompiledModelIsNonCpuFullyAccelerated: yes" in target["proof"]
    assert any("not the times of a GPU" in warning for warning in result["warnings"])
    assert target["delegated_ops"] == target["total_ops"] == 2
    # float32 on both: sums in another order, far below a thousandth of a pixel.
    assert result["parity"]["max"] < 1e-3
    assert result["protocol"]["timed"].endswith("read every output back from the GPU")


GPU_OR_CPU = GPU_ACCELERATOR | CPU_ACCELERATOR


def test_litert_itself_says_whether_the_cpu_runs_a_part(software, make_tflite, split_model):
    """With the GPU alone the second model is refused, so the CPU is allowed to see the "no"."""
    answers = {
        path: ask_in_a_process(path, accelerators=GPU_OR_CPU)
        for path in (make_tflite(size=32), split_model)
    }
    assert list(answers.values()) == [True, False]


def ask_in_a_process(path, *, accelerators):
    """A process of its own: the library does not survive several environments in one."""
    call = f"print(_runs_without_cpu_here(Path({str(path)!r}), accelerators={accelerators}))"
    code = (
        "import os; from pathlib import Path\n"
        "from asmnet_kit.benchmarks.targets.gpu_whole import _runs_without_cpu_here\n"
        f"{call}\nimport sys; sys.stdout.flush(); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {"True": True, "False": False}[done.stdout.split()[-1]]


def test_a_model_of_which_the_cpu_runs_a_part_counts_as_the_cpu(make_tflite, monkeypatch):
    monkeypatch.setattr(gpu, "loaded_drivers", lambda: ["libGLX_nvidia.so.0"])
    monkeypatch.setattr(gpu, "runs_without_cpu", lambda model: False)
    session = GpuSession(_Compiled(), gpu.read_graph(make_tflite()), precision="fp32")
    session.adapter = "NVIDIA H100, backend=Vulkan"
    assert session.actual == HARDWARE
    assert session.ask_runtime(make_tflite()) == []
    assert session.actual == CPU
    assert "LiteRtCompiledModelIsNonCpuFullyAccelerated: no" in session.proof


def test_without_an_answer_of_the_library_the_result_says_why(make_tflite, monkeypatch):
    def unanswered(model):
        raise LibraryError("got 9.9.9: the library's interface may differ")

    monkeypatch.setattr(gpu, "runs_without_cpu", unanswered)
    monkeypatch.setattr(gpu, "loaded_drivers", lambda: ["libGLX_nvidia.so.0"])
    session = GpuSession(_Compiled(), gpu.read_graph(make_tflite()), precision="fp32")
    session.adapter = "NVIDIA H100, backend=Vulkan"
    (note,) = session.ask_runtime(make_tflite())
    assert "9.9.9" in note
    assert session.actual == HARDWARE


def test_accuracy_goes_through_the_gpu(software, make_tflite, make_pts_faces, tmp_path):
    data = ["--data", str(make_pts_faces()), "--format", "300w"]
    arguments = [str(make_tflite()), "--target", "gpu", *QUICK, *data, "--out", str(tmp_path / "r")]
    run = CliRunner().invoke(main, ["benchmark", *arguments])
    assert run.exit_code == 0, run.output
    accuracy = load_result(tmp_path / "r" / "constant_gpu.json")["accuracy"]
    assert accuracy["measured_with"]["target"] == "gpu"
    assert accuracy["faces"] == 3


def test_a_model_that_does_not_fit_the_gpu_fails_and_names_the_operator(
    software, split_model, tmp_path
):
    out = ["--out", str(tmp_path / "r")]
    run = CliRunner().invoke(main, ["benchmark", str(split_model), "--target", "gpu", *QUICK, *out])
    assert run.exit_code == 1
    assert "ARG_MAX" in run.output
    assert not (tmp_path / "r").exists()


class _Compiled:
    def get_signature_list(self):
        return {"serving_default": {"inputs": [], "outputs": []}}

    def create_input_buffer_by_name(self, *_):
        raise AssertionError

    create_output_buffer_by_name = create_input_buffer_by_name


@pytest.mark.parametrize(
    ("adapter", "drivers", "actual"),
    [
        ("NVIDIA H100, arch=hopper, backend=Vulkan", ["libGLX_nvidia.so.0"], HARDWARE),
        ("llvmpipe (LLVM 15), backend=Vulkan", ["libvulkan_lvp.so"], SOFTWARE),
        ("Odd, backend=Vulkan, adapterType=CPU / Software", ["libvulkan_odd.so"], SOFTWARE),
        ("Mali-G78, arch=valhall", ["libmali.so", "libvk_swiftshader.so"], HARDWARE),
        ("NVIDIA H100", [], CPU),
        (None, ["libGLX_nvidia.so.0"], CPU),
    ],
)
def test_without_evidence_of_adapter_and_driver_it_counts_as_the_cpu(
    make_tflite, monkeypatch, adapter, drivers, actual
):
    monkeypatch.setattr(gpu, "loaded_drivers", lambda: drivers)
    session = GpuSession(_Compiled(), gpu.read_graph(make_tflite()), precision="fp32")
    session.adapter = adapter
    assert session.actual == actual


@pytest.fixture
def manifests(monkeypatch, tmp_path):
    """Writes driver manifests of these libraries for the Vulkan loader."""

    def write(*libraries):
        files = []
        for number, library in enumerate(libraries):
            files.append(tmp_path / f"{number}_icd.json")
            files[-1].write_text(library if library[0] == "{" else MANIFEST % library)
        monkeypatch.setenv("VK_DRIVER_FILES", os.pathsep.join(map(str, files)))

    return write


MANIFEST = '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s"}}'


def test_a_driver_counts_as_loaded_by_whatever_name_its_manifest_has(manifests, tmp_path):
    """Not by a list of vendors: here libc plays the driver, by name and through a link."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    libc = next(line.split()[-1] for line in lines if "/libc.so" in line)
    (tmp_path / "libmali-odd.so").symlink_to(libc)
    (tmp_path / "libVK_IMG.so").write_bytes(b"no library")
    manifests("libc.so.6", "./libmali-odd.so", "./libVK_IMG.so", "libnothing.so.1")
    assert loaded_drivers() == ["libc.so.6", "libmali-odd.so"]


@pytest.mark.parametrize("text", ["{", "{}", '{"ICD": 3}', '{"ICD": {"library_path": 3}}'])
def test_a_damaged_manifest_is_no_driver(manifests, text):
    manifests(text)
    assert loaded_drivers() == []


def test_the_adapter_is_read_from_the_runtimes_log():
    log = "I0000 environment.cc:532] Selected adapter: Mali-G78, arch=valhall\nother\n"
    assert ADAPTER.findall(log) == ["Mali-G78, arch=valhall"]


def test_unknown_precisions_are_refused(make_tflite):
    with pytest.raises(UsageError, match="expected one of fp32, fp16, got 'fp64'"):
        open_gpu(Request(make_tflite(), target="gpu", options={"gpu_precision": "fp64"}))


def test_without_any_vulkan_the_message_says_what_to_install(monkeypatch):
    from asmnet_kit.doctor import checks
    from asmnet_kit.machine import vulkan

    monkeypatch.setattr(vulkan, "BROWSER_FOLDERS", ())
    monkeypatch.setattr(vulkan.ctypes.util, "find_library", lambda name: None)
    assert "chromium-common" in GPU.problem()
    monkeypatch.setattr(checks, "vulkan_drivers", list)
    assert "libvulkan1" in GPU.problem()
