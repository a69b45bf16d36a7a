"""Whether arm64 gives the bits that this machine gives, by emulation. Never how fast it is.

Usage: make parity-arm64 [MODELS="a.tflite"]   (Debian 12 on x86-64; about 150 MB of downloads)

The first run puts an arm64 Python, its libraries, NumPy, ai-edge-litert and QEMU's user mode into
build/arm64; nothing is installed. QEMU before version 10 crashes in ai-edge-litert (7.2 does), so
Debian's backports are asked where the system's is older. int8 models must be equal to the last bit
on every processor; float ones may differ by rounding, and how far is told.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import GateError, KitError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.npz import read_npz
from asmnet_kit.base.own_process import script_command
from asmnet_kit.benchmarks.studies import arm64_child
from asmnet_kit.benchmarks.studies.options import folder_option, models_argument

FOLDER = Path("build/arm64")
CPUS = ("cortex-a53", "cortex-a76", "max")  # without and with dot products, and all there is
QEMU, QEMU_LEAST = "qemu-aarch64", 10
PYTHON = "3.11"  # Debian 12's, for which there are wheels
LIBRARIES = (
    "libc6", "libstdc++6", "libgcc-s1", "zlib1g", "libexpat1", "libffi8", "libssl3", "libbz2-1.0",
    "liblzma5", "libgomp1", "libuuid1", "libcrypt1",
    *(f"{part}{PYTHON}-{kind}" for part, kind in
      (("python", "minimal"), ("libpython", "minimal"), ("libpython", "stdlib"))),
)  # fmt: skip
WHEELS = ("numpy", "ai-edge-litert")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
RUN_S = 900.0
DOWNLOAD_S = 600.0
TAIL = 400  # characters of what a program said last

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Machine:
    """A Python of a machine: the first words of its command, itself last, and its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


@click.command()
@models_argument
@folder_option("--folder", FOLDER, "Where the emulated machine's files are, or go.")
@click.option(
    "--cpu", "cpus", multiple=True, default=CPUS, show_default=True, help="QEMU's processors."
)
def main(models: tuple[Path, ...], folder: Path, cpus: tuple[str, ...]) -> None:
    """Run MODELs on emulated arm64 processors and compare the raw outputs with this machine's.

    \b
    Example:
      python -m asmnet_kit.benchmarks.studies.arm64_parity toolkit/models/*_w8a8.tflite
    """
    from asmnet_kit.base.console import stdout

    qemu = prepare(folder)
    here = Machine((sys.executable,), {})
    differ = []
    for model in models:
        ours = run_child(here, model)
        for cpu in cpus:
            worst = largest_difference(ours, run_child(emulated(folder, qemu, cpu), model))
            integers = all(values.dtype.kind in "iu" for values in ours.values())
            told = "equal to the last bit" if worst == 0 else f"differ by up to {worst:g}"
            stdout().print(f"{model.name} on {cpu}: {told}", markup=False)
            differ += [f"{model.name} on {cpu}: {told}"] if integers and worst else []
    if differ:
        raise GateError("\n".join(differ))


def run_child(machine: Machine, model: Path, given: Outputs | None = None) -> Outputs:
    """The raw outputs of a model on a machine, by run and number of the output.

    Args:
        given: raw inputs, name -> [runs, *shape], in place of made-up ones; the outputs are then
            stacked by name.

    Raises:
        KitError: its Python failed, crashed or hung.
    """
    with temporary_folder() as folder:
        out = folder / "outputs.npz"
        *emulator, python = machine.command
        script = Path(arm64_child.__file__)
        words = [str(model.absolute()), str(out)]
        if given is not None:
            raw: dict[str, Any] = dict(given)
            np.savez(folder / "inputs.npz", **raw)
            words.append(str(folder / "inputs.npz"))
        words = script_command(script, *words, python=python)
        _run([*emulator, *words], timeout_s=RUN_S, environment=machine.environment)
        return read_npz(out, expected="the outputs of a model", error=KitError)


def largest_difference(ours: Outputs, theirs: Outputs) -> float:
    """The largest difference of two sets of raw outputs; 0.0 where every bit is the same.

    Raises:
        KitError: they are not of the same names, types and shapes.
    """
    kinds = [{k: (v.dtype, v.shape) for k, v in side.items()} for side in (ours, theirs)]
    if kinds[0] != kinds[1]:
        raise KitError(f"expected the outputs {kinds[0]}, got {kinds[1]}")
    if all(ours[name].tobytes() == theirs[name].tobytes() for name in ours):
        return 0.0
    apart = (ours[n].astype(np.float64) - theirs[n].astype(np.float64) for n in ours)
    return float(max(np.abs(difference).max() for difference in apart))


def emulated(folder: Path, qemu: str, cpu: str) -> Machine:
    """An arm64 Python under QEMU's user mode."""
    root, site = (folder / name for name in ("root", "site"))
    python = root / "usr" / "bin" / f"python{PYTHON}"
    environment = {
        "PYTHONHOME": str((root / "usr").absolute()),
        "PYTHONPATH": str(site.absolute()),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Machine((qemu, "-cpu", cpu, "-L", str(root.absolute()), str(python)), environment)


def prepare(folder: Path) -> str:
    """Fetch what the emulated machine needs, once; the path of QEMU.

    Raises:
        KitError: this is no Debian 12, or a package cannot be had.
    """
    qemu = folder / "qemu" / "usr" / "bin" / QEMU
    if not (folder / "complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise KitError("expected Debian 12 (apt-get and dpkg-deb), whose arm64 Python is taken")
        _fetch_debian(folder, LIBRARIES, "root", suite="", architecture="arm64")
        _fetch_wheels(folder)
        if _qemu_version(shutil.which(QEMU)) < QEMU_LEAST:
            _fetch_debian(folder, ("qemu-user",), "qemu", suite="-backports", architecture="")
        (folder / "complete").touch()
    return str(qemu) if qemu.is_file() else str(shutil.which(QEMU))


def _fetch_debian(
    folder: Path, packages: Sequence[str], into: str, *, suite: str, architecture: str
) -> None:
    """Unpack packages of the mirror that this machine uses, without installing them."""
    state = (folder / f"apt-{into}").absolute()
    for part in ("lists/partial", "cache/archives/partial", "debs"):
        (state / part).mkdir(parents=True)
    (state / "status").touch()
    asked = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"])
    uri, _, release = next(iter(asked.splitlines()), "").partition(" ")
    if not uri or not release:
        raise KitError("apt knows no mirror: apt-get update first")
    (state / "sources.list").write_text(f"deb {uri} {release}{suite} main\n", encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": state / "sources.list", "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": state / "lists", "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        **({"APT::Architecture": architecture, "APT::Architectures::": architecture}
           if architecture else {}),
    }  # fmt: skip
    told = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    words = ["apt-get", *told]
    _run([*words, "update"], timeout_s=DOWNLOAD_S)
    _run([*words, "download", *packages], timeout_s=DOWNLOAD_S, folder=state / "debs")
    for package in sorted((state / "debs").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(folder / into)])
    shutil.rmtree(state)


def _fetch_wheels(folder: Path) -> None:
    """NumPy and ai-edge-litert for arm64, of this machine's versions."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    wanted = [f"{name}=={version(name)}" for name in WHEELS]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    pip += ["--python-version", PYTHON, *platforms, "--target", str(folder / "site")]
    _run([*pip, *wanted], timeout_s=DOWNLOAD_S)


def _qemu_version(program: str | None) -> int:
    found = re.search(r"version (\d+)", _run([program, "--version"])) if program else None
    return int(found[1]) if found else 0


def _run(
    words: Sequence[str],
    *,
    timeout_s: float = 60.0,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise KitError(f"{words[0]}: {error}") from error
    out, said = (part.decode(errors="replace") for part in (done.stdout, done.stderr))
    if done.returncode:
        raise KitError(f"{words[0]} ended with {done.returncode}: {(said or out).strip()[-TAIL:]}")
    return out


if __name__ == "__main__":
    main()
