"""A door that does what its input says, for the test of the driver: it must notice everything."""

import os
import sys
import time
from pathlib import Path
from random import Random

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.folders import Reading
from fuzz.doors import DATA, Door

MANY_BYTES = 700 << 20
DEEDS = ("read", "refused", "traceback", "crash", "hang", "memory")
FORMAT = "from fuzz.toy import read\n"  # a module that offers it as a data format


def deed_written(content: bytes, random: Random) -> bytes:
    """One of the deeds."""
    return random.choice(DEEDS).encode()


def read(root: Path) -> Reading:
    """A reader of a data format that does what ``input.toy`` says."""
    deed = (root / "input.toy").read_text()
    if deed == "crash":
        os.abort()
    if deed == "hang":
        time.sleep(3600)
    if deed == "memory":
        bytearray(MANY_BYTES)
    if deed == "traceback":  # one that is raised would be refused as the format's
        print("Traceback (most recent call last):", file=sys.stderr)
    if deed in ("memory", "refused", "traceback"):
        raise DatasetError("refused, as was asked for")
    raise SystemExit(0)


TOY = Door(
    name="toy", what="-", commands="-", formats="-", limits="-", left_out="-", ends="-",
    seeds=("folder.json",), place="input.toy", calls=(("data", "inspect", *DATA, "toy"),),
    ways=(deed_written,), share=1, table=__name__,
)  # fmt: skip
BY_NAME = {TOY.name: TOY}
