"""The same file on everything that can run it here: how far apart are the landmarks?

An int8 file does not say to the last bit what to compute: kernels round halves, requantize and add
in ways of their own, and differ by a few levels (LSB, steps of the output's scale) without either
being wrong. A kernel that is wrong differs by tens.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.adapters.predictor import AdaptedPredictor
from asmnet_kit.base.console import number_or_null
from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.openers import open_stage
from asmnet_kit.base.own_process import script_command
from asmnet_kit.benchmarks.comparing import parity_worker
from asmnet_kit.benchmarks.targets.gpu import GPU
from asmnet_kit.benchmarks.timing.output_check import MAX_FRACTION, MAX_LEVELS
from asmnet_kit.face.metrics import mean_nme, per_face_nme
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.measure.face_crops import FaceCrops
from asmnet_kit.predict.open_predictor import open_tflite
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.tflite.runtime import Runtime, dequantize

SCHEMA_VERSION = 1
TIMEOUT_S = 600.0
REFERENCE = "xnnpack"  # what ai-edge-litert and phones run by default

# On average, in steps of the output's scale and of the crop's side: XNNPACK and the reference
# kernels were seen 0.03 to 0.3 steps apart.
MEAN_LEVELS, MEAN_FRACTION = 1.0, 1e-3


@dataclass(frozen=True)
class Row:
    """One way to run the file.

    Attributes:
        kernels: a fixed name.
        what: the runtime and its version, the adapter of a GPU.
        problem: why it did not run, or gave nothing to compare: then ``agrees`` is False.
        max_levels, mean_levels: difference to ``REFERENCE`` in steps of the output's scale; None
            for float outputs.
        max_px, mean_px: the same in pixels of the crop.
        nme_percent: on the faces.
        agrees: within the tolerance; None where it is another model (the float one).
        outputs: of the model's other outputs, by name: the ``mean`` and the ``max`` difference, in
            steps of the output's scale, or of float outputs as they are; None where none was seen.
    """

    kernels: str
    what: str
    problem: str = ""
    max_levels: float | None = None
    mean_levels: float | None = None
    max_px: float | None = None
    mean_px: float | None = None
    nme_percent: float | None = None
    agrees: bool | None = None
    outputs: dict[str, dict[str, float]] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            key: number_or_null(value) if isinstance(value, float) else value
            for key, value in vars(self).items()
        }


@dataclass(frozen=True)
class Parity:
    """The outcome of a comparison.

    Attributes:
        scale: of the landmarks' output; None for float.
        tolerance_mean_px, tolerance_max_px: what the output's scale allows, pixels of the crop.
    """

    model: str
    faces: int
    input_size: int
    scale: float | None
    tolerance_mean_px: float
    tolerance_max_px: float
    rows: tuple[Row, ...]

    @property
    def disagreeing(self) -> list[Row]:
        return [row for row in self.rows if row.agrees is False]

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit parity --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "parity",
            "model": self.model,
            "faces": self.faces,
            "reference": REFERENCE,
            "input_size": self.input_size,
            "output_scale": self.scale,
            "tolerance_px": {"mean": self.tolerance_mean_px, "max": self.tolerance_max_px},
            "rows": [row.to_json() for row in self.rows],
        }


def compare_kernels(
    model: Path,
    faces: FaceCrops,
    *,
    adapter: str | None = None,
    scheme: Scheme | None = None,
    tflite_runtime: Path | None = None,
    run: Path | None = None,
    emulated: Path | None = None,
) -> Parity:
    """Run a file on faces in every way there is here.

    Args:
        faces: crops of the size and scale that the file's predictor asks for.
        adapter: of a file that the kit did not make; every way gets the same crop of each face, the
            last at which the CPU looks.
        scheme: of the NME, to which the model's landmarks and the faces' are mapped; None = the
            model's, which the faces' must be, too.
        tflite_runtime: a Python that has tflite-runtime, for its kernels.
        run: the training run, .keras, .h5 or SavedModel it was made from, for the float model
            (needs TensorFlow).
        emulated: weights of the emulated model (``quantize --keep-emulated``); needs ``run``.

    Raises:
        ModelError: no landmark model, or the reference kernels do not run it.
        UsageError: no map leads to ``scheme``.
    """
    predictor = open_tflite(model, adapter=adapter)
    fed = _fed(predictor, faces, scheme or predictor.scheme)
    compared = _Comparison(predictor, fed)
    runtime = cast(Runtime, predictor.runtime)
    litert = f"{runtime.name} {runtime.version}"
    with temporary_folder() as folder:
        bench = _Bench(model, folder, {predictor.input_name: fed.raw})
        rows = []
        for kernels in parity_worker.RESOLVERS:
            rows.append(compared.row(kernels, litert, *bench.run(kernels)))
            if kernels == REFERENCE and rows[0].problem and rows[0].agrees is None:
                raise ModelError(f"{model}: XNNPACK does not run it: {rows[0].problem}")
        rows.append(_tflite_runtime_row(bench, compared, tflite_runtime))
        rows.append(_gpu_row(bench, compared))
    rows += _keras_rows(compared, faces, model, run, emulated)
    return Parity(
        model=str(model),
        faces=len(faces.pixels),
        input_size=compared.size,
        scale=compared.scale,
        tolerance_mean_px=compared.tolerances[0],
        tolerance_max_px=compared.tolerances[1],
        rows=tuple(rows),
    )


@dataclass(frozen=True, eq=False)
class _Fed:
    """What every way gets.

    Attributes:
        raw: raw inputs [B, 1, ...].
        truth: float32 [B, N, 2], fractions of the side of what the model sees, from its centre.
        scheme: of ``truth``.
    """

    raw: NDArray[Any]
    truth: NDArray[np.float32]
    scheme: Scheme


def _fed(predictor: TflitePredictor | AdaptedPredictor, faces: FaceCrops, scheme: Scheme) -> _Fed:
    truth = faces.scheme.mapped(faces.truth, scheme)
    if isinstance(predictor, TflitePredictor):
        return _Fed(predictor.inputs(faces.pixels), truth, scheme)
    views = predictor.views(faces.pixels)
    inside = [view.inside(points) for view, points in zip(views, truth, strict=True)]
    return _Fed(predictor.inputs(faces.pixels, views), np.stack(inside), scheme)


def _tolerances(scale: float | None, size: int) -> tuple[float, float]:
    """(mean, largest) difference in pixels that correct kernels may have.

    Args:
        scale: of a level, fractions of the crop's side; None for float.
    """
    if scale is None:
        return size * MEAN_FRACTION, size * MAX_FRACTION
    return size * scale * MEAN_LEVELS, size * scale * MAX_LEVELS


class _Comparison:
    """Everything is compared with the first outputs that come along."""

    def __init__(self, predictor: TflitePredictor | AdaptedPredictor, fed: _Fed) -> None:
        self.predictor, self.fed, self.size = predictor, fed, predictor.raw_size
        outputs, name = predictor.runtime.outputs, predictor.output_name
        level = outputs[name].scale
        self.scale = None if level is None else level * predictor.unit_sides
        self.tolerances = _tolerances(self.scale, self.size)
        self.others = {other: info for other, info in outputs.items() if other != name}
        self.first: NDArray[np.float32] | None = None
        self.first_others: dict[str, NDArray[np.float32]] = {}

    def row(
        self, kernels: str, what: str, outputs: Mapping[str, NDArray[Any]] | None, problem: str
    ) -> Row:
        """The row of a kernel that ran, or did not."""
        if outputs is None:
            return Row(kernels, what, problem=problem)
        output = outputs[self.predictor.output_name]
        row = self.real(
            kernels, what, self.predictor.points(output), self.predictor.landmarks(output)
        )
        if row.problem:
            return row
        real = {name: dequantize(outputs[name], info) for name, info in self.others.items()}
        for name, values in real.items():
            if not np.isfinite(values).all():
                problem = f"its output {name} is NaN or infinity"
                return Row(kernels, what, problem=problem, agrees=False)
        found = {name: self._difference(name, values) for name, values in real.items()}
        steps = [
            difference for name, difference in found.items() if self.others[name].scale is not None
        ]
        close = all(d["mean"] <= MEAN_LEVELS and d["max"] <= MAX_LEVELS for d in steps)
        return replace(row, outputs=found, agrees=bool(row.agrees) and close)

    def _difference(self, name: str, real: NDArray[np.float32]) -> dict[str, float]:
        """Of an output beside the landmarks, to that of the first kernels."""
        first = self.first_others.setdefault(name, real)
        steps = np.abs(real - first) / (self.others[name].scale or 1.0)
        return {"mean": float(steps.mean()), "max": float(steps.max())}

    def real(
        self,
        kernels: str,
        what: str,
        points: NDArray[np.float32],
        landmarks: NDArray[np.float32],
        *,
        same: bool = True,
    ) -> Row:
        """The row of a model's points [B, M, 2] and the landmarks [B, N, 2] that they give.

        Args:
            same: whether they are of the same model.
        """
        if not np.isfinite(points).all():
            return Row(
                kernels, what, problem="it predicts NaN or infinity", agrees=False if same else None
            )
        if self.first is None:
            self.first = points
        difference = np.abs(points - self.first)
        mean, largest = float(difference.mean()), float(difference.max())
        scale = self.scale
        compared = self.predictor.scheme.mapped(landmarks, self.fed.scheme)
        nme = per_face_nme(compared, self.fed.truth, self.fed.scheme)
        close = self.size * mean <= self.tolerances[0] and self.size * largest <= self.tolerances[1]
        return Row(
            kernels,
            what,
            max_levels=None if scale is None else largest / scale,
            mean_levels=None if scale is None else mean / scale,
            max_px=self.size * largest,
            mean_px=self.size * mean,
            nme_percent=mean_nme(nme),
            agrees=close if same else None,
        )


class _Bench:
    """Raw inputs on the disk, for processes that each run the model in their own way."""

    def __init__(self, model: Path, folder: Path, raw: Mapping[str, NDArray[Any]]) -> None:
        self.model, self.folder = model.absolute(), folder
        self.inputs = folder / "inputs.npz"
        np.savez(self.inputs, **raw)  # type: ignore[arg-type, unused-ignore]
        self.said = ""

    def run(
        self, kernels: str, python: str = sys.executable
    ) -> tuple[dict[str, NDArray[Any]] | None, str]:
        """(outputs by name, "") or (None, why not)."""
        outputs = self.folder / f"{kernels}.npz"
        outputs.unlink(missing_ok=True)
        words = (kernels, str(self.model), str(self.inputs), str(outputs))
        command = script_command(Path(parity_worker.__file__), *words, python=python)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, str(error)
        self.said = done.stdout
        if done.returncode != 0 or not outputs.is_file():
            lines = done.stderr.strip().splitlines()
            return None, lines[-1] if lines else f"it ended with {done.returncode}"
        with np.load(outputs, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}, ""


def _tflite_runtime_row(bench: _Bench, compared: _Comparison, python: Path | None) -> Row:
    kernels = "tflite-runtime"
    if python is None:
        return Row(
            kernels,
            "tflite-runtime",
            problem="give --tflite-runtime PYTHON, one of 3.10 or 3.11 after: "
            "pip install 'tflite-runtime==2.14.0' 'numpy<2' (make tflite-runtime makes it)",
        )
    ask = script_command(Path(parity_worker.__file__), parity_worker.VERSION, python=str(python))
    try:
        told = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Row(kernels, str(python), problem=f"no tflite-runtime there ({error})")
    what = f"tflite-runtime {told.stdout.strip()}"
    return compared.row(kernels, what, *bench.run("xnnpack", str(python)))


def _gpu_row(bench: _Bench, compared: _Comparison) -> Row:
    problem = GPU.problem()
    if problem is not None:
        return Row("gpu", "LiteRT GPU accelerator", problem=problem)
    outputs, why = bench.run(parity_worker.GPU)
    what = "LiteRT GPU accelerator"
    for line in bench.said.splitlines():
        if line.startswith('{"adapter"'):
            told = json.loads(line)
            what = f"{told['actual']}: {told['adapter']}"
    return compared.row("gpu", what, outputs, why)


def _keras_rows(
    compared: _Comparison, faces: FaceCrops, model: Path, run: Path | None, emulated: Path | None
) -> list[Row]:
    """The float model, and the one with emulated rounding that the file was converted from."""
    names = ("tf_keras emulated", "tf_keras float")
    points = compared.predictor.scheme.points
    if run is None:
        return [Row(name, "tf_keras", problem="give --run RUN") for name in names]
    try:
        real = open_stage("float landmarks")(run, model, faces.pixels)
        shaped = real.reshape(-1, points, 2)
        keras = f"tf_keras {version('tf-keras')}"
        rows = [compared.real(names[1], keras, shaped, shaped, same=False)]
    except KitError as error:
        return [Row(name, "tf_keras", problem=str(error)) for name in names]
    if emulated is None:
        why = "give --emulated, from asmnet-kit quantize --keep-emulated"
        return [Row(names[0], "tf_keras", problem=why), *rows]
    landmarks = open_stage("emulated landmarks")(run, emulated, model, faces.pixels)
    shaped = landmarks.reshape(-1, points, 2)
    return [compared.real(names[0], keras, shaped, shaped), *rows]
