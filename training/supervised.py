"""``asmnet-kit train`` of several workers, or one that is to be started again when it is killed."""

import dataclasses
import json
import os
import platform
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import cv2

from asmnet_kit import __version__
from asmnet_kit.base.console import stderr
from asmnet_kit.base.own_process import script_command
from asmnet_kit.training.cluster.addresses import (
    VARIABLE,
    Cluster,
    cluster_of_environment,
    is_asked_for,
)
from asmnet_kit.training.cluster.supervisor import Chief, Child, Worker, open_notes
from asmnet_kit.training.job import Job
from asmnet_kit.training.manifest import git_commit, package_versions

PROCESS = Path(__file__).with_name("worker.py")


def supervise(job: Job, *, max_restarts: int) -> int:
    """Have a job done by a training process, on each of the workers that TF_CONFIG names.

    Args:
        max_restarts: how often to start again, from the last epoch's checkpoint, where a training
            process was killed or a machine is gone. With any, a run in the job's folder goes on.

    Returns:
        The exit code of a training process that told the reason itself; 0 where all went well.

    Raises:
        KitError: a worker was lost.
        UsageError: TF_CONFIG names no workers, or a worker has other versions.
    """
    cluster = cluster_of_environment() if is_asked_for(job.strategy) else None
    leads = cluster is None or cluster.is_chief
    began = time.monotonic()

    def start(tf_config: str | None, restarts: int) -> Child:
        now = job.going_on() if leads and max_restarts else job
        if now.max_minutes is not None:
            left = max(0.0, now.max_minutes - (time.monotonic() - began) / 60)
            now = dataclasses.replace(now, max_minutes=left if restarts else now.max_minutes)
        return _start(now, tf_config)

    return (Chief if leads else Worker)(
        cluster=cluster,
        start=start,
        versions=versions(),
        max_restarts=max_restarts,
        tell=lambda line: stderr().print(line, markup=False),
        advice=lambda: _advice(job, cluster),
    ).run()


def _advice(job: Job, cluster: Cluster | None) -> str:
    """How to go on, a sentence; the chief alone knows whether there is a run."""
    if cluster is None:
        return job.advice.replace("every worker", "it")
    if cluster.is_chief:
        return job.advice
    return "Start every worker again, with --resume once the chief's --out holds a run"


def versions() -> dict[str, str]:
    """What must be the same on every machine for all to compute the same, by name."""
    commit = git_commit()
    of_checkout = {"commit": commit} if commit else {}
    python = ".".join(platform.python_version_tuple()[:2])
    # Of whichever package it is: opencv-python or opencv-python-headless.
    own = {"asmnet-kit": __version__, "OpenCV": cv2.__version__, "python": python}
    return {**own, **of_checkout, **package_versions()}


def _start(job: Job, tf_config: str | None) -> Child:
    """Start the training process of a job; see ``worker``."""
    notes = open_notes()
    terminal = os.dup(2)
    try:
        process = subprocess.Popen(
            script_command(PROCESS, str(terminal)),
            stdin=subprocess.PIPE,
            stderr=notes,
            pass_fds=(terminal,),
            env={**os.environ, **({} if tf_config is None else {VARIABLE: tf_config})},
            # Ctrl-C reaches the supervisor alone, which passes it on.
            start_new_session=True,
            text=True,
        )
    finally:
        os.close(terminal)
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # its exit code says so
        process.stdin.write(json.dumps(job.to_json()) + "\n")
        process.stdin.flush()
    return Child(process, notes)
