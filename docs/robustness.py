"""Writes docs/robustness.md from the table of doors that the fuzz targets use, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz.doors import DOORS, NOT_TRIED
from fuzz.driver import MAX_BYTES

TARGET = Path(__file__).with_name("robustness.md")
PAGE = """# Robustness

Written by `make docs` from `tests/fuzz/doors.py`; edit the table there, not this page.

Whatever comes in, and however it is damaged:

- a command does its work, or refuses with a message and an exit code: 2 for a wrong call, 1 for
  anything else. There is no traceback, no crash and no hang;
- no input takes more than {gib} GB of memory, whatever its header claims;
- what a command writes appears whole or not at all: an earlier file stays until the new one is
  complete, after `kill -9` and on a full disk, too. The same command, or `--resume`, then goes on
  to the same result and removes what was left half-written;
- nothing that was read is executed: [SECURITY.md](../SECURITY.md).

## The doors

{doors}

Not tried by `make fuzz`:

{not_tried}

## How it is tested

```console
$ make fuzz ARGS="--seed 7 --count 100000 --jobs 2"
$ make fuzz ARGS="--seed 7 --door tflite --first 1234 --count 1"    # one input again
```

`make fuzz` starts with whole inputs that the kit makes, damages them, and gives each to the command
that a user would type, in a process that it watches. Bytes are flipped, cut off, moved and
replaced by extreme numbers; in text also numbers, lines, encodings and separators. Where a format
has checksums or offsets, part of the damage keeps them right: members of an archive, sides in a
picture's header, values in the tables of a .tflite. The seed, the door and the number of an input
determine it; `build/fuzz/fuzz.json` has the outcomes by door and every fault with the command that
repeats it, `build/fuzz/faults` its input. `tests/test_fuzz.py` is a short run, and checks that
every door reads what is whole.

`tests/test_kills_and_disks.py` ends each command that writes at the worst moment, with the content
written and its name not yet given, and fills its disk: a tmpfs of its own where mounting is
allowed, else a limit of the size of files (`tests/disks.py`).
"""
FIELDS = (
    ("Commands", "commands"),
    ("Formats", "formats"),
    ("Limits", "limits"),
    ("Left out, and told", "left_out"),
    ("Ends the command", "ends"),
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
