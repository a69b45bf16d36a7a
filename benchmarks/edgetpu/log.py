"""Reads what ``edgetpu_compiler`` prints and the ``.log`` files it writes, versions 2.0 to 16.0.

``parse_log`` never raises on strange text: rows of the table that are not understood are kept as
they stand there, other lines are left out, and whether the
compilation succeeded rests on one sentence alone, since ``-d`` prints "Compilation failed!" at each
retry.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError
from asmnet_kit.base.reading import read_text

UNSAID = "no status"  # of a row that has none
SUCCESS = "Model compiled successfully in"
NOT_ALL = "Model successfully compiled but not all operations are supported"
TABLE_HEADER = re.compile(r"^Operator\s+Count\s+Status\s*$")
TABLE_ROW = re.compile(
    r"^(\S(?:.*?\S)?)\s+(\d{1,9})(?:\s+(\S.*))?$"
)  # a custom name may have blanks
LIKE_A_ROW = re.compile(r"\s\d+(\s|$)")
VERSION = re.compile(r"^Edge TPU Compiler version (\S+)")
SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)$")
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

# Sentences of a failure, by how their line begins.
FAILURES = (
    "ERROR:",
    "Compilation failed:",
    "Compilation failed!",
    "Invalid model:",
    "Model not quantized",
    "Model could not be parsed",
    "Internal compiler error",
    "Segmentation fault",
)

# "key: value" lines by the names of ``ModelLog``. Version 2.0 says "available" for "remaining";
# .log files say "Input" and "Output".
FIELDS = {
    "Input model": "input_model",
    "Input": "input_model",
    "Input size": "input_bytes",
    "Output model": "output_model",
    "Output": "output_model",
    "Output size": "output_bytes",
    "On-chip memory used for caching model parameters": "cached_bytes",
    "On-chip memory remaining for caching model parameters": "remaining_bytes",
    "On-chip memory available for caching model parameters": "remaining_bytes",
    "Off-chip memory used for streaming uncached model parameters": "streamed_bytes",
    "Number of Edge TPU subgraphs": "subgraphs",
    "Total number of operations": "total_ops",
    "Number of operations that will run on Edge TPU": "tpu_ops",
    "Number of operations that will run on CPU": "cpu_ops",
    "Operation log": "operation_log",
}


class LogError(KitError):
    """A file is no log of the compiler."""


@dataclass(frozen=True)
class TableRow:
    """A row of the table of operators; one operator can have several."""

    op: str
    count: int
    status: str


@dataclass(frozen=True)
class ModelLog:
    """What the log says about one model; None is what it does not say. Sizes are in bytes.

    ``unread`` has the rows of its table that were not understood, as they stand there.
    """

    compile_ms: int | None = None
    input_model: str | None = None
    input_bytes: int | None = None
    output_model: str | None = None
    output_bytes: int | None = None
    cached_bytes: int | None = None
    remaining_bytes: int | None = None
    streamed_bytes: int | None = None
    subgraphs: int | None = None
    total_ops: int | None = None
    tpu_ops: int | None = None
    cpu_ops: int | None = None
    operation_log: str | None = None
    table: tuple[TableRow, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompilerLog:
    """A run of the compiler.

    Attributes:
        version: for example ``16.0.384591198``.
        succeeded: the success sentence is there.
        models: in order; the compiler takes several at once.
        failures: lines that tell of one, in order; a retry's failure may stand before a success.
    """

    version: str | None
    succeeded: bool
    models: tuple[ModelLog, ...]
    failures: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it failed, in the compiler's words."""
        telling = [line for line in self.failures if line != "Compilation failed!"]
        return (telling or list(self.failures) or ["it said nothing of a failure"])[0]


@dataclass
class _Building:
    """A model's facts while they are collected."""

    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[TableRow] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    not_all: bool = False

    def done(self) -> ModelLog:
        facts = dict(self.facts)
        total = facts.get("total_ops")
        if total is None and self.rows:
            total = facts["total_ops"] = sum(row.count for row in self.rows)
        # A fully mapped model gets no counts; of two counts one may be missing.
        if self.rows and "tpu_ops" not in facts:
            mapped = sum(row.count for row in self.rows if row.status == "Mapped to Edge TPU")
            facts.setdefault("tpu_ops", mapped)
        elif total is not None and "tpu_ops" not in facts and not self.not_all:
            facts["tpu_ops"] = total
        if total is not None and "tpu_ops" in facts:
            facts.setdefault("cpu_ops", max(0, total - facts["tpu_ops"]))
        return ModelLog(**facts, table=tuple(self.rows), unread=tuple(self.unread))


def parse_log(text: str) -> CompilerLog:
    """Read the compiler's output, or a ``.log`` file of its."""
    version: str | None = None
    succeeded = False
    models: list[_Building] = []
    failures: list[str] = []
    in_table = False

    def current() -> _Building:
        if not models:
            models.append(_Building())
        return models[-1]

    for raw in text.splitlines():
        line = raw.strip()
        row = TABLE_ROW.match(line) if in_table else None
        if TABLE_HEADER.match(line):
            in_table = True
            current().rows.clear()
        elif row:
            current().rows.append(TableRow(row[1], int(row[2]), row[3] or UNSAID))
        elif in_table and LIKE_A_ROW.search(line) and line.partition(":")[0] not in FIELDS:
            current().unread.append(line)
        elif line:
            in_table = False
            found = VERSION.match(line)
            if found:
                version = found[1]
            elif line.startswith(SUCCESS):
                succeeded = True
                models.append(_Building())
                milliseconds = re.search(r"in (\d{1,12}) ms", line)
                if milliseconds:
                    current().facts["compile_ms"] = int(milliseconds[1])
            elif line.startswith(NOT_ALL):
                current().not_all = True
            elif line.startswith(FAILURES):
                failures.append(line)
            else:
                _field(line, models, current)
    return CompilerLog(version, succeeded, tuple(m.done() for m in models), tuple(failures))


def _field(line: str, models: list[_Building], current: Any) -> None:
    key, colon, value = line.partition(":")
    name = FIELDS.get(key.strip())
    if not colon or name is None:
        return
    if name == "input_model" and models and "input_model" in models[-1].facts:
        models.append(_Building())  # .log files of several models have no success sentence
    converted = _value(name, value.strip())
    if converted is not None:
        current().facts[name] = converted


def _value(name: str, value: str) -> str | int | None:
    if name.endswith("_bytes"):
        size = SIZE.match(value)
        count = float(size[1]) * UNITS[size[2]] if size else math.inf
        return round(count) if math.isfinite(count) else None
    if name in ("subgraphs", "total_ops", "tpu_ops", "cpu_ops"):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
    return value or None


def read_log(path: Path) -> ModelLog:
    """What the compiler said of a model: its output in a file, or the ``.log`` that it wrote.

    Raises:
        LogError: it cannot be read, tells of no operators, or of several models.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}") from error
    log = parse_log(text)
    told = [model for model in log.models if model.total_ops is not None]
    if len(told) != 1:
        why = f"; it says: {log.failures[-1]}" if log.failures else ""
        raise LogError(
            f"{path}: expected what edgetpu_compiler says of one model, got {len(told)}{why}"
        )
    return told[0]
