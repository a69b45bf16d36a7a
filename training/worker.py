"""The training process that a supervisor starts: a job on stdin, which ends with the supervisor.

Argument: the descriptor of the terminal, where messages go; descriptor 2 is a file that takes what
C++ code writes, which is of use to no user as long as all goes well.
"""

import json
import os
import signal
import sys
import threading

import click

from asmnet_kit.base.errors import Interrupted, KitError, Outage
from asmnet_kit.cli import KitCommand, KitFailure
from asmnet_kit.training.cluster.supervisor import LOST_ANOTHER, OUTAGE
from asmnet_kit.training.job import Job, work


@click.command(cls=KitCommand)
@click.argument("terminal", type=int)
def main(terminal: int) -> None:
    """Do one job of ``asmnet-kit train``."""
    sys.stderr = os.fdopen(terminal, "w", buffering=1, errors="backslashreplace")
    job = Job.from_json(json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    try:
        work(job)
    except (KeyboardInterrupt, Interrupted):
        raise
    except Outage as error:
        KitFailure(str(error), error.exit_code).show()
        _leave_at_once(OUTAGE)
    except KitError as error:
        from asmnet_kit.training.devices import WorkerLost

        if not isinstance(error, WorkerLost):
            raise
        os.write(2, f"{error.reason}\n".encode())
        _leave_at_once(LOST_ANOTHER)


def _leave_at_once(code: int) -> None:
    """End by the signal that becomes the exit code ``code``.

    TensorFlow would wait at its end for the others, of which one is gone or none is as far.
    """
    sys.stderr.flush()
    sys.stdout.flush()
    os.kill(os.getpid(), -code)


def _end_with_the_supervisor() -> None:
    # Not by sys.stdin, whose lock the interpreter would miss at its end.
    while os.read(0, 1 << 10):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
