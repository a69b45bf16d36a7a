"""The report: what it says, that it loads nothing, and that foreign text cannot break it."""

import hashlib
import json
import math
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.results.noise import intervals
from asmnet_kit.results.report.build import build_report, write_report
from asmnet_kit.results.report.charts import (
    Axis,
    Measured,
    histogram_path,
    pareto_front,
    scatter,
)
from asmnet_kit.results.report.text import grouped, markdown, milliseconds, tick
from asmnet_kit.results.results import SAME_BITS, ResultError, check_result, save_result, summarise
from wording import NOTHING_TO_COMPARE

CHECKS = Path(__file__).resolve().parents[4] / "benchmarks" / "reference" / "checks"
ATTACK = "<script>alert(1)</script>\"'|`*\ud800\x00"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def written(tmp_path, make_result):
    """Writes a report of results; returns the page and the Markdown."""

    def write(*results, title="Title"):
        loaded = [(tmp_path / f"r{i}.json", result) for i, result in enumerate(results)]
        html, md = write_report(loaded, tmp_path / "report.html", title=title)
        return html.read_text(encoding="utf-8"), md.read_text(encoding="utf-8")

    return write


@pytest.mark.parametrize("fact", ["dataset_fingerprint", "dataset_labels_fingerprint"])
def test_nmes_of_different_faces_are_not_ranked(tmp_path, make_result, fact):
    easy, hard = make_result(name="a", p50=3.0, nme=3.0), make_result(name="b", nme=5.0)
    easy["accuracy"][fact], hard["accuracy"][fact] = "1" * 64, "0" * 64
    report = build_report([(tmp_path / "a", easy), (tmp_path / "b", hard)], tmp_path)
    assert "of different faces, so they are not ranked" in " ".join(report.headline)
    assert "Most accurate" not in " ".join(report.headline)
    assert "lowest NME" not in [what for what, _, _ in report.tiles]
    assert report.choices == []


@pytest.mark.parametrize("fact", ["scheme", "normalised_by"])
def test_nmes_of_other_points_are_not_ranked(tmp_path, make_result, fact):
    whole, few = make_result(name="a", p50=3.0, nme=5.0), make_result(name="b", nme=3.0)
    whole["accuracy"][fact], few["accuracy"][fact] = "68", "5"
    ranked = [(tmp_path / "a", whole), (tmp_path / "b", few)]
    assert "lowest NME" not in [what for what, _, _ in build_report(ranked, tmp_path).tiles]
    del whole["accuracy"][fact]  # an older result does not say it
    assert "lowest NME" in [what for what, _, _ in build_report(ranked, tmp_path).tiles]


def test_a_result_that_did_not_note_the_labels_is_ranked_all_the_same(tmp_path, make_result):
    older, newer = make_result(name="a", p50=3.0, nme=3.0), make_result(name="b", nme=5.0)
    newer["accuracy"]["dataset_labels_fingerprint"] = "v1:0"
    report = build_report([(tmp_path / "a", older), (tmp_path / "b", newer)], tmp_path)
    assert "lowest NME" in [what for what, _, _ in report.tiles]


def test_labels_of_another_version_of_the_fingerprint_are_not_taken_for_others(
    tmp_path, make_result
):
    older, newer = make_result(name="a", p50=3.0, nme=3.0), make_result(name="b", nme=5.0)
    older["accuracy"]["dataset_labels_fingerprint"] = "v1:0"
    newer["accuracy"]["dataset_labels_fingerprint"] = "v2:1"
    report = build_report([(tmp_path / "a", older), (tmp_path / "b", newer)], tmp_path)
    assert "lowest NME" in [what for what, _, _ in report.tiles]


def test_how_sure_a_model_is_has_a_table_of_its_own(make_result, written):
    sure, plain = make_result(name="sure", nme=4.0), make_result(name="plain", nme=5.0)
    html, md = written(plain)
    assert "Uncertainty" not in html and "Uncertainty" not in md
    sure["accuracy"]["uncertainty"] = {
        "points": 6800,
        "coverage_percent": {"50": 52.25, "90": 91.5},
        "coverage_by_part_percent": {"jaw": {"50": 49.0, "90": 88.0}},
        "sharpness_percent": 3.21,
        "sparsification_percent": {
            "points": {"0": 4.1, "10": 3.6, "20": 3.2, "30": 2.9},
            "faces": {"0": 4.0, "10": 3.5, "20": 3.3, "30": None},
        },
        "auroc": 0.912,
        "mean_confidence": None,
        "brier": None,
        "brier_constant": 0.1,
    }
    sure["accuracy"]["visibility"] = {"points": 680, "hidden": 68, "auroc": 0.987}
    html, md = written(sure, plain)
    for page in (Page(html).text, md):
        for figure in ("52.2", "91.5", "3.21", "4.10, 3.60, 3.20, 2.90", "0.912", "0.987"):
            assert figure in page
        assert page.count("0.912") == 1
    (row,) = [line for line in md.splitlines() if "0.987" in line]
    assert row.startswith("| sure") and row.count("|") == 9


def test_times_of_different_machines_are_told_with_the_machine(tmp_path, make_result):
    here, there = make_result(name="a", nme=3.0, p50=6.0), make_result(name="b", nme=5.0, p50=2.0)
    there["machine"]["cpu"] = "A board's"
    results = [(tmp_path / "a", here), (tmp_path / "b", there)]
    headline = " ".join(build_report(results, tmp_path).headline)
    assert "times the latency" not in headline
    assert "NME of 3.00 %, which takes 6.00 ms on" in headline


def test_the_headline_names_the_fastest_and_the_most_accurate_model(tmp_path, make_result):
    results = [
        (tmp_path / "a.json", make_result(name="quick", p50=1.0, nme=6.0)),
        (tmp_path / "b.json", make_result(name="exact", p50=3.0, nme=4.0)),
    ]
    headline = " ".join(build_report(results, tmp_path).headline)
    assert headline.startswith("Fastest of 2 models: quick takes 1.00 ms")
    assert "with an NME of 6.00 %" in headline
    assert "Most accurate: exact with an NME of 4.00 %, at 3.0 times the latency." in headline


def test_what_fell_back_to_the_cpu_is_shown_and_wins_nothing(tmp_path, make_result, written):
    fallen = make_result(name="fallen", p50=1.0, nme=1.0)
    fallen["target"] |= {"requested": "gpu", "actual": "cpu"}
    honest = [make_result(name="one", p50=2.0, nme=5.0), make_result(name="two", p50=3.0, nme=4.0)]
    loaded = [(tmp_path / f"{i}.json", r) for i, r in enumerate([fallen, *honest])]
    report = build_report(loaded, tmp_path)
    assert report.headline[0].startswith("Fastest of 2 models: one takes 2.00 ms")
    assert all("fallen" not in whose for _, _, whose in report.tiles)
    (choice,) = report.choices
    assert [row.model for row in choice.rows] == ["one", "two"]
    assert len(choice.scatter.dots) == 2
    assert report.warnings[0][1] == [report.rows[0].label]
    assert "gpu (ran on cpu)" in report.rows[0].label
    _, md = written(fallen)
    assert NOTHING_TO_COMPARE in md
    assert "not in the headline" in md


def test_models_and_targets_form_a_matrix_with_gaps_named(tmp_path, make_result, written):
    results = [
        make_result(name="one", threads=1),
        make_result(name="one", threads=2),
        make_result(name="two", threads=1),
    ]
    report = build_report([(tmp_path / f"{i}", r) for i, r in enumerate(results)], tmp_path)
    assert report.columns == ["cpu · 1 thread · XNNPACK", "cpu · 2 threads · XNNPACK"]
    assert [[cell is not None for cell in line.cells] for line in report.matrix] == [
        [True, True],
        [True, False],
    ]
    html, md = written(*results)
    assert "not measured" in html
    assert "not measured" in md


def test_repeated_measurements_show_the_newest_and_say_how_many(tmp_path, make_result):
    old = make_result(p50=5.0) | {"measured_at": "2026-01-01T00:00:00+00:00"}
    new = make_result(p50=2.0) | {"measured_at": "2026-01-02T00:00:00+00:00"}
    report = build_report([(tmp_path / "new", new), (tmp_path / "old", old)], tmp_path)
    (cell,) = report.matrix[0].cells
    assert (cell.row.p50, cell.repeats) == (2.0, 2)


def test_results_of_unlike_options_are_columns_of_their_own(tmp_path, make_result):
    slow, fast, other, earlier = (make_result(p50=p50) for p50 in (5.0, 2.0, 5.5, 6.0))
    for result, speed in ((slow, "1"), (fast, "2"), (other, "1")):
        result["target"]["options"] = {"speed": speed, "firmware": "new"}
    other["model"] |= {"name": "other", "sha256": "1" * 64}
    loaded = [(tmp_path / str(i), r) for i, r in enumerate((slow, fast, other, earlier))]
    report = build_report(loaded, tmp_path)
    column = "cpu · 1 thread · XNNPACK"
    assert report.columns == [f"{column} · speed=1", f"{column} · speed=2", column]
    assert [[cell and cell.row.p50 for cell in line.cells] for line in report.matrix] == [
        [5.0, 2.0, 6.0],
        [5.5, None, None],
    ]
    alone = build_report(loaded[:1], tmp_path)  # nothing else was chosen: nothing to tell apart
    assert alone.columns == [column]


def test_devices_of_one_kind_are_columns_of_their_own(tmp_path, make_result):
    def on(device, name=None):
        result = make_result()
        result["target"] |= {"device": device, "device_name": name}
        return result

    def columns(*results):
        loaded = [(tmp_path / str(number), result) for number, result in enumerate(results)]
        return [
            name.removeprefix("cpu · 1 thread · XNNPACK")
            for name in build_report(loaded, tmp_path).columns
        ]

    assert columns(on("A1"), on("B2", "pixel"), on(None)) == [" · A1", " · pixel", ""]
    assert columns(on("A1"), on("B2", "pixel"), on("B2")) == [" · A1", " · pixel"]
    assert columns(on("A1", "pixel"), on("B2", "pixel")) == [" · A1", " · B2"]
    # One device, however it was named; this machine, with a file of devices and without.
    assert columns(on("A1"), on("A1", "pixel")) == [""]
    assert columns(on(None), on(None, "here")) == [""]


def test_results_of_two_machines_are_columns_of_their_own(tmp_path, make_result):
    here, there = make_result(), make_result()
    there["machine"]["cpu"] = "Another"
    there["machine"]["load_average"] = [9.0, 9.0, 9.0]
    again = make_result()
    again["machine"]["load_average"] = [5.0, 5.0, 5.0]  # the same machine, busier
    loaded = [(tmp_path / str(i), r) for i, r in enumerate((here, there, again))]
    report = build_report(loaded, tmp_path)
    assert [name for name, _ in report.machines] == ["machine 1", "machine 2"]
    assert len(report.columns) == 2


def test_the_page_loads_nothing_and_runs_its_own_script_alone(written, make_result):
    html, _ = written(make_result(name="a"), make_result(name="b", nme=3.0))
    page = Page(html)
    assert not {"iframe", "img", "object", "embed"} & set(page.tags)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = html.split('content="default-src', 1)[1]
    assert policy.startswith(" 'none'; style-src 'unsafe-inline'; img-src data:; ")
    assert f"script-src 'sha256-{digest}'\"" in policy
    assert not re.search(r"\son\w+=", html)  # handlers in attributes, which the policy forbids
    assert "hidden" in html.split('class="filter"', 1)[1][:10]  # of no use without the script
    for name, value in page.attributes:
        if name in ("src", "href"):
            assert value == "data:," or value.startswith(("./", "#", "data:image/jpeg;base64,"))
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html


def test_foreign_text_is_shown_and_never_obeyed(written, make_result):
    result = make_result(name=ATTACK)
    result["warnings"] = [ATTACK]
    result["machine"]["cpu"] = ATTACK
    result["machine"][ATTACK] = ATTACK
    result["target"]["proof"] = [ATTACK]
    result["model"]["metadata"] = {"source": {ATTACK: ATTACK}, "licence": ATTACK}
    result["command"] = ATTACK
    html, md = written(result, title=ATTACK)
    assert Page(html).tags.count("script") == 1  # the page's own
    assert html.count("<script") == 1
    assert "<script" not in md
    rows = [line for line in md.splitlines() if line.startswith("| &lt;script")]
    # An unescaped | would add a column: size, NME and one target follow the model's name.
    assert rows
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 5


@pytest.mark.parametrize("name", ["README.html", "README.md"])
def test_a_report_replaces_reports_and_nothing_else(name, tmp_path, make_result):
    save_result(tmp_path / "r.json", make_result())
    call = ["report", str(tmp_path / "r.json"), "--out", str(tmp_path / "README.html")]
    (tmp_path / name).write_text("# My own\n")
    refused = CliRunner().invoke(main, call)
    assert refused.exit_code == 2 and f"{name} is no report" in refused.stderr
    assert (tmp_path / name).read_text() == "# My own\n"
    assert {path.name for path in tmp_path.iterdir()} == {"r.json", name}
    (tmp_path / name).unlink()
    for title in ("One", "Two"):
        assert CliRunner().invoke(main, [*call, "--title", title]).exit_code == 0
    assert (tmp_path / "README.md").read_text().startswith("# Two\n")


def test_a_result_file_with_a_strange_name_is_a_relative_link(tmp_path, make_result):
    path = tmp_path / 'javascript:alert(1)".json'
    html, _ = write_report([(path, make_result())], tmp_path / "report.html")
    hrefs = [v for k, v in Page(html.read_text()).attributes if k == "href"]
    assert "./javascript%3Aalert%281%29%22.json" in hrefs


def test_stages_accuracy_and_evidence_are_in_both_files(written, make_result):
    result = make_result(nme=4.25)
    html, md = written(result)
    for text in (Page(html).text, md):
        for figure in ("4.25", "12.3", "0.310", "0.0210", "2.40"):  # NME, load, pre, post, frame
            assert figure in text
        assert "kept 1.00 CPU cores busy" in text
        assert result["model"]["sha256"] in text
        assert "asmnet-kit benchmark" in text.replace("\\", "")


def test_a_result_without_accuracy_or_stages_says_so(written, make_result):
    result = make_result()
    for stage in ("load", "first", "pre", "post", "end_to_end"):
        result["timings_ms"][stage] = None
    html, md = written(result)
    assert "Accuracy was not measured" in Page(html).text
    assert md.count("not measured") >= 6


def test_warnings_that_differ_in_numbers_alone_become_one():
    pairs = [("p90 is 40 % above p50", "a"), ("p90 is 7 % above p50", "b"), ("load", "a")]
    assert grouped(pairs) == [("p90 is 7 to 40 % above p50", ["a", "b"]), ("load", ["a"])]


def test_a_thousand_results_make_a_page_of_at_most_5_mb(tmp_path, make_result):
    base = make_result(nme=5.0)
    samples = [1.0 + (i % 97) / 50 for i in range(500)]
    base["timings_ms"]["invoke"], base["summary"] = samples, summarise(samples)
    loaded = []
    for i in range(1000):
        model = base["model"] | {"name": f"model_{i // 4}", "sha256": f"{i // 4:064x}"}
        target = base["target"] | {"threads": 1 + i % 4}
        loaded.append((tmp_path / f"{i}.json", base | {"model": model, "target": target}))
    html, _ = write_report(loaded, tmp_path / "report.html")
    assert html.stat().st_size < 5e6


def test_the_command_writes_both_files_and_says_what_is_next(tmp_path, make_result):
    save_result(tmp_path / "results" / "a.json", make_result())
    out = tmp_path / "page" / "report.html"
    run = CliRunner().invoke(main, ["report", str(tmp_path / "results"), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert out.exists()
    assert out.with_suffix(".md").exists()
    assert "Next: open" in run.stderr
    assert "./../results/a.json" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.json", "--out", "r.html"], 2, "no such file"),
        (["bad.json", "--out", "r.html"], 1, "expected JSON"),
        (["bad.json", "--out", "r.pdf"], 2, "end with .html"),
    ],
)
def test_bad_calls_end_with_a_message_and_their_exit_code(
    tmp_path, monkeypatch, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    run = CliRunner().invoke(main, ["report", *arguments])
    assert run.exit_code == code
    assert message in run.output
    assert "Traceback" not in run.output


def test_milliseconds_have_three_digits_and_no_exponent():
    values = (0.00213, 0.0521, 0.5, 2.3, 45.61, 1234.5)
    assert [milliseconds(v) for v in values] == [
        "0.0021",
        "0.0521",
        "0.500",
        "2.30",
        "45.6",
        "1234",
    ]
    assert [tick(v) for v in (0.001, 0.5, 20.0)] == ["0.001", "0.5", "20"]


def test_markdown_special_characters_lose_their_meaning():
    assert str(markdown("a|b_c*d\n<e>")) == "a\\|b\\_c\\*d &lt;e>"


def test_a_wide_range_gets_a_logarithmic_axis_with_round_ticks():
    axis = Axis.over([1.0, 100.0])
    assert axis.logarithmic
    assert axis.ticks == (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    assert axis.at(10.0) == pytest.approx(50, abs=0.01)  # the middle, since the margins are equal


def test_a_narrow_range_gets_a_linear_axis_that_holds_it():
    axis = Axis.over([2.0, 3.0])
    assert not axis.logarithmic
    assert axis.low < 2.0 < 3.0 < axis.high
    assert axis.at(2.5) == pytest.approx(50, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 1e-5, 1.0, 1e6])
def test_an_axis_over_one_value_has_room_around_it(value):
    axis = Axis.over([value, value])
    assert axis.low <= value < axis.high
    assert math.isfinite(axis.at(value))


def test_the_histogram_holds_a_bar_for_each_filled_bin():
    axis = Axis(0.0, 72.0, False, ())
    path = histogram_path([0.5, 0.6, 0.7, 0.8, 71.5], axis)
    # Bin 0 holds 4 samples and is full height; bin 71 holds 1: sqrt(1 / 4) = half.
    assert path.count("M") == 2
    assert path.startswith("M0.00 100V0.0h1.39V100z")
    assert "V50.0" in path


def test_the_front_holds_what_no_other_beats_in_both():
    points = [(1.0, 5.0), (2.0, 4.0), (2.0, 6.0), (3.0, 4.0), (1.0, 5.0)]
    assert pareto_front(points) == {0, 1, 4}


def test_the_scatter_puts_faster_left_and_more_accurate_down():
    chart = scatter([(Measured(1.0), Measured(6.0)), (Measured(3.0), Measured(4.0))])
    quick, exact = chart.dots
    assert quick.x < exact.x
    assert quick.y < exact.y  # y grows downwards
    assert quick.on_front
    assert exact.on_front


def _with_details(result):
    result["profile"] = [
        {"op": "Conv", "name": f"Conv #{i}", "microseconds": float(i), "target": "xnnpack"}
        for i in range(1, 13)
    ]
    result["sustained"] = {
        "minutes": 5.0,
        "slowdown": 1.5,
        "windows": [
            {"seconds": 5.0, "p50": 2.0, "temperature_celsius": 50.0},
            {"seconds": 10.0, "p50": 3.0, "temperature_celsius": 81.0},
        ],
    }
    result["parity"] = {"max": 0.5, "mean": 0.1, "identical": False}
    result["target"]["edgetpu"] = {
        "subgraphs": 1,
        "cached_parameter_bytes": 766720,
        "streamed_parameter_bytes": 0,
        "cycles": None,
        "cpu_ops": ["ARG_MAX", ATTACK],
    }
    return result


@pytest.mark.parametrize("warned", [False, True])
def test_equal_bits_are_suspicious_where_the_arithmetic_differs(written, make_result, warned):
    result = _with_details(make_result())
    result["parity"] = {"max": 0.0, "mean": 0.0, "identical": True}
    result["warnings"] = [SAME_BITS] if warned else []
    for page in written(result):
        section = page.partition("Same outputs as the CPU?")[2]
        assert ("suspicious" in section.split("Same outputs")[0][:2000]) is warned


def test_a_path_is_printed_as_it_is(make_result, tmp_path):
    save_result(tmp_path / "one.json", make_result())
    out = tmp_path / "C5:AB:80.html"  # rich has an emoji for the middle
    call = ["report", str(tmp_path / "one.json"), "--out", str(out)]
    assert str(out) in CliRunner().invoke(main, call).stdout


def test_operators_curves_placement_and_parity_are_shown(written, make_result):
    html, md = written(_with_details(make_result()))
    page = Page(html).text
    assert "Conv #12" in page
    assert "2 others" in page  # twelve operators, ten of them shown
    assert "Conv #2 " not in page
    assert "x1.500 after 5.0 min · up to 81 °C" in page
    assert "766720" in page
    assert "ARG_MAX" in page
    assert "0.5000" in page
    assert html.count("<script") == 1
    for section in ("Where the time goes", "Does it hold", "On the Edge TPU", "Same outputs"):
        assert section in md


def test_a_result_with_a_damaged_profile_or_curve_is_refused_by_name(make_result):
    for change in (
        {"profile": [{"op": "Conv"}]},
        {"sustained": {"minutes": 1, "slowdown": 1, "windows": []}},
        {"parity": {"max": "far"}},
    ):
        with pytest.raises(ResultError, match=next(iter(change))):
            check_result(make_result() | change, name="r")


def test_percentiles_of_too_few_runs_are_shown_without_an_interval(tmp_path, make_result):
    """Ten runs: the median has an interval, p90 and p99 have none; of 400 all three have."""
    for name, runs in (("few", 10), ("many", 400)):
        result = make_result(name)
        samples = [2.0 + 0.01 * (7 * i % runs) for i in range(runs)]
        result["timings_ms"]["invoke"] = samples
        result |= {"summary": summarise(samples), "intervals_ms": intervals(samples)}
        save_result(tmp_path / name / "result.json", result)
        out = tmp_path / f"{name}.html"
        command = ["report", str(tmp_path / name), "--out", str(out)]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    few, many = (Page((tmp_path / f"{name}.html").read_text()).text for name in ("few", "many"))
    assert "(95 % interval 2.01 to 2.08)" in few  # the second and the ninth of ten
    assert "not enough runs for an interval: p90 needs 36, p99 needs 368, got 10" in few
    assert "not enough runs" in (tmp_path / "few.md").read_text()
    assert "not enough runs" not in many
    assert "not enough runs" not in (tmp_path / "many.md").read_text()


def test_the_verdict_on_the_outputs_is_shown_with_pixels_limit_and_cause(written, make_result):
    """One that passed, one of the CPU's that did not, and one of a version that did not look."""
    found = {"max": 0.25, "mean": 0.1, "limit": 2.5, "mean_limit": 0.5, "limit_from": "10 steps"}
    check = {
        "passed": True,
        "cause": None,
        "reference": "a runtime on this machine's CPU",
        "outputs": {"landmarks": found | {"unit": "pixels of the 112 px crop"}},
        "runs": [{"run": "the first inference", "number": None, "passed": True}],
    }
    wrong = {"max": None, "unit": "steps of the output's scale"}
    failed = check | {"passed": False, "cause": "NaN <b>", "outputs": {"pose": found | wrong}}
    results = [make_result("good"), make_result("bad"), make_result("older")]
    for result, told in zip(results, (check, failed), strict=False):
        result["output_check"] = told
    html, md = written(*results)
    page = Page(html).text
    assert "landmarks: 0.250 (limit 2.500 pixels of the 112 px crop)" in page
    assert "pose: not a number (limit 2.500 steps of the output's scale)" in page
    assert "NaN <b>" in page and "<td>passed</td>" in html
    assert (
        "outputs of the timed runs compared with the CPU's (results of this version) (1 of 3"
        in page
    )
    assert "passed; 1 run compared with a runtime" in md and "NaN &lt;b>" in md


def test_what_compilers_say_is_shown_apart_from_what_was_measured(tmp_path, make_result):
    """The kept checks of the repository; a result among them is refused by its name."""
    save_result(tmp_path / "results" / "r.json", make_result())
    command = ["report", str(tmp_path / "results"), "--out", str(tmp_path / "r.html"), "--checks"]
    done = CliRunner().invoke(main, [*command, str(CHECKS)])
    assert done.exit_code == 0, done.output
    text = Page((tmp_path / "r.html").read_text()).text
    kept = json.loads((CHECKS / "asmnet_nano_68_112_qat_w8a8_ethosu-u55-128.json").read_text())
    estimate = f"{kept['check']['estimate']['milliseconds']:.2f}"
    assert "What compilers say Nothing here was measured" in text
    assert f"ethosu:u55-128{kept['check']['mapped']} of {kept['check']['total']}{estimate}" in text
    row = f"| ethosu:u55-128 | {kept['check']['mapped']} of {kept['check']['total']} | {estimate} |"
    assert row in (tmp_path / "r.md").read_text()
    refused = CliRunner().invoke(main, [*command, str(tmp_path / "results")])
    assert refused.exit_code == 1
    assert "r.json: expected a check of a model (kind 'check')" in refused.output
