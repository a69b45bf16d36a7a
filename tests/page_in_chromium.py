"""``asmnet-kit share`` in a process of its own, and its page in Chromium, under a test's hand."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import devtools
from asmnet_kit.benchmarks.browser import chromium, litert_js
from devtools import Page

MODELS = Path(__file__).parents[1] / "toolkit" / "models"
INT8 = MODELS / "asmnet_nano_people_68_112_qat_w8a8.tflite"
FLOAT = MODELS / "asmnet_plus_people_68_112_fp16.tflite"
FEW = ["--warmup", "2", "--runs", "10", "--seconds", "0"]
STATE = "document.getElementById('state').textContent"


def _missing() -> str | None:
    if chromium.program() is None:
        return f"no Chromium: {chromium.HOW_TO_GET}"
    if litert_js.missing(litert_js.default_folder()):
        return f"no LiteRT.js: {litert_js.HOW_TO_GET}"
    return None


needs_browser = pytest.mark.skipif(_missing() is not None, reason=str(_missing()))


@contextmanager
def share(
    tmp_path: Path, *options: str, models: Sequence[Path]
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address that it prints, and the process."""
    words = [sys.executable, "-m", "asmnet_kit", "share", *map(str, models), *options]
    process = subprocess.Popen(
        [*words, "--out", str(tmp_path / "results")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def shared_page(
    tmp_path: Path,
    *options: str,
    models: Sequence[Path] = (FLOAT, INT8),
    arguments: Sequence[str] = (),
    address_of: Callable[[str], str] = str,
) -> Iterator[tuple[Page, "subprocess.Popen[str]"]]:
    """A narrow screen that shows the page, ready."""
    few = [*FEW, "--people", "3", *options]
    with (
        share(tmp_path, *few, models=models) as (address, process),
        devtools.page(tmp_path / "profile", arguments) as tab,
    ):
        tab.open(address_of(address), width=360, height=740)
        tab.until(f"{STATE} === 'Ready.'")
        yield tab, process
