"""The linux target against a real sshd: this machine is the board, reached over its loopback."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
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
CLIENT = """Host board
  HostName 127.0.0.1
  Port {port}
  IdentityFile {root}/key
  IdentitiesOnly yes
  UserKnownHostsFile {root}/known_hosts
  StrictHostKeyChecking accept-new
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def board(tmp_path, monkeypatch):
    """Starts an sshd whose shells find an asmnet-kit, and tells the kit an ssh that reaches it.

    What it yields is the board's name and a function that stops it.
    """
    root, port = tmp_path / "sshd", _free_port()
    (root / "bin").mkdir(parents=True)
    for name in ("host_key", "key"):
        words = [TOOLS["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)]
        subprocess.run(words, check=True)
    kit = root / "bin" / "asmnet-kit"
    kit.write_text(f'#!/bin/sh\nexec {sys.executable} -m asmnet_kit "$@"\n')
    kit.chmod(0o755)
    path = f"{root / 'bin'}:/usr/bin:/bin"
    (root / "sshd_config").write_text(SERVER.format(port=port, root=root, path=path))
    (root / "ssh_config").write_text(CLIENT.format(port=port, root=root))
    ssh = root / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {TOOLS["ssh"]} -F {root}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("ASMNET_KIT_SSH", str(ssh))
    if os.geteuid() == 0:  # sshd as root asks for the folder that its service would have made
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = (root / "log").open("wb")
    server = subprocess.Popen(
        [str(SSHD), "-D", "-e", "-f", str(root / "sshd_config")], stdout=log, stderr=log
    )

    def stop() -> None:
        server.terminate()
        server.wait()

    deadline = time.monotonic() + STARTS_WITHIN_S
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    else:
        stop()
        pytest.skip(f"sshd does not run here: {(root / 'log').read_text()[-300:]}")
    yield f"{getpass.getuser()}@board", stop
    stop()
    log.close()


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
