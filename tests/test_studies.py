"""Studies measure for the documents: from a checkout, by a make target, and for nobody else."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HELPERS = {  # not run by themselves
    *(
        "__init__",
        "arm64_child",
        "heads_tried",
        "kit_command",
        "markers",
        "options",
        "plain_fit",
        "pose_networks",
        "pose_report",
    ),
}
STUDIES = sorted(p for p in ROOT.glob("*/studies/*.py") if p.stem not in HELPERS)
MODULES = [f"asmnet_kit.{path.parts[-3]}.studies.{path.stem}" for path in STUDIES]


@pytest.mark.parametrize(("path", "module"), list(zip(STUDIES, MODULES, strict=True)), ids=MODULES)
def test_a_study_says_how_it_is_run_and_runs_so(path: Path, module: str) -> None:
    """The make target of its usage line runs this very module, which explains its options."""
    page = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    usage = re.search(r"^Usage: make ([a-z0-9-]+)", page, re.MULTILINE)
    assert usage, f"{path}: its docstring has no line 'Usage: make TARGET'"
    target = usage.group(1)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = re.search(rf"^{target}:.*## .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert rule, f"Makefile: no documented target {target}"
    assert f"python -m {module} " in rule.group(1)
    assert "$(ARGS)" in rule.group(1)
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower() and "--" in done.stdout


def test_there_are_studies() -> None:
    assert len(STUDIES) >= 8
