"""The linux target against a real sshd: this machine is the board, reached over its loopback."""

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from asmnet_kit.benchmarks import batch
from asmnet_kit.cli import main
from asmnet_kit.machine.vulkan import software_vulkan, vulkan_drivers
from asmnet_kit.results.results import load_result
from asmnet_kit.tflite.runtime import open_runtime
from asmnet_kit.tflite.tensorfile import read_tensors, write_tensors

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
TOOLS = {"sshd": SSHD, "ssh": shutil.which("ssh"), "ssh-keygen": shutil.which("ssh-keygen")}
MISSING = [name for name, path in TOOLS.items() if path is None]
QUICK = ["--runs", "3", "--warmup", "1", "--seconds", "0"]
STARTS_WITHIN_S = 10.0

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: openssh-server)"
)

SERVER = """Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
AuthorizedKeysFile {root}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
SetEnv PATH={path}
"""
KIT = f"""#!/bin/sh
{{before}}
exec {sys.executable} -m asmnet_kit "$@"
"""
CLIENT = """Host {name}
  HostName 127.0.0.1
  Port {port}
  IdentityFile {root}/key
  IdentitiesOnly yes
  UserKnownHostsFile {root}/known_hosts
  StrictHostKeyChecking accept-new
"""
# A board's cat: what the kernel calls itself is what tells two boards from one with two names.
CAT = """#!/bin/sh
case "$1" in */boot_id) echo {boot_id};; *) exec /bin/cat "$@";; esac
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def boards(tmp_path, monkeypatch):
    """Returns a function that starts an sshd whose shells find an asmnet-kit.

    It tells the kit an ssh that reaches all of them, and returns the board's name, the folder of
    its programs and a function that stops it.
    """
    home = tmp_path / "boards"
    home.mkdir()
    (home / "ssh_config").touch()
    ssh = home / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {TOOLS["ssh"]} -F {home}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("ASMNET_KIT_SSH", str(ssh))
    if os.geteuid() == 0:  # sshd as root asks for the folder that its service would have made
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    stops = []

    def start(name, *, boot_id=None):
        root, port = home / name, _free_port()
        (root / "bin").mkdir(parents=True)
        for key in ("host_key", "key"):
            words = [TOOLS["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", str(root / key)]
            subprocess.run(words, check=True)
        programs = {"asmnet-kit": KIT.format(before="")}
        programs |= {"cat": CAT.format(boot_id=boot_id)} if boot_id else {}
        for program, text in programs.items():
            (root / "bin" / program).write_text(text)
            (root / "bin" / program).chmod(0o755)
        path = f"{root / 'bin'}:/usr/bin:/bin"
        (root / "sshd_config").write_text(SERVER.format(port=port, root=root, path=path))
        with (home / "ssh_config").open("a") as config:
            config.write(CLIENT.format(name=name, port=port, root=root))
        log = (root / "log").open("wb")
        server = subprocess.Popen(
            [str(SSHD), "-D", "-e", "-f", str(root / "sshd_config")], stdout=log, stderr=log
        )

        def stop() -> None:
            server.terminate()
            server.wait()
            log.close()

        stops.append(stop)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while server.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"{getpass.getuser()}@{name}", root / "bin", stop
            time.sleep(0.05)
        pytest.skip(f"sshd does not run here: {(root / 'log').read_text()[-300:]}")

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def board(boards):
    """One of them: its name and a function that stops it."""
    name, _, stop = boards("board")
    return name, stop


def _kit_runs_first(programs, before):
    """Let a board's kit run a line of shell when it is asked to measure."""
    (programs / "asmnet-kit").write_text(KIT.format(before=before))


def _run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_model_is_sent_measured_and_its_result_fetched(board, make_tflite, tmp_path):
    host, _ = board
    run = _run("benchmark", make_tflite(), "--target", "linux", "--device", host, *QUICK,
               "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 0, run.output
    (path,) = (tmp_path / "r").iterdir()
    result = load_result(path)
    assert (result["target"]["actual"], result["target"]["device"]) == ("linux:cpu", host)
    assert f"measured on {host} by its own asmnet-kit over ssh" in result["target"]["proof"][0]
    assert len(result["timings_ms"]["invoke"]) >= 3


def test_inputs_and_outputs_cross_the_wire_to_the_last_bit(board, make_tflite, tmp_path):
    host, _ = board
    # Every byte there is, in the order in which a terminal would be upset by them.
    images = np.arange(2 * 32 * 32 * 3, dtype=np.int64).reshape(2, 1, 32, 32, 3).astype(np.int8)
    write_tensors(tmp_path / "in", {"image": images})
    model = make_tflite(int8=True)
    run = _run("benchmark", model, "--target", "linux", "--device", host, *QUICK, "--inputs",
               tmp_path / "in", "--outputs", tmp_path / "out", "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 0, run.output
    session = open_runtime(model)
    theirs = read_tensors(tmp_path / "out")
    for name in session.outputs:
        ours = [session.run({"image": image})[name] for image in images]
        assert np.array_equal(theirs[name], ours)


def test_a_board_that_is_gone_is_one_clear_error(board, make_tflite, tmp_path):
    host, stop = board
    stop()
    run = _run("benchmark", make_tflite(), "--target", "linux", "--device", host, *QUICK,
               "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 1
    assert f"{host}: no connection" in run.output
    assert not list((tmp_path / "r").glob("*.json"))


BOOT_IDS = [f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "ab"]


def _both(names):
    return ["--target", "linux", *(word for name in names for word in ("--device", name))]


def test_two_boards_measure_at_the_same_time(boards, make_tflite, tmp_path):
    names = []
    for number, boot_id in enumerate(BOOT_IDS):
        name, programs, _ = boards(f"board{number}", boot_id=boot_id)
        # Neither measures before both are asked to.
        wait = f"touch {tmp_path}/asked-{number}; while [ $(ls {tmp_path} | grep -c asked-) -lt 2 ]"
        _kit_runs_first(programs, f"{wait}; do sleep 0.1; done")
        names.append(name)
    run = _run("benchmark", make_tflite(), *_both(names), *QUICK, "--out", tmp_path / "r")
    assert run.exit_code == 0, run.output
    devices = {load_result(path)["target"]["device"] for path in (tmp_path / "r").iterdir()}
    assert devices == set(names)


def test_two_names_of_one_machine_take_turns(boards, make_tflite, tmp_path):
    """Without a boot id of their own both are this machine, whose CPU measures once at a time."""
    names, busy = [], tmp_path / "busy"
    for number in range(2):
        name, programs, _ = boards(f"board{number}")
        check = f"mkdir {busy} || touch {tmp_path}/met; trap 'rmdir {busy}' EXIT"
        kit = KIT.format(before=check).replace("exec ", "")  # so that the trap is run
        (programs / "asmnet-kit").write_text(kit)
        names.append(name)
    targets = [*_both(names), "--target", "cpu"]
    run = _run("benchmark", make_tflite(), *targets, *QUICK, "--out", tmp_path / "r")
    assert run.exit_code == 0, run.output
    assert len(list((tmp_path / "r").iterdir())) == 3
    assert not (tmp_path / "met").exists()


def test_a_board_whose_connection_breaks_costs_its_own_result_alone(
    boards, make_tflite, tmp_path, monkeypatch
):
    monkeypatch.setattr(batch, "RETRY_AFTER_S", 0.0)
    (good, _, _), (bad, programs, _) = (
        boards(f"board{number}", boot_id=boot_id) for number, boot_id in enumerate(BOOT_IDS)
    )
    # The process that serves the connection is the parent of the shell that is this kit.
    _kit_runs_first(programs, f"echo x >> {tmp_path}/tries; kill -9 $PPID; exit 0")
    run = _run("benchmark", make_tflite(), *_both([good, bad]), *QUICK, "--retries", 2,
               "--out", tmp_path / "r")  # fmt: skip
    assert run.exit_code == 1, run.output
    assert f"{bad}: no connection" in run.output
    assert len((tmp_path / "tries").read_text().split()) == 3
    (path,) = (tmp_path / "r").glob("*.json")
    assert load_result(path)["target"]["device"] == good


def test_ctrl_c_ends_the_measurement_on_a_board(boards, make_tflite, tmp_path):
    name, programs, _ = boards("board", boot_id=BOOT_IDS[0])
    _kit_runs_first(programs, f"echo $$ > {tmp_path}/pid")
    long = ["--runs", "1000000", "--seconds", "100"]
    words = ["benchmark", make_tflite(), "--target", "linux", "--device", name, *long,
             "--out", tmp_path / "r"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "asmnet_kit", *map(str, words)], start_new_session=True,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    there = int((tmp_path / "pid").read_text())
    folder = Path(psutil.Process(there).cmdline()[-1]).parent
    time.sleep(3.0)  # so that it measures
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert not psutil.pid_exists(there)
    assert not folder.exists()


def test_one_call_measures_machine_boards_and_phones_into_one_report(boards, shelf, tmp_path):
    """A mixed shelf: this machine's CPU (and a software GPU, where there is one), two boards that
    are real sshd processes, two scripted phones."""
    hosts = [boards(name, boot_id=name)[0] for name in ("pi4", "pi5")]
    serials = ["PIXEL", "GALAXY"]
    for serial in serials:
        shelf(serial, **{"with": 2})  # neither has a result before both measure
    has_gpu = software_vulkan() is not None and not vulkan_drivers()
    here = ["cpu", "gpu"] if has_gpu else ["cpu"]
    lines = ["[devices.here]", f"targets = {json.dumps(here)}"]
    for target, names in (("linux", hosts), ("android", serials)):
        for name in names:
            about = f'targets = ["{target}"]\ndevice = "{name}"'
            lines += [f"[devices.{name.rpartition('@')[2]}]", about]
    shelf_file = tmp_path / "devices.toml"
    shelf_file.write_text("\n".join(lines))
    out = tmp_path / "r"
    run = _run("benchmark", shelf.model, "--devices", shelf_file, *QUICK, "--out", out)
    assert run.exit_code == 0, run.output
    results = [load_result(path) for path in out.glob("*.json")]
    asked = sorted(result["target"]["requested"] for result in results)
    assert asked == sorted(["android:cpu", "linux:cpu"] * 2 + here)
    page = tmp_path / "report.html"
    run = _run("report", out, "--out", page)
    assert run.exit_code == 0, run.output
    text = page.read_text()
    assert all(name in text for name in (*hosts, *serials))
