"""Reference results and their index."""

from pathlib import Path

from click.testing import CliRunner

from asmnet_kit.benchmarks.studies.measure_reference import index_page, main
from asmnet_kit.results.results import load_results


def test_each_model_is_measured_with_one_and_two_threads_and_indexed(make_tflite, tmp_path):
    out = tmp_path / "reference"
    run = CliRunner().invoke(main, [str(make_tflite()), "--out", str(out), "--runs", "20"])
    assert run.exit_code == 0, run.output
    names = ["README.md", "constant_cpu_1t.json", "constant_cpu_2t.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    page = (out / "README.md").read_text()
    for path, result in load_results([out]):
        assert f"[constant]({path.name})" in page
        assert f"{result['summary']['p50']:.4f}" in page
        assert len(result["timings_ms"]["invoke"]) == 20


def test_the_index_shows_machines_apart_and_what_disturbed_a_measurement(make_result):
    one, other = make_result(), make_result("second | model")
    other["machine"] = {"cpu": "Another CPU", "architecture": "arm64", "cores": 4}
    other["warnings"] = ["unstable: p90 is 200 % above p50"]
    page = index_page([(Path("one.json"), one), (Path("other.json"), other)])
    assert "## A CPU, 2 cores, ai-edge-litert 2.3.0" in page
    assert "## Another CPU, 4 cores, ai-edge-litert 2.3.0" in page
    assert "[second / model](other.json)" in page
    assert "- `other`: unstable" in page
    assert page.index("## A CPU") < page.index("one.json") < page.index("## Another CPU")


def test_a_gpu_stands_apart_with_its_proof(make_result):
    cpu, gpu = make_result(), make_result()
    gpu["target"] |= {
        "actual": "software GPU",
        "threads": None,
        "adapter": "SwiftShader Device",
        "proof": ["selected adapter: SwiftShader Device", "it says: yes"],
    }
    page = index_page([(Path("cpu.json"), cpu), (Path("gpu.json"), gpu)])
    assert "## A CPU, 2 cores, ai-edge-litert 2.3.0, software GPU: SwiftShader Device" in page
    assert "- `gpu`: selected adapter: SwiftShader Device; it says: yes" in page
    assert "- `cpu`: " not in page
