"""What compilers say of the kit's models, and the table of it."""

import json
from pathlib import Path

from click.testing import CliRunner

from asmnet_kit.benchmarks.studies import check_reference
from asmnet_kit.benchmarks.studies.check_reference import main, table_of

ROOT = Path(check_reference.__file__).resolve().parents[2]
SHIPPED = ROOT / check_reference.FOLDER


def test_each_model_and_target_gets_a_file_without_a_path_of_this_machine(make_tflite, tmp_path):
    out = tmp_path / "checks"
    words = [str(make_tflite()), "--out", str(out), "--target", "edgetpu", "--target", "gpu"]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 0, run.output
    names = ["README.md", "constant_edgetpu.json", "constant_gpu.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    for path in out.iterdir():
        assert str(tmp_path) not in path.read_text()
    kept = json.loads((out / "constant_edgetpu.json").read_text())
    assert (kept["kind"], kept["check"]["model"]) == ("check", "constant.tflite")
    assert len(kept["model"]["sha256"]) == 64
    assert "[constant](constant_gpu.json) | gpu |" in (out / "README.md").read_text()


def test_the_table_says_whose_figures_it_has():
    check = {
        "target": "ethosu:u55-128", "verdict": "partial", "mapped": 1, "total": 2,
        "estimate": {"milliseconds": 2.0, "cycles": 1_000_000},
        "memory_bytes": {"sram": 102_912, "dram": 0, "off_chip_flash": 2048},
        "parity": None, "tool": {"name": "ethos-u-vela", "version": "5.2.0"},
    }  # fmt: skip
    row = table_of([(Path("a.json"), {"model": {"name": "m"}, "check": check})]).splitlines()[-1]
    assert row == (
        "| [m](a.json) | ethosu:u55-128 | 1 of 2 | 2.00 | 1,000,000 | 103 | - | 2 | - | "
        "ethos-u-vela 5.2.0 |"
    )


def test_the_shipped_table_is_that_of_its_files():
    files = [(path, json.loads(path.read_text())) for path in sorted(SHIPPED.glob("*.json"))]
    assert table_of(files) in (SHIPPED / "README.md").read_text()
    for _, kept in files:
        estimate = kept["check"]["estimate"]
        assert estimate is None or estimate["label"] == "compiler's estimate, not measured"
