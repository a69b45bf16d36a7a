"""``make package-test``: sdist, wheel of the sdist, and clean environments of each Python at hand.

Each environment gets nothing but the wheel and what it asks for. The commands run in an empty
folder, where no checkout can take the place of what is installed. Downloads packages: about 250 MB
for each Python, 2.5 GB with ``--train``, unless pip has them in its cache.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "package"
LOWEST, HIGHEST = 10, 14  # minor versions of Python 3
TRAINS_UP_TO = 13  # TensorFlow has no wheel for later ones
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
API = """
import asmnet_kit
model = asmnet_kit.load()
(face,) = model.predict("faces/test/{picture}", boxes=[[20, 20, 100, 100]])
assert face.landmarks.shape == (68, 2), face.landmarks.shape
assert asmnet_kit.__version__ == "{version}", asmnet_kit.__version__
"""


class Failed(Exception):
    """A command did not end well."""


def run(*command: object, cwd: Path = ROOT) -> str:
    """What a command printed to stdout.

    Raises:
        Failed: it did not end with 0.
    """
    words = [str(word) for word in command]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def new_environment(folder: Path, python: Path | str) -> Path:
    """A virtual environment's interpreter; without ensurepip virtualenv makes it (Makefile)."""
    try:
        run(python, "-m", "venv", folder)
    except Failed:
        shutil.rmtree(folder, ignore_errors=True)
        bootstrap = FOLDER / "bootstrap"
        run(sys.executable, *PIP, "install", "--target", bootstrap, "virtualenv")
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); import virtualenv.__main__ as v"
        run(sys.executable, "-c", f"{start}; v.run()", bootstrap, "-q", "-p", python, folder)
    return folder / "bin" / "python"


def build() -> Path:
    """The wheel that pip makes of the sdist."""
    python = new_environment(FOLDER / "tools", sys.executable)
    run(python, *PIP, "install", "build")
    run(python, "-m", "build", "--sdist", "--outdir", FOLDER / "dist", ROOT)
    (sdist,) = (FOLDER / "dist").glob("*.tar.gz")
    run(python, *PIP, "wheel", "--no-deps", "--wheel-dir", FOLDER / "dist", sdist, cwd=FOLDER)
    (wheel,) = (FOLDER / "dist").glob("*.whl")
    return wheel


def pythons() -> Iterator[tuple[int, Path]]:
    """(minor version, interpreter) of each Python 3 on the PATH, or that pyenv has."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(LOWEST, HIGHEST + 1):
        named = shutil.which(f"python3.{minor}")
        places = [*([Path(named)] if named else []), *sorted(pyenv.glob(f"3.{minor}.*/bin/python"))]
        for place in places:
            code = "import sys; print(sys.version_info[1])"
            try:
                found = run(place, "-c", code).strip() == str(minor)
            except (Failed, OSError):  # pyenv's own python3.x, where that version is not chosen
                continue
            if found:
                yield minor, place
                break


def check(python: Path, place: Path, *, version: str, trains: bool) -> None:
    """Use what is installed.

    Raises:
        Failed: something does not work.
    """
    kit = python.parent / "asmnet-kit"
    run(python, "-m", "pip", "check")
    said = run(kit, "--version", cwd=place)
    if version not in said:
        raise Failed(f"expected version {version}, got {said}")
    source = ("--data", "faces", "--format", "synthetic")
    small = "asmnet_nano_people"
    commands: list[tuple[object, ...]] = [
        ("--help",),
        ("models",),
        ("doctor", "--json"),
        ("data", "synthesize", "--count", 40, "--size", 120, "--out", "faces"),
        ("data", "inspect", *source, "--sheet", "sheet.png"),
        ("predict", "faces", "--out", "faces.jsonl"),
        ("evaluate", small, *source, "--json"),
        ("check", small),
        ("audit", small),
        ("benchmark", small, "--runs", 5, "--seconds", 0, *source, "--out", "results"),
        ("report", "results", "--out", "report.html"),
        ("new", "project"),
    ]
    if trains:
        tiny = ("--epochs", 1, "--batch-size", 8, "--augmentation", "light")
        commands += [
            ("train", "--recipe", "asmnet_nano", *source, *tiny, "--out", "runs/first"),
            ("quantize", "runs/first", *source, "--recipe", "ptq_w8a8", "--out", "models"),
            ("runs", "list", "runs", "models"),
        ]
    for command in commands:
        run(kit, *command, cwd=place)
    picture = next((place / "faces" / "test").rglob("*.pts")).with_suffix(".jpg").name
    run(python, "-c", API.format(picture=picture, version=version), cwd=place)
    missing = "pip install" in run(python, "-c", WITHOUT_TRAIN, cwd=place)
    if missing == trains:
        raise Failed("a clean environment is expected to lack TensorFlow, and only without --train")


WITHOUT_TRAIN = """
import importlib.util
from asmnet_kit.base.install import install_command
print("" if importlib.util.find_spec("tensorflow") else install_command("train"))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", action="store_true", help="install [train], train and quantize")
    parser.add_argument("--python", action="append", help="3.11: this version alone; repeatable")
    given = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    wheel = build()
    version = re.findall(r"^[\w.]+-([\w.]+)-", wheel.name)[0]
    print(f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB, made of the sdist", flush=True)
    wanted = given.python or [f"3.{minor}" for minor in range(LOWEST, HIGHEST + 1)]
    found = {f"3.{minor}": (minor, place) for minor, place in pythons()}
    failed = 0
    for name in wanted:
        if name not in found:
            print(f"Python {name}: not on this machine, not tested", flush=True)
            failed += bool(given.python)
            continue
        minor, place = found[name]
        trains = given.train and minor <= TRAINS_UP_TO
        extra = "[train]" if trains else ""
        started = time.monotonic()
        try:
            python = new_environment(FOLDER / f"python{name}", place)
            run(python, *PIP, "install", f"{wheel}{extra}")
            here = FOLDER / f"used{name}"
            here.mkdir()
            check(python, here, version=version, trains=trains)
            outcome = "works"
        except Failed as error:
            failed, outcome = failed + 1, f"FAILED: {error}"
        took = time.monotonic() - started
        print(f"Python {name}{' ' + extra if extra else ''}: {outcome} ({took:.0f} s)", flush=True)
        shutil.rmtree(FOLDER / f"python{name}", ignore_errors=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
