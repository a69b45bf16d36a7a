"""The measurement of a large report: as many results as asked for, each another model."""

import os
import time

import pytest

from asmnet_kit.base.errors import KitError
from asmnet_kit.benchmarks.studies.report_speed import time_report, write_results
from asmnet_kit.results.results import load_results


def test_copies_are_results_of_different_models(tmp_path, make_result):
    write_results(tmp_path, [make_result("a"), make_result("b")], 5)
    models = [result["model"] for _, result in load_results([tmp_path])]
    assert [model["name"] for model in models] == ["a_0", "b_0", "a_1", "b_1", "a_2"]
    assert len({model["sha256"] for model in models}) == 5


def test_the_command_is_timed_from_start_to_end(tmp_path, make_result):
    write_results(tmp_path / "results", [make_result()], 2)
    before, began = os.times(), time.perf_counter()
    wall_s, cpu_s = time_report(tmp_path / "results", tmp_path / "r.html")
    whole_s, after = time.perf_counter() - began, os.times()
    # One child ended meanwhile: its time is what is measured, not this process's.
    children_s = sum(after[2:4]) - sum(before[2:4])
    assert cpu_s == pytest.approx(children_s, abs=0.001)
    assert cpu_s > sum(after[:2]) - sum(before[:2])
    assert children_s / os.cpu_count() <= wall_s + 0.02  # the clock of CPU times ticks in 0.01 s
    assert wall_s <= whole_s
    assert "model_1" in (tmp_path / "r.md").read_text().replace("\\", "")
    (tmp_path / "results" / "000000.json").write_text("{")
    with pytest.raises(KitError, match=r"ended with 1: Error: .*000000\.json"):
        time_report(tmp_path / "results", tmp_path / "r.html")
