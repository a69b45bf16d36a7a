"""Writes docs/robustness.md from the table of doors that the fuzz targets use, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz.doors import DOORS, NOT_TRIED
from fuzz.driver import MAX_BYTES

TARGET = Path(__file__).with_name("robustness.md")
PAGE = """# Robustness

Written by `make docs` from `tests/fuzz/doors.py`; edit the table there, not this page.

What you can rely on, however damaged the input is:

- A command does its work, or refuses with a message and an exit code: 2 for a wrong call, 1 for
  everything else. It does not print a traceback, crash or hang.
- No input takes more than {gib} GB of memory, whatever its header claims.
- Output files are written completely or not at all, also after `kill -9` and on a full disk: an
  earlier file stays until the new one is complete. Run the same command again, with `--resume`
  where it has that option, and you get the same result; half-written files are removed.
- Nothing in an input is ever executed: [SECURITY.md](../SECURITY.md).

## Inputs

Everything that the kit reads from outside. `make fuzz` calls each input a door; `--door NAME` tests
only that one. A limit is the most that is accepted.

{doors}

`make fuzz` does not try:

{not_tried}

## How it is tested

```console
$ make fuzz ARGS="--seed 7 --count 100000 --jobs 2"
$ make fuzz ARGS="--seed 7 --door tflite --first 1234 --count 1"    # one input again
```

`make fuzz` takes valid inputs that the kit wrote, damages them, and passes each to the command that
a user would type, in a process that it watches. It flips, truncates and moves bytes and replaces
them by extreme numbers; in text it also changes numbers, lines, encodings and separators. If a
format has checksums or offsets, part of the damage keeps them valid: members of an archive, the
size in a picture's header, values in the tables of a .tflite. Seed, door and number determine an
input. `build/fuzz/fuzz.json` has the outcomes by door and the command that repeats each fault;
`build/fuzz/faults` has the inputs. `tests/test_fuzz.py` is a short run, which also checks that
every valid input is accepted.

`tests/test_kills_and_disks.py` kills each command that writes at the worst moment, when the content
is written and the file does not have its name yet. It also fills the disk: a tmpfs of its own if
mounting is allowed, else a limit on the size of files (`tests/disks.py`).
"""
FIELDS = (
    ("Commands", "commands"),
    ("Formats", "formats"),
    ("Limits", "limits"),
    ("Skipped and reported", "left_out"),
    ("Stops the command", "ends"),
)


def page() -> str:
    """The whole page, Markdown."""
    doors = []
    for door in DOORS:
        rows = [f"- {head}: {getattr(door, name)}" for head, name in FIELDS]
        rows = [row for row in rows if not row.endswith(": -")]
        doors.append(f"### {door.what}\n\n`--door {door.name}`\n\n" + "\n".join(rows))
    not_tried = "\n".join(f"- {what}: {why}" for what, why in NOT_TRIED.items())
    return PAGE.format(gib=MAX_BYTES >> 30, doors="\n\n".join(doors), not_tried=not_tried)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(f"wrote {TARGET.name}")
