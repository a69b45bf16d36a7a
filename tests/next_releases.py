"""``make test-next``: the suite against the newest pre-releases, and a list of what breaks.

TensorFlow, tf_keras, tensorflow-model-optimization and LiteRT come as nightlies where the registry
has some for this Python, else as the newest release, pre-releases included; everything else is as
the kit asks for it. Runs in a virtual environment of its own, which it changes.
"""

import argparse
import re
import subprocess
import sys
import sysconfig
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# The packages whose private parts the kit uses -> their nightlies.
NIGHTLIES = {
    "tensorflow": "tf-nightly",
    "tf-keras": "tf-keras-nightly",
    "ai-edge-litert": "ai-edge-litert-nightly",
    "tensorflow-model-optimization": None,
}
STAND_IN = "STAND_IN"  # marks what ``stand_in`` wrote
LONGEST_REASON = 160


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, *arguments], check=True)


def newest(package: str) -> str | None:
    """The newest version that the registry has for this Python, pre-releases included."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions"]
    asked = subprocess.run([*command, "--pre", package], capture_output=True, text=True)
    found = re.match(rf"{re.escape(package)} \((\S+)\)", asked.stdout)
    return found[1] if found else None


def chosen() -> dict[str, tuple[str, str]]:
    """Package -> (what is installed for it, its version)."""
    found = {}
    for package, nightly in NIGHTLIES.items():
        for name in (nightly, package):
            version = newest(name) if name else None
            if name and version:
                found[package] = (name, version)
                break
        else:
            raise SystemExit(f"the registry has no {package} for this Python")
    return found


def stand_in(package: str, version: str) -> None:
    """Let the nightly pass for the release: the kit and pip look packages up by name."""
    site = Path(sysconfig.get_path("purelib"))
    folder = site / f"{package.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    (folder / "METADATA").write_text(metadata, encoding="utf-8")
    (folder / STAND_IN).touch()


def remove_stand_ins() -> None:
    for mark in Path(sysconfig.get_path("purelib")).glob(f"*.dist-info/{STAND_IN}"):
        for file in mark.parent.iterdir():
            file.unlink()
        mark.parent.rmdir()


def other_requirements() -> list[str]:
    """What the kit asks for beside ``NIGHTLIES``, for training and development."""
    wanted = []
    for text in requires("asmnet-kit") or []:
        requirement, _, marker = text.partition(";")
        extra = re.search(r"extra == [\"'](\w+)[\"']", marker)
        if re.split(r"[<>=!~ \[]", requirement)[0] in NIGHTLIES:
            continue
        if extra is None:
            wanted.append(text)
        elif extra[1] in ("train", "dev"):
            wanted.append(requirement)
    return wanted


def install() -> dict[str, tuple[str, str]]:
    """Install everything; nightlies first, so that nothing asks for a release beside them."""
    packages = chosen()
    remove_stand_ins()
    nightlies = {p: found for p, found in packages.items() if found[0] != p}
    releases = [f"{name}=={version}" for p, (name, version) in packages.items() if name == p]
    if nightlies:
        pip("install", *(f"{name}=={version}" for name, version in nightlies.values()))
    for package, (_, version) in nightlies.items():
        stand_in(package, version)
    pip("install", "--no-deps", "--editable", str(ROOT))
    pip("install", *releases, *other_requirements())
    return packages


def reason_of(test: ElementTree.Element) -> str | None:
    """Why a test failed, in a line without the numbers and paths that differ from run to run."""
    failed = test.find("failure")
    failed = test.find("error") if failed is None else failed
    if failed is None:
        return None
    said = failed.get("message") or failed.text or "no message"
    line = next((line.strip() for line in said.splitlines() if line.strip()), "no message")
    line = re.sub(r"0x[0-9a-f]+|(/[\w.+-]+){2,}/?", "...", line)
    return line[:LONGEST_REASON]


def report(results: Path, packages: dict[str, tuple[str, str]]) -> int:
    """Print versions, counts and the failures by reason; how many failed."""
    tests = list(ElementTree.parse(results).iter("testcase"))
    reasons: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        if (reason := reason_of(test)) is not None:
            reasons[reason].append(f"{test.get('classname')}::{test.get('name')}")
    broken = sum(map(len, reasons.values()))
    skipped = sum(test.find("skipped") is not None for test in tests)
    print("\nTried with " + ", ".join(f"{name} {version}" for name, version in packages.values()))
    print(f"{len(tests) - broken - skipped} passed, {broken} broke, {skipped} skipped")
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(names)} x {reason}")
        for name in names:
            print(f"    {name}")
    return broken


def main() -> None:
    if sys.prefix == sys.base_prefix or Path(sys.prefix).name == ".venv":
        raise SystemExit("expected a virtual environment for this alone: use make test-next")
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    _, pytest_arguments = parser.parse_known_args()
    packages = install()
    with tempfile.TemporaryDirectory(prefix="asmnet_kit_") as folder:
        results = Path(folder) / "results.xml"
        arguments = ["--junitxml", str(results), *pytest_arguments]
        subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT)
        if not results.exists():
            raise SystemExit("pytest itself did not run: see above")
        if report(results, packages):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
