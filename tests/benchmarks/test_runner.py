"""Measuring real models in processes of their own, and what happens when these fail."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError, KitError, ModelError, UsageError
from asmnet_kit.benchmarks import runner
from asmnet_kit.benchmarks.call import requests_for
from asmnet_kit.benchmarks.protocol import Request, TargetError
from asmnet_kit.benchmarks.runner import (
    Data,
    benchmark_model,
    command_line,
    measure_accuracy,
    model_facts,
    result_file_name,
    run_worker,
)
from asmnet_kit.benchmarks.targets.registry import TARGETS, load_target
from wording import NO_CPU


def _ignore(done: float, note: str) -> None:
    return


def _quick(model: Path, **options: object) -> Request:
    return Request(model, warmup_runs=2, runs=20, min_seconds=0.0, **options)


def test_a_measurement_holds_the_raw_times_and_their_summary(make_tflite):
    seen = []
    result = benchmark_model(
        _quick(make_tflite(size=64, int8=True)), on_progress=lambda done, note: seen.append(note)
    )
    timings = result["timings_ms"]
    assert len(timings["invoke"]) == 20 == result["protocol"]["runs"]
    assert result["summary"]["min"] == min(timings["invoke"])
    low, high = result["intervals_ms"]["p50"]
    assert low <= result["summary"]["p50"] <= high
    assert timings["load"] > 0
    assert timings["first"] > 0
    assert seen[0] == "load"


def test_a_frame_costs_at_least_its_stages(make_tflite):
    timings = benchmark_model(_quick(make_tflite(size=64)), on_progress=_ignore)["timings_ms"]
    assert timings["pre"] > 0
    assert timings["post"] > 0
    # Medians of parts and of the whole are of the same frames; a tenth is left for their scatter.
    assert timings["end_to_end"] > 0.9 * (timings["pre"] + timings["post"])


def test_the_result_says_where_it_ran_and_how_that_is_known(make_tflite):
    target = benchmark_model(_quick(make_tflite(), threads=2), on_progress=_ignore)["target"]
    assert (target["requested"], target["actual"], target["threads"]) == ("cpu", "cpu", 2)
    assert target["delegate"] == "XNNPACK"
    assert any("2 of 2 operators" in line for line in target["proof"])


def test_without_xnnpack_the_builtin_kernels_run(make_tflite):
    result = benchmark_model(_quick(make_tflite(), xnnpack=False), on_progress=_ignore)
    assert result["target"]["delegate"] is None
    assert result["runtime"]["kernels"].startswith("builtin")
    assert "--no-xnnpack" in result["command"]
    assert result_file_name(result, taken=set()) == "constant_cpu_1t_builtin.json"


def test_any_tflite_is_measured_without_metadata(make_tflite):
    result = benchmark_model(_quick(make_tflite(metadata=False)), on_progress=_ignore)
    assert result["model"]["metadata"] is None
    assert result["timings_ms"]["pre"] is None
    assert any("no metadata" in note for note in result["notes"])


def test_memory_is_the_models_own_process(make_tflite):
    memory = benchmark_model(_quick(make_tflite()), on_progress=_ignore)["memory"]
    assert 1e6 < memory["rss_before_load_bytes"] <= memory["peak_rss_bytes"] < 300e6


def test_the_time_limit_ends_the_runs_and_says_so(make_tflite):
    request = Request(make_tflite(), warmup_runs=0, runs=10**9, min_seconds=0.0, max_seconds=0.2)
    result = benchmark_model(request, on_progress=_ignore)
    assert any("stopped after" in warning for warning in result["warnings"])


def test_no_file_in_the_current_folder_takes_the_place_of_a_module(
    make_tflite, tmp_path, monkeypatch
):
    """Who calls a script statistics.py and measures beside it: the worker imports its own."""
    for name in ("statistics.py", "profile.py", "numbers.py", "random.py", "inspect.py"):
        (tmp_path / name).write_text(f"raise SystemExit('the {name} here was imported')\n")
    monkeypatch.chdir(tmp_path)
    result = benchmark_model(_quick(make_tflite(), profile=True), on_progress=_ignore)
    assert result["profile"], result["notes"]


def test_a_truncated_model_is_an_error_of_the_model(make_tflite, tmp_path):
    path = tmp_path / "cut.tflite"
    path.write_bytes(make_tflite().read_bytes()[:500])
    with pytest.raises(KitError, match=r"cut\.tflite.*(truncated|damaged)"):
        benchmark_model(_quick(path), on_progress=_ignore)


def test_a_model_of_unknown_operators_is_an_error_of_the_model(edgetpu_pair):
    with pytest.raises(KitError, match=NO_CPU):
        benchmark_model(_quick(edgetpu_pair[1]), on_progress=_ignore)


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8", "int16"])
def test_models_of_every_kind_of_numbers_run(make_op_model, kind):
    shape = (1, 4, 4, 2)
    relu = {"op": "RELU", "into": shape, "into_type": kind, "shape": shape, "type": kind}
    result = benchmark_model(_quick(make_op_model(relu)), on_progress=_ignore)
    assert result["model"]["metadata"] is None
    assert len(result["timings_ms"]["invoke"]) == result["protocol"]["runs"]


def test_public_models_of_every_kind_run(shared):
    folder = shared / "data" / "edgetpu_pairs"
    for name in ("mobilenet_v1_0.25_128_quant", "keras_lstm_mnist_ptq", "split_concat"):
        result = benchmark_model(_quick(folder / f"{name}.tflite"), on_progress=_ignore)
        assert result["summary"]["p50"] > 0


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Replaces the worker by a program of the test's, as a misbehaving runtime would."""

    def use(program: str) -> None:
        script = tmp_path / "worker.sh"
        script.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}'\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return use


JOB = {"request": {"model": "m.tflite"}, "data": None}


def test_a_crash_of_the_runtime_is_an_error_with_its_last_words(worker):
    worker('import os, sys; sys.stderr.write("boom"); sys.stderr.flush(); os.abort()')
    with pytest.raises(ModelError, match=r"m\.tflite.*killed by signal 6.*boom"):
        run_worker(JOB, on_progress=_ignore)


def test_an_early_end_is_an_error_with_the_exit_code(worker):
    worker("raise SystemExit(3)")
    with pytest.raises(ModelError, match="exit code 3"):
        run_worker(JOB, on_progress=_ignore)


def test_a_hang_is_stopped(worker):
    worker("import time; time.sleep(600)")
    with pytest.raises(ModelError, match="did nothing for 1 s"):
        run_worker(JOB, on_progress=_ignore, stall_seconds=1.0)


def test_chatter_of_the_runtime_is_ignored(worker):
    worker('print("INFO: hello"); print("[1]"); print("{\\"result\\": {\\"a\\": 1}}")')
    assert run_worker(JOB, on_progress=_ignore) == {"a": 1}


def test_an_accelerator_that_fell_back_to_the_cpu_is_an_error(monkeypatch, make_tflite):
    monkeypatch.setattr(runner, "run_worker", lambda *_, **__: {"target": {"actual": "cpu"}})
    with pytest.raises(TargetError, match="gpu was asked for, cpu ran the model"):
        benchmark_model(_quick(make_tflite(), target="gpu"), on_progress=_ignore)


def test_accuracy_is_measured_through_the_target(make_tflite, make_pts_faces):
    data = Data(make_pts_faces(), "300w")
    request = _quick(make_tflite(), xnnpack=False)
    accuracy = measure_accuracy(request, data, on_progress=_ignore)["accuracy"]
    assert accuracy["faces"] == 3
    assert accuracy["nme_percent"] >= 0
    assert accuracy["measured_with"] == {
        "target": "cpu",
        "threads": 1,
        "xnnpack": False,
        "kernels": "builtin (2 ops)",
    }


def test_the_models_facts_come_from_its_metadata(make_tflite):
    facts = model_facts(make_tflite("net.tflite"))
    assert (facts["name"], facts["architecture"], facts["recipe"]) == ("net", "constant", "none")
    assert len(facts["sha256"]) == 64
    json.dumps(facts)


def test_requests_are_the_product_without_repeats():
    models = [Path("a"), Path("b"), Path("a")]
    requests = requests_for(models, ["cpu"], Request(Path("a")), threads=[1, 2, 2])
    assert [(str(r.model), r.threads) for r in requests] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("b", 2),
    ]


EVERY_OPTION = {
    "gpu_precision": "fp16",
    "edgetpu_compiler": "/opt/a b/edgetpu_compiler",
    "benchmark_model": "tools/benchmark_model",
    "runtime": "tflite-runtime",
}


@pytest.mark.parametrize(
    ("changes", "there", "not_there"),
    [
        ({}, ["--warmup 20 --runs 200 --seconds 2 --out results"], ["--max-seconds", "--data"]),
        (
            {"mode": "single-stream", "runs": 1024, "min_seconds": 60.0},
            ["--single-stream --out"],
            ["--runs", "--seconds", "--max-seconds"],
        ),
        ({"max_seconds": 9.5}, ["--max-seconds 9.5"], []),
        ({"min_seconds": 400.0, "max_seconds": 400.0}, ["--seconds 400"], ["--max-seconds"]),
        ({"target": "cpu"}, ["--runtime tflite-runtime"], ["fp16", "compiler", "--benchmark"]),
        ({"target": "linux:gpu"}, ["--gpu-precision fp16"], ["--runtime", "compiler"]),
        ({"target": "edgetpu"}, ["--edgetpu-compiler '/opt/a b/edgetpu_compiler'"], ["fp16"]),
        (
            {"target": "android:gpu"},
            ["--gpu-precision fp16", "--benchmark-model tools/benchmark_model"],
            ["--runtime"],
        ),
    ],
)
def test_the_command_has_what_the_target_was_asked(changes, there, not_there):
    options = EVERY_OPTION if "target" in changes else {}
    template = Request(Path("in/m.tflite"), options=options, **changes)
    (request,) = requests_for([template.model], [template.target], template)
    command = command_line(request)
    assert command.startswith("asmnet-kit benchmark m.tflite --target ")
    assert [text for text in there if text not in command] == []
    assert [text for text in not_there if text in command] == []


def test_the_command_has_the_data():
    command = command_line(Request(Path("m.tflite")), Data(Path("my faces"), "300w", "test"))
    assert "--data 'my faces' --format 300w --split test" in command
    assert "--split" not in command_line(Request(Path("m.tflite")), Data(Path("f"), "300w"))


def test_files_of_the_old_runtime_may_lie_beside_those_of_the_usual_one(make_result):
    result = make_result(name="net")
    result["runtime"]["name"] = "tflite-runtime"
    assert result_file_name(result, taken=set()) == "net_cpu_1t_tflite-runtime.json"


def test_a_boards_results_of_either_kernels_lie_side_by_side(make_result):
    result = make_result(name="net")
    result["target"] |= {"requested": "linux:cpu", "actual": "linux:cpu", "delegate": None}
    result["runtime"]["kernels"] = "builtin (2 ops)"
    assert result_file_name(result, taken=set()) == "net_linux-cpu_1t_builtin.json"


def test_ways_to_measure_that_differ_have_files_of_their_own(make_result):
    """Into one folder, one after the other: the second must not replace the first."""
    stream, long, half = make_result(name="net"), make_result(name="net"), make_result(name="net")
    stream["protocol"]["mode"] = "single-stream"
    long["sustained"] = {"minutes": 5}
    half["target"] |= {"requested": "gpu", "delegate": "WebGPU fp16", "threads": None}
    names = [result_file_name(result, taken=set()) for result in (stream, long, half)]
    assert names == ["net_cpu_1t_single-stream.json", "net_cpu_1t_sustained.json",
                     "net_gpu_fp16.json"]  # fmt: skip


def test_values_of_an_option_that_differ_have_files_of_their_own_however_they_are_written(
    make_result,
):
    def file_name(value):
        result = make_result(name="net")
        result["target"]["options"] = {"firmware": value}
        return result_file_name(result, taken=set())

    assert file_name("1.2") == "net_cpu_1t_firmware-1.2.json"
    names = {file_name(value) for value in ("a/b", "a-b", "a b", "x" * 300, "x" * 299)}
    assert len(names) == 5
    assert max(map(len, names)) < 80


def test_a_taken_file_name_gets_part_of_the_hash(make_result):
    result = make_result(name="net")
    assert result_file_name(result, taken=set()) == "net_cpu_1t.json"
    sha = result["model"]["sha256"][:8]
    assert result_file_name(result, taken={"net_cpu_1t.json"}) == f"net_cpu_1t_{sha}.json"


def test_a_result_that_is_there_already_keeps_its_name(make_result):
    result = make_result(name="net") | {"measured_at": "2026-01-02T03:04:05+00:00"}
    names = {"net_cpu_1t.json"}
    for _ in range(3):
        names.add(result_file_name(result, taken=set(), earlier=names))
    assert sorted(names) == [
        "net_cpu_1t.json",
        "net_cpu_1t_2026-01-02T03-04-05-2.json",
        "net_cpu_1t_2026-01-02T03-04-05-3.json",
        "net_cpu_1t_2026-01-02T03-04-05.json",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"runs": 0},
        {"warmup_runs": -1},
        {"min_seconds": -1.0},
        {"min_seconds": 10.0, "max_seconds": 5.0},
    ],
)
def test_impossible_requests_are_usage_errors(options):
    with pytest.raises(UsageError):
        Request(Path("m"), **options)


def test_targets_go_by_name():
    assert TARGETS.names()[0] == "cpu"
    assert load_target("cpu").problem() is None
    with pytest.raises(UsageError, match="expected a target of cpu"):
        load_target("abacus")


def test_a_request_survives_the_way_to_the_worker(make_tflite, tmp_path):
    files = {"inputs": tmp_path / "in", "outputs": tmp_path / "out"}
    for request in (Request(make_tflite()), Request(make_tflite(), affinity=(0, 2), **files)):
        assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request
    with pytest.raises(UsageError, match="--inputs and --outputs together"):
        Request(make_tflite(), inputs=tmp_path / "in")


def test_data_is_read_as_the_adapters_landmarks(make_tflite, tmp_path: Path):
    (tmp_path / "ear.toml").write_text('name = "ear"\npoints = 3\nnormaliser = "box"\n')
    adapter = tmp_path / "ears.toml"
    adapter.write_text(
        'scheme = "ear.toml"\n[input]\nsize = 8\ncolour = "RGB"\nmean = 0\nscale = 255\n'
        '[crop]\nscale = 1.2\n[output]\npoints = 3\nunit = "side"\norigin = "corner"\n'
    )
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 40, 3), np.uint8))
    labels = tmp_path / "labels.csv"
    labels.write_text("file,x0,y0,x1,y1,x2,y2\na.png,5,5,30,8,20,30\n")
    model = make_tflite(size=32)
    with pytest.raises(DatasetError, match="got 3"):
        Data(labels, "csv").check(model)
    Data(labels, "csv").check(model, adapter=str(adapter))
