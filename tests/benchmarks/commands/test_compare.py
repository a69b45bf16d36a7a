"""Comparing results: noise does not fail, regressions do, unlike runs are refused by name."""

import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.comparing.compare import compare
from asmnet_kit.benchmarks.comparing.matching import UnlikeRuns
from asmnet_kit.cli import main
from asmnet_kit.results.noise import ratio_interval
from asmnet_kit.results.results import save_result, summarise
from wording import NOTHING_TO_COMPARE, ONE_SIDE_ONLY


def _timed(result, samples):
    result["timings_ms"]["invoke"] = [float(v) for v in samples]
    result["summary"] = summarise(samples)
    return result


def _noisy(make_result, scale, *, seed, runs=400, spread=0.02, **options):
    rng = np.random.default_rng(seed)
    samples = 2.0 * scale * (1 + spread * rng.standard_normal(runs)).clip(0.5)
    return _timed(make_result(**options), samples)


def _pair(*results):
    return [(Path(f"{i}.json"), result) for i, result in enumerate(results)]


def test_the_same_speed_is_ok(make_result):
    base, new = (_noisy(make_result, 1.0, seed=s) for s in (1, 2))
    (comparison,) = compare(_pair(base), _pair(new)).comparisons
    assert comparison.verdicts == ("ok",)
    low, high = comparison.interval
    assert low < 1 < high
    # The median of 400 samples of 2 % spread is known to 1.25 x 2 % / 20 = 0.13 %; two of them,
    # 1.96 standard errors to each side: 0.7 % in all. Twice that is left for chance.
    assert high - low < 0.015


def test_slower_beyond_noise_is_a_regression(make_result):
    base, new = _noisy(make_result, 1.0, seed=1), _noisy(make_result, 1.2, seed=2)
    outcome = compare(_pair(base), _pair(new))
    assert outcome.failed
    assert outcome.comparisons[0].verdicts == ("slower",)
    assert not compare(_pair(base), _pair(new), max_slowdown=1.3).failed


def test_what_noise_can_explain_is_unclear_and_does_not_fail(make_result):
    base = _noisy(make_result, 1.0, seed=1, runs=40, spread=0.3)
    new = _noisy(make_result, 1.12, seed=2, runs=40, spread=0.3)
    outcome = compare(_pair(base), _pair(new))
    assert outcome.comparisons[0].ratio > 1
    assert outcome.comparisons[0].verdicts == ("unclear",)
    assert not outcome.failed


def test_repeated_measurements_that_disagree_widen_the_interval(make_result):
    once = _pair(_noisy(make_result, 1.0, seed=1))
    repeats = _pair(*(_noisy(make_result, s, seed=i) for i, s in enumerate((0.9, 1.0, 1.15))))
    rng = np.random.default_rng(0)
    samples = [[r["timings_ms"]["invoke"] for _, r in side] for side in (once, repeats)]
    alone = ratio_interval(samples[0], samples[0], rng)
    pooled = ratio_interval(samples[0], samples[1], rng)
    assert pooled[1] - pooled[0] > 5 * (alone[1] - alone[0])
    assert compare(once, repeats).comparisons[0].verdicts == ("unclear",)


def test_runs_that_follow_one_another_count_less_than_independent_ones(make_result):
    rng = np.random.default_rng(0)
    independent = 1 + 0.02 * rng.standard_normal(400)
    slow_waves = np.repeat(1 + 0.02 * rng.standard_normal(20), 20)
    width = {}
    for name, samples in (("independent", independent), ("waves", slow_waves)):
        low, high = ratio_interval([samples], [samples], np.random.default_rng(1))
        width[name] = high - low
    assert width["waves"] > 2 * width["independent"]


@pytest.mark.parametrize(("increase", "failed"), [(0.1, False), (0.11, True), (-1.0, False)])
def test_nme_may_rise_by_the_limit_and_no_more(make_result, increase, failed):
    base, new = make_result(nme=3.3), make_result(nme=3.3 + increase)
    outcome = compare(_pair(base), _pair(new))
    assert outcome.failed == failed
    assert outcome.comparisons[0].nme_increase == pytest.approx(increase)


@pytest.mark.parametrize("read", ["base/a.json", "new/all.zip"])
def test_a_junit_file_never_takes_the_place_of_a_result(read, make_result, tmp_path):
    for place in ("base", "new", "zipped"):
        save_result(tmp_path / place / "a.json", make_result())
    with zipfile.ZipFile(tmp_path / "new" / "all.zip", "w") as archive:
        archive.write(tmp_path / "zipped" / "a.json", "below/a.json")
    before = (tmp_path / read).read_bytes()
    words = ["compare", str(tmp_path / "base"), str(tmp_path / "new"), "--junit"]
    run = CliRunner().invoke(main, [*words, str(tmp_path / read)])
    assert run.exit_code == 2 and "--junit would overwrite" in run.stderr
    assert (tmp_path / read).read_bytes() == before


def test_a_figure_that_is_not_measured_any_more_is_a_regression(make_result, tmp_path):
    """Else whoever drops --data switches the gate off. Unknown and missing are alike."""
    base, speed_only, null = make_result(nme=4.0), make_result(), make_result(nme=4.0)
    null["accuracy"]["nme_percent"] = None
    save_result(tmp_path / "base" / "a.json", base)
    for name, new, gone in (("speed", speed_only, "NME"), ("null", null, "NME")):
        save_result(tmp_path / name / "a.json", new)
        junit = tmp_path / f"{name}.xml"
        words = ["compare", str(tmp_path / "base"), str(tmp_path / name), "--junit", str(junit)]
        run = CliRunner().invoke(main, words)
        assert run.exit_code == 1, run.output
        assert f"measured before and not now: {gone}" in " ".join(run.output.split())
        suite = ElementTree.parse(junit).getroot()[0]
        failed = {case.get("classname") for case in suite if case.find("failure") is not None}
        assert "asmnet-kit compare.accuracy" in failed
        assert CliRunner().invoke(main, [*words, "--across", "data"]).exit_code == 0
    outcome = compare(_pair(base), _pair(speed_only))
    assert outcome.comparisons[0].verdicts == ("no accuracy", "no pose")
    assert not compare(_pair(speed_only), _pair(base)).failed


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.0), (0.0, 0.1), (0.1, 0.0)])
def test_times_below_the_clocks_step_are_unclear(make_result, before, after):
    base, new = _timed(make_result(), [before] * 50), _timed(make_result(), [after] * 50)
    (comparison,) = compare(_pair(base), _pair(new)).comparisons
    assert comparison.verdicts == ("unclear",) and "clock is too coarse" in comparison.messages[0]


def test_far_above_the_clocks_step_is_slower_whatever_was_before(make_result):
    base = _timed(make_result(), [0.0] * 30 + [1.0] * 20)
    (comparison,) = compare(_pair(base), _pair(_timed(make_result(), [50.0] * 50))).comparisons
    assert comparison.verdicts == ("slower",) and comparison.ratio == 50.0


def _single_stream(result):
    result["protocol"]["mode"] = "single-stream"
    return result


def test_single_stream_is_judged_by_p90(make_result):
    steady = _timed(make_result(), [2.0] * 400)
    tail = _timed(make_result(), ([2.0] * 8 + [3.0] * 2) * 40)  # p50 2 ms, p90 3 ms
    (standard,) = compare(_pair(steady), _pair(tail)).comparisons
    assert (standard.percentile, standard.verdicts) == (50, ("ok",))
    for result in (steady, tail):
        _single_stream(result)
    (comparison,) = compare(_pair(steady), _pair(tail)).comparisons
    assert (comparison.percentile, comparison.verdicts) == (90, ("slower",))
    assert (comparison.base_ms, comparison.new_ms) == (2.0, 3.0)
    assert (comparison.base_p50, comparison.new_p50) == (2.0, 2.0)
    assert "p90 2.000 -> 3.000 ms" in comparison.messages[0]


@pytest.mark.parametrize(("increase", "failed"), [(0.2, False), (0.3, True)])
def test_pose_error_may_rise_by_the_limit_and_no_more(make_result, increase, failed):
    base, new = make_result(nme=3.3), make_result(nme=3.3)
    new["accuracy"]["pose_mae_deg"]["pitch"] += increase
    outcome = compare(_pair(base), _pair(new))
    assert outcome.failed == failed
    (comparison,) = outcome.comparisons
    rises = {"yaw": 0.0, "pitch": increase, "roll": 0.0}
    assert comparison.increase("pose") == pytest.approx(rises)
    if failed:
        assert comparison.verdicts == ("less exact pose",)
        assert comparison.messages == ("pitch 2.000 -> 2.300 degrees, +0.300, beyond +0.2",)
        assert not compare(_pair(base), _pair(new), max_pose_increase=0.5).failed


def _with_parity(result, mean, **facts):
    result["parity"] = {"mean": mean, "max": 2 * mean, "inputs": 8, "reference": "the CPU", **facts}
    return result


def test_a_target_that_moved_away_from_the_cpu_is_a_regression(make_result):
    base = _with_parity(make_result(), 0.01)
    outcome = compare(_pair(base), _pair(_with_parity(make_result(), 0.5)))
    assert outcome.failed
    assert outcome.comparisons[0].verdicts == ("further from the CPU",)
    slight = compare(_pair(base), _pair(_with_parity(make_result(), 0.05)))
    assert not slight.failed
    (told,) = slight.to_json()["comparisons"]
    assert told["parity_increase_pixels"] == pytest.approx(0.04)


def test_differences_over_other_inputs_are_not_compared(make_result):
    base = _with_parity(make_result(), 0.01)
    new = _with_parity(make_result(), 0.5, inputs=488)
    outcome = compare(_pair(base), _pair(new))
    assert not outcome.failed
    (warning,) = (w for w in outcome.comparisons[0].warnings if ONE_SIDE_ONLY in w)
    assert "over 488 inputs" in warning


def test_a_model_that_fell_back_to_the_cpu_is_not_compared(make_result):
    base, new = make_result(), make_result()
    for result in (base, new):
        result["target"] |= {"requested": "gpu", "actual": "cpu"}
    with pytest.raises(UsageError, match="gpu was asked for, cpu ran the model"):
        compare(_pair(base), _pair(new), across=["target"])


def test_accuracy_of_one_side_alone_is_a_warning(make_result):
    (comparison,) = compare(_pair(make_result(nme=3.0)), _pair(make_result())).comparisons
    assert comparison.nme_increase is None
    assert any(ONE_SIDE_ONLY in text for text in comparison.warnings)


def test_unlike_data_are_seen_whichever_result_has_no_accuracy(make_result):
    """Otherwise 4 % of one data set would be compared with 9 % of another."""
    base = _pair(make_result(), make_result(nme=4.0))
    other = make_result(nme=9.0)
    other["accuracy"]["dataset"] = "Another"
    with pytest.raises(UnlikeRuns, match="dataset"):
        compare(base, _pair(other))


def test_the_newest_accuracy_counts_whatever_the_files_are_called(make_result):
    old, new = make_result(nme=9.0), make_result(nme=4.0)
    old["measured_at"], new["measured_at"] = "2026-01-01T00:00:00", "2026-01-02T00:00:00"
    (comparison,) = compare(_pair(new, old), _pair(make_result(nme=4.0))).comparisons
    assert comparison.nme == (4.0, 4.0)


def test_two_models_of_one_name_on_one_side_are_refused(make_result):
    other = make_result()
    other["model"]["sha256"] = "0" * 64
    with pytest.raises(UsageError, match="two different models of that name"):
        compare(_pair(make_result(), other), _pair(make_result()))


UNLIKE = {
    "machine.cpu": lambda r: r["machine"].update(cpu="Another CPU"),
    "machine.cores": lambda r: r["machine"].update(cores=64),
    "runtime.version": lambda r: r["runtime"].update(version="9.9"),
    "runtime.kernels": lambda r: r["runtime"].update(kernels="builtin (3 ops)"),
    "target.threads": lambda r: r["target"].update(threads=2),
    "target.actual": lambda r: r["target"].update(actual="gpu"),
    "protocol.mode": _single_stream,
    "protocol.timed": lambda r: r["protocol"].update(timed="invoke alone"),
    "accuracy.dataset": lambda r: r["accuracy"].update(dataset="Another"),
    "accuracy.boxes": lambda r: r["accuracy"].update(boxes="detector"),
}


@pytest.mark.parametrize("fact", UNLIKE)
def test_unlike_runs_are_refused_by_the_name_of_what_differs(make_result, fact):
    base, new = make_result(nme=3.0), make_result(nme=3.0)
    UNLIKE[fact](new)
    allowed = {"accuracy": "data"}.get(fact.split(".")[0], fact.split(".")[0])
    with pytest.raises(UnlikeRuns, match=f"--across {allowed}:(?s:.*){fact}"):
        compare(_pair(base), _pair(new))
    assert compare(_pair(base), _pair(new), across=[allowed]).comparisons


def test_other_poses_or_subsets_of_the_same_pictures_are_other_faces(make_result):
    """A result that an earlier version wrote does not know; it still compares."""
    older, base, new = (make_result(nme=3.0) for _ in range(3))
    base["accuracy"]["dataset_labels_fingerprint"] = "v1:1"
    new["accuracy"]["dataset_labels_fingerprint"] = "v1:2"
    with pytest.raises(UnlikeRuns, match="dataset_labels_fingerprint"):
        compare(_pair(base), _pair(new))
    assert compare(_pair(older), _pair(new)).comparisons


def test_a_new_model_with_another_number_of_operators_is_still_the_same_kernel(make_result):
    base, new = make_result(), make_result()
    base["runtime"]["kernels"] = "XNNPACK (31 of 31 ops)"
    new["runtime"]["kernels"] = "XNNPACK (40 of 40 ops)"
    assert not compare(_pair(base), _pair(new)).failed
    new["runtime"]["kernels"] = "XNNPACK (39 of 40 ops), builtin for the rest"
    with pytest.raises(UnlikeRuns, match="kernels"):
        compare(_pair(base), _pair(new))


def test_folders_are_matched_by_model_and_target_and_a_missing_one_fails(make_result):
    base = _pair(make_result(name="a"), make_result(name="b"), make_result(name="b", threads=2))
    new = _pair(make_result(name="b", threads=2), make_result(name="a"), make_result(name="c"))
    outcome = compare(base, new)
    assert [c.name for c in outcome.comparisons] == [
        "a · cpu · 1 thread · XNNPACK",
        "b · cpu · 2 threads · XNNPACK",
    ]
    assert outcome.missing == ("b · cpu · 1 thread · XNNPACK",)
    assert outcome.added == ("c · cpu · 1 thread · XNNPACK",)
    assert outcome.failed


def test_two_single_files_are_compared_whatever_their_models_names(make_result):
    old = _pair(make_result(name="old"))
    (comparison,) = compare(old, _pair(make_result(name="new"))).comparisons
    assert comparison.name == "old -> new"
    assert compare(old, old).comparisons[0].name == "old"
    many = _pair(make_result(name="x"), make_result(name="y"))
    with pytest.raises(UsageError, match=NOTHING_TO_COMPARE):
        compare(_pair(make_result(name="old")), many)


@pytest.fixture
def saved(tmp_path, make_result):
    """Writes a base and a new result of given speeds; returns their paths as text."""

    def save(base=2.0, new=2.0, **options):
        paths = []
        for name, p50 in (("base", base), ("new", new)):
            result = _timed(make_result(p50=p50, **options), [p50] * 50)
            save_result(tmp_path / f"{name}.json", result, replace=True)
            paths.append(str(tmp_path / f"{name}.json"))
        return paths

    return save


def _run(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_exit_codes_tell_fine_from_worse_from_unlike(saved, tmp_path):
    assert _run(*saved()).exit_code == 0
    worse = _run(*saved(new=2.4))
    assert worse.exit_code == 1
    assert "slower than x1.1" in worse.stderr
    base, new = saved()
    content = json.loads(Path(new).read_text())
    content["machine"]["cpu"] = "Another CPU"
    Path(new).write_text(json.dumps(content))
    unlike = _run(base, new)
    assert unlike.exit_code == 2
    assert 'machine.cpu: "A CPU" against "Another CPU"' in unlike.stderr


def test_json_is_all_of_stdout_even_for_a_regression(saved):
    run = _run(*saved(new=2.4, nme=3.0), "--json")
    content = json.loads(run.stdout)
    assert content["verdict"] == "regression"
    assert content["comparisons"][0]["ratio"] == pytest.approx(1.2)
    assert content["comparisons"][0]["percentile"] == 50
    assert content["comparisons"][0]["pose_increase_deg"]["yaw"] == 0
    assert content["limits"]["max_pose_increase"] == 0.2
    assert content["comparisons"][0]["ratio_interval"] == pytest.approx([1.2, 1.2])
    assert run.exit_code == 1


def test_a_result_that_names_no_mode_is_a_standard_one(make_result):
    new = make_result()
    new["protocol"]["mode"] = "standard"
    assert not compare(_pair(make_result()), _pair(new)).failed


def test_junit_has_cases_for_latency_accuracy_and_pose(saved, tmp_path):
    path = tmp_path / "out" / "j.xml"
    _run(*saved(new=2.4, nme=3.0, name='<b>"&\x01'), "--junit", path)
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    latency, accuracy, pose = suite.findall("testcase")
    assert pose.get("classname") == "asmnet-kit compare.pose"
    assert "slower" in latency.find("failure").get("message")
    assert accuracy.find("failure") is None
    assert '<b>"&' in latency.get("name")


def test_github_gets_annotations_that_no_name_can_break(saved):
    run = _run(*saved(new=2.4, name="a\n::error::b,c:d"), "--github")
    (line,) = run.stdout.splitlines()
    assert line.startswith("::error title=a%0A%3A%3Aerror%3A%3Ab%2Cc%3Ad::slower than x1.1")


def test_contradictory_or_broken_input_is_one_line(saved, tmp_path):
    assert _run(*saved(), "--github", "--json").exit_code == 2
    assert _run(saved()[0], tmp_path / "none.json").exit_code == 2
    (tmp_path / "bad.json").write_text('{"kind": "benchmark", "schema_version": 1')
    broken = _run(saved()[0], tmp_path / "bad.json")
    assert broken.exit_code == 1
    assert broken.stderr.startswith("Error: ")
