"""Who trains together, by TF_CONFIG, TensorFlow's variable for that."""

import json
import os
import socket
from dataclasses import dataclass

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.reading import parse_json

VARIABLE = "TF_CONFIG"
SHOWN = 200  # characters of it in a message
TASKS = ("chief", "worker")  # the kinds that train; others (an evaluator) take no part here


@dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
        addresses: ``host:port`` of each, the chief's first.
        index: which of them this one is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run and decides for all."""
        return self.index == 0

    def name_of(self, index: int) -> str:
        """A worker in a message."""
        return f"worker {index}{', the chief,' if index == 0 else ''} ({self.addresses[index]})"

    def tf_config(self, chief: str) -> str:
        """What TensorFlow reads, with another address for the chief's TensorFlow."""
        workers = [chief, *self.addresses[1:]]
        return json.dumps(
            {"cluster": {"worker": workers}, "task": {"type": "worker", "index": self.index}}
        )


def is_asked_for(strategy: str) -> bool:
    """Whether a run with this ``--strategy`` is one of several workers."""
    return strategy == "multiworker" or (strategy == "auto" and VARIABLE in os.environ)


def leads(strategy: str) -> bool:
    """Whether this process decides about a run with this ``--strategy``: alone, or as the chief.

    Raises:
        UsageError: see ``cluster_of_environment``.
    """
    return not is_asked_for(strategy) or cluster_of_environment().is_chief


def cluster_of_environment() -> Cluster:
    """The cluster that TF_CONFIG names.

    Raises:
        UsageError: it is missing, no JSON, or does not say who the workers are and which is this.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        config = parse_json(text)
        jobs, task = config["cluster"], config["task"]
        addresses = [str(name) for kind in TASKS for name in jobs.get(kind, ())]
        kind, index = task["type"], task["index"]
        if kind not in TASKS or not 0 <= index < len(jobs[kind]):
            raise ValueError("the task is none of the cluster's workers")
        for address in addresses:
            host_and_port(address)
        before = len(jobs.get("chief", ())) if kind == "worker" else 0
        return Cluster(tuple(addresses), before + int(index))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--strategy multiworker expects {VARIABLE} in the environment of every worker, such "
            'as {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": '
            f'"worker", "index": 0}}}}; got {text[:SHOWN]!r}'
        ) from error


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of ``host:port``; an IPv6 address stands in brackets.

    Raises:
        ValueError: it is none.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and 0 < int(port) < 65536):
        raise ValueError(f"expected host:port, got {address}")
    return host, int(port)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("", 0))
        port: int = one.getsockname()[1]
        return port
