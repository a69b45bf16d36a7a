"""The report's answers: what to ship, whether it holds, where files come from, what changed."""

import json
import re
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.cli import main
from asmnet_kit.results.machine import machine_fingerprint
from asmnet_kit.results.report.build import build_report, write_report
from asmnet_kit.results.report.charts import BEATEN, CLOSE, FRONT, Measured, scatter, standings
from asmnet_kit.results.report.text import wilson
from asmnet_kit.results.results import newest_results, save_result, summarise


@pytest.fixture
def loaded(tmp_path):
    """Gives results paths of their own."""
    return lambda *results: [(tmp_path / f"r{i}.json", r) for i, r in enumerate(results)]


def with_samples(result, samples):
    result["timings_ms"]["invoke"] = list(samples)
    result["summary"] = summarise(samples)
    return result


def measured(value, half):
    return Measured(value, (value - half, value + half))


def test_a_model_that_noise_may_have_beaten_is_close_and_one_clearly_behind_is_beaten():
    best = (measured(1.0, 0.1), measured(4.0, 0.2))
    slightly_behind = (measured(1.1, 0.1), measured(4.1, 0.2))
    much_slower = (measured(2.0, 0.1), measured(4.1, 0.2))
    assert standings([best, slightly_behind, much_slower]) == [FRONT, CLOSE, BEATEN]


def test_a_latency_of_too_few_runs_beats_none_by_itself():
    """Ten runs say little of p90: twice as fast may be chance."""
    quick, slow = (Measured(1.0), measured(4.0, 0.2)), (Measured(2.0), measured(4.1, 0.2))
    assert standings([quick, slow]) == [FRONT, CLOSE]


def test_without_intervals_every_difference_of_errors_counts():
    assert standings([(Measured(1.0), Measured(4.0)), (Measured(1.0), Measured(4.1))]) == [
        FRONT,
        BEATEN,
    ]


def test_the_axes_do_not_blow_noise_up():
    """NMEs of 4.00 and 4.02 % span a fiftieth of a percentage point: not the whole axis."""
    near = scatter([(Measured(1.0), Measured(4.00)), (Measured(1.01), Measured(4.02))])
    # A quarter of 4.01 is 1.0025; with margins of 12 % at both ends the axis spans 1.243.
    assert near.dots[0].y - near.dots[1].y == pytest.approx(100 * 0.02 / 1.243, abs=0.02)
    wide = scatter([(measured(1.0, 0.2), Measured(4.0)), (measured(1.1, 0.2), Measured(4.0))])
    low, high = wide.dots[0].x_ends
    # Four intervals of 0.4 span 1.6; with margins of 8 %, an interval takes 0.4 / 1.856.
    assert high - low == pytest.approx(100 * 0.4 / 1.856, abs=0.5)


def test_latencies_of_different_orders_share_a_logarithmic_axis_whatever_their_intervals():
    quick, slow = (measured(0.2, 0.02), Measured(4.0)), (measured(25.0, 12.0), Measured(3.0))
    left, right = scatter([quick, slow]).dots
    # log(25 / 0.2) = 4.83 of log(37 / 0.18) = 5.33, which margins of 8 % make 16 % longer.
    assert right.x - left.x == pytest.approx(100 * 4.83 / (5.33 * 1.16), abs=0.2)


def test_files_of_one_name_are_told_apart_by_their_hash(make_result, loaded, tmp_path):
    one, other = make_result(nme=4.0, p50=1.0), make_result(nme=5.0, p50=2.0)
    other["model"] = other["model"] | {"sha256": "abcdef12" * 8}
    report = build_report(loaded(one, other), tmp_path)
    assert [row.model for row in report.rows] == ["model (00000000)", "model (abcdef12)"]
    assert [row.model for row in build_report(loaded(one), tmp_path).rows] == ["model"]


def test_models_are_ranked_on_each_device_and_the_one_that_matters_comes_first(make_result, loaded):
    results = loaded(
        make_result(name="a", threads=1, nme=4.0, p50=2.0),
        make_result(name="b", threads=1, nme=5.0, p50=1.0),
        make_result(name="a", threads=2, nme=4.0, p50=1.0),
        make_result(name="b", threads=2, nme=5.0, p50=2.0),
    )
    one, two = build_report(results, results[0][0].parent).choices
    assert one.device == "cpu · 1 thread · XNNPACK"
    assert "b (1.00 ms, 5.00 %), a (2.00 ms, 4.00 %)" in one.verdict
    assert (
        "No other model is both faster and more accurate than a (1.00 ms, 4.00 %)." in two.verdict
    )
    chosen = build_report(results, results[0][0].parent, device="2 threads").choices
    assert chosen[0].device == "cpu · 2 threads · XNNPACK"


@pytest.mark.parametrize(("words", "said"), [("cpu", "2 are"), ("gpu", "none is")])
def test_a_device_that_is_not_one_is_refused_with_those_there_are(make_result, loaded, words, said):
    results = loaded(make_result(threads=1, nme=4.0), make_result(threads=2, nme=4.0))
    with pytest.raises(UsageError, match=rf"{said}: cpu · 1 thread .*; cpu · 2 threads"):
        build_report(results, results[0][0].parent, device=words)


def test_who_is_fastest_is_decided_by_the_last_third(make_result, loaded):
    """The order of the first minute is not that of the last one."""
    sprinter = with_samples(make_result(name="sprinter"), [1.0] * 30 + [2.0] * 30 + [3.0] * 30)
    runner = with_samples(make_result(name="runner"), [2.0] * 90)
    results = loaded(sprinter, runner)
    first, second = build_report(results, results[0][0].parent).held
    assert (first.row.model, first.ranks) == ("runner", (2, 1))
    assert (second.row.model, second.ranks) == ("sprinter", (1, 2))
    assert (second.first.value, second.last.value, second.change_percent) == (1.0, 3.0, 200.0)


def test_a_sustained_run_is_judged_by_its_windows(make_result, loaded):
    hot = make_result(name="hot")
    hot["sustained"] = {
        "minutes": 30.0,
        "slowdown": 1.5,
        "windows": [{"seconds": 5.0 * i, "p50": 2.0 + (i > 6)} for i in range(1, 10)],
    }
    results = loaded(make_result(name="short", p50=1.0), hot)
    report = build_report(results, results[0][0].parent)
    assert [one.row.model for one in report.held] == ["hot", "short"]  # sustained ones first
    assert (report.held[0].first.value, report.held[0].last.value) == (2.0, 3.0)
    assert report.sustained.y_ticks[0] == (100.0, "0")  # the axis begins at 0


def test_curves_are_drawn_where_results_carry_them(make_result, loaded, tmp_path):
    plain, curved = make_result(name="plain", nme=5.0), make_result(name="curved", nme=4.0)
    results = loaded(plain)
    assert build_report(results, tmp_path).ced is None
    curved["accuracy"]["ced"] = {"nme_percent": [0, 5, 10], "faces_percent": [0.0, 75.0, 100.0]}
    shares = [0, 50]
    curved["accuracy"]["sparsification"] = {
        "dropped_percent": shares,
        "points": {"by sigma": [4.0, 2.0], "by the true error": [4.0, 1.0]},
        "faces": {"by sigma": [4.0, None], "by the true error": [4.0, 3.0]},
    }
    report = build_report(loaded(plain, curved), tmp_path)
    (line,) = report.ced.lines
    assert line.name.startswith("curved")
    assert re.fullmatch(r"M0 100L48\.08 25L96\.15 0", line.path)  # 0 to 10.4 %, 0 to 100 %
    (one,) = report.sparsifications
    assert [kind for kind, _ in one.plots] == ["points", "faces"]
    assert [line.dashed for line in one.plots[0][1].lines] == [False, True]


def test_intervals_stand_beside_their_figures_and_are_missed_where_there_are_none(
    make_result, loaded, tmp_path
):
    told, silent = make_result(name="told", nme=4.0), make_result(name="silent", nme=5.0)
    told["accuracy"] |= {"nme_interval_percent": [3.75, 4.25], "faces": 100}
    html, md = write_report(loaded(told, silent), tmp_path / "r.html")
    for page in (html.read_text(), md.read_text()):
        assert "3.75 – 4.25" in page
        assert "no interval" in page
    # 10 of 100 faces beyond 8 %: Wilson's interval.
    assert wilson(10.0, 100) == pytest.approx((5.5, 17.4), abs=0.05)
    assert "5.5 – 17.4" in html.read_text()


def test_the_lineage_shows_one_box_for_one_thing(make_result, loaded, tmp_path):
    results = [make_result(name="a"), make_result(name="b"), make_result(name="stranger")]
    for result in results[:2]:
        result["model"]["metadata"] = {
            "source": {"dataset_fingerprint": "d" * 64, "model_sha256": "f" * 64},
            "metrics": {"validation": "<b>no object</b>"},
        }
    lineage = build_report(loaded(*results), tmp_path).lineage
    titles = [node.title for node in lineage.nodes]
    assert titles.count("trained on") == titles.count("a network") == 1
    assert titles.count("origin unknown") == 1
    # Data to network, network to two files, the unknown to its file, three files to their devices.
    assert len(lineage.links) == 7


def past_results(make_result):
    """Five days: 2.0 ms until a change on the fourth, and no other noise than a percent."""
    rng = np.random.default_rng(0)
    results = []
    for number, p50 in enumerate([2.0, 2.02, 1.98, 2.6, 2.61], start=1):
        result = with_samples(make_result(nme=4.0), (p50 * rng.normal(1, 0.01, 100)).tolist())
        results.append(result | {"measured_at": f"2026-01-0{number}T00:00:00+00:00"})
    return results


def test_the_history_shows_a_change_beyond_noise_once(make_result, loaded, tmp_path):
    results = past_results(make_result)
    results[3]["runtime"] = results[3]["runtime"] | {"version": "2.4.0"}
    past = loaded(*results)
    (line,) = build_report(past[-1:], tmp_path, past=past).history
    assert (line.count, line.first, line.last) == (5, "2026-01-01", "2026-01-05")
    (change,) = line.changes
    assert change.when == "2026-01-04"
    assert change.worse
    assert "x1.3" in change.message
    assert "runtime 2.3.0 → 2.4.0" in change.message


def nightly(make_result, p50s, nmes=None):
    """A result of each night, with a percent of noise."""
    rng = np.random.default_rng(0)
    results = []
    for number, p50 in enumerate(p50s):
        result = make_result(nme=None if nmes is None else nmes[number])
        with_samples(result, (p50 * rng.normal(1, 0.01, 100)).tolist())
        results.append(result | {"measured_at": f"2026-01-{number + 1:02}T00:00:00+00:00"})
    return results


def test_an_updated_kernel_and_a_phones_battery_make_no_other_machine(
    make_result, loaded, tmp_path
):
    """The slowdown after an update is marked, with the update as its likely cause."""
    results = nightly(make_result, [2.0] * 4 + [2.6] * 4)
    for number, result in enumerate(results):
        percent = 80 - number
        result["machine"] = {
            "cpu": "Snapdragon", "architecture": "arm64-v8a", "cores": 8, "device": "Maker X",
            "kernel": "Linux 6.1" if number < 4 else "Linux 6.6", "memory_bytes": 8_000_000_000,
            "thermal_status": "none", "power_save_mode": False, "battery_percent": percent,
            "battery_charging": False, "battery_celsius": 30.1 + number,
            "before": {"battery_percent": percent, "memory_available_bytes": 10**9 + number},
        }  # fmt: skip
    past = loaded(*results)
    report = build_report(past, tmp_path, past=past)
    (machine,) = report.machines
    assert machine[1]["kernel"] == "Linux 6.1; Linux 6.6" and "battery percent" not in machine[1]
    (line,) = report.history
    (change,) = line.changes
    assert change.when == "2026-01-05" and "kernel Linux 6.1 → Linux 6.6" in change.message
    other = results[0] | {"machine": results[0]["machine"] | {"device": "Maker Y"}}
    assert len(build_report(loaded(results[0], other), tmp_path).machines) == 2
    larger = results[0] | {"machine": results[0]["machine"] | {"memory_bytes": 16_000_000_000}}
    assert len(build_report(loaded(results[0], larger), tmp_path).machines) == 2


def test_what_gets_worse_a_little_each_night_is_marked(make_result, loaded, tmp_path):
    """2 % slower each night, and 0.06 points of NME: never beyond a limit from one to the next."""
    nights = range(12)
    results = nightly(make_result, [2 * 1.02**n for n in nights], [4 + 0.06 * n for n in nights])
    past = loaded(*results)
    (line,) = build_report(past[-1:], tmp_path, past=past).history
    assert all(change.worse for change in line.changes)
    told = {change.when[-2:]: change.message for change in line.changes}
    assert [night for night, message in told.items() if "NME" in message] == [
        "03",
        "05",
        "07",
        "09",
        "11",
    ]
    assert told["03"] == "NME 4.00 → 4.12 %"
    assert [night for night, message in told.items() if "p50" in message] == ["12"]
    assert "x1.1" in told["12"] or "x1.2" in told["12"]


def test_the_newest_measurement_counts_in_headline_tiles_and_tables(make_result, loaded, tmp_path):
    first, again = (with_samples(make_result("nano"), [p50] * 100) for p50 in (2.0, 3.0))
    again["measured_at"] = "2026-01-02T00:00:00+00:00"
    other = with_samples(make_result("other"), [2.5] * 100)
    report = build_report(loaded(first, again, other), tmp_path)
    assert "other takes 2.50 ms" in report.headline[0]
    assert report.tiles[0] == ("fastest, p50", "2.50 ms", "other · cpu · 1 thread · XNNPACK")


def test_measuring_the_speed_again_keeps_accuracy_and_sustained_run(make_result, loaded, tmp_path):
    first, other = make_result("nano", nme=3.9), make_result("other", p50=4.0, nme=3.0)
    windows = [{"seconds": 5.0 * i, "p50": 2.0 + 0.2 * i} for i in range(1, 10)]
    first["sustained"] = {"minutes": 30.0, "slowdown": 1.9, "windows": windows}
    again = make_result("nano", p50=1.9) | {"measured_at": "2026-01-02T00:00:00+00:00"}
    report = build_report(loaded(first, other, again), tmp_path)
    (choice,) = report.choices
    assert [(row.p50, row.nme) for row in choice.rows] == [(4.0, 3.0), (1.9, 3.9)]
    assert {line.model: line.nme for line in report.matrix} == {"nano": 3.9, "other": 3.0}
    assert "with an NME of 3.90 %" in report.headline[0]
    assert report.sustained is not None
    past = loaded(first, other, again)
    alone = build_report(newest_results(past), tmp_path, past=past)  # a history without RESULT
    assert {line.model: line.nme for line in alone.matrix} == {"nano": 3.9, "other": 3.0}


@pytest.mark.parametrize(
    "target",
    [
        {"requested": "gpu", "actual": "software GPU", "software": True, "delegate": None},
        {"requested": "tflm", "actual": "cpu", "accelerator": False, "delegate": "TFLM"},
    ],
    ids=["software GPU", "TFLM"],
)
def test_what_stands_in_for_a_device_is_ranked_by_accuracy_alone(
    make_result, loaded, tmp_path, target
):
    cpu = make_result("slow", p50=2.0, nme=4.0)
    fake, second = make_result("quick", p50=0.2, nme=3.0), make_result("third", p50=0.3, nme=3.5)
    for result in (fake, second):
        result["target"] = result["target"] | target
    report = build_report(loaded(cpu, fake, second), tmp_path)
    assert report.headline[0].startswith("slow takes 2.00 ms")
    assert report.headline[1] == "Most accurate: quick with an NME of 3.00 %."
    assert report.tiles[0][1] == "2.00 ms" and report.choices == []
    assert not any(cell and cell.best for line in report.matrix for cell in line.cells)
    alone = build_report(loaded(fake, second), tmp_path)
    assert alone.headline[0].startswith("No speed is ranked")
    assert [what for what, _, _ in alone.tiles] == ["smallest file", "lowest NME"]


def test_the_history_tells_a_change_of_accuracy_on_the_same_faces_alone(
    make_result, loaded, tmp_path
):
    results = [
        make_result(nme=nme) | {"measured_at": f"2026-01-0{i}T00:00:00+00:00"}
        for i, nme in enumerate([4.0, 4.05, 4.3], start=1)
    ]
    past = loaded(*results)
    (line,) = build_report(past[-1:], tmp_path, past=past).history
    assert [(c.when, c.message) for c in line.changes] == [("2026-01-03", "NME 4.00 → 4.30 %")]
    results[2]["accuracy"]["dataset_fingerprint"] = "0" * 64
    past = loaded(*results)
    (line,) = build_report(past[-1:], tmp_path, past=past).history
    assert line.changes == []


def test_several_folders_make_one_history_with_each_file_once(make_result, tmp_path):
    for number, result in enumerate(past_results(make_result)):
        save_result(tmp_path / ("here", "there")[number % 2] / f"{number}.json", result)
    out = tmp_path / "r.html"
    folders = [word for name in ("here", "there", ".") for word in ("--history", tmp_path / name)]
    run = CliRunner().invoke(main, ["report", *map(str, folders), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "5 results, 2026" in out.read_text()


def test_a_history_holds_the_archives_that_phones_share(make_result, tmp_path):
    first, second, third, *_ = past_results(make_result)
    save_result(tmp_path / "past" / "a.json", first)
    with zipfile.ZipFile(tmp_path / "past" / "phone.zip", "w") as archive:
        archive.writestr("b.json", json.dumps(second))
        archive.writestr("c.json", json.dumps(third))
    with zipfile.ZipFile(tmp_path / "past" / "pictures.zip", "w") as archive:
        archive.writestr("face.jpg", "no result")
    out = tmp_path / "r.html"
    past = str(tmp_path / "past")
    for words in (["--history", past], [past]):
        run = CliRunner().invoke(main, ["report", *words, "--out", str(out)])
        assert run.exit_code == 0, run.output
    assert "3 results in the report" in run.stderr
    (tmp_path / "past" / "cut.zip").write_bytes(b"PK\3\4 cut off")
    (tmp_path / "past" / "folder.zip").mkdir()
    with zipfile.ZipFile(tmp_path / "past" / "labels.zip", "w") as archive:
        archive.writestr("coco.json", '{"images": []}')
    save_result(tmp_path / "past" / "c.json", third)  # extracted beside its archive
    run = CliRunner().invoke(main, ["report", past, "--out", str(tmp_path / "s.html")])
    assert run.exit_code == 0 and "3 results in the report" in run.stderr
    assert "cut.zip: left out, since it cannot be read" in run.stderr


def test_the_command_shows_a_history_of_folders_at_any_level(make_result, tmp_path):
    for result in past_results(make_result):
        save_result(tmp_path / "past" / result["measured_at"][:10] / "m_cpu_1t.json", result)
    out = tmp_path / "r.html"
    run = CliRunner().invoke(
        main, ["report", "--history", str(tmp_path / "past"), "--out", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert "1 result in the report" in run.stderr  # the newest; the others are its history
    for page in (out.read_text(), out.with_suffix(".md").read_text()):
        assert "What changed over time?" in page
        assert "5 results, 2026" in page.replace("\\", "")
        assert "1 change point" in page


def test_two_input_sizes_of_one_model_are_two_things(make_result, tmp_path):
    """2 ms at 96 x 128 and 8 ms at 224 x 224 are no change; neither hides the other."""
    for number, (size, p50) in enumerate([([96, 128], 2.0), ([224, 224], 8.0)], start=1):
        result = with_samples(make_result(), [p50] * 100)
        result["protocol"]["input_shape"] = size
        result["measured_at"] = f"2026-01-0{number}T00:00:00+00:00"
        save_result(tmp_path / "past" / f"m{number}.json", result)
    out = tmp_path / "r.html"
    run = CliRunner().invoke(
        main, ["report", "--history", str(tmp_path / "past"), "--out", str(out)]
    )
    assert run.exit_code == 0 and "2 results in the report" in run.stderr
    for page in (out.read_text(), out.with_suffix(".md").read_text()):
        assert "· 96x128" in page and "· 224x224" in page
        assert "1 change point" not in page


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "expected RESULT"),
        (["--history", "empty"], 1, "found none"),
        (["--history", "r.json"], 2, "expected a folder of earlier results"),
        (["r.json", "--device", "moon"], 2, "none is"),
    ],
)
def test_wrong_calls_are_one_line(tmp_path, monkeypatch, make_result, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    save_result(tmp_path / "r.json", make_result(nme=4.0))
    run = CliRunner().invoke(main, ["report", *arguments, "--out", "page.html"])
    assert run.exit_code == code
    assert message in run.output
    assert not (tmp_path / "page.html").exists()


def test_faces_bear_the_landmarks_of_each_model(make_tflite, make_result, tmp_path):
    save_result(tmp_path / "r.json", make_result())
    models = [make_tflite("float.tflite"), make_tflite("int8.tflite", int8=True)]
    out = tmp_path / "page.html"
    chosen = [word for model in models for word in ("--faces", str(model))]
    run = CliRunner().invoke(main, ["report", str(tmp_path / "r.json"), *chosen, "--out", str(out)])
    assert run.exit_code == 0, run.output
    page = out.read_text()
    assert page.count('<image href="data:image/jpeg;base64,') == 8
    dots = re.findall(r'<path class="m([01])" d="([^"]+)"', page)
    assert [tone for tone, _ in dots] == ["0", "1"] * 8
    assert {path.count("h0") for _, path in dots} == {68}


def test_models_of_unlike_landmarks_are_not_drawn_over_each_other(
    make_tflite, make_result, tmp_path
):
    save_result(tmp_path / "r.json", make_result())
    chosen = ["--faces", str(make_tflite("a.tflite"))]
    chosen += ["--faces", str(make_tflite("b.tflite", points=98, pose=False))]
    run = CliRunner().invoke(
        main, ["report", str(tmp_path / "r.json"), *chosen, "--out", str(tmp_path / "p.html")]
    )
    assert run.exit_code == 2
    assert "landmarks of one scheme" in run.output


def test_metadata_of_any_kind_breaks_nothing(make_result, loaded, tmp_path):
    for metadata in (
        {"source": [], "metrics": 3},
        {"source": {"model_sha256": 5, "dataset_fingerprint": None}, "metrics": {"validation": []}},
        {"metrics": {"validation": {"float_nme_percent": "x", "pixel_drift": {"p50": True}}}},
    ):
        result = make_result(nme=4.0)
        result["model"]["metadata"] = json.loads(json.dumps(metadata))
        html, _ = write_report(loaded(result), tmp_path / "r.html")
        assert "From data to file" in html.read_text()


def test_one_model_at_two_input_sizes_is_two_things(make_result, loaded, tmp_path):
    """``--input-shape`` leaves the file as it is: the larger size is no slower version of it."""
    small, large = (with_samples(make_result(), [p50] * 100) for p50 in (2.0, 8.0))
    small["protocol"] = small["protocol"] | {"input_shape": [64, 64]}
    large["protocol"] = large["protocol"] | {"input_shape": [128, 128]}
    large["measured_at"] = "2026-01-02T00:00:00+00:00"
    past = loaded(small, large)
    assert newest_results(past) == past
    report = build_report(past, tmp_path, past=past)
    assert [column.rpartition(" · ")[2] for column in report.columns] == ["64x64", "128x128"]
    assert report.history == []


def in_a_browser(result, *, cores=8, memory_bytes=None, **facts):
    """The same result as a page measured it."""
    browser = {"name": "Google Chrome 142.0.1", "platform": "Android 15", "device": "Pixel 8"}
    browser |= {"user_agent": "Chrome/142", "clock_ms": 0.005, "isolated": True, "cores": cores}
    machine = {"cpu": None, "architecture": "Android", "cores": cores, "memory_bytes": memory_bytes}
    return {**result, "machine": {**machine, "browser": {**browser, **facts}}}


def test_a_browser_that_was_updated_and_another_clock_step_are_the_same_machine(
    make_result, loaded
):
    """A browser's clock is measured and jitters; its version changes by itself."""
    first = in_a_browser(make_result())
    later = in_a_browser(
        make_result(),
        clock_ms=0.004999995,
        name="Google Chrome 143.0",
        platform="Android 16",
        user_agent="Chrome/143",
    )
    assert machine_fingerprint(first["machine"]) == machine_fingerprint(later["machine"])
    later["measured_at"] = "2026-01-02T00:00:00+00:00"
    past = loaded(first, later)
    assert newest_results(past) == past[1:]


def test_two_machines_whose_browsers_name_no_cpu_are_two(make_result, loaded):
    past = loaded(in_a_browser(make_result(), cores=4), in_a_browser(make_result(), cores=64))
    assert newest_results(past) == past
