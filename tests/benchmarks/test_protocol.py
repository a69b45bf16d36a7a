"""Targets of other packages: found by their entry point, or refused with the package's name."""

import sys

import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.targets.cpu import CPU
from asmnet_kit.benchmarks.targets.registry import TARGETS, load_target
from asmnet_kit.cli import main


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
