"""Check a built APK: signature, manifest, code, alignment, libraries and the models in it.

    python3 android_demo/tools/gates.py [--runtime full|publishable] [--model MODEL.tflite ...]

Prints one line per gate and ends with 1 when one fails.
"""

import argparse
import hashlib
import re
import struct
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import build
from build import ABIS, MIN_SDK, PACKAGE, PAGE_BYTES, RUNTIMES, TARGET_SDK, Runtime
from toolchain import DEMO, BuildError, classpath, files, java, run

PERMISSIONS = ["android.permission.CAMERA"]
ACTIVITIES = {  # and whether other apps may start them
    f"{PACKAGE}.MainActivity": True,
    f"{PACKAGE}.BenchmarkActivity": True,
    f"{PACKAGE}.CompareActivity": False,
}

# Calls above minSdk that stand behind a check of Build.VERSION.SDK_INT, with the API that has them.
# What an activity inherits and calls on itself is compiled as its own method, which the check does
# not see: BenchmarkActivity's setShowWhenLocked and setTurnScreenOn (27) are guarded as well.
GUARDED = {
    "android.os.PowerManager.getCurrentThermalStatus": 29,
    "android.graphics.Insets": 29,
    "android.graphics.Insets.bottom": 29,
    "android.graphics.Insets.left": 29,
    "android.graphics.Insets.right": 29,
    "android.graphics.Insets.top": 29,
    "android.view.WindowInsets.getInsets": 30,
    "android.view.WindowInsets.Type.displayCutout": 30,
    "android.view.WindowInsets.Type.systemBars": 30,
    "android.os.Build.SOC_MANUFACTURER": 31,
    "android.os.Build.SOC_MODEL": 31,
    "android.app.Activity.getOnBackInvokedDispatcher": 33,
    "android.window.OnBackInvokedCallback": 33,
    "android.window.OnBackInvokedDispatcher": 33,
    "android.window.OnBackInvokedDispatcher.registerOnBackInvokedCallback": 33,
    "android.window.OnBackInvokedDispatcher.unregisterOnBackInvokedCallback": 33,
}

TOUCH = "android.hardware.faketouch"  # implied in every app that does not speak of it

PT_LOAD = 1  # ELF program header type of what is mapped into memory


class GateFailed(Exception):
    """What was expected and what came."""


@dataclass(frozen=True)
class Apk:
    runtime: Runtime
    models: Sequence[Path]

    @property
    def path(self) -> Path:
        return self.runtime.apk


def signature(apk: Apk) -> str:
    """Signed by schemes v2 and v3."""
    said = run(["apksigner", "verify", "--verbose", "--min-sdk-version", MIN_SDK, apk.path])
    for scheme in ("v2", "v3"):
        expect(
            re.search(rf"Verified using {scheme} scheme .*: true", said) is not None,
            f"expected a valid {scheme} signature, got:\n{said}",
        )
    return "v2 and v3 verify"


def badging(apk: Apk) -> str:
    """Package, SDK versions, and the camera as the only permission: no INTERNET."""
    said = run(["aapt", "dump", "badging", apk.path])
    for key, value in (
        ("package: name", PACKAGE),
        ("sdkVersion:", str(MIN_SDK)),
        ("targetSdkVersion:", str(TARGET_SDK)),
    ):
        expect(
            re.search(rf"{key}=?'{re.escape(value)}'", said) is not None, f"expected {key} {value}"
        )
    permissions = re.findall(r"uses-permission: name='([^']+)'", said)
    expect(permissions == PERMISSIONS, f"expected the permissions {PERMISSIONS}, got {permissions}")
    # A feature that is required hides the app from devices without it.
    required = set(re.findall(r"uses(?:-implied)?-feature: name='([^']+)'", said)) - {TOUCH}
    expect(not required, f"expected no required feature, got {sorted(required)}")
    expect(
        re.search(r"launchable-activity: name='[^']+'\s+label='[^']+'", said) is not None,
        "expected a label for the launcher",
    )
    return f"{PACKAGE}, API {MIN_SDK} to {TARGET_SDK}, permissions: {', '.join(permissions)}"


def activities(apk: Apk) -> str:
    """Two activities are exported, one of them to adb alone; nothing else is."""
    tree = run(["aapt", "dump", "xmltree", apk.path, "AndroidManifest.xml"])
    found, guarded = {}, {}
    for block in re.split(r"\n\s*E: ", tree):
        kind = block.split(" ", 1)[0]
        name = re.search(r'android:name\([^)]*\)="([^"]+)"', block)
        if kind in {"activity", "provider"} and name:
            exported = re.search(r"android:exported\([^)]*\)=\(type 0x12\)(0x\w+)", block)
            full = name[1] if not name[1].startswith(".") else PACKAGE + name[1]
            guard = re.search(r'android:permission\([^)]*\)="([^"]+)"', block)
            guarded[full] = guard and guard[1]
            found[full] = (kind, exported is not None and int(exported[1], 16) != 0)
    expect(
        {name for name, (kind, _) in found.items() if kind == "activity"} == set(ACTIVITIES),
        str(found),
    )
    for name, (_, exported) in found.items():
        expect(exported == ACTIVITIES.get(name, False), f"{name}: exported is {exported}")
    guards = {name for name, guard in guarded.items() if guard == "android.permission.DUMP"}
    expect(guards == {f"{PACKAGE}.BenchmarkActivity"}, f"expected DUMP to be asked for by {guards}")
    expect(
        re.search(r"android:extractNativeLibs\([^)]*\)=\(type 0x12\)0x0", tree) is not None,
        "expected libraries to be used where they are stored",
    )
    return ", ".join(name.rsplit(".", 1)[1] for name in sorted(found))


def code(apk: Apk) -> str:
    """No instruction that needs a desugarer: dx has none."""
    said = run(["dexdump", "-d", apk.path])
    for instruction in ("invoke-custom", "invoke-polymorphic"):
        count = said.count(instruction)
        expect(count == 0, f"expected no {instruction}, got {count}")
    return f"invoke-custom 0, {said.count('  Class descriptor  :')} classes"


def api_level(apk: Apk) -> str:
    """No call of an Android class that minSdk lacks, but for those behind a version check."""
    (signatures,) = [path for path in files("api26") if path.suffix == ".signature"]
    checker = classpath([path for path in files("api26") if path.suffix == ".jar"])
    said = java(DEMO / "tools" / "ApiCheck.java", signatures, apk.runtime.shrunk, cp=checker)
    # Lines end with "Undefined reference: TYPE OWNER.MEMBER(ARGUMENTS)". Of what is in the APK, the
    # signatures lack the classes of Kotlin, TensorFlow Lite and the app.
    references = re.findall(r"Undefined reference: (?:\S+ )?([\w.$]+)(?:\(|$)", said, re.MULTILINE)
    newer = {name for name in references if name.startswith(("android.", "dalvik.", "java"))}
    expect(newer == set(GUARDED), f"expected {sorted(GUARDED)}, got {sorted(newer)}")
    return f"API {MIN_SDK} and {len(GUARDED)} calls behind version checks"


def alignment(apk: Apk) -> str:
    """Libraries and models are stored uncompressed on page borders, and libraries can be mapped on
    16 KiB pages, but for those that the app does without; zipalign agrees."""
    run(["zipalign", "-c", "-p", "4", apk.path])
    small = set()
    with zipfile.ZipFile(apk.path) as archive, apk.path.open("rb") as raw:
        for entry in archive.infolist():
            if not entry.filename.endswith((".so", ".tflite")):
                continue
            expect(entry.compress_type == zipfile.ZIP_STORED, f"{entry.filename} is compressed")
            offset = content_offset(raw, entry)
            expect(offset % PAGE_BYTES == 0, f"{entry.filename} starts at {offset}")
            if not entry.filename.endswith(".so"):
                continue
            name, bytes_ = Path(entry.filename).name, load_alignment(archive.read(entry))
            if bytes_ < PAGE_BYTES:
                small.add(name)
            lazy = name in apk.runtime.lazy
            expect(
                bytes_ >= PAGE_BYTES or lazy,
                f"{entry.filename}: expected segments of {PAGE_BYTES:#x}, got {bytes_:#x}",
            )
    # An exception that is not needed any more must go.
    expect(
        small == apk.runtime.lazy,
        f"expected segments for smaller pages in {sorted(apk.runtime.lazy)}, got {sorted(small)}",
    )
    report = f"entries and segments for {PAGE_BYTES // 1024} KiB pages"
    return report + (f" but for {', '.join(sorted(small))}, loaded lazily" if small else "")


def content_offset(raw: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Where an entry's content starts; its local header may differ from the central one."""
    raw.seek(entry.header_offset)
    name_bytes, extra_bytes = struct.unpack("<26x2H", raw.read(30))
    offset: int = entry.header_offset + 30 + name_bytes + extra_bytes
    return offset


def load_alignment(library: bytes) -> int:
    """The smallest alignment of a 64-bit ELF library's loaded segments, bytes."""
    (table,) = struct.unpack_from("<Q", library, 32)
    entry_bytes, count = struct.unpack_from("<2H", library, 54)
    alignments = []
    for index in range(count):
        (kind,) = struct.unpack_from("<I", library, table + index * entry_bytes)
        if kind == PT_LOAD:
            alignments.append(
                struct.unpack_from("<Q", library, table + index * entry_bytes + 48)[0]
            )
    return min(alignments)


def libraries(apk: Apk) -> str:
    """The same libraries for every ABI, and no other ABI."""
    with zipfile.ZipFile(apk.path) as archive:
        found: dict[str, set[str]] = {}
        for name in archive.namelist():
            if name.startswith("lib/"):
                _, abi, library = name.split("/")
                found.setdefault(abi, set()).add(library)
    expect(set(found) == set(ABIS), f"expected {ABIS}, got {sorted(found)}")
    expected = set(apk.runtime.libraries)
    for abi, names in found.items():
        expect(names == expected, f"{abi}: expected {sorted(expected)}, got {sorted(names)}")
    return f"{', '.join(sorted(found[ABIS[0]]))} for {', '.join(ABIS)}"


def models(apk: Apk) -> str:
    """Each model in the APK, the detector's too, is, byte for byte, the file it was built from."""
    assets = build.assets(apk.models)
    expected = {name: sha256(path.read_bytes()) for name, path in assets.items()}
    with zipfile.ZipFile(apk.path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".tflite")]
        found = {name: sha256(archive.read(name)) for name in names}
    expect(found == expected, f"expected {expected}, got {found}")
    return ", ".join(f"{Path(name).name} {digest[:12]}" for name, digest in found.items())


GATES: dict[str, Callable[[Apk], str]] = {
    "signature": signature,
    "badging": badging,
    "activities": activities,
    "code": code,
    "API level": api_level,
    "alignment": alignment,
    "libraries": libraries,
    "models": models,
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def expect(fine: bool, message: str) -> None:
    if not fine:
        raise GateFailed(message)


def check(runtime: Runtime, models: Sequence[Path]) -> int:
    """Print one line per gate; returns how many failed."""
    apk = Apk(runtime, models)
    failed = 0
    print(f"{apk.path}: {apk.path.stat().st_size / 2**20:.1f} MiB")
    for name, gate in GATES.items():
        try:
            print(f"  ok    {name:<11} {gate(apk)}")
        except (GateFailed, BuildError) as error:
            failed += 1
            print(f"  FAIL  {name:<11} {error}")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    build.add_runtime_option(parser)
    parser.add_argument("--model", type=Path, action="append", help="a model that was bundled")
    arguments = parser.parse_args()
    models = arguments.model or build.default_models()
    return 1 if check(RUNTIMES[arguments.runtime], models) else 0


if __name__ == "__main__":
    sys.exit(main())
