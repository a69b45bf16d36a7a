"""A shelf of devices through the command: scripted phones, several at once, and this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from asmnet_kit.benchmarks.devices import devices_of
from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result

QUICK = ["--warmup", "1", "--runs", "3", "--seconds", "0", "--max-seconds", "1"]
STARTED = "am-start"  # what a scripted phone (conftest.py) notes


def count(shelf, serial, what):
    """How often a phone was asked for something."""
    path = shelf.root / serial / what
    return path.stat().st_size if path.exists() else 0


def measure(shelf, out, *words):
    return CliRunner().invoke(
        main, ["benchmark", str(shelf.model), *QUICK, "--out", str(out), *map(str, words)]
    )


def names(out):
    return sorted(path.name for path in out.glob("*.json"))


def phones(*serials):
    return ["--target", "android", *(word for one in serials for word in ("--device", one))]


def test_phones_and_this_machine_measure_at_the_same_time(shelf, tmp_path):
    for serial in ("A1", "B2", "C3"):
        shelf(serial, **{"with": 3})  # none has a result before all three measure
    out = tmp_path / "r"
    run = measure(shelf, out, "--target", "cpu", *phones("A1", "B2", "C3"))
    assert run.exit_code == 0, run.output
    assert names(out) == [
        "constant_android-cpu_A1_1t.json", "constant_android-cpu_B2_1t.json",
        "constant_android-cpu_C3_1t.json", "constant_cpu_1t.json",
    ]  # fmt: skip
    for device in ("A1", "B2", "C3", "this machine"):
        assert f"{device}: constant.tflite" in run.stderr  # a line each, as no terminal is there
    assert run.stderr.count("done: p50 2.00 ms") == 3
    assert "failed_attempts" not in load_result(out / names(out)[0])


def test_one_phone_over_usb_and_over_the_network_takes_turns(shelf, tmp_path):
    shelf("R58", hardware="R58")
    shelf("10.0.0.7:5555", hardware="R58")
    run = measure(shelf, tmp_path / "r", *phones("R58", "10.0.0.7:5555"))
    assert run.exit_code == 0, run.output
    assert len(names(tmp_path / "r")) == 2
    assert not list(shelf.root.glob("*/found-busy"))


def test_a_phone_that_vanishes_costs_its_own_results_alone(shelf, tmp_path):
    shelf("GONE", vanishes=9, stays_away=True)
    shelf("STAYS")
    out = tmp_path / "r"
    run = measure(shelf, out, *phones("GONE", "STAYS"), "--threads", 1, "--threads", 2)
    assert run.exit_code == 1
    assert "2 of 4 measurements failed" in run.output
    assert len(names(out)) == 2 and all("STAYS" in name for name in names(out))
    assert "retry 1 of 1: GONE: start the benchmark: the phone is gone" in run.stderr
    assert "expected a phone 'GONE', adb sees STAYS" in run.output
    assert "not tried, since expected a phone" in run.output  # the second number of threads
    assert count(shelf, "GONE", STARTED) == 1


def test_a_phone_that_comes_back_is_tried_again_and_its_result_tells(shelf, tmp_path):
    shelf("LOOSE", vanishes=1)
    run = measure(shelf, tmp_path / "r", *phones("LOOSE"))
    assert run.exit_code == 0, run.output
    result = load_result(tmp_path / "r" / "constant_android-cpu_LOOSE_1t.json")
    (reason,) = result["failed_attempts"]
    assert "device offline" in reason
    assert any("measured at try 2" in warning for warning in result["warnings"])
    again = measure(shelf, tmp_path / "r2", *phones("LOOSE"), "--retries", 0)
    assert again.exit_code == 0  # it vanishes once only
    (shelf.root / "LOOSE" / STARTED).unlink()
    run = measure(shelf, tmp_path / "r3", *phones("LOOSE"), "--retries", 0)
    assert run.exit_code == 1 and not names(tmp_path / "r3")


def test_what_was_measured_and_is_wrong_is_never_tried_again(shelf, tmp_path):
    shelf("A1", actual="android:cpu")  # asked for its GPU
    run = measure(
        shelf, tmp_path / "r", "--target", "android:gpu", "--device", "A1", "--retries", 5
    )
    assert run.exit_code == 1
    assert "android:gpu was asked for" in run.output
    assert count(shelf, "A1", STARTED) == 1


def test_a_measurement_waits_until_its_phone_is_cool(shelf, tmp_path):
    shelf("WARM", celsius=[45.0, 38.5, 29.5])
    shelf("HOT", celsius=[50.0])
    shelf("MUTE")
    out = tmp_path / "r"
    run = measure(shelf, out, *phones("WARM", "MUTE"), "--entry-temperature", 30)
    assert run.exit_code == 0, run.output
    warm = load_result(out / "constant_android-cpu_WARM_1t.json")
    assert warm["entry"]["asked_celsius"] == 30
    assert warm["entry"]["temperature_celsius"] == 29.5  # not the 99 that was cached
    assert warm["entry"]["waited_seconds"] > 0
    assert "WARM: constant.tflite, android x1: cools: 45.0 °C, waits for 30 °C" in run.stderr
    mute = load_result(out / "constant_android-cpu_MUTE_1t.json")
    assert mute["entry"]["temperature_celsius"] is None
    assert any("does not tell its temperature" in warning for warning in mute["warnings"])
    stays = ["--entry-temperature", 30, "--entry-minutes", 0]
    run = measure(shelf, tmp_path / "r2", *phones("HOT", "MUTE"), *stays)
    assert run.exit_code == 1
    assert "HOT is still at 50.0 °C after 0 minutes" in run.output
    assert names(tmp_path / "r2") == ["constant_android-cpu_MUTE_1t.json"]
    assert count(shelf, "HOT", STARTED) == 0


DEVICES = """
[devices.pixel]
targets = ["android"]
device = "A1"
threads = [1, 2]
entry_temperature = 30
cool_down = 0.1
[devices.other]
targets = ["android:gpu"]
device = "B2"
options = {gpu_precision = "fp16"}
[devices.here]
targets = ["cpu"]
"""


def test_a_file_names_the_devices(shelf, tmp_path, monkeypatch):
    shelf("A1", celsius=[25.0])
    shelf("B2", actual="android:gpu")
    file, out = tmp_path / "devices.toml", tmp_path / "r"
    file.write_text(DEVICES)
    monkeypatch.setenv("COLUMNS", "200")  # the table in one piece
    run = measure(shelf, out, "--devices", file)
    assert run.exit_code == 0, run.output
    found = {}
    for path in out.glob("*.json"):
        result = load_result(path)
        found.setdefault(result["target"]["device_name"], []).append(result)
    assert {name: len(results) for name, results in found.items()} == {
        "pixel": 2, "other": 1, "here": 1,
    }  # fmt: skip
    for where in ("android:cpu pixel x1", "android:gpu other x1", "cpu here x1"):
        assert where in run.output
    assert found["other"][0]["target"]["options"] == {"gpu_precision": "fp16"}
    assert found["pixel"][0]["entry"]["temperature_celsius"] == 25.0
    assert "entry" not in found["other"][0]
    run = measure(shelf, tmp_path / "one", "--devices", file, "--device", "here")
    assert run.exit_code == 0, run.output
    assert names(tmp_path / "one") == ["constant_cpu_1t.json"]


def test_the_doctor_looks_at_every_device_of_a_file(shelf, tmp_path):
    shelf("A1", celsius=[25.0])
    file = tmp_path / "devices.toml"
    file.write_text(DEVICES)
    run = CliRunner().invoke(main, ["doctor", "--devices", str(file), "--json"])
    assert run.exit_code == 1
    assert "not ready: Device other: android:gpu" in run.output
    checks = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    pixel = checks["Device pixel: android"]
    assert (pixel["status"], pixel["detail"]) == ("ok", "A1 over adb, with the app; 25.0 °C")
    assert "adb sees A1" in checks["Device other: android:gpu"]["fix"]
    assert checks["Device here: cpu"]["status"] == "ok"
    shelf("B2")
    run = CliRunner().invoke(main, ["doctor", "--devices", str(file)])
    assert run.exit_code == 0, run.output


BAD_FILES = {
    "empty": ("", "got an empty file"),
    "no TOML": ("[devices", "cannot be read"),
    "another key": ('[devices.a]\ntargets = ["cpu"]\nheat = 1\n', "got heat"),
    "no targets": ("[devices.a]\n", 'expected targets = ["android", ...], got None'),
    "no such target": ('[devices.a]\ntargets = ["abacus"]\ndevice = "x"\n', "abacus"),
    "a device of a CPU": ('[devices.a]\ntargets = ["cpu"]\ndevice = "x"\n', "has no devices"),
    "threads": ('[devices.a]\ntargets = ["cpu"]\nthreads = [0]\n', "expected threads"),
    "a text": ('[devices.a]\ntargets = ["cpu"]\ncool_down = "long"\n', "cool_down = a number"),
    "an option": ('[devices.a]\ntargets = ["cpu"]\noptions = {speed = "1"}\n', "speed"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_names_no_devices_is_refused(make_tflite, tmp_path, case):
    content, message = BAD_FILES[case]
    file = tmp_path / "devices.toml"
    file.write_text(content)
    words = ["benchmark", str(make_tflite()), "--devices", str(file), "--out", str(tmp_path / "r")]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 2, run.output
    assert message in run.output
    assert not (tmp_path / "r").exists()


def test_a_device_is_given_to_the_target_that_has_such_names():
    mixed = ["cpu", "android", "android:gpu", "linux", "edgetpu"]
    devices = ["R58", "pi@board", "usb:0", "linux=board"]
    assert devices_of("android:gpu", mixed, devices) == ["R58"]
    assert devices_of("linux", mixed, devices) == ["pi@board", "board"]
    assert devices_of("edgetpu", mixed, devices) == ["usb:0"]
    assert devices_of("linux", ["linux", "cpu"], ["board"]) == ["board"]


def test_a_device_that_nobody_knows_is_refused(make_tflite, tmp_path):
    words = ["--target", "android", "--target", "linux", "--device", "a b"]
    run = CliRunner().invoke(
        main, ["benchmark", str(make_tflite()), *words, "--out", str(tmp_path / "r")]
    )
    assert run.exit_code == 2
    assert "write android=a b or linux=a b" in run.output


def test_ctrl_c_ends_everything_and_leaves_what_was_finished(shelf, tmp_path):
    shelf("QUICK")
    shelf("SLOW", slow=True)
    out = tmp_path / "r"
    words = ["benchmark", str(shelf.model), *QUICK, *phones("QUICK", "SLOW"), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "asmnet_kit", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "ADB": os.environ["ADB"]},
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while not (names(out) and count(shelf, "SLOW", STARTED)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert f"interrupted: 1 of 2 results are complete, in {out}" in said
    assert names(out) == ["constant_android-cpu_QUICK_1t.json"]
    load_result(out / names(out)[0])
    assert list(Path(out).iterdir()) == [out / names(out)[0]]
    assert count(shelf, "SLOW", "force-stop") == 1 and count(shelf, "SLOW", "rm") >= 1
    assert [one for one in family if one.is_running() and one.status() != "zombie"] == []
