"""Phones and boards, played by scripts that speak adb's and ssh's part of the conversation."""

import json
import random
import sys

import pytest
from click.testing import CliRunner

from asmnet_kit.benchmarks.runner import benchmark_model, fell_back, model_facts, patience
from asmnet_kit.benchmarks.targets import android
from asmnet_kit.benchmarks.targets.android import ANDROID, parse_devices
from asmnet_kit.benchmarks.targets.linux import Board
from asmnet_kit.benchmarks.targets.protocol import Request, load_target, target_names
from asmnet_kit.benchmarks.targets.remote import RemoteError, checked_result
from asmnet_kit.cli import main
from asmnet_kit.errors import KitError, UsageError
from asmnet_kit.results import load_result

QUICK = ["--warmup", "1", "--runs", "3", "--seconds", "0"]

# Keeps the phone's files in a folder and plays the app: `am start` writes what app.json holds.
ADB = """#!{python}
import json, os, re, shlex, sys
root = {root!r}
log = open(root + "/calls.log", "a"); log.write(json.dumps(sys.argv[1:]) + "\\n"); log.close()
words = sys.argv[1:]
if words == ["devices"]:
    sys.stdout.write(open(root + "/devices.txt").read()); sys.exit(0)
assert words[0] == "-s"
serial, verb, rest = words[1], words[2], words[3:]
phone = root + "/phone-" + serial
real = lambda path: phone + path
if verb == "push":
    open(real(rest[1]), "wb").write(open(rest[0], "rb").read())
elif verb == "exec-out":
    try:
        sys.stdout.write(open(real(rest[1])).read())
    except OSError:
        print("cat: " + rest[1] + ": No such file or directory")
elif rest[:2] == ["pm", "path"]:
    if not os.path.exists(root + "/no-app"):
        print("package:/data/app/base.apk")
else:
    command = shlex.split(rest[0])
    if command[0] == "mkdir":
        os.makedirs(real(command[2]), exist_ok=True)
        os.makedirs(real(command[2].replace("/models", "/benchmarks")), exist_ok=True)
    elif command[0] == "rm":
        for path in command[2:]:
            if os.path.exists(real(path)):
                os.remove(real(path))
    elif command[0] == "am":
        extras = dict(zip(command[7::3], command[8::3]))
        said = json.load(open(root + "/app.json"))
        text = said["text"].replace("RUN_ID", extras["run_id"])
        folder = real("/sdcard/Android/data/org.asmnetkit.demo/files/benchmarks/")
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
    monkeypatch.setattr(android, "POLL_S", 0.05)
    model = make_tflite(int8=True)

    def answer(
        *, actual="android:cpu", delegate="cpu", name="RUN_ID.json", text=None, am="Status: ok",
        devices="List of devices attached\nR58\tdevice\n\n", **changes,
    ):  # fmt: skip
        result = make_result() | {"run_id": "RUN_ID"} | changes
        result["model"] = model_facts(model) | changes.get("model", {})
        result["target"] |= {
            "requested": f"android:{delegate}",
            "actual": actual,
            "proof": ["the interpreter was made with: GPU"],
        }
        result["machine"] = {"cpu": "A phone's", "architecture": "arm64"}
        (root / "devices.txt").write_text(devices)
        said = {"name": name, "text": json.dumps(result) if text is None else text, "am": am}
        (root / "app.json").write_text(json.dumps(said))
        return model

    answer.root = root
    return answer


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
    calls = [json.loads(line) for line in (phone.root / "calls.log").read_text().splitlines()]
    (start,) = [call[3] for call in calls if call[2:3] == ["shell"] and "am start" in call[3]]
    assert "-n org.asmnetkit.demo/.BenchmarkActivity" in start
    assert "--es delegate gpu --ei threads 1 --ei warmup 1 --ei runs 3 --ef seconds 0" in start
    left = [p for p in phone.root.glob("phone-R58/**/*") if p.is_file()]
    assert left == []  # nothing stays on the phone


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
    "another model": ({"model": {"sha256": "0" * 64}}, "another model"),
    "another run": ({"run_id": "other"}, "another run"),
    "no activity": ({"am": "Error: Activity class does not exist."}, "did not start"),
}


@pytest.mark.parametrize("case", BAD_PHONES)
def test_whatever_a_phone_answers_is_one_clear_error(phone, case):
    changes, message = BAD_PHONES[case]
    model = phone(**changes)
    with pytest.raises(KitError, match=message):
        ANDROID.measure(_request(model), lambda *_: None)


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


def test_the_gpus_precision_is_not_the_apps_to_choose(phone, tmp_path):
    words = ["benchmark", str(phone()), *QUICK, "--gpu-precision", "fp32", "--out", str(tmp_path)]
    run = CliRunner().invoke(main, [*words, "--target", "android:gpu"])
    assert run.exit_code == 2
    assert "the app on the phone has no --gpu-precision" in run.output
    assert not (phone.root / "calls.log").exists()


def test_strange_lines_of_adb_are_left_out():
    text = "* daemon started successfully\nList of devices attached\n-x\tdevice\nA:5555\toffline\n"
    assert parse_devices(text) == {"A:5555": "offline"}
    generator = random.Random(0)
    for _ in range(500):
        parse_devices("".join(chr(generator.randrange(1, 300)) for _ in range(80)))


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


@pytest.mark.parametrize(
    ("target", "changes", "there", "not_there"),
    [
        ("linux:gpu", {"options": {"gpu_precision": "fp16"}}, "--gpu-precision fp16", "--single"),
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


def test_a_board_that_fails_is_one_clear_error(board, make_tflite):
    def request(host):
        return Request(make_tflite(), target="linux", device=host, runs=3, min_seconds=0.0)

    def measure(host):
        return benchmark_model(request(host), on_progress=lambda *_: None)

    with pytest.raises(KitError, match=r"no connection.*refused"):
        measure("root@down")
    with pytest.raises(KitError, match="pip install asmnet-kit"):
        measure("pi@board")
    board("echo Error: 1 of 1 measurements failed; exit 1")
    with pytest.raises(KitError, match=r"ended with 1.*measurements failed"):
        measure("pi@board")
    with pytest.raises(UsageError, match="expected --device user@host"):
        Board.of("-oProxyCommand=evil")


def test_without_a_board_the_target_asks_for_one(make_tflite, tmp_path):
    run = CliRunner().invoke(
        main, ["benchmark", str(make_tflite()), "--target", "linux", "--out", str(tmp_path / "r")]
    )
    assert run.exit_code == 1
    assert "--device user@host" in run.output or "openssh-client" in run.output


def test_fallback_is_seen_on_this_machine_and_on_others():
    assert fell_back("gpu", "cpu")
    assert fell_back("android:nnapi", "android:cpu")
    assert not fell_back("android", "android:cpu")
    assert not fell_back("linux", "linux:cpu")
    assert not fell_back("gpu", "software GPU")


def test_targets_that_tell_no_progress_get_more_patience(make_tflite):
    model = make_tflite()
    assert patience(Request(model)) < patience(Request(model, target="edgetpu"))
    assert patience(Request(model, target="linux", max_seconds=999)) > 999
    assert {"android:gpu", "linux", "gpu", "edgetpu"} <= set(target_names())
