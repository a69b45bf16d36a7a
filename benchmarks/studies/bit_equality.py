"""Whether a model gives the same bits on x86-64, arm64, WebAssembly and the JVM, over drawn faces.

Usage: make bit-equality [MODELS="a.tflite"]   (writes the table of docs/share.md)

The reference is ai-edge-litert on this machine, one thread, XNNPACK. arm64 is emulated as in ``make
parity-arm64``, WebAssembly is LiteRT.js in an installed Chromium, the JVM is TensorFlow Lite as the
phone app's tests run it. What cannot run here is told as not measured.
"""

import platform
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.console import stdout
from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.studies.arm64_parity import (
    FOLDER,
    Machine,
    Outputs,
    emulated,
    prepare,
    run_child,
)
from asmnet_kit.benchmarks.studies.markers import Markers
from asmnet_kit.benchmarks.targets.browser import BROWSER
from asmnet_kit.commands.options import TFLITE, ModelPath
from asmnet_kit.drawn_faces.render import synthesize
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.runtime import TensorInfo, open_runtime
from asmnet_kit.tflite.tensorfile import read_tensors, write_tensors

SEED = 21
SAME = "same bits"
DOCUMENT = Path("docs/share.md")
MARKERS = Markers(
    "<!-- equality: make bit-equality writes what follows -->", "<!-- equality: until here -->"
)
JVM = Path("android_demo/tools")
JVM_S = 1800.0
ARM64_CPUS = ("cortex-a53", "max")  # without dot products, and with all there is

Place = Callable[[Path, Outputs], Outputs]


class NotHere(KitError):
    """Something that a place needs is missing on this machine."""


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=ModelPath(TFLITE))
@click.option(
    "--faces", type=click.IntRange(min=1), default=1000, show_default=True, help="Drawn faces."
)
@click.option(
    "--arm64-faces",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Of these so many on arm64, whose emulation is slow; a float model gets a tenth. 0: none.",
)
@click.option(
    "--document",
    type=click.Path(path_type=Path),
    default=DOCUMENT,
    show_default=True,
    help="The page whose table is written.",
)
def main(models: tuple[Path, ...], faces: int, arm64_faces: int, document: Path) -> None:
    """Run MODELs in every place and write how far the raw outputs are apart.

    \b
    Example:
      python -m asmnet_kit.benchmarks.studies.bit_equality toolkit/models/*_w8a8.tflite
    """
    MARKERS.around(document)  # rather now than after an hour
    arm64 = {f"arm64, QEMU {cpu}": _arm64(cpu) for cpu in ARM64_CPUS}
    places: dict[str, Place] = {**arm64, "WebAssembly": in_browser, "JVM": on_jvm}
    rows = []
    reasons: dict[str, str] = {}
    for model in models:
        infos = open_runtime(model).outputs
        given = drawn_inputs(model, faces)
        ours = run_child(Machine((sys.executable,), {}), model, given)
        cells = []
        integers = all(info.dtype.kind in "iu" for info in infos.values())
        emulated_faces = min(faces, arm64_faces if integers else -(-arm64_faces // 10))
        for name, place in places.items():
            count = emulated_faces if name in arm64 else faces
            cells.append(_cell(name, place, model, given, ours, count, infos, reasons))
            stdout().print(f"{model.stem}, {name}: {cells[-1]}", markup=False)
        rows.append([f"`{model.stem}`", *cells])
        MARKERS.write(document, page(list(places), rows, reasons))  # an interruption keeps these


def _cell(
    name: str,
    place: Place,
    model: Path,
    given: Outputs,
    ours: Outputs,
    count: int,
    infos: Mapping[str, TensorInfo],
    reasons: dict[str, str],
) -> str:
    if not count or name in reasons:
        return "not measured"
    try:
        theirs = place(model, {key: values[:count] for key, values in given.items()})
    except NotHere as error:
        reasons[name] = str(error)
        return "not measured"
    first = {key: values[:count] for key, values in ours.items()}
    words = told(first, theirs, infos)
    if words.startswith(SAME):
        return words
    if told(builtin(model, given, count), theirs, infos).startswith(SAME):
        return f"{SAME} as the built-in kernels; {words} from XNNPACK's"
    return words


def builtin(model: Path, given: Outputs, count: int) -> Outputs:
    """The first ``count`` outputs of TensorFlow Lite's own kernels on this machine."""
    runtime = open_runtime(model, xnnpack=False)
    runs = [
        runtime.run({name: values[number] for name, values in given.items()})
        for number in range(count)
    ]
    return {name: np.stack([run[name] for run in runs]) for name in runtime.outputs}


def drawn_inputs(model: Path, count: int) -> Outputs:
    """Raw inputs [count, 1, size, size, 3] of a landmark model of the kit.

    Raises:
        UsageError: the model takes no square picture.
    """
    infos = open_runtime(model).inputs
    if len(infos) != 1:
        raise UsageError(f"{model}: expected one input, got {', '.join(infos)}")
    ((name, info),) = infos.items()
    if len(info.shape) != 4 or info.shape[1] != info.shape[2] or info.shape[3] != 3:
        raise UsageError(f"{model}: expected an input [1, side, side, 3], got {info.shape}")
    return {name: input_values(drawn_faces(count, info.shape[1]), info)[:, None]}


@cache
def drawn_faces(count: int, size: int) -> NDArray[np.uint8]:
    """uint8 [count, size, size, 3], RGB."""
    return np.stack([face.image for face in synthesize(count, seed=SEED, size=size)])


def told(ours: Outputs, theirs: Outputs, infos: Mapping[str, TensorInfo]) -> str:
    """How far raw outputs are apart, in words.

    Raises:
        KitError: they are not of the same names, types and shapes.
    """
    kinds = [
        {name: (v.dtype.name, v.shape) for name, v in sorted(side.items())}
        for side in (ours, theirs)
    ]
    if kinds[0] != kinds[1]:
        raise KitError(f"expected the outputs {kinds[0]}, got {kinds[1]}")
    count = len(next(iter(ours.values())))
    if all(ours[name].tobytes() == theirs[name].tobytes() for name in ours):
        return f"{SAME} ({count:,})"
    steps, parts, values, different = 0.0, 0.0, 0, 0
    for name, mine in ours.items():
        apart = np.abs(mine.astype(np.float64) - theirs[name].astype(np.float64))
        if infos[name].dtype.kind == "f":
            parts = max(parts, float(apart.max()))
        else:
            steps = max(steps, float(apart.max()))
        values += apart.size
        different += int(np.count_nonzero(apart))
    if steps:
        share = 100 * different / values
        return f"up to {steps:g} steps in {share:.2g} % of the values ({count:,})"
    return f"up to {parts:.1e} apart ({count:,})"


def _arm64(cpu: str) -> Place:
    def run(model: Path, given: Outputs) -> Outputs:
        try:
            qemu = prepare(FOLDER)
        except KitError as error:
            raise NotHere(f"make parity-arm64 says: {error}") from error
        return run_child(emulated(FOLDER, qemu, cpu), model, given)

    return run


def in_browser(model: Path, given: Outputs) -> Outputs:
    """By the target ``browser``: LiteRT.js, one thread, the file's twin with float borders."""
    problem = BROWSER.problem()
    if problem:
        raise NotHere(problem)

    def run(inputs: Path, outputs: Path) -> None:
        request = Request(
            model, "browser", warmup_runs=0, runs=1, min_seconds=0, inputs=inputs, outputs=outputs
        )
        BROWSER.measure(request, lambda done, note: None)

    return _through_files(given, run)


def on_jvm(model: Path, given: Outputs) -> Outputs:
    """By TensorFlow Lite of bytedeco, through the phone app's own core."""
    ready = subprocess.run(
        [sys.executable, str(JVM / "ready.py")], capture_output=True, text=True, check=False
    )
    if ready.returncode:
        raise NotHere((ready.stdout or ready.stderr).strip())

    def run(inputs: Path, outputs: Path) -> None:
        words = [sys.executable, str(JVM / "run_on_jvm.py"), str(model), str(inputs), str(outputs)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=JVM_S, check=False)
        if done.returncode:
            raise KitError(f"the JVM did not run {model}: {done.stderr.strip()[-400:]}")

    return _through_files(given, run)


def _through_files(given: Outputs, run: Callable[[Path, Path], None]) -> Outputs:
    with temporary_folder() as folder:
        write_tensors(folder / "in.tensors", dict(given))
        run(folder / "in.tensors", folder / "out.tensors")
        found: dict[str, Any] = read_tensors(folder / "out.tensors")
        return {name: np.array(values) for name, values in found.items()}


def page(places: list[str], rows: list[list[str]], reasons: dict[str, str]) -> str:
    """What stands between the markers, Markdown."""
    lines = [
        f"Raw outputs beside ai-edge-litert {version('ai-edge-litert')} on {platform.machine()} "
        f"(XNNPACK, one thread), of",
        "the very same raw inputs: faces drawn by the kit, how many in brackets. arm64 is emulated "
        "(`make parity-arm64`),",
        f"WebAssembly is LiteRT.js {litert_js.VERSION} in Chromium with the float twin, the JVM is "
        f"TensorFlow Lite {jvm_version()} of",
        "the phone app's tests. `make bit-equality` measures it again.",
        "",
        f"| model | {' | '.join(places)} |",
        f"|{'---|' * (1 + len(places))}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    lines += [f"\nNot measured: {name}: {reason}" for name, reason in reasons.items()]
    return "\n".join(lines)


def jvm_version() -> str:
    """Of the app's TensorFlow Lite for the CPU, which runs on the JVM, too."""
    versions = runpy.run_path(str(JVM / "versions.py"))["VERSIONS"]
    return str(versions["tflite-cpu"]).partition("-")[0]  # JavaCPP's version follows


if __name__ == "__main__":
    main()
