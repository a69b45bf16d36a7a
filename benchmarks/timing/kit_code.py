"""Which code measured: a version names many commits, and a checkout may hold changes of its own."""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

STAGES = ("training", "quantize", "benchmarks")


@cache
def code_digest() -> str:
    """Twelve hex digits of the code of the toolkit and the benchmarks: equal for equal code."""
    digest = hashlib.sha256()
    toolkit, benchmarks = Path(str(files("asmnet_kit"))), Path(__file__).resolve().parents[1]
    for folder in (toolkit, benchmarks):
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if folder == toolkit and inside.parts[0] in STAGES:
                continue  # an installed kit has its stages inside, a checkout beside
            digest.update(inside.as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
