"""Supervisors on this machine, with training processes that need no TensorFlow."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.training.cluster import link as link_module
from asmnet_kit.training.cluster import supervisor as supervisor_module
from asmnet_kit.training.cluster.addresses import Cluster, cluster_of_environment, free_port
from asmnet_kit.training.cluster.link import Link, LinkLost
from asmnet_kit.training.cluster.supervisor import (
    LOST_ANOTHER,
    OUTAGE,
    Chief,
    Child,
    Worker,
    different,
    open_notes,
)

VERSIONS = {"tensorflow": "2.21.0", "numpy": "2.0.0"}
SOON_S = 20


class Machine:
    """A worker: its supervisor in a thread, and what its training processes do, one after another.

    A training process runs Python code, which knows the worker's TF_CONFIG as ``config``.
    """

    def __init__(
        self,
        addresses: tuple[str, ...],
        index: int,
        *codes: str,
        max_restarts: int = 0,
        versions: dict[str, str] = VERSIONS,
    ) -> None:
        self.codes, self.lines, self.started = codes, [], []
        self.outcome: int | KitError | None = None
        kind = Worker if index else Chief
        self.supervisor = kind(
            cluster=Cluster(addresses, index) if addresses else None,
            start=self._start,
            versions=versions,
            max_restarts=max_restarts,
            tell=self.lines.append,
            advice=lambda: "Go on.",
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _start(self, config: str | None, restarts: int) -> Child:
        code = self.codes[min(len(self.started), len(self.codes) - 1)]
        notes = open_notes()
        process = subprocess.Popen(
            [sys.executable, "-c", f"config = {config!r}\n{code}"],
            stdin=subprocess.PIPE,
            stderr=notes,
            text=True,
        )
        self.started.append((config, process))
        return Child(process, notes)

    def _run(self) -> None:
        try:
            self.outcome = self.supervisor.run()
        except KitError as error:
            self.outcome = error

    def ended(self) -> int | KitError | None:
        self.thread.join(SOON_S)
        assert not self.thread.is_alive(), self.lines
        return self.outcome

    def process(self, number: int = 0) -> subprocess.Popen:
        deadline = time.monotonic() + SOON_S
        while len(self.started) <= number and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.started[number][1]


@pytest.fixture
def addresses() -> tuple[str, ...]:
    return (f"localhost:{free_port()}", "localhost:1", "localhost:2")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "LOOK_S", 0.02)
    monkeypatch.setattr(supervisor_module, "ASK_AGAIN_S", 0.1)


FOREVER = "import time; time.sleep(600)"
WELL = "pass"


def test_all_train_with_one_cluster_whose_chief_has_a_port_of_its_own(
    addresses: tuple[str, ...],
) -> None:
    machines = [Machine(addresses, index, WELL) for index in (2, 0, 1)]  # in any order
    assert [machine.ended() for machine in machines] == [0, 0, 0]
    configs = [json.loads(machine.started[0][0]) for machine in machines]
    assert [config["task"]["index"] for config in configs] == [2, 0, 1]
    (cluster,) = {json.dumps(config["cluster"]) for config in configs}
    chief, *others = json.loads(cluster)["worker"]
    assert others == list(addresses[1:])
    assert chief.startswith("localhost:") and chief != addresses[0]


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_killed_training_process_ends_all_with_one_line_that_names_it(
    addresses: tuple[str, ...], victim: int
) -> None:
    machines = [Machine(addresses, index, FOREVER) for index in range(3)]
    processes = [machine.process() for machine in machines]
    processes[victim].kill()
    name = f"worker {victim}{'' if victim else ', the chief,'} ({addresses[victim]})"
    expected = f"{name} was killed by SIGKILL, so all workers stop. Go on."
    assert [str(machine.ended()) for machine in machines] == [expected] * 3
    assert all(process.poll() is not None for process in processes)


def test_a_killed_training_process_starts_all_again(addresses: tuple[str, ...]) -> None:
    machines = [Machine(addresses, index, FOREVER, WELL, max_restarts=2) for index in range(3)]
    machines[1].process().kill()
    assert [machine.ended() for machine in machines] == [0, 0, 0]
    for machine in machines:
        assert len(machine.started) == 2
        (line,) = [line for line in machine.lines if "killed" in line]
        assert line.endswith("was killed by SIGKILL; all start again (1 of 2)")


def test_restarts_come_to_an_end(addresses: tuple[str, ...]) -> None:
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    chief = Machine(addresses[:2], 0, FOREVER, max_restarts=2)
    worker = Machine(addresses[:2], 1, dies, max_restarts=2)
    assert "was killed by SIGKILL, so all" in str(chief.ended())
    assert "was killed by SIGKILL, so all" in str(worker.ended())
    assert len(worker.started) == 3


def test_the_cause_is_told_rather_than_what_tensorflow_made_of_it(
    addresses: tuple[str, ...],
) -> None:
    """The others' TensorFlow notices within milliseconds, and ends in several ways."""
    lost = f"import os, time; time.sleep(0.5); os.kill(os.getpid(), {-LOST_ANOTHER})"
    aborts = "import os, time; time.sleep(0.5); os.abort()"
    machines = [
        Machine(addresses, 0, lost),
        Machine(addresses, 1, aborts),
        Machine(addresses, 2, "import sys, time; time.sleep(1); sys.exit(2)"),
    ]
    assert machines[2].ended() == 2  # it said why itself
    for machine in machines[:2]:
        assert str(machine.ended()) == (
            f"worker 2 ({addresses[2]}) ended with exit code 2, its own messages say why, so all "
            "workers stop. Go on."
        )


def test_an_error_of_its_own_is_not_tried_again(addresses: tuple[str, ...]) -> None:
    chief = Machine(addresses[:2], 0, "raise SystemExit(2)", max_restarts=5)
    worker = Machine(addresses[:2], 1, FOREVER, max_restarts=5)
    assert chief.ended() == 2
    assert "ended with exit code 2" in str(worker.ended())
    assert (len(chief.started), len(worker.started)) == (1, 1)


def test_an_outage_of_the_datas_server_is_waited_for(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer each time, up to a limit: the server is not there again at once."""
    monkeypatch.setattr(supervisor_module, "OUTAGE_PAUSE_S", (0.6, 1.0))
    gone = f"import os; os.kill(os.getpid(), {-OUTAGE})"
    began = time.monotonic()
    chief = Machine(addresses[:2], 0, FOREVER, FOREVER, WELL, max_restarts=2)
    worker = Machine(addresses[:2], 1, gone, gone, WELL, max_restarts=2)
    assert (chief.ended(), worker.ended()) == (0, 0)
    assert time.monotonic() - began > 0.6 + 1.0
    says = f"worker 1 ({addresses[1]}) cannot reach the server of its data"
    for machine in (chief, worker):
        told = [line for line in machine.lines if "start again" in line]
        assert told == [f"{says}; all start again in 1 s ({n} of 2)" for n in (1, 2)]

    chief = Machine(addresses[:2], 0, FOREVER)
    worker = Machine(addresses[:2], 1, gone)
    assert worker.ended() == 1  # it said why itself
    assert str(chief.ended()) == f"{says}, so all workers stop. Go on."
    assert Machine((), 0, gone).ended() == 1


def test_other_versions_are_refused_before_anything_starts(addresses: tuple[str, ...]) -> None:
    chief = Machine(addresses, 0, WELL)
    same = Machine(addresses, 1, WELL)
    until(lambda: 1 in chief.supervisor.links)
    other = Machine(addresses, 2, WELL, versions=VERSIONS | {"tensorflow": "2.20.0"})
    for machine in (chief, same, other):
        outcome = machine.ended()
        assert str(outcome) == (
            f"worker 2 ({addresses[2]}) has other versions than the chief: tensorflow 2.20.0 "
            "there, 2.21.0 here. Install the same on every machine"
        )
        assert not machine.started
    assert isinstance(chief.outcome, UsageError) and isinstance(other.outcome, UsageError)


def test_what_one_side_does_not_know_is_no_difference() -> None:
    assert different({"commit": "a", "numpy": "2"}, {"numpy": "2", "opencv-python": "4"}) == []


def test_a_worker_of_another_run_is_refused_alone(addresses: tuple[str, ...]) -> None:
    chief = Machine(addresses[:2], 0, WELL)
    stray = Machine((addresses[0], "elsewhere:7"), 1, WELL)
    assert "names other workers" in str(stray.ended())
    assert isinstance(stray.outcome, UsageError)
    worker = Machine(addresses[:2], 1, WELL)
    assert (chief.ended(), worker.ended()) == (0, 0)


def test_a_hello_that_is_sent_twice_lets_one_worker_in(addresses: tuple[str, ...]) -> None:
    chief = Machine(addresses[:2], 0, WELL)
    host, _, port = addresses[0].partition(":")
    hello = {
        "kind": "hello",
        "protocol": 1,
        "index": 1,
        "addresses": addresses[:2],
        "versions": VERSIONS,
    }
    with connected(host, int(port)) as worker:
        worker.sendall(2 * (json.dumps(hello).encode() + b"\n"))
        assert json.loads(worker.makefile().readline())["kind"] == "start"
        worker.sendall(b'{"kind": "ended", "code": 0}\n')
        assert chief.ended() == 0


def test_what_has_arrived_is_read_before_the_other_side_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A supervisor that did not run for a while was silent itself; and a last word is heard."""
    monkeypatch.setattr(link_module, "LOST_S", 0.05)
    monkeypatch.setattr(link_module, "BEAT_S", 0.0)
    one, other = socket.socketpair()
    here, there = Link(one), Link(other)
    there.send("beat")
    time.sleep(0.1)
    assert supervisor_module._heard(here) == []
    there.send("stop", line="It is over.")
    there.close()
    assert [message["line"] for message in supervisor_module._heard(here)] == ["It is over."]
    with pytest.raises(LinkLost):
        supervisor_module._heard(here)
    here.close()


def test_what_comes_right_behind_the_start_is_heard(addresses: tuple[str, ...]) -> None:
    """As where a worker is lost at once and this one is slow to look."""
    with socket.create_server(("", int(addresses[0].partition(":")[2]))) as server:
        worker = Machine(addresses[:2], 1, FOREVER)
        connection, _ = server.accept()
        said = [{"kind": "start", "chief": "localhost:3"}, {"kind": "stop", "line": "Over."}]
        connection.sendall(b"".join(json.dumps(one).encode() + b"\n" for one in said))
        assert str(worker.ended()) == "Over."
        connection.close()


def test_a_chief_may_have_as_many_connections_as_workers(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = (*addresses, *(f"localhost:{port}" for port in range(3, 900)))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        chief = Machine(many, 0, WELL)
        until(lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= len(many))
        other = Machine(many, 1, WELL, versions=VERSIONS | {"numpy": "1"})
        assert isinstance(chief.ended(), UsageError) and isinstance(other.ended(), UsageError)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (512, 512))
    assert "raise the hard limit of ulimit -n" in str(Machine(many, 0, WELL).ended())


def test_the_notes_of_a_training_process_do_not_fill_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor_module, "MOST_NOTES", 50_000)
    writes = """
import os, time
for _ in range(400):
    os.write(2, 1000 * b"x" + b"\\n")
    time.sleep(0.001)
os.write(2, b"the end\\n\\n")
"""
    notes = open_notes()
    process = subprocess.Popen([sys.executable, "-c", writes], stderr=notes)
    child = Child(process, notes)
    while child.code() is None:
        time.sleep(0.01)
    assert child.code() == 0
    assert 0 < os.fstat(notes.fileno()).st_size <= 50_000
    assert child.last_note() == "the end"
    child.stop()


def test_strangers_do_no_harm(addresses: tuple[str, ...]) -> None:
    chief = Machine(addresses[:2], 0, WELL)
    host, _, port = addresses[0].partition(":")
    for words in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"[1]\n",
        b"{}\n",
        b"\xff\n",
        b"",
        b"[" * 60_000 + b"\n",
    ):
        with connected(host, int(port)) as stranger:
            stranger.sendall(words)
    worker = Machine(addresses[:2], 1, WELL)
    assert (chief.ended(), worker.ended()) == (0, 0)


def test_a_machine_that_falls_silent_is_lost(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without power it closes no connection."""
    monkeypatch.setattr(link_module, "LOST_S", 1.0)
    chief = Machine(addresses[:2], 0, FOREVER)
    host, _, port = addresses[0].partition(":")
    silent = Link(connected(host, int(port)))
    silent.send("hello", protocol=1, index=1, addresses=addresses[:2], versions=dict(VERSIONS))
    chief.process()
    expected = f"worker 1 ({addresses[1]}) is gone, so all workers stop. Go on."
    assert str(chief.ended()) == expected
    silent.close()


def test_workers_wait_for_a_chief_that_comes_back(addresses: tuple[str, ...]) -> None:
    """As a scheduler starts it again; without --max-restarts they end."""
    waits = Machine(addresses[:2], 1, FOREVER, WELL, max_restarts=1)
    first = Machine(addresses[:2], 0, FOREVER)
    waits.process()
    vanish(first)
    until(lambda: any("waiting for it (1 of 1)" in line for line in waits.lines))
    second = Machine(addresses[:2], 0, WELL)
    assert (waits.ended(), second.ended()) == (0, 0)

    gives_up = Machine(addresses[:2], 1, FOREVER)
    third = Machine(addresses[:2], 0, FOREVER)
    gives_up.process()
    vanish(third)
    assert str(gives_up.ended()) == (
        f"worker 0, the chief, ({addresses[0]}) is gone, so all workers stop. Go on."
    )


def test_one_process_alone_starts_again() -> None:
    alone = Machine((), 0, "import os; os.abort()", WELL, max_restarts=1)
    assert alone.ended() == 0
    assert alone.lines == ["the training process was killed by SIGABRT; all start again (1 of 1)"]


def test_a_port_that_is_taken_is_said(addresses: tuple[str, ...]) -> None:
    port = addresses[0].partition(":")[2]
    with socket.create_server(("", int(port))):
        assert f"cannot listen on port {port}" in str(Machine(addresses, 0, WELL).ended())


def test_a_chief_of_its_own_kind_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubeflow writes TF_CONFIG, with an evaluator that takes no part."""
    jobs = {"worker": ["b:1", "[::1]:2"], "chief": ["a:1"], "evaluator": ["e:1"]}
    for kind, index, expected in (("chief", 0, 0), ("worker", 1, 2)):
        task = {"type": kind, "index": index}
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": jobs, "task": task}))
        assert cluster_of_environment() == Cluster(("a:1", "b:1", "[::1]:2"), expected)


def vanish(chief: Machine) -> None:
    """What others see of a chief whose machine is switched off, but for the silence."""
    chief.process().send_signal(signal.SIGSTOP)
    for link in list(chief.supervisor.links.values()):
        link.socket.shutdown(socket.SHUT_RDWR)
    chief.process().kill()
    chief.thread.join(SOON_S)


def connected(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            return socket.create_connection((host, port))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
