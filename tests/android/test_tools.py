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


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.tflite", None, "there is no such file"),
        ("a.onnx", b"onnx", "names that end in .tflite"),
        ("a.tflite", bytes(64), "no TFLite model"),
        ("b.tflite", b"\x1c\0\0\0TFL3" + bytes(64), "no ASMNET_KIT metadata"),
    ],
)
def test_a_model_that_the_app_could_not_use_is_told_before_anything_is_built(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    command = [sys.executable, TOOLS / "build.py", "--model", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"expected a .tflite of asmnet-kit, got {path}" in done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def library(*alignments: int) -> bytes:
    """A 64-bit ELF file of loaded segments and a note."""
    header = bytearray(64)
    struct.pack_into("<Q", header, 32, 64)  # program headers follow
    struct.pack_into("<2H", header, 54, 56, len(alignments) + 1)  # of 56 bytes each
    segments = b""
    for kind, alignment in [*((1, alignment) for alignment in alignments), (4, 4)]:
        segment = bytearray(56)
        struct.pack_into("<I", segment, 0, kind)
        struct.pack_into("<Q", segment, 48, alignment)
        segments += segment
    return bytes(header) + segments


def test_a_librarys_alignment_is_that_of_its_least_aligned_loaded_segment(
    tools: dict[str, ModuleType],
) -> None:
    assert tools["gates"].load_alignment(library(16384, 4096)) == 4096


@pytest.mark.parametrize(
    ("lazy", "libraries", "said"),
    [
        (set(), {"libcpu.so": 0x4000}, None),
        (set(), {"libcpu.so": 0x1000}, "libcpu.so: expected segments of 0x4000, got 0x1000"),
        ({"libgpu.so"}, {"libcpu.so": 0x4000, "libgpu.so": 0x1000}, None),
        ({"libgpu.so"}, {"libcpu.so": 0x1000, "libgpu.so": 0x1000}, "libcpu.so: expected segments"),
        # An exception that nothing needs any more must go.
        ({"libgpu.so"}, {"libcpu.so": 0x4000, "libgpu.so": 0x4000}, "for smaller pages in"),
    ],
)
def test_a_library_for_small_pages_fails_the_gate_but_where_the_app_loads_it_lazily(
    tools: dict[str, ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lazy: set[str],
    libraries: dict[str, int],
    said: str | None,
) -> None:
    build, gates = tools["build"], tools["gates"]
    path = tmp_path / "app.apk"
    with zipfile.ZipFile(path, "w") as apk:
        for name, alignment in libraries.items():
            content = library(0x4000, alignment)
            build.add(apk, f"lib/arm64-v8a/{name}", content, zipfile.ZIP_STORED, 0x4000)
    monkeypatch.setattr(gates, "run", lambda _: "")  # zipalign, which Debian has
    runtime = build.Runtime("x", path, (), frozenset(libraries), frozenset(lazy))
    if said is None:
        assert "16 KiB pages" in gates.alignment(gates.Apk(runtime, []))
    else:
        with pytest.raises(gates.GateFailed, match=said):
            gates.alignment(gates.Apk(runtime, []))


def test_only_the_publishable_runtime_is_without_exceptions(tools: dict[str, ModuleType]) -> None:
    runtimes = tools["build"].RUNTIMES
    assert runtimes["publishable"].lazy == frozenset()
    assert runtimes["full"].lazy == {"libtensorflowlite_jni.so", "libtensorflowlite_gpu_jni.so"}


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
    # Those that learned people: beside them one of drawn faces alone is no model to show.
    expected = {m.path.name for m in free if m.path.stem.endswith("w8a8") and "people" in m.name}
    assert len(expected) == 4 and set(names) == expected
    default = next(m for m in shipped_models() if m.card["default"])
    assert default.path.name in expected  # what the app starts with
