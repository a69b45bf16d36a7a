"""The page's arithmetic is Python's: core.js reads the golden files of ``make golden`` in Node."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORE = HERE.parents[2] / "benchmarks" / "browser" / "page" / "core.js"


def test_core_js_gives_the_numbers_of_the_golden_files() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on the PATH: sudo apt-get install nodejs")
    done = subprocess.run(
        [node, "--test", str(HERE / "core.test.mjs")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert int(re.findall(r"^# pass (\d+)", done.stdout, re.MULTILINE)[0]) >= 20


def test_core_js_knows_nothing_of_the_page() -> None:
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", CORE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"\b(?:import\b|document\.|window\.|navigator\.|fetch\()", text) == []
