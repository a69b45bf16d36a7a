"""Phones and boards, played by scripts that speak adb's and ssh's part of the conversation."""

import base64
import gzip
import json
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.benchmarks.protocol import RemoteError, Request
from asmnet_kit.benchmarks.runner import benchmark_model, model_facts, patience
from asmnet_kit.benchmarks.targets import android
from asmnet_kit.benchmarks.targets import phone as phone_module
from asmnet_kit.benchmarks.targets.android import ANDROID
from asmnet_kit.benchmarks.targets.linux import Board
from asmnet_kit.benchmarks.targets.phone import Phone, parse_devices
from asmnet_kit.benchmarks.targets.registry import TARGETS, load_target
from asmnet_kit.benchmarks.targets.remote import checked_result, tail
from asmnet_kit.cli import main
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.results.results import fell_back, load_result
from asmnet_kit.shipping.shipped import find_model
from asmnet_kit.tflite.runtime import open_runtime
from asmnet_kit.tflite.tensorfile import pack_tensors, read_tensors, write_tensors
from wording import EXPECTED_BOARD

QUICK = ["--warmup", "1", "--runs", "3", "--seconds", "0"]

# Keeps the phone's files in a folder and plays the app: `am start` writes what app.json holds, and
# runs the model over the inputs that it is given.
ADB = """#!{python}
import json, os, re, shlex, sys
from pathlib import Path

def run_inputs(model, inputs, outputs):
    import numpy as np
    from asmnet_kit.tflite.runtime import open_runtime
    from asmnet_kit.tflite.tensorfile import read_tensors, write_tensors
    session = open_runtime(Path(model))
    done = [session.run({{"image": image}}) for image in read_tensors(Path(inputs))["image"]]
    write_tensors(Path(outputs), {{k: np.stack([one[k] for one in done]) for k in done[0]}})

root = {root!r}
log = open(root + "/calls.log", "a"); log.write(json.dumps(sys.argv[1:]) + "\\n"); log.close()
words = sys.argv[1:]
if words == ["devices"]:
    sys.stdout.buffer.write(open(root + "/devices.txt", "rb").read()); sys.exit(0)
assert words[0] == "-s"
serial, verb, rest = words[1], words[2], words[3:]
phone = root + "/phone-" + serial
real = lambda path: phone + path
if verb == "push":
    assert rest[1].startswith("/data/local/tmp/"), "remote fchown failed: Operation not permitted"
    os.umask(0o077)  # as some phones do: only chmod lets the app in
    open(real(rest[1]), "wb").write(open(rest[0], "rb").read())
elif verb == "exec-out":
    try:
        sys.stdout.buffer.write(open(real(rest[1]), "rb").read())
    except OSError:
        print("cat: " + rest[1] + ": No such file or directory")
elif rest[:2] == ["pm", "path"]:
    if not os.path.exists(root + "/no-app"):
        print("package:/data/app/base.apk")
else:
    command = shlex.split(rest[0])
    if command[0] == "mkdir":
        assert command[2].startswith("/data/local/tmp/"), "adb may not write to " + command[2]
        os.makedirs(real(command[2]), exist_ok=True)
    elif command[0] == "chmod":
        if os.path.exists(root + "/no-chmod"):
            sys.exit("chmod: Operation not permitted")
        for path in command[2:]:
            os.chmod(real(path), int(command[1], 8))
    elif command[0] == "sleep":
        line = re.sub("/sdcard/", phone + "/sdcard/", rest[0])
        os.execv("/bin/sh", ["sh", "-c", line])
    elif command[0] == "logcat":
        try:
            print(open(root + "/log.txt").read())
        except OSError:
            pass
    elif command[0] == "rm":
        for path in command[2:]:
            if os.path.exists(real(path)):
                os.remove(real(path))
    elif command[0] == "am":
        extras = dict(zip(command[7::3], command[8::3]))
        said = json.load(open(root + "/app.json"))
        text = said["text"].replace("RUN_ID", extras["run_id"])
        pushed = real("/data/local/tmp/asmnet-kit/")
        for name in [extras["model"], extras.get("inputs")]:  # what the app, another user, can read
            assert name is None or os.stat(pushed + name).st_mode & 0o004, name
        assert os.stat(pushed).st_mode & 0o005 == 0o005
        folder = real("/sdcard/Android/data/org.asmnetkit.demo/files/benchmarks/")
        os.makedirs(folder, exist_ok=True)  # the app's own, made by the app
        outputs = folder + extras["run_id"] + ".tensors"
        if "inputs" in extras and said["outputs"] is None:
            run_inputs(pushed + extras["model"], pushed + extras["inputs"], outputs)
        elif "inputs" in extras and said["outputs"]:
            open(outputs, "w").write(said["outputs"])
        if said.get("log"):
            import base64, gzip
            packed = base64.b64encode(gzip.compress(text.encode())).decode()
            pieces = [packed[i : i + 300] for i in range(0, len(packed), 300)]
            log = open(root + "/log.txt", "w")
            for number, piece in reversed(list(enumerate(pieces, 1))):
                print("01-01 I asmnet-kit:", extras["run_id"], "result", end=" ", file=log)
                print(str(number) + "/" + str(len(pieces)), piece, file=log)
                print("01-01 I asmnet-kit: other", file=log)
            log.close()
        if said["name"]:
            open(folder + said["name"].replace("RUN_ID", extras["run_id"]), "w").write(text)
        print(said["am"])
"""


@pytest.fixture
def phone(tmp_path, monkeypatch, make_result, make_tflite):
    """A scripted adb with one phone; returns a function that says what its app answers."""
    root = tmp_path / "adb-root"
    root.mkdir()
    program = tmp_path / "adb"
    program.write_text(ADB.format(python=sys.executable, root=str(root)))
    program.chmod(0o755)
    monkeypatch.setenv("ADB", str(program))
    monkeypatch.setattr(android, "START_S", 3.0)
    monkeypatch.setattr(android, "WAIT_S", 1.0)
    own_model = make_tflite(int8=True)

    def answer(
        *, model=own_model, actual="android:cpu", delegate="cpu", name="RUN_ID.json", text=None,
        outputs=None, am="Status: ok", devices="List of devices attached\nR58\tdevice\n\n",
        **changes,
    ):  # fmt: skip
        result = make_result() | {"run_id": "RUN_ID"} | changes
        result["model"] = model_facts(model) | changes.get("facts", {})
        result["target"] |= {
            "requested": f"android:{delegate}",
            "actual": actual,
            "proof": ["the interpreter was made with: GPU"],
        }
        result["machine"] = {"cpu": "A phone's", "architecture": "arm64"}
        (root / "devices.txt").write_text(devices)
        said = {"name": name, "text": json.dumps(result) if text is None else text, "am": am}
        said["outputs"] = outputs  # of the app; None: what the model gives
        (root / "app.json").write_text(json.dumps(said))
        return model

    answer.root = root
    return answer


@pytest.fixture
def shipped_model():
    """A trained int8 model, whose landmarks depend on every pixel."""
    return find_model(Path("asmnet_nano_68_80_qat_w8a8"))


@pytest.fixture
def noisy_faces(make_pts_faces):
    """Three annotated pictures of noise: --data and its format."""
    folder = make_pts_faces()
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        noise = np.random.default_rng(number).integers(0, 256, (100, 120, 3), np.uint8)
        cv2.imwrite(str(path), noise)
    return ["--data", str(folder), "--format", "300w"]


def _invoke(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def _assert_measured_as_here(result, model, data):
    """The result's accuracy is that of ``evaluate`` on the same faces, to the last bit."""
    run = _invoke("evaluate", model, *data, "--json")
    assert run.exit_code == 0, run.output
    here, there = json.loads(run.stdout), result["accuracy"]
    for key in ("nme_percent", "pose_mae_deg", "faces", "auc", "failure_rate_percent"):
        assert there[key] == here[key], key
    assert there["pose_mae_deg"] is not None
    parity = result["parity"]
    assert (parity["max"], parity["identical"], parity["inputs"]) == (0, True, 3)
    assert "CPU of the machine that asked" in parity["reference"]


def _start_of(phone):
    """The one command that started the app."""
    calls = [json.loads(line) for line in (phone.root / "calls.log").read_text().splitlines()]
    (start,) = [call[3] for call in calls if call[2:3] == ["shell"] and "am start" in call[3]]
    return start


def _request(model, **options):
    return Request(model, target="android", warmup_runs=1, runs=3, min_seconds=0.0,
                   max_seconds=1.0, **options)  # fmt: skip


def test_a_phones_result_comes_back_with_its_machine_and_proof(phone, tmp_path):
    model = phone(actual="android:gpu", delegate="gpu")
    run = CliRunner().invoke(
        main,
        ["benchmark", str(model), "--target", "android:gpu", *QUICK, "--out", str(tmp_path / "r")],
    )
    assert run.exit_code == 0, run.output
    (path,) = (tmp_path / "r").iterdir()
    result = load_result(path)
    assert path.name == "constant_android-gpu_R58_1t.json"
    assert result["target"]["actual"] == "android:gpu"
    assert result["target"]["device"] == "R58"
    assert "over adb" in result["target"]["proof"][0]
    assert result["machine"]["cpu"] == "A phone's"
    start = _start_of(phone)
    assert "-n org.asmnetkit.demo/.BenchmarkActivity" in start
    assert "--es delegate gpu --ei threads 1 --ei warmup 1 --ei runs 3 --ef seconds 0" in start
    assert "--ef max_seconds 300" in start
    left = [p for p in phone.root.glob("phone-R58/**/*") if p.is_file()]
    assert left == []  # nothing stays on the phone


TWO_LOOKS = """
scheme = "68"
[input]
size = 112
colour = "RGB"
mean = 128
scale = 128
[crop]
scale = 1.1
passes = 2
[output]
name = "landmarks"
points = 68
unit = "side"
origin = "centre"
"""


def test_an_adapter_that_looks_twice_looks_as_often_on_a_phone_as_here(phone, tmp_path):
    model = find_model(Path("asmnet_plus_people_fp16"))
    adapter = tmp_path / "two_looks.toml"
    adapter.write_text(TWO_LOOKS)
    write_faces(tmp_path / "faces", DRAWN, count=6, seed=3, size=128)
    data = ("--data", tmp_path / "faces" / "train", "--format", "synthetic", "--adapter", adapter,
            "--boxes", "detector")  # fmt: skip
    phone(model=model, actual="android:gpu", delegate="gpu")
    run = _invoke("benchmark", model, "--target", "android:gpu", *QUICK, *data,
                  "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 0, run.output
    there = load_result(next((tmp_path / "r").iterdir()))["accuracy"]
    here = json.loads(_invoke("evaluate", model, *data, "--json").stdout)
    assert here["faces"] > 0
    for key in ("looks", "nme_percent", "faces", "faces_missed"):
        assert there[key] == here[key], key
    assert there["looks"] == 2


def test_data_is_measured_through_the_phones_own_backend(
    phone, shipped_model, noisy_faces, tmp_path
):
    phone(model=shipped_model, actual="android:gpu", delegate="gpu")
    run = _invoke("benchmark", shipped_model, "--target", "android:gpu", *QUICK, *noisy_faces,
                  "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 0, run.output
    result = load_result(next((tmp_path / "r").iterdir()))
    _assert_measured_as_here(result, shipped_model, noisy_faces)
    assert result["accuracy"]["measured_with"]["target"] == "android:gpu"
    assert any("suspicious for an accelerator" in warning for warning in result["warnings"])
    calls = [json.loads(line) for line in (phone.root / "calls.log").read_text().splitlines()]
    starts = [call[3] for call in calls if call[2:3] == ["shell"] and "am start" in call[3]]
    assert ["--es inputs kit-" in start for start in starts] == [False, True]
    assert [p for p in phone.root.glob("phone-R58/**/*") if p.is_file()] == []


BAD_OUTPUTS = {
    "an old app": ("", "takes no inputs"),
    "cut off": (
        pack_tensors({"landmarks": np.zeros((3, 1, 136), "<i1")}).decode()[:-5],
        "cut off on its way",
    ),
    "no header": ('{"a": 1}', "expected a file of tensors"),
    "of another model": (
        pack_tensors({"landmarks": np.zeros((3, 1, 8), "<i1")}).decode(),
        "expected the outputs",
    ),
}


@pytest.mark.parametrize("case", BAD_OUTPUTS)
def test_outputs_that_are_not_the_models_are_one_clear_error(phone, noisy_faces, tmp_path, case):
    outputs, message = BAD_OUTPUTS[case]
    run = _invoke("benchmark", phone(outputs=outputs), "--target", "android", *QUICK, *noisy_faces,
                  "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 1
    assert message in run.output
    result = load_result(next((tmp_path / "r").iterdir()))  # the times were measured all the same
    assert result["accuracy"] is None
    assert any("accuracy not measured" in warning for warning in result["warnings"])


def test_calls_add_up_to_one_parity(phone, shipped_model):
    phone(model=shipped_model)
    predictor = load_target("android").predictor(Request(shipped_model, target="android"))
    crops = np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), np.uint8)
    here = TflitePredictor(shipped_model).predict(crops)
    parts = [predictor.predict(crops[:2]).landmarks, predictor.predict(crops[2:]).landmarks]
    assert np.array_equal(np.concatenate(parts), here.landmarks)
    assert predictor.parity()["inputs"] == 3


def test_accuracy_of_a_phone_that_falls_back_is_not_the_accelerators(phone, tmp_path):
    model = phone(actual="android:cpu", delegate="gpu")
    predictor = load_target("android:gpu").predictor(Request(model, target="android:gpu"))
    with pytest.raises(KitError, match="android:gpu was asked for, android:cpu ran the model"):
        predictor.predict(np.zeros((1, 32, 32, 3), np.uint8))


def test_a_phone_that_falls_back_to_its_cpu_fails_the_command(phone, tmp_path):
    model = phone(actual="android:cpu", delegate="gpu")
    run = CliRunner().invoke(
        main,
        ["benchmark", str(model), "--target", "android:gpu", *QUICK, "--out", str(tmp_path / "r")],
    )
    assert run.exit_code == 1
    assert "android:gpu was asked for, android:cpu ran the model" in run.output
    assert not (tmp_path / "r").exists()


def test_several_phones_are_measured_each(phone, tmp_path):
    model = phone(devices="List of devices attached\nA1\tdevice\nB2\tdevice\n")
    devices = ["--device", "A1", "--device", "B2"]
    arguments = ["benchmark", str(model), "--target", "android", *devices, *QUICK]
    run = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "r")])
    assert run.exit_code == 0, run.output
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "constant_android-cpu_A1_1t.json",
        "constant_android-cpu_B2_1t.json",
    ]


BAD_PHONES = {
    "none": ({"devices": "List of devices attached\n\n"}, "adb sees no phone"),
    "two": ({"devices": "A\tdevice\nB\tdevice\n"}, "choose with --device one or more of A, B"),
    "unauthorized": ({"devices": "A\tunauthorized\n"}, "allow USB debugging"),
    "an error": (
        {"name": "RUN_ID.error.json", "text": '{"error": "no GPU here"}'},
        "the app failed.*no GPU here",
    ),
    "no result": ({"name": ""}, "no result within"),
    "half a result": ({"text": '{"kind": "benchmark", '}, "expected a benchmark result"),
    "another kind": ({"text": "{}"}, "expected a benchmark result"),
    "another model": ({"facts": {"sha256": "0" * 64}}, "another model"),
    "another run": ({"run_id": "other"}, "another run"),
    "no activity": ({"am": "Error: Activity class does not exist."}, "did not start"),
}


@pytest.mark.parametrize("case", BAD_PHONES)
def test_whatever_a_phone_answers_is_one_clear_error(phone, case):
    changes, message = BAD_PHONES[case]
    model = phone(**changes)
    with pytest.raises(KitError, match=message):
        ANDROID.measure(_request(model), lambda *_: None)


def test_a_phone_is_asked_for_the_result_by_one_waiting_command(phone):
    """Every command of adb starts programs on the phone, beside the runs that are timed."""
    model = phone()
    ANDROID.measure(replace(_request(model), min_seconds=1.0, max_seconds=2.0), lambda *_: None)
    calls = [json.loads(line) for line in (phone.root / "calls.log").read_text().splitlines()]
    (started,) = [i for i, call in enumerate(calls) if "am start" in str(call[3:4])]
    waited, read = calls[started + 1], calls[started + 2]
    assert waited[3].startswith("sleep 1; ") and "until [ -e " in waited[3]
    assert read[2:4] == ["exec-out", "cat"]
    assert "KEYCODE_WAKEUP" in calls[started - 1][3]


def test_a_phone_that_writes_nothing_has_its_apps_last_words_told(phone):
    model = phone(name="")
    (phone.root / "log.txt").write_text("other\n")
    with pytest.raises(RemoteError, match=r"logcat -s asmnet-kit$"):
        ANDROID.measure(_request(model), lambda *_: None)


def test_a_phone_that_keeps_the_apps_files_from_adb_gives_the_result_by_its_log(phone):
    """As LogFrames.kt writes it, between lines of others and not in order."""
    model = phone(name="")
    said = json.loads((phone.root / "app.json").read_text())
    (phone.root / "app.json").write_text(json.dumps(said | {"log": True}))
    measured = ANDROID.measure(_request(model), lambda *_: None)
    sent = json.loads(said["text"])
    assert measured.timings_ms["invoke"] == sent["timings_ms"]["invoke"]


@pytest.mark.parametrize("lost", ["a piece", "a character", "the end"])
def test_a_result_in_a_log_is_taken_whole_or_not_at_all(lost):
    packed = base64.b64encode(gzip.compress(os.urandom(400), mtime=0)).decode()
    pieces = [packed[i : i + 100] for i in range(0, len(packed), 100)]
    lines = [f"I asmnet-kit: a1 result {n}/{len(pieces)} {p}" for n, p in enumerate(pieces, 1)]
    assert android.unframed("\n".join(reversed(lines)), "a1") is not None
    assert android.unframed("\n".join(lines), "a2") is None
    if lost == "a piece":
        del lines[1]
    elif lost == "a character":
        lines[0] = lines[0][:-1]
    else:
        lines[-1] = lines[-1][:-8]
    assert android.unframed("\n".join(lines), "a1") is None


def test_a_phone_that_refuses_a_command_is_told_with_what_to_try(phone):
    model = phone()
    (phone.root / "no-chmod").write_text("")
    with pytest.raises(RemoteError, match="not permitted; try: adb -s R58 shell chmod 755 /data/"):
        ANDROID.measure(_request(model), lambda *_: None)


def test_a_measurement_longer_than_the_app_takes_is_refused(phone):
    model = phone()
    with pytest.raises(UsageError, match="--max-seconds of at most 3600"):
        ANDROID.measure(replace(_request(model), max_seconds=3601.0), lambda *_: None)


def test_a_phone_without_the_app_gets_told_how_to_install_it(phone):
    model = phone()
    (phone.root / "no-app").write_text("")
    with pytest.raises(RemoteError, match=r"not installed.*make android"):
        ANDROID.measure(_request(model), lambda *_: None)


REFUSED = {
    "sustained": ({"sustained_minutes": 1.0}, "--sustained: leave it out$"),
    "profile": ({"profile": True}, "--profile: leave it out$"),
    "single-stream": ({"mode": "single-stream"}, "--single-stream: leave it out$"),
    "builtin": ({"xnnpack": False}, "--no-xnnpack: leave it out; --benchmark-model PATH takes"),
    "both": ({"profile": True, "sustained_minutes": 1.0}, "--sustained, --profile: leave them out"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_app_has_no_way_to_do_is_refused_before_the_phone_is_asked(phone, case):
    changes, message = REFUSED[case]
    with pytest.raises(UsageError, match=f"the app on the phone has no {message}"):
        ANDROID.measure(_request(phone(), **changes), lambda *_: None)
    assert not (phone.root / "calls.log").exists()


def test_the_app_is_told_what_its_gpu_may_calculate_in(phone, tmp_path):
    model = phone(actual="android:gpu", delegate="gpu")
    run = _invoke("benchmark", model, "--target", "android:gpu", *QUICK, "--gpu-precision", "fp16",
                  "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "--es gpu_precision fp16" in _start_of(phone)
    assert "--gpu-precision fp16" in load_result(next((tmp_path / "r").iterdir()))["command"]


def test_every_line_of_adb_about_a_phone_is_kept():
    text = (
        "* daemon started successfully\nList of devices attached\n-x\tdevice\nA:5555\toffline\n"
        "(no serial number)\tdevice\nadb-R58._adb-tls-connect._tcp    device\n"
    )
    assert parse_devices(text) == {
        "-x": "device",
        "A:5555": "offline",
        "(no serial number)": "device",
        "adb-R58._adb-tls-connect._tcp": "device",
    }
    generator = random.Random(0)
    for _ in range(500):
        parse_devices("".join(chr(generator.randrange(1, 300)) for _ in range(80)))


def test_flipped_bits_in_the_list_of_phones_find_a_phone_or_a_reason(phone):
    generator = random.Random(0)
    listed = b"List of devices attached\nR58\tdevice\n\n"
    phone()
    for _ in range(40):
        damaged = bytearray(listed)
        for _ in range(generator.randrange(1, 6)):
            damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        (phone.root / "devices.txt").write_bytes(damaged)
        try:
            found = Phone.choose("").serial
        except KitError:
            continue
        assert found in parse_devices(damaged.decode(errors="replace"))


def test_damaged_results_from_afar_are_errors(make_result):
    content = json.dumps(make_result()).encode()
    sha256 = make_result()["model"]["sha256"]
    generator = random.Random(0)
    assert checked_result(content, sha256=sha256, where="x")
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(generator.randrange(1, 5)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        if generator.random() < 0.3:
            del damaged[generator.randrange(len(damaged)) :]
        try:
            checked_result(bytes(damaged), sha256=sha256, where="x")
        except KitError:
            continue


# Runs the command here, as the board would; the board's asmnet-kit is this one.
SSH = """#!/bin/sh
while [ "$1" = -o ]; do shift 2; done
host=$1
[ "$host" = root@down ] && {{ echo "ssh: connect to host down port 22: refused" >&2; exit 255; }}
PATH={folder}:/usr/bin:/bin
export PATH
exec /bin/sh -c "$2"
"""


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A scripted ssh and, unless told not to, an asmnet-kit on the board's path."""
    folder = tmp_path / "board-bin"
    folder.mkdir()
    program = tmp_path / "ssh"
    program.write_text(SSH.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv("ASMNET_KIT_SSH", str(program))

    def install(body=f'exec {sys.executable} -m asmnet_kit "$@"'):
        kit = folder / "asmnet-kit"
        kit.write_text(f"#!/bin/sh\n{body}\n")
        kit.chmod(0o755)

    return install


def test_a_boards_result_is_its_own_kits(board, make_tflite, tmp_path):
    board()
    device = ["--device", "pi@board"]
    run = CliRunner().invoke(
        main,
        ["benchmark", str(make_tflite()), "--target", "linux", *device, *QUICK,
         "--out", str(tmp_path / "r")],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    result = load_result(tmp_path / "r" / "constant_linux-cpu_pi-board_1t.json")
    assert result["target"]["actual"] == "linux:cpu"
    assert "on pi@board" in result["target"]["proof"][0]
    assert result["protocol"]["runs"] == 3


def test_data_is_measured_on_the_board(board, shipped_model, noisy_faces, tmp_path):
    board()
    run = _invoke("benchmark", shipped_model, "--target", "linux", "--device", "pi@board", *QUICK,
                  *noisy_faces, "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 0, run.output
    (path,) = (tmp_path / "r").iterdir()
    result = load_result(path)
    _assert_measured_as_here(result, shipped_model, noisy_faces)
    assert (
        result["protocol"]["runs"] == 3
    )  # the times are of the measurement, not of the crops' run
    assert "--data" in result["command"] and "--inputs" not in result["command"]


def test_inputs_of_ones_own_run_on_a_board(board, make_tflite, tmp_path):
    board()
    inputs, outputs = tmp_path / "in", tmp_path / "new"
    images = np.random.default_rng(0).integers(-128, 127, (2, 1, 32, 32, 3), np.int8)
    write_tensors(inputs, {"image": images})
    model = make_tflite(int8=True)
    files = ["--inputs", inputs, "--outputs", outputs]
    run = _invoke("benchmark", model, "--target", "linux", "--device", "pi@board", *QUICK, *files,
                  "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 0, run.output
    session = open_runtime(model)
    assert np.array_equal(
        read_tensors(outputs)["pose"], [session.run({"image": image})["pose"] for image in images]
    )


@pytest.mark.parametrize(
    ("target", "changes", "there", "not_there"),
    [
        (
            "linux:edgetpu",
            {"options": {"edgetpu_compiler": "/opt/c", "edgetpu_library": "l.so"}},
            "--edgetpu-compiler /opt/c --edgetpu-library l.so",
            "--runtime",
        ),
        (
            "linux",
            {"options": {"runtime": "tflite-runtime"}},
            "--target cpu --threads 1 --warmup 20 --runs 200 --seconds 2 --runtime tflite-runtime",
            "--device",
        ),
        ("linux:gpu", {"options": {"gpu_precision": "fp16"}}, "--gpu-precision fp16", "--single"),
        # The board's own kit refuses threads for these two.
        ("linux:gpu", {"threads": 2}, "--target gpu --warmup 20", "--threads"),
        ("linux:edgetpu", {"threads": 2}, "--target edgetpu --warmup 20", "--threads"),
        ("linux", {"threads": 2}, "--target cpu --threads 2", "--single"),
        (
            "linux",
            {"mode": "single-stream", "runs": 1024, "min_seconds": 60.0},
            "--warmup 20 --single-stream",
            "--runs",
        ),
        ("linux", {}, "--runs 200 --seconds 2", "--gpu-precision"),
    ],
)
def test_a_board_gets_the_options_that_the_user_gave(
    board, make_tflite, tmp_path, target, changes, there, not_there
):
    said = tmp_path / "said"
    board(f'echo "$@" > {said}; exit 1')
    request = Request(make_tflite(), target=target, device="pi@board", **changes)
    with pytest.raises(RemoteError):
        load_target(target).measure(request, lambda *_: None)
    assert there in said.read_text()
    assert not_there not in said.read_text()


# Keeps the board's copy of the compiled model, and what it was asked.
KEEP_COMPILED = """
for word in "$@"; do [ "$last" = --edgetpu-model ] && cp "$word" {kept}; last=$word; done
echo "$@" > {said}; exit 1"""


@pytest.mark.parametrize("by", ["--edgetpu-model", "this machine's compiler"])
def test_a_board_gets_the_model_compiled(board, edgetpu_pair, tmp_path, monkeypatch, by):
    """Boards are Arm, where Google's compiler does not run."""
    model, compiled = edgetpu_pair
    kept, said = tmp_path / "kept", tmp_path / "said"
    board(KEEP_COMPILED.format(kept=kept, said=said))
    options = {"edgetpu_model": str(compiled)}
    if by != "--edgetpu-model":
        options = {}
        program = tmp_path / "edgetpu_compiler"
        program.write_text(
            "#!/bin/sh\necho Edge TPU Compiler version 16.0.1\necho Model compiled successfully in "
            f"1 ms.\ncp {compiled} $3/$(basename $4 .tflite)_edgetpu.tflite\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("EDGETPU_COMPILER", str(program))
    request = Request(model, target="linux:edgetpu", device="pi@board", options=options)
    with pytest.raises(RemoteError, match="ended with 1"):
        load_target("linux:edgetpu").measure(request, lambda *_: None)
    assert kept.read_bytes() == compiled.read_bytes()
    words = said.read_text().split()
    assert words[1].endswith(f"/{model.name}")  # the model itself went over, too
    assert words[words.index("--edgetpu-model") + 1].startswith("/tmp/asmnet-kit.")


def test_a_board_compiles_itself_where_it_is_told_to(board, edgetpu_pair, tmp_path):
    said = tmp_path / "said"
    board(f'echo "$@" > {said}; exit 1')
    options = {"edgetpu_compiler": "/opt/c"}
    request = Request(edgetpu_pair[0], target="linux:edgetpu", device="pi@board", options=options)
    with pytest.raises(RemoteError):
        load_target("linux:edgetpu").measure(request, lambda *_: None)
    assert "--edgetpu-compiler /opt/c" in said.read_text()
    assert "--edgetpu-model" not in said.read_text()


def test_what_another_machine_says_cannot_steer_the_terminal():
    assert tail(b"\x1b[2Jgone\nand \xff\x00", "here") == "\ufffd[2Jgone and \ufffd\ufffd here"
    assert tail(b" \n") == "nothing"


def test_a_board_that_fails_is_one_clear_error(board, make_tflite):
    def request(host):
        return Request(make_tflite(), target="linux", device=host, runs=3, min_seconds=0.0)

    def measure(host):
        return benchmark_model(request(host), on_progress=lambda *_: None)

    with pytest.raises(KitError, match=r"no connection.*refused"):
        measure("root@down")
    with pytest.raises(KitError, match=r"pip wheel \. --no-deps.*sudo ln -s"):
        measure("pi@board")
    ssh = Path(os.environ["ASMNET_KIT_SSH"])
    quiet = ssh.read_text()
    ssh.write_text(quiet.replace("PATH=", "echo Welcome to the board\nPATH=", 1))
    words = r"its login scripts print to stdout \('Welcome to the board /tmp/asmnet-kit\..*case \$-"
    with pytest.raises(KitError, match=words):
        measure("pi@board")
    ssh.write_text(quiet)
    board("echo Error: 1 of 1 measurements failed; exit 1")
    with pytest.raises(KitError, match=r"ended with 1.*measurements failed"):
        measure("pi@board")
    with pytest.raises(UsageError, match=f"expected {EXPECTED_BOARD}"):
        Board.of("-oProxyCommand=evil")


def test_without_a_board_the_target_asks_for_one(make_tflite, tmp_path):
    run = CliRunner().invoke(
        main, ["benchmark", str(make_tflite()), "--target", "linux", "--out", str(tmp_path / "r")]
    )
    assert run.exit_code == 2
    assert EXPECTED_BOARD in run.output


def test_fallback_is_seen_on_this_machine_and_on_others():
    def fell(requested, actual, **told):
        return fell_back({"requested": requested, "actual": actual, **told})

    assert fell("gpu", "cpu")
    assert fell("android:nnapi", "android:cpu")
    assert not fell("android", "android:cpu")
    assert not fell("linux", "linux:cpu")
    assert not fell("linux:cpu", "linux:cpu")
    assert not fell("gpu", "software GPU")
    # A result that says what was asked for needs no reading of names.
    assert fell("mychip", "cpu", accelerator=True)
    assert not fell("mychip", "cpu", accelerator=False)


def test_targets_that_tell_no_progress_get_more_patience(make_tflite):
    model = make_tflite()
    assert patience(Request(model)) < patience(Request(model, target="edgetpu"))
    assert patience(Request(model, target="linux", max_seconds=999)) > 999
    assert {"android:gpu", "linux", "gpu", "edgetpu"} <= set(TARGETS.names())


@pytest.mark.parametrize("target", ["android", "android:gpu"])
def test_a_phone_gets_as_long_as_adb_may_take_to_copy(make_tflite, tmp_path, target):
    request = Request(make_tflite(), target=target)
    copied = phone_module.PUSH_TIMEOUT_S + phone_module.COMMAND_TIMEOUT_S  # and the app started
    assert patience(request) > copied
    given = replace(request, inputs=tmp_path / "in", outputs=tmp_path / "out")
    assert patience(given) > patience(request) + phone_module.PUSH_TIMEOUT_S
