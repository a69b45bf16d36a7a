"""The table of targets: each says of itself what it can, and nothing else knows their names."""

import ast
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.options import CHECK_OPTIONS, FLAGS, RUNTIME
from asmnet_kit.benchmarks.targets.cpu import CPU
from asmnet_kit.benchmarks.targets.registry import TARGETS, load_target
from asmnet_kit.cli import main
from asmnet_kit.tflite.runtime import RUNTIMES

ROOT = Path(__file__).resolve().parents[3]
# What handles any target. Elsewhere "gpu" and "edgetpu" are also rules of operators.
GENERIC = (
    *sorted((ROOT / "benchmarks").glob("*.py")),
    ROOT / "benchmarks" / "commands" / "benchmark.py",
    ROOT / "benchmarks" / "comparing" / "compare.py",
    ROOT / "benchmarks" / "comparing" / "matching.py",
    ROOT / "toolkit" / "results" / "results.py",
)
DEFAULT = "cpu"


@pytest.mark.parametrize("path", GENERIC, ids=lambda path: path.stem)
def test_no_table_of_targets_stands_beside_the_registry(path):
    names = set(TARGETS.own) - {DEFAULT}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.Constant) and node.value in names), f"line {node.lineno}"


def test_the_options_of_the_kits_targets_have_a_flag_or_are_the_checks():
    declared = {option for name in TARGETS.own for option in load_target(name).abilities.options}
    assert declared == {*FLAGS.values(), *CHECK_OPTIONS}
    assert all(name == option.name for name, option in FLAGS.items())
    assert RUNTIME.choices == tuple(RUNTIMES)


def test_a_boards_target_can_there_what_the_kits_own_can_here():
    for board, own in (("linux", "cpu"), ("linux:gpu", "gpu"), ("linux:edgetpu", "edgetpu")):
        there, here = load_target(board).abilities, load_target(own).abilities
        assert there.elsewhere and there.has_devices
        assert there.options == here.options
        assert (there.uses_threads, there.takes_affinity, there.accelerator) == (
            here.uses_threads,
            here.takes_affinity,
            here.accelerator,
        )


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution ``chip-tools`` with one target, as pip would leave it."""

    def make(name, value, source=""):
        folder = tmp_path / "site"
        info = folder / "chip_tools-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chip-tools\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[asmnet_kit.targets]\n{name} = {value}\n")
        (folder / f"target_of_{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))

    return make


def test_another_packages_target_is_found_by_its_name(install):
    source = "from asmnet_kit.benchmarks.targets.cpu import CPU as GOOD\n"
    install("goodchip", "target_of_goodchip:GOOD", source)
    assert "goodchip" in TARGETS.names()
    assert load_target("goodchip") is CPU


@pytest.mark.parametrize(
    ("value", "source", "reason"),
    [
        ("nomod_at_all:X", "", "ModuleNotFoundError: No module named 'nomod_at_all'"),
        ("target_of_badchip:X", "", "AttributeError"),
        ("target_of_badchip:X", "raise OSError('no driver')", r"OSError: no driver\)"),
        (
            "target_of_badchip:X",
            "class Chip:\n    name = property(lambda self: 1 / 0)\nX = Chip()",
            "cannot be loaded .ZeroDivisionError",
        ),
        ("target_of_badchip:X", "X = 3", "is no target: it has no name, abilities, problem"),
    ],
)
def test_a_broken_package_is_named_with_the_reason(
    install, make_tflite, tmp_path, monkeypatch, value, source, reason
):
    monkeypatch.delitem(sys.modules, "target_of_badchip", raising=False)
    install("badchip", value, source)
    with pytest.raises(UsageError, match=reason) as caught:
        load_target("badchip")
    assert "chip-tools" in str(caught.value)
    words = ["benchmark", str(make_tflite()), "--target", "badchip", "--out", str(tmp_path / "r")]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 2
    assert "chip-tools" in run.output
