"""Each worker's supervisor: starts its training process, and ends it when another one is lost.

TensorFlow notices late and at length that a machine is gone, and a process that has lost another
cannot go on. So the command that the user starts does not train itself: it starts the process that
does and keeps a connection to the chief's supervisor, at the chief's address in TF_CONFIG. The
chief compares everyone's versions, says when all begin and, once a worker is lost, which; then all
training processes are ended, and started again where that is asked for. TensorFlow's own server of
the chief listens on a free port that is chosen anew each time.

Messages, JSON lines (``link``), to the chief: ``hello`` (protocol, index, addresses, versions),
``ended`` (code), ``ready``; from it: ``busy``, ``refused`` (line), ``start`` (chief), ``stop``
(line, again), ``done``.
"""

import fcntl
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import IO, Any

from asmnet_kit.base.errors import Interrupted, KitError, UsageError
from asmnet_kit.training.cluster.addresses import Cluster, free_port, host_and_port
from asmnet_kit.training.cluster.link import LOST_S, Link, LinkLost, Message

PROTOCOL = 1
WAIT_S = 1800.0  # for all workers: schedulers start them one by one
ASK_AGAIN_S = 1.0
LOOK_S = 0.2  # between two looks at the training process
# The first to end is not always the cause: others may be about to say why. By ``End.rank``; where
# TensorFlow alone misses a worker, its supervisor may have to be silent for a while to be lost.
PATIENCE_S = (0.0, 1.5, 1.5, 1.5, LOST_S + 1.5)
ENDS_WITHIN_S = 10.0  # of a training process that is interrupted
# By this signal a training process ends itself that TensorFlow told of a lost worker.
LOST_ANOTHER = -int(signal.SIGUSR1)
# And by this one where the server of its data cannot be reached, which it has told the user.
OUTAGE = -int(signal.SIGUSR2)
# Before all start again after an outage; it doubles each time, up to the second.
OUTAGE_PAUSE_S = (30.0, 600.0)
MOST_NOTES, KEPT_NOTES = 1 << 20, 1 << 14  # bytes, and how many of more than that are kept
SPARE_FILES = 64  # descriptors beside the connections


@dataclass(frozen=True)
class Child:
    """The training process of a worker.

    Attributes:
        process: in a session of its own; it ends when its stdin does.
        notes: what C++ code writes to its stderr; see ``open_notes``.
    """

    process: "subprocess.Popen[str]"
    notes: IO[bytes]

    def code(self) -> int | None:
        """Its exit code, None while it runs; forgets old notes, which would fill the disk."""
        file = self.notes.fileno()
        size = os.fstat(file).st_size
        if size > MOST_NOTES:
            kept = os.pread(file, KEPT_NOTES, size - KEPT_NOTES)
            os.truncate(file, 0)
            os.write(file, kept)
        return self.process.poll()

    def stop(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.notes.close()
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()

    def interrupt(self) -> int | None:
        """Ctrl-C for it; its exit code, or None where it had to be ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(ENDS_WITHIN_S)
        return None

    def last_note(self) -> str:
        """The last line of its notes; empty without any."""
        file = self.notes.fileno()
        written = os.pread(file, KEPT_NOTES, max(0, os.fstat(file).st_size - KEPT_NOTES))
        lines = written.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def open_notes() -> IO[bytes]:
    """A file without a name for the notes of a training process, which may be cut while it runs."""
    notes = tempfile.TemporaryFile()  # noqa: SIM115 - Child.stop closes it
    # Else the next note would stand where the last one ended, behind a hole.
    flags = fcntl.fcntl(notes, fcntl.F_GETFL)
    fcntl.fcntl(notes, fcntl.F_SETFL, flags | os.O_APPEND)
    return notes


# Starts training: TensorFlow's TF_CONFIG, None without other workers, and how often it was started.
Start = Callable[[str | None, int], Child]


@dataclass(frozen=True)
class End:
    """How a worker's part ended before its time.

    Attributes:
        index: the worker.
        rank: of several ends the lowest is the cause of the others.
        says: in words.
        may_recover: whether starting again can help.
        code: of a training process that told the reason itself.
        is_outage: whether starting again helps only later.
    """

    index: int
    rank: int
    says: str
    may_recover: bool
    code: int | None = None
    is_outage: bool = False


def end_of(index: int, code: int, note: str = "") -> End | None:
    """What the exit code of a worker's training process means; None where it ended well.

    Args:
        note: the last line it wrote, for one that could not tell more.
    """
    note = f": {note[:200]}" if note else ""
    if code == 0:
        return None
    if code == LOST_ANOTHER:
        return End(index, 4, f"lost the connection to another worker{note}", True)
    if code == OUTAGE:
        says = "cannot reach the server of its data"
        return End(index, 2, says, True, KitError.exit_code, is_outage=True)
    if code < 0:
        from_outside = -code in (signal.SIGKILL, signal.SIGTERM)
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        says = f"was killed by {name}{'' if from_outside else note}"
        return End(index, 0 if from_outside else 3, says, True)
    if code == Interrupted.exit_code:
        return End(index, 0, "was interrupted", False, code)
    rank = 0 if code == UsageError.exit_code else 2
    return End(index, rank, f"ended with exit code {code}, its own messages say why", False, code)


@dataclass
class Supervisor(ABC):
    """What the supervisors of the chief and of the others share.

    Attributes:
        cluster: None for a run of one process.
        start: see ``Start``.
        versions: of what must be the same on every machine, by name.
        max_restarts: how often all start again after a loss.
        tell: writes a line for the user.
        advice: how to go on, a sentence; asked when it is needed.
    """

    cluster: Cluster | None
    start: Start
    versions: Mapping[str, str]
    max_restarts: int
    tell: Callable[[str], None]
    advice: Callable[[], str]
    child: Child | None = field(default=None, init=False)

    def run(self) -> int:
        """Train to the end; the exit code of a training process that told its reason itself.

        Raises:
            KitError: a worker was lost, or not all came.
            UsageError: a worker has other versions or another cluster.
        """
        try:
            return self.supervised()
        finally:
            self.stop_child()

    @abstractmethod
    def supervised(self) -> int:
        """``run``, which ends the training process in any case."""

    def interrupt_child(self) -> int:
        """Ctrl-C for the training process, which says how to go on.

        Raises:
            KeyboardInterrupt: there is none, or it did not end by itself.
        """
        if self.child is None or self.child.interrupt() != Interrupted.exit_code:
            raise KeyboardInterrupt
        return Interrupted.exit_code

    def stop_child(self) -> None:
        """End the training process, where there is one."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def child_code(self) -> int | None:
        """The exit code of the training process, None while it runs."""
        return None if self.child is None else self.child.code()

    def name_of(self, index: int) -> str:
        """A worker in a message."""
        return "the training process" if self.cluster is None else self.cluster.name_of(index)


class Chief(Supervisor):
    """The supervisor that all others are connected to."""

    def supervised(self) -> int:
        self.links: dict[int, Link] = {}
        self.strangers: list[Link] = []  # that have not said who they are
        self.ready: set[int] = set()
        self.is_training = False
        self._allow_connections()
        with ExitStack() as stack:
            self.server = self._listen(stack)
            try:
                return self._lead()
            except KeyboardInterrupt:
                try:
                    return self.interrupt_child()
                finally:
                    line = f"{self.name_of(0)} was interrupted, so all workers stop"
                    self._send_all("stop", line=f"{line}. {self.advice()}", again=False)
            finally:
                for link in (*self.links.values(), *self.strangers):
                    link.close()

    def _lead(self) -> int:
        restarts = outages = 0
        pause_s = 0.0
        while True:
            self._gather(pause_s)
            end = self._train(restarts)
            if end is None:
                self._send_all("done")
                return 0
            again = end.may_recover and restarts < self.max_restarts
            first_s, longest_s = OUTAGE_PAUSE_S
            pause_s = min(longest_s, first_s * 2**outages) if end.is_outage else 0.0
            outages += end.is_outage
            line = self._line(end, restarts + 1 if again else 0, pause_s)
            self._send_all("stop", line=line, again=again)
            self.stop_child()
            if not again:
                if end.index == 0 and end.code is not None:
                    return end.code
                raise KitError(line)
            restarts += 1
            self.tell(line)

    def _line(self, end: End, restart: int, pause_s: float) -> str:
        what = f"{self.name_of(end.index)} {end.says}"
        if restart:
            when = f" in {pause_s:.0f} s" if pause_s else ""
            return f"{what}; all start again{when} ({restart} of {self.max_restarts})"
        return (
            f"{what}, so all workers stop. {self.advice()}"
            if self.others
            else (f"{what}. {self.advice()}")
        )

    @property
    def others(self) -> range:
        """The indices of the other workers."""
        return range(1, 1 if self.cluster is None else len(self.cluster.addresses))

    def _allow_connections(self) -> None:
        """Let this process have a descriptor for each worker: often 1,024 are allowed at first.

        Raises:
            KitError: the system allows fewer.
        """
        needed = len(self.others) + SPARE_FILES
        allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY or allowed >= needed:
            return
        if most != resource.RLIM_INFINITY and most < needed:
            raise KitError(
                f"the chief of {len(self.others)} other workers needs {needed} open files, this "
                f"machine allows {most}: raise the hard limit of ulimit -n"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))

    def _listen(self, stack: ExitStack) -> socket.socket | None:
        if self.cluster is None or not self.others:
            return None
        host, port = host_and_port(self.cluster.addresses[0])
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        try:
            return stack.enter_context(
                socket.create_server(
                    ("", port), family=family, dualstack_ipv6=family == socket.AF_INET6
                )
            )
        except OSError as error:
            raise KitError(
                f"the chief cannot listen on port {port} of {host}, as TF_CONFIG says "
                f"({error.strerror}): end what uses it, or name another port on every worker"
            ) from error

    def _gather(self, pause_s: float) -> None:
        """Wait until every other worker is there and ready, and at least ``pause_s``.

        Raises:
            KitError: some did not come.
            UsageError: one has other versions.
        """
        begin = time.monotonic()
        deadline = begin + pause_s + WAIT_S
        told = False
        while (missing := [index for index in self.others if index not in self.ready]) or (
            time.monotonic() < begin + pause_s
        ):
            if missing and not told:
                self.tell(f"Waiting for {', '.join(map(self.name_of, missing))}")
                told = True
            if time.monotonic() > deadline:
                line = (
                    f"{', '.join(map(self.name_of, missing))} did not come within "
                    f"{WAIT_S / 60:.0f} minutes: start every worker, and let them reach the "
                    f"chief's address. {self.advice()}"
                )
                self._send_all("stop", line=line, again=False)
                raise KitError(line)
            for index, message in self._events():
                if message is not None and message["kind"] == "ready":
                    self.ready.add(index)

    def _train(self, restarts: int) -> End | None:
        """One training, from its start to its end; None where it is finished."""
        config = None
        if self.cluster is not None:
            chief = f"{self.cluster.addresses[0].rpartition(':')[0]}:{free_port()}"
            config = self.cluster.tf_config(chief)
            self._send_all("start", chief=chief)
        self.ready.clear()
        self.is_training = True
        self.child = self.start(config, restarts)
        ends: dict[int, End | None] = {}
        first_at: float | None = None
        try:
            while True:
                for index, message in self._events():
                    if message is None:
                        ends.setdefault(index, End(index, 1, "is gone", True))
                    elif message["kind"] == "ended":
                        note, code = str(message.get("note", "")), message.get("code")
                        ends[index] = (
                            end_of(index, code, note)
                            if isinstance(code, int)
                            else End(index, 1, "sent what no worker sends", True)
                        )
                # A worker that went between two trainings says nothing any more.
                for index in set(self.others) - set(self.links):
                    ends.setdefault(index, End(index, 1, "is gone", True))
                code = self.child_code()
                if code is not None and 0 not in ends:
                    ends[0] = end_of(0, code, self.child.last_note())
                all_ended = len(ends) == 1 + len(self.others)
                failures = [end for end in ends.values() if end is not None]
                if not failures and all_ended:
                    return None
                if failures:
                    cause = min(failures, key=lambda end: (end.rank, end.index))
                    first_at = first_at or time.monotonic()
                    if all_ended or time.monotonic() > first_at + PATIENCE_S[cause.rank]:
                        return cause
        finally:
            self.is_training = False

    def _events(self) -> Iterator[tuple[int, Message | None]]:
        """What workers said within ``LOOK_S``; None from one that is lost."""
        links = {link: index for index, link in self.links.items()}
        waiting: list[Any] = [*links, *self.strangers]
        if self.server is not None:
            waiting.append(self.server)
        if not waiting:
            time.sleep(LOOK_S)
            return
        # By poll, which knows no limit of 1024 as select does.
        arrived: list[Any] = wait(waiting, LOOK_S)
        for one in arrived:
            if one is self.server:
                with suppress(OSError):  # it is gone again, or strangers took all descriptors
                    connection, _ = self.server.accept()
                    self.strangers.append(Link(connection))
        for stranger in list(self.strangers):
            try:
                for message in _said(stranger, arrived):
                    if stranger not in self.strangers:
                        break  # let in or refused by the message before
                    self._greet(stranger, message)
            except LinkLost:
                self._drop(stranger)
        for link, index in links.items():
            try:
                for message in _said(link, arrived):
                    yield index, message
            except LinkLost:
                link.close()
                self.links.pop(index, None)
                self.ready.discard(index)
                yield index, None

    def _drop(self, stranger: Link) -> None:
        stranger.close()
        if stranger in self.strangers:
            self.strangers.remove(stranger)

    def _greet(self, stranger: Link, hello: Message) -> None:
        """Let a worker in that says who it is, or refuse it.

        Raises:
            UsageError: its versions are not the chief's.
        """
        assert self.cluster is not None
        index, addresses = hello.get("index"), hello.get("addresses")
        if hello["kind"] != "hello" or hello.get("protocol") != PROTOCOL:
            return self._refuse(stranger, "the chief runs another version of asmnet-kit")
        expected = list(self.cluster.addresses)
        if not isinstance(index, int) or index not in self.others or addresses != expected:
            return self._refuse(
                stranger,
                "the chief's TF_CONFIG names other workers: expected "
                f"{', '.join(self.cluster.addresses)}, got worker {index} of {addresses}",
            )
        if self.is_training or index in self.links:
            stranger.send("busy")
            return self._drop(stranger)
        theirs = hello.get("versions")
        if differences := different(self.versions, theirs if isinstance(theirs, dict) else {}):
            line = (
                f"{self.name_of(index)} has other versions than the chief: "
                f"{', '.join(differences)}. Install the same on every machine"
            )
            self._refuse(stranger, line)
            self._send_all("stop", line=line, again=False)
            raise UsageError(line)
        self.strangers.remove(stranger)
        self.links[index] = stranger
        self.ready.add(index)
        return None

    def _refuse(self, stranger: Link, line: str) -> None:
        with suppress(LinkLost):
            stranger.send("refused", line=line)
        self._drop(stranger)

    def _send_all(self, kind: str, **content: Any) -> None:
        for link in self.links.values():
            with suppress(LinkLost):  # the next look at it says so
                link.send(kind, **content)


def different(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Versions that differ, as text. What one side does not know is taken for the same."""
    return [
        f"{name} {there[name]} there, {here[name]} here"
        for name in here
        if name in there and there[name] != here[name]
    ]


class Worker(Supervisor):
    """The supervisor of a worker that is not the chief."""

    def supervised(self) -> int:
        restarts = 0
        while True:
            link, heard = self._connect()
            try:
                return self._follow(link, heard)
            except LinkLost:
                self.stop_child()
                line = f"{self.name_of(0)} is gone, so all workers stop"
                if restarts >= self.max_restarts:
                    raise KitError(f"{line}. {self.advice()}") from None
                restarts += 1
                self.tell(f"{line}; waiting for it ({restarts} of {self.max_restarts})")
            except KeyboardInterrupt:
                code = self.interrupt_child()
                with suppress(LinkLost):
                    link.send("ended", code=code)
                return code
            finally:
                link.close()

    def _connect(self) -> tuple[Link, list[Message]]:
        """A connection on which the chief has said when to begin, and what it said after that.

        Raises:
            KitError: nobody answers there.
            UsageError: the chief refuses this worker.
        """
        assert self.cluster is not None
        deadline = time.monotonic() + WAIT_S
        place = host_and_port(self.cluster.addresses[0])
        self.tell(f"Waiting for {self.name_of(0)}")
        while time.monotonic() < deadline:
            try:
                link = Link(socket.create_connection(place, timeout=5))
            except OSError:
                time.sleep(ASK_AGAIN_S)
                continue
            try:
                heard = self._let_in(link)
                if heard is not None:
                    return link, heard
            except LinkLost:
                pass
            except BaseException:
                link.close()
                raise
            link.close()
            time.sleep(ASK_AGAIN_S)
        raise KitError(
            f"{self.name_of(0)} did not answer within {WAIT_S / 60:.0f} minutes: start it, and let "
            "the others reach that address"
        )

    def _let_in(self, link: Link) -> list[Message] | None:
        """Say who this is and wait for the start; None where the chief is busy.

        Returns:
            What came with the start, behind it.
        """
        assert self.cluster is not None
        link.send(
            "hello",
            protocol=PROTOCOL,
            index=self.cluster.index,
            addresses=self.cluster.addresses,
            versions=dict(self.versions),
        )
        while True:
            heard = _heard(link)
            for number, message in enumerate(heard):
                if message["kind"] == "refused":
                    raise UsageError(str(message.get("line")))
                if message["kind"] == "stop":
                    raise KitError(str(message.get("line")))
                if message["kind"] == "busy":
                    return None
                if message["kind"] == "start":
                    self._begin(message, 0)
                    return heard[number + 1 :]

    def _begin(self, message: Message, restarts: int) -> None:
        assert self.cluster is not None
        self.child = self.start(self.cluster.tf_config(str(message["chief"])), restarts)

    def _follow(self, link: Link, heard: list[Message]) -> int:
        """Train as the chief says.

        Args:
            heard: what it said already.

        Raises:
            LinkLost: the chief is gone.
            KitError: a worker was lost, the chief says which.
        """
        assert self.cluster is not None
        code: int | None = None
        while True:
            for message in heard:
                if message["kind"] == "done":
                    return 0
                if message["kind"] == "start":
                    code = None
                    self._begin(message, 1)
                if message["kind"] == "stop":
                    self.stop_child()
                    line = str(message.get("line"))
                    if not message.get("again"):
                        own = None if code is None else end_of(self.cluster.index, code)
                        if own is not None and own.code is not None:
                            return own.code
                        raise KitError(line)
                    self.tell(line)
                    link.send("ready")
            if self.child is not None and code is None:
                code = self.child_code()
                if code is not None:
                    link.send("ended", code=code, note=self.child.last_note())
            heard = _heard(link)


def _heard(link: Link) -> list[Message]:
    """What the chief said within ``LOOK_S``.

    Raises:
        LinkLost: it is gone.
    """
    arrived = wait([link], LOOK_S)  # type: ignore[list-item]  # anything with fileno() will do
    return _said(link, arrived)


def _said(link: Link, arrived: Sequence[Any]) -> list[Message]:
    """What the other side said, if it is among those that ``arrived``; else a beat is sent.

    What it said comes first: whoever has just told why it ends takes no beat any more, and whoever
    did not run for a while (a busy machine) has not heard the others, who were not silent.

    Raises:
        LinkLost: it is gone.
    """
    if link in arrived and (said := link.messages()):
        return said
    link.beat()
    return []
