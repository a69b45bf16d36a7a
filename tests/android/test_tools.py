"""The build's own arithmetic: alignment in the APK, and what the tools ask Maven for."""

import importlib
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from asmnet_kit.shipping.shipped import shipped_models

TOOLS = Path(__file__).resolve().parents[2] / "android_demo" / "tools"
NAMES = ("versions", "toolchain", "build", "gates")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The scripts as modules, gone again after the test: one is called build."""
    monkeypatch.syspath_prepend(str(TOOLS))
    yield {name: importlib.import_module(name) for name in NAMES}
    for name in NAMES:
        del sys.modules[name]


def test_stored_entries_start_on_their_borders(
    tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    build, gates = tools["build"], tools["gates"]
    path = tmp_path / "aligned.apk"
    with zipfile.ZipFile(path, "w") as apk:
        build.add(apk, "classes.dex", b"code" * 999, zipfile.ZIP_DEFLATED)
        for length in (1, 4095, 16384, 20000):
            build.add(apk, f"lib/{length}.so", bytes(length), zipfile.ZIP_STORED, 16384)
            build.add(apk, f"res/{length}", bytes(length), zipfile.ZIP_STORED)
    with zipfile.ZipFile(path) as apk, path.open("rb") as raw:
        assert apk.testzip() is None
        for entry in apk.infolist():
            offset = gates.content_offset(raw, entry)
            if entry.compress_type == zipfile.ZIP_STORED:
                assert offset % (16384 if entry.filename.endswith(".so") else 4) == 0, entry


def test_the_same_content_gives_the_same_archive(
    tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    for name in ("first", "second"):
        with zipfile.ZipFile(tmp_path / name, "w") as apk:
            tools["build"].add(apk, "a", b"same", zipfile.ZIP_STORED)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_librarys_alignment_is_that_of_its_least_aligned_loaded_segment(
    tools: dict[str, ModuleType],
) -> None:
    header = bytearray(64)
    struct.pack_into("<Q", header, 32, 64)  # program headers follow
    struct.pack_into("<2H", header, 54, 56, 3)  # three of 56 bytes
    segments = b""
    for kind, alignment in ((1, 16384), (1, 4096), (4, 4)):  # loaded, loaded, a note
        segment = bytearray(56)
        struct.pack_into("<I", segment, 0, kind)
        struct.pack_into("<Q", segment, 48, alignment)
        segments += segment
    assert tools["gates"].load_alignment(bytes(header) + segments) == 4096


def test_without_the_programs_nothing_is_downloaded_and_the_tests_are_skipped(
    tmp_path: Path,
) -> None:
    """As on a CI machine that has pip and nothing else."""
    done = subprocess.run(
        [sys.executable, TOOLS / "ready.py"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    assert "skipped: programs of these Debian packages are missing" in done.stdout
    assert "openjdk-17-jdk-headless" in done.stdout
    assert done.stderr == ""


def test_every_profile_that_the_tools_name_is_in_the_pom(tools: dict[str, ModuleType]) -> None:
    pom = (TOOLS / "pom.xml").read_text(encoding="utf-8")
    known = set(tools["toolchain"].profiles())
    assert len(known) == pom.count("<profile>")
    for script in TOOLS.glob("*.py"):
        used = set(re.findall(r'\bfiles?\("([\w-]+)"\)', script.read_text(encoding="utf-8")))
        assert used <= known, script


def test_the_app_bundles_the_int8_models_of_the_kit_that_may_be_shipped(
    tools: dict[str, ModuleType],
) -> None:
    names = [path.name for path in tools["build"].default_models()]
    free = [m for m in shipped_models() if m.card["licence"] == "Apache-2.0"]
    expected = {m.path.name for m in free if m.path.stem.endswith("w8a8")}
    assert expected and set(names) == expected
