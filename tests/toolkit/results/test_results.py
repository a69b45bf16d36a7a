"""Benchmark result files: what is accepted, and which key a refusal names."""

import copy
import json
import zipfile

import pytest

from asmnet_kit.base import reading
from asmnet_kit.base.errors import UsageError
from asmnet_kit.results.results import (
    ResultError,
    check_result,
    load_result,
    load_results,
    parse_json,
    save_result,
    summarise,
    unlike_faces,
)


def test_a_saved_result_loads_as_it_was(tmp_path, make_result):
    result = make_result()
    save_result(tmp_path / "r.json", result)
    assert load_result(tmp_path / "r.json") == result


def test_unknown_keys_are_kept(make_result):
    result = make_result() | {"colour": "blue"}
    assert check_result(result, name="r")["colour"] == "blue"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("kind",), "profile", "kind 'benchmark'"),
        (("schema_version",), 99, "schema_version 1, got 99"),
        (("model", "sha256"), "abc", r"model\.sha256"),
        (("model", "size_bytes"), -1, r"model\.size_bytes"),
        (("target", "threads"), "two", r"target\.threads"),
        (("timings_ms", "invoke"), [], r"timings_ms\.invoke"),
        (("timings_ms", "invoke"), [1.0, -1.0], r"timings_ms\.invoke"),
        (("timings_ms", "invoke"), [1.0, True], r"timings_ms\.invoke"),
        (("timings_ms", "invoke"), [1.0, "2"], r"timings_ms\.invoke"),
        (("timings_ms", "invoke"), [1.0, 1e12], r"timings_ms\.invoke"),
        (("target", "edgetpu"), {"subgraphs": {}}, r"target\.edgetpu\.subgraphs"),
        (("target", "accelerator"), "yes", r"target\.accelerator"),
        (("target", "options"), {"speed": 3}, r"target\.options\.speed"),
        (("timings_ms",), None, "timings_ms"),
        (("summary", "p50"), None, r"summary\.p50"),
        (("accuracy",), {"faces": 3}, "accuracy: 'nme_percent' is a required property"),
        (("warnings",), "all is well", "warnings"),
    ],
)
def test_a_wrong_value_is_refused_and_its_key_named(make_result, path, value, message):
    result = make_result()
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ResultError, match=message):
        check_result(result, name="r.json")


@pytest.mark.parametrize("key", ["min", "p50", "p90", "p99", "mean", "std", "runs_per_second"])
def test_a_summary_that_is_not_the_samples_is_refused(make_result, key):
    result = make_result()
    result["summary"][key] += 0.01 * (1 + result["summary"][key])
    with pytest.raises(ResultError, match=rf"summary\.{key}: expected .* which the samples"):
        check_result(result, name="r.json")


def test_a_summary_may_be_rounded(make_result):
    result = make_result()
    result["timings_ms"]["invoke"] = [1.0001, 2.0004, 3.0002]
    result["summary"] = {k: round(v, 3) for k, v in summarise([1.0001, 2.0004, 3.0002]).items()}
    assert check_result(result, name="r.json") is result


def test_every_required_key_is_missed_by_name(make_result):
    for key in ("model", "target", "machine", "runtime", "protocol", "summary", "memory"):
        result = copy.deepcopy(make_result())
        del result[key]
        with pytest.raises(ResultError, match=f"'{key}' is a required property"):
            check_result(result, name="r.json")


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2", "null", "[]", '"text"', "\x00", "[" * 100_000, '{"a": NaN}']
)
def test_what_is_no_result_is_refused(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=r"r\.json"):
        load_result(path)


def test_nan_and_infinite_numbers_are_refused(tmp_path, make_result):
    text = json.dumps(make_result())
    reasons = {"NaN": "NaN is no", "Infinity": "Infinity is no", "1e999": "is too large"}
    for bad, reason in reasons.items():
        path = tmp_path / "r.json"
        path.write_text(text.replace('"p50": 2.0', f'"p50": {bad}'))
        with pytest.raises(ResultError, match=reason):
            load_result(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(ResultError, match="expected a text file, got a gzip archive"):
        load_result(path)


def test_a_folder_means_its_json_files_by_name(tmp_path, make_result):
    for name in ("b.json", "a.json"):
        save_result(tmp_path / name, make_result())
    (tmp_path / "notes.txt").write_text("not a result")
    (tmp_path / ".a.123.part.json").write_text("half a result")
    found = load_results([tmp_path, tmp_path / "a.json"])
    assert [path.name for path, _ in found] == ["a.json", "b.json"]


def test_an_archive_means_its_json_files_by_name(tmp_path, make_result):
    path = tmp_path / "shared.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("b.json", "a.json", "notes.txt", "__MACOSX/._a.json"):
            archive.writestr(name, json.dumps(make_result()))
    assert [found for found, _ in load_results([path, path])] == [path / "a.json", path / "b.json"]


BAD_ARCHIVES = {
    "empty": ({}, "found none"),
    "another": ({"a.json": "[]"}, "a.json: expected a JSON object"),
    "no text": ({"a.json": b"\xff\xff"}, "expected a .zip of results"),
    "a bomb": ({"a.json": b" " * (reading.MAX_JSON_BYTES + 1)}, "has more than 16 MiB"),
    "too many": ({f"{n}.json": "" for n in range(1001)}, "at most 1000 results, got 1001"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_an_archive_of_something_else_is_refused(tmp_path, case):
    content, message = BAD_ARCHIVES[case]
    path = tmp_path / "shared.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    with pytest.raises(ResultError, match=message):
        load_results([path])


def test_a_damaged_archive_is_refused(tmp_path, make_result):
    path = tmp_path / "shared.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps(make_result()))
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(ResultError, match=r"expected a \.zip of results, but"):
        load_results([path])
    path.write_bytes(b"no archive")
    with pytest.raises(ResultError, match="not a zip file"):
        load_results([path])


def test_an_empty_folder_and_a_missing_path_are_said(tmp_path):
    with pytest.raises(ResultError, match="found none"):
        load_results([tmp_path])
    with pytest.raises(UsageError, match="no such file"):
        load_results([tmp_path / "nothing"])


def test_a_result_that_fails_the_schema_is_not_written(tmp_path, make_result):
    result = make_result()
    result["summary"]["p50"] = "fast"
    with pytest.raises(ResultError, match=r"summary\.p50"):
        save_result(tmp_path / "r.json", result)
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_never_overwritten(tmp_path, make_result):
    path = tmp_path / "r.json"
    save_result(path, make_result(p50=2.0))
    written = path.read_bytes()
    with pytest.raises(ResultError, match="none is overwritten"):
        save_result(path, make_result(p50=3.0))
    assert path.read_bytes() == written
    save_result(path, make_result(p50=3.0), replace=True)
    assert load_result(path)["summary"]["p50"] == 3.0


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e400"])
def test_numbers_that_no_float_can_hold_are_refused_wherever_they_are(number):
    for text in (number, f'{{"a": [1.5, {number}]}}', f'[1.5, {{"a": {number}}}]'):
        with pytest.raises(ValueError, match="too large"):
            parse_json(text)
    assert parse_json('[1.5, {"a": 10}]') == [1.5, {"a": 10}]


@pytest.mark.parametrize(
    "window",
    [
        "fast",
        {"seconds": 5.0},
        {"seconds": -1.0, "p50": 2.0},
        {"seconds": 5.0, "p50": "fast"},
        {"seconds": 5.0, "p50": True},
        {"seconds": 5.0, "p50": 1e12},
        {"seconds": 5.0, "p50": 2.0, "temperature_celsius": "hot"},
    ],
)
def test_a_damaged_window_of_a_sustained_run_is_refused_wherever_it_is(make_result, window):
    good = {"seconds": 5.0, "p50": 2.0, "temperature_celsius": None, "clock_mhz": 1800}
    sustained = {"minutes": 1.0, "slowdown": 1.0, "windows": [good, good, window, good]}
    with pytest.raises(ResultError, match=r"sustained\.windows"):
        check_result(make_result() | {"sustained": sustained}, name="r")
    sustained["windows"].remove(window)
    check_result(make_result() | {"sustained": sustained}, name="r")


@pytest.mark.parametrize("number", ["high", True, -1.0, 1e12])
def test_a_damaged_curve_of_an_accuracy_is_refused_wherever_it_is(make_result, number):
    result = make_result(nme=4.0)
    curve = {"nme_percent": [0.0, 0.25, 5, 10], "faces_percent": [0.0, 1.5, None, 100.0]}
    result["accuracy"]["ced"] = curve
    check_result(result, name="r")
    curve["faces_percent"][2] = number
    with pytest.raises(ResultError, match=r"accuracy\.ced\.faces_percent"):
        check_result(result, name="r")
    curve["faces_percent"] = [1.0]
    with pytest.raises(ResultError, match=r"accuracy\.ced\.faces_percent"):
        check_result(result, name="r")


def test_one_look_in_a_detectors_box_is_not_compared_with_several() -> None:
    """Earlier kits looked once there and did not say so; around labels nothing has changed."""
    once, thrice = {"boxes": "detector"}, {"boxes": "detector", "looks": 3}
    assert unlike_faces([once, thrice]) == ("looks",)
    assert unlike_faces([thrice, {"boxes": "detector", "looks": 1}]) == ()  # of another scheme
    assert unlike_faces([{"boxes": "landmarks"}, {"boxes": "landmarks", "looks": 1}]) == ()
