"""docs/tutorial.md: every command runs, in order, with smaller numbers."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.cli import main
from doc_commands import commands_of, context_of, lines_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
# Not the kit's commands: targets of the Makefile, and the shell's own.
OTHERS = ("make dev", ". .venv/bin/activate", "make web")
SMALLER = {
    "--count 4000": "--count 60",
    "--size 128": "--size 64",
    "--epochs 12 --batch-size 64": "--epochs 1 --batch-size 8",
    "--epochs 2": "--epochs 1 --calibration-faces 16",
    "--out results": "--warmup 1 --runs 3 --seconds 0 --out results",
}
KNOWN = ("train", "quantize", "evaluate", "check", "benchmark", "report", "predict", "doctor")


def smaller(words: list[str]) -> list[str]:
    """The command with the numbers of a test; only ``benchmark`` times runs."""
    line = shlex.join(words)
    for much, little in SMALLER.items():
        if "--runs" not in little or words[1] == "benchmark":
            line = line.replace(much, little)
    return shlex.split(line)


@pytest.mark.long
def test_every_command_of_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (camera,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "door.toml").write_text(camera, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ran = []
    for words in commands_of(PAGE):
        if words[1] == "share":  # it serves until a phone has answered: tests/benchmarks/browser
            with context_of(words):
                assert litert_js.COMMAND  # `make web` runs it
            continue
        done = CliRunner().invoke(main, smaller(words)[1:])
        assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}"
        ran.append(words[1])
    assert set(KNOWN) <= set(ran)
    for made in ("sheet.png", "runs/door/curves.png", "report.html", "drawn"):
        assert (tmp_path / made).exists(), made
    names = [{path.name for path in (tmp_path / f).rglob("*.jpg")} for f in ("drawn", "door/test")]
    assert names[0] == names[1] != set()
    assert len(list((tmp_path / "results").glob("*.json"))) == 2


def test_the_tests_small_numbers_stand_in_the_tutorial() -> None:
    """Else the test above would run the large ones."""
    lines = " ".join(shlex.join(words) for words in commands_of(PAGE))
    assert [much for much in SMALLER if much not in lines] == []


def test_the_other_commands_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    others = [line for line in lines_of(PAGE) if not line.startswith("asmnet-kit")]
    assert sorted(others) == sorted(OTHERS)
    for line in others:
        if line.startswith("make "):
            assert re.search(rf"^{line[5:]}:", makefile, re.MULTILINE), line
