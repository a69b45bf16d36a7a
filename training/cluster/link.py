"""A connection between two workers' supervisors: JSON lines, and how long the other is silent."""

import json
import socket
import time
from contextlib import suppress
from typing import Any

from asmnet_kit.base.reading import parse_json

BEAT_S = 2.0  # between two signs of life
LOST_S = 30.0  # of silence, after which the other side is lost
MOST_BYTES = 1 << 20  # of a line: a stranger's endless one is no reason to run out of memory
SEND_S = 10.0

Message = dict[str, Any]


class LinkLost(Exception):
    """The other side is gone, or is none of ours."""


class Link:
    """One end; its owner waits with ``poll`` and then calls ``messages``."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(SEND_S)
        # A machine that loses its power sends nothing; the kernel need not be asked then, as both
        # sides send a sign of life by themselves.
        self._received = b""
        self._heard = self._sent = time.monotonic()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, kind: str, **content: Any) -> None:
        """Send a message.

        Raises:
            LinkLost: the other side is gone.
        """
        try:
            self.socket.sendall(json.dumps({"kind": kind, **content}).encode() + b"\n")
        except OSError as error:
            raise LinkLost(str(error)) from error
        self._sent = time.monotonic()

    def messages(self) -> list[Message]:
        """What has arrived, once ``poll`` says that something has; signs of life left out.

        Raises:
            LinkLost: the connection's end, or something that is no message.
        """
        try:
            received = self.socket.recv(1 << 16)
        except OSError as error:
            raise LinkLost(str(error)) from error
        if not received:
            raise LinkLost("closed")
        self._heard = time.monotonic()
        *lines, self._received = (self._received + received).split(b"\n")
        if len(self._received) > MOST_BYTES:
            raise LinkLost("no message")
        try:
            found = [parse_json(line) for line in lines]
        except ValueError as error:
            raise LinkLost("no message") from error
        if not all(isinstance(one, dict) and isinstance(one.get("kind"), str) for one in found):
            raise LinkLost("no message")
        return [one for one in found if one["kind"] != "beat"]

    def beat(self) -> None:
        """Send a sign of life where one is due.

        Raises:
            LinkLost: the other side is gone, or was silent for too long.
        """
        if time.monotonic() - self._sent >= BEAT_S:
            self.send("beat")
        if time.monotonic() - self._heard > LOST_S:
            raise LinkLost(f"silent for {LOST_S:.0f} s")

    def close(self) -> None:
        with suppress(OSError):
            self.socket.close()
