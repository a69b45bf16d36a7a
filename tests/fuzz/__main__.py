"""``make fuzz``: damaged inputs at every door. Exit code 1 where one broke the promise."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from fuzz.doors import BY_NAME, DOORS
from fuzz.driver import MAX_BYTES, TESTS, Limits, faults_in_words, fuzz, table, to_json

COUNT = 20_000


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="other inputs (default: 0)")
    parser.add_argument("--count", type=int, default=COUNT, help=f"inputs (default: {COUNT})")
    parser.add_argument("--first", type=int, default=0, help="number of each door's first input")
    parser.add_argument(
        "--door", action="append", choices=BY_NAME, metavar="NAME",
        help=f"this one alone; may be given several times: {', '.join(BY_NAME)}",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for one input (default: 60)")
    parser.add_argument(
        "--out", type=Path, default=TESTS.parent / "build" / "fuzz",
        help="folder for the table and the inputs of faults (default: build/fuzz)",
    )  # fmt: skip
    return parser.parse_args()


def main() -> int:
    call = parsed()
    doors = [BY_NAME[name] for name in call.door] if call.door else list(DOORS)
    seeds = call.out / "seeds"
    shutil.rmtree(call.out, ignore_errors=True)
    call.out.mkdir(parents=True)
    # In a process of its own, so that what is left of TensorFlow does not slow this one down.
    subprocess.run([sys.executable, "-m", "fuzz.seeds", str(seeds)], check=True)
    tallies = fuzz(
        doors, seeds.resolve(), call.out.resolve(), seed=call.seed, count=call.count,
        first=call.first, jobs=call.jobs, limits=Limits(call.seconds, MAX_BYTES),
    )  # fmt: skip
    (call.out / "work").rmdir()
    outcome = to_json(tallies, seed=call.seed)
    (call.out / "fuzz.json").write_text(json.dumps(outcome, indent=2) + "\n")
    print(table(tallies))
    if outcome["faults"]:
        print(f"\n{faults_in_words(tallies)}\n\nTheir inputs: {call.out / 'faults'}")
    return 1 if outcome["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
