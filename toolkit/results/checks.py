"""What compilers and TensorFlow Lite Micro said of models, as ``make check-reference`` keeps it."""

from functools import cache
from pathlib import Path
from typing import Any

from asmnet_kit.base.console import clean
from asmnet_kit.base.reading import read_json
from asmnet_kit.results.quick_check import Test, quick_check
from asmnet_kit.results.results import SUFFIX, ResultError

KIND = "check"
COUNT = {"type": "integer", "minimum": 0}
SCHEMA = {
    "type": "object",
    "required": ["kind", "model", "check"],
    "properties": {
        "kind": {"const": KIND},
        "model": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "minLength": 1}},
        },
        "check": {
            "type": "object",
            "required": [
                "target", "verdict", "mapped", "total", "estimate", "memory_bytes", "parity", "tool"
            ],
            "properties": {
                "target": {"type": "string"},
                "verdict": {"type": "string"},
                "mapped": COUNT,
                "total": COUNT,
                "estimate": {
                    "type": ["object", "null"],
                    "required": ["milliseconds", "cycles"],
                    "properties": {"milliseconds": {"type": "number"}, "cycles": COUNT},
                },
                "memory_bytes": {"type": ["object", "null"], "additionalProperties": COUNT},
                "parity": {
                    "type": ["object", "null"],
                    "properties": {
                        "max": {"type": "number"}, "max_levels": COUNT, "inputs": COUNT
                    },
                },
                "tool": {
                    "type": ["object", "null"],
                    "required": ["name", "version"],
                    "properties": {"name": {"type": "string"}, "version": {"type": "string"}},
                },
            },
        },
    },
}  # fmt: skip

Kept = dict[str, Any]  # "kind", "model" and "check"


@cache
def _fits() -> Test:
    return quick_check(SCHEMA)


def load_checks(folder: Path) -> list[Kept]:
    """Every check in a folder, by name.

    Raises:
        ResultError: a file cannot be read or is no kept check, or there is none.
    """
    paths = sorted(p for p in folder.glob(f"*{SUFFIX}") if not p.name.startswith("."))
    if not paths:
        raise ResultError(f"{folder}: expected checks (*{SUFFIX}), found none")
    return [_load(path) for path in paths]


def _load(path: Path) -> Kept:
    try:
        content: Kept = clean(read_json(path))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: expected JSON, but {error}") from error
    if not _fits()(content):
        raise ResultError(
            f"{path}: expected a check of a model (kind {KIND!r}), as make check-reference keeps it"
        )
    return content
