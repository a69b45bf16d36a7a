"""Starts children that try damaged inputs, watches them, and counts by door what came of it.

An input is ``read`` (the command did its work), ``refused`` (in words, with exit code 1 or 2), or a
fault: a ``traceback``, a ``crash`` (the process died), a ``hang``, or too much ``memory``. After a
fault of the last three the next input gets a new child.
"""

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.child import in_the_kit, input_of
from fuzz.doors import DOORS, Door

SCHEMA_VERSION = 1
TESTS = Path(__file__).parents[1]
MAX_BYTES = 2 << 30
AT_ONCE = 400  # inputs for one child
KEPT = 3  # inputs of faults that look alike
START_S = 300.0  # for a child's imports
PATIENCE_S = 0.5  # between asking a hanging child where it is and ending it
OUTCOMES = ("read", "refused", "traceback", "crash", "hang", "memory")
FAULTS = OUTCOMES[2:]


@dataclass(frozen=True)
class Limits:
    """What an input may take: seconds, and bytes of memory of the process that reads it."""

    seconds: float = 60.0
    peak_bytes: int = MAX_BYTES


@dataclass
class Tally:
    """What came of a door's inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    peak_bytes: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.outcomes += other.outcomes
        self.seconds += other.seconds
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        self.faults += other.faults


def shares(doors: Sequence[Door], count: int) -> dict[str, int]:
    """How many of ``count`` inputs each door gets: at least one, in all exactly ``count``."""
    whole = sum(door.share for door in doors)
    parts = {door.name: max(1, count * door.share // whole) for door in doors}
    largest = max(doors, key=lambda door: door.share)
    parts[largest.name] = max(1, parts[largest.name] + count - sum(parts.values()))
    return parts


class Child:
    """A process that tries inputs ``first`` to ``first + count - 1`` of a door."""

    def __init__(
        self, door: Door, seeds: Path, work: Path, seed: int, first: int, count: int
    ) -> None:
        self.log = work.with_name(work.name + ".log")
        path = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
        arguments = [
            door.table,
            door.name,
            str(seeds),
            str(work),
            str(seed),
            str(first),
            str(count),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.child", *arguments],
                stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip

    def lines(self, seconds: float) -> Iterator[dict[str, Any] | None]:
        """What the child tells; None once where it was silent for too long."""
        assert self.process.stdout is not None
        pending = b""
        limit = START_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(limit):
                    yield None
                    return
                chunk = os.read(self.process.stdout.fileno(), 1 << 16)
                if not chunk:
                    return
                *whole, pending = (pending + chunk).split(b"\n")
                for line in whole:
                    yield json.loads(line)
                limit = seconds

    def end(self) -> int:
        """End the child and all it started; gives its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def ask_where(self) -> None:
        """Let the child write down what it is doing, and end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGABRT)  # faulthandler answers
        time.sleep(PATIENCE_S)

    def where(self) -> str:
        """The innermost place in the kit that the child wrote down when it died."""
        text = self.log.read_text(errors="replace")
        for name, line, function in re.findall(r'File "(.+)", line (\d+) in (\S+)', text):
            if short := in_the_kit(name):
                return f"{short}:{line} {function}"
        return text.strip()[-200:]


def fuzz_door(
    door: Door, seeds: Path, out: Path, *, seed: int, first: int, count: int, limits: Limits
) -> Tally:
    """Try inputs of one door; the faults' inputs are kept in ``out``."""
    tally = Tally()
    index, end = first, first + count
    while index < end:
        work = out / "work" / f"{door.name}-{first}"
        child = Child(door, seeds, work, seed, index, end - index)
        begun: dict[str, Any] | None = None
        stopped = ""
        for line in child.lines(limits.seconds):
            if line is None:
                child.ask_where()
                stopped = "hang"
            elif "begin" in line:
                begun, index = line, line["begin"] + 1
            elif begun is not None:
                if line["peak"] > limits.peak_bytes:
                    line |= {"outcome": "memory", "where": line.get("where", "-")}
                    line["what"] = f"{line['peak'] >> 20} MiB; {line.get('what', '')}"
                _count(tally, door, begun, line, seeds, out, seed)
                begun = None
                if line["outcome"] == "memory":  # the next one's peak would be this one's
                    stopped = "memory"
                    break
        code = child.end()
        if begun is not None:
            line = {
                "outcome": stopped or "crash",
                "what": f"no end in {limits.seconds:g} s" if stopped else f"exit code {code}",
                "where": child.where(),
                "seconds": limits.seconds if stopped else 0.0,
                "peak": 0,
            }
            _count(tally, door, begun, line, seeds, out, seed)
        elif not stopped and index < end:
            raise RuntimeError(f"{door.name}: the child ended before input {index}: {child.log}")
        child.log.unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(work.with_name(work.name + "-out"), ignore_errors=True)
    return tally


def _count(
    tally: Tally,
    door: Door,
    begun: dict[str, Any],
    line: dict[str, Any],
    seeds: Path,
    out: Path,
    seed: int,
) -> None:
    outcome = line["outcome"]
    tally.outcomes[outcome] += 1
    tally.seconds += line["seconds"]
    tally.peak_bytes = max(tally.peak_bytes, line["peak"])
    if outcome not in FAULTS:
        return
    index = begun["begin"]
    fault = {
        "door": door.name,
        "index": index,
        "outcome": outcome,
        "what": line.get("what", ""),
        "where": line.get("where", ""),
        "call": begun["call"],
        "repeat": f'make fuzz ARGS="--door {door.name} --seed {seed} --first {index} --count 1"',
    }
    looks = (outcome, fault["where"])
    alike = sum((other["outcome"], other["where"]) == looks for other in tally.faults)
    if alike < KEPT:
        folder = out / "faults" / f"{door.name}-{index}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fault.json").write_text(json.dumps(fault, indent=2) + "\n")
        place, content, _ = input_of(door, seeds, seed, index)  # the child may be at the next one
        (folder / (Path(place).name or "folder.json")).write_bytes(content)
    tally.faults.append(fault)


def fuzz(
    doors: Sequence[Door],
    seeds: Path,
    out: Path,
    *,
    seed: int,
    count: int,
    first: int = 0,
    jobs: int = 1,
    limits: Limits = Limits(),
) -> dict[str, Tally]:
    """Try ``count`` inputs, spread over ``doors``; gives door -> what came of them.

    Args:
        seeds: folder of ``seeds.make_seeds``.
        out: folder for the inputs of faults.
        first: index of each door's first input; the same seed, door and index are the same input.
        jobs: children at a time.
    """
    (out / "work").mkdir(parents=True, exist_ok=True)
    parts = []
    for name, inputs in shares(doors, count).items():
        door = next(door for door in doors if door.name == name)
        for start in range(first, first + inputs, AT_ONCE):
            parts.append((door, start, min(AT_ONCE, first + inputs - start)))
    tallies: dict[str, Tally] = defaultdict(Tally)

    def one(part: tuple[Door, int, int]) -> tuple[str, Tally]:
        door, start, inputs = part
        tally = fuzz_door(door, seeds, out, seed=seed, first=start, count=inputs, limits=limits)
        print(f"{door.name} {start}: {dict(tally.outcomes)}", file=sys.stderr, flush=True)
        return door.name, tally

    with ThreadPoolExecutor(jobs) as pool:
        for name, tally in pool.map(one, parts):
            tallies[name].add(tally)
    return dict(tallies)


def table(tallies: dict[str, Tally]) -> str:
    """The outcomes by door, Markdown."""
    head = ("door", "inputs", *OUTCOMES, "s", "peak MiB")
    rows = [head, ("---",) * len(head)]
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    for name, tally in [*tallies.items(), ("all", whole)]:
        counts = [str(tally.outcomes[outcome] or "") for outcome in OUTCOMES]
        inputs = str(sum(tally.outcomes.values()))
        rows.append((name, inputs, *counts, f"{tally.seconds:.0f}", str(tally.peak_bytes >> 20)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_json(tallies: dict[str, Tally], *, seed: int) -> dict[str, Any]:
    """The same as JSON, with every fault and the command that repeats it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "seed": seed,
        "doors": {
            name: {
                "inputs": sum(tally.outcomes.values()),
                **{outcome: tally.outcomes[outcome] for outcome in OUTCOMES},
                "seconds": round(tally.seconds, 1),
                "peak_bytes": tally.peak_bytes,
            }
            for name, tally in tallies.items()
        },
        "faults": [fault for tally in tallies.values() for fault in tally.faults],
    }


def faults_in_words(tallies: dict[str, Tally]) -> str:
    """The faults, those that look alike once, with how many they are."""
    alike: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for tally in tallies.values():
        for fault in tally.faults:
            alike[fault["door"], fault["outcome"], fault["where"]].append(fault)
    lines = []
    for (door, outcome, where), faults in alike.items():
        lines.append(f"{len(faults)} x {door}: {outcome} at {where}\n    {faults[0]['what']}")
        lines.append(f"    {faults[0]['repeat']}")
    return "\n".join(lines)


__all__ = ["DOORS", "Limits", "Tally", "faults_in_words", "fuzz", "shares", "table", "to_json"]
