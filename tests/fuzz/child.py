"""Gives damaged inputs to the commands, in a process that may die of them.

Started by ``driver``. Each input is told on stdout before and after it was tried, a line of JSON
each: what the process does between the two lines is the input's doing.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import resource
import shutil
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from fuzz.damage import damaged
from fuzz.doors import Call, Door

HEADROOM_BYTES = 6 << 30  # of addresses, so that a machine survives what the limit of memory misses
Input = tuple[str, bytes, Call]


def input_of(door: Door, seeds: Path, seed: int, index: int) -> Input:
    """Input ``index`` of a door: its place, its content and the call that is to meet it."""
    random = Random(f"{seed} {door.name} {index}")
    whole = sorted(path for pattern in door.seeds for path in seeds.glob(pattern))
    path = random.choice(whole)
    content = damaged(path.read_bytes(), door.ways, random)
    return (
        door.place.format(suffix=path.suffix, name=path.name),
        content,
        random.choice(list(door.calls)),
    )


class Trial:
    """Where the inputs of one door are tried, one after the other."""

    def __init__(self, door: Door, seeds: Path, work: Path) -> None:
        self.door, self.seeds, self.work = door, seeds, work
        self.out = work.with_name(work.name + "-out")
        self._clean()

    def _clean(self) -> None:
        """The folder as before any input."""
        shutil.rmtree(self.work, ignore_errors=True)
        if self.door.beside:
            shutil.copytree(self.seeds / self.door.beside, self.work)
        else:
            self.work.mkdir(parents=True)

    def put(self, place: str, content: bytes) -> None:
        """Put an input into its place."""
        if not place:
            self._clean()
            for what, name in json.loads(content):
                with contextlib.suppress(OSError):  # a name too long, or taken by a folder
                    put_trick(self.work / name, what)
            return
        if "--resume" in self.door.calls[0] or "{name}" in self.door.place:
            self._clean()  # the last input is still there, or was written to
        (self.work / place).write_bytes(content)

    def arguments(self, place: str, content: bytes, call: Call) -> list[str]:
        """The command's arguments; no NUL in them, which no operating system hands over."""
        names = {
            "file": str(self.work / place),
            "work": str(self.work),
            "seeds": str(self.seeds),
            "out": str(self.out / "o"),
            "text": os.fsdecode(content).replace("\0", ""),
        }
        return [word.format(**names) for word in call]

    def run(self, arguments: list[str]) -> dict[str, str]:
        """The outcome of a call in this process."""
        from click.testing import CliRunner

        from asmnet_kit.cli import main

        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        return judged(CliRunner().invoke(main, arguments))


def judged(result: Any) -> dict[str, str]:
    """``read``, ``refused`` in words, or a ``traceback`` with what and where."""
    if result.exception is None:
        return {"outcome": "read"}
    if isinstance(result.exception, SystemExit):
        if "Traceback (most recent" in result.output:
            return {"outcome": "traceback", "what": result.output[-300:], "where": "printed"}
        if result.exit_code in (0, 130):  # 130: ``stopped_before_training``, the input was taken
            return {"outcome": "read"}
        if result.exit_code in (1, 2) and "Error: " in result.stderr:
            return {"outcome": "refused", "what": result.stderr.strip()[-300:]}
        return {
            "outcome": "traceback",
            "what": f"exit code {result.exit_code} without a word: {result.output[-200:]!r}",
            "where": "no message",
        }
    error = result.exception
    frames = traceback.extract_tb(error.__traceback__)
    last = [frame for frame in frames if in_the_kit(frame.filename)][-1:] or frames[-1:]
    return {
        "outcome": "traceback",
        "what": f"{type(error).__name__}: {str(error)[:300]}",
        "where": f"{in_the_kit(last[0].filename)}:{last[0].lineno} {last[0].name}",
    }


def in_the_kit(filename: str) -> str | None:
    """``toolkit/face/crop.py`` for a file of the kit's, None for another's."""
    if "site-packages" in filename and "/asmnet_kit/" not in filename:
        return None
    for stage in ("asmnet_kit", "toolkit", "training", "quantize", "benchmarks"):
        _, found, rest = filename.rpartition(f"/{stage}/")
        if found and "/tests/" not in filename:
            return f"{stage}/{rest}"
    return None


def put_trick(path: Path, what: str) -> None:
    """Something strange at ``path``, instead of what is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
            listening.bind(str(path))
    elif what == "folder":
        path.mkdir()
        (path / "face_000000.jpg").mkdir()
    elif what.startswith("link"):
        targets = {"itself": path.name, "nothing": "no such", "upwards": ".."}
        path.symlink_to(targets.get(what.rpartition(" ")[2], "/dev/zero"))
    elif what == "zeros":
        with path.open("wb") as file:
            file.truncate(3 << 30)  # no disk space is taken
    elif what == "a copy":
        # Earlier tricks may have taken all, or made one so large that this process is what breaks
        # the promise.
        small = (p for p in path.parent.glob("*.jpg") if p.is_file() and p.stat().st_size < 1 << 20)
        for picture in sorted(small)[:1]:
            path.write_bytes(picture.read_bytes())
    elif what == "empty":
        path.write_bytes(b"")


def peak_bytes() -> int:
    """The most memory this process, or one that it started, ever held."""
    unit = 1 if sys.platform == "darwin" else 1 << 10
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one, too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return max(children, int(line.split()[1]) << 10)
    return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def addresses_bytes() -> int:
    """The addresses this process has now; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[0]) * resource.getpagesize()


@contextlib.contextmanager
def stopped_before_training() -> Iterator[None]:
    """What ``train`` reads is read; then it ends as with Ctrl-C, before the network is built."""
    from asmnet_kit.training import run

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before, run.alone_in = run.alone_in, stop
    try:
        yield
    finally:
        run.alone_in = before


def main(arguments: list[str]) -> None:
    table, name, seeds, work, seed, first, count = arguments
    door: Door = importlib.import_module(table).BY_NAME[name]
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what C libraries print to stdout is no outcome
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trial = Trial(door, Path(seeds), Path(work))
    with contextlib.ExitStack() as stack:
        if door.tensorflow:
            from asmnet_kit.training.environment import import_tensorflow

            import_tensorflow()
            if "--resume" not in door.calls[0]:
                stack.enter_context(stopped_before_training())
        if sys.platform == "linux":
            limit = addresses_bytes() + HEADROOM_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        for index in range(int(first), int(first) + int(count)):
            place, content, call = input_of(door, Path(seeds), int(seed), index)
            words = trial.arguments(place, content, call)
            trial.put(place, content)
            print(json.dumps({"begin": index, "place": place, "call": words}), file=told)
            started = time.monotonic()
            try:
                outcome = trial.run(words)
            except MemoryError as error:  # while the outcome was written down
                outcome = {"outcome": "memory", "what": repr(error), "where": "child"}
            seconds = time.monotonic() - started
            told_now = outcome | {"end": index, "seconds": round(seconds, 3), "peak": peak_bytes()}
            print(json.dumps(told_now), file=told)


if __name__ == "__main__":
    main(sys.argv[1:])
