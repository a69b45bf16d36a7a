"""What a page is asked to run of a model, and a measurement of what it answers.

The page runs the file's twin with float borders (``asmnet_kit.tflite.float_borders``): it makes the
raw inputs that it gets real, and gives real outputs. It sends times and outputs; what they are
worth is judged here, against the same model on this machine's CPU.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.console import clean
from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.benchmarks.protocol import Measurement, Request, TargetError, WrongNumbers
from asmnet_kit.benchmarks.timing.noise import MAX_DRIFT, instability
from asmnet_kit.benchmarks.timing.output_check import KeptRun
from asmnet_kit.benchmarks.timing.session_timing import check_outputs, sustained_summary
from asmnet_kit.benchmarks.timing.timed_inputs import TimedInputs, timed_inputs
from asmnet_kit.face.schemes import BOX
from asmnet_kit.machine.vulkan import SOFTWARE, is_software
from asmnet_kit.predict.blazeface import FULL_RANGE, SHORT_RANGE
from asmnet_kit.results.machine import without_version
from asmnet_kit.results.results import ResultError
from asmnet_kit.tflite.float_borders import with_float_borders
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.tflite.reader import read_model_bytes
from asmnet_kit.tflite.runtime import Runtime, TensorInfo, open_runtime, quantize
from asmnet_kit.tflite.tensorfile import Tensors

ACCELERATORS = ("wasm", "wasm-threads", "webgpu")
MACHINE = "browser"  # the targets are browser:wasm, ...
SLACK_S = 1e-3  # of sums of a browser's times
CLOCK_STEPS = 20  # a sample is at least so many steps of the browser's clock long

# What the page has to know of a request, and posts with what it measured.
PROTOCOL = (
    "threads", "warmup_runs", "runs", "min_seconds", "max_seconds", "sustained_minutes",
)  # fmt: skip

# Of the page's words for kept runs, the result's.
RUNS = {
    "first": "the first inference",
    "timed": "a timed run",
    "sustained": "the last sustained run",
    "fresh": "a run with an input that no run had before",
}


@dataclass(frozen=True, eq=False)
class SharedModel:
    """A model as the page gets it.

    Attributes:
        request: how it is measured; ``model`` is the file.
        sha256: of the file; the page names the model by it.
        twin: the file that the page runs.
        runtime: the file on this machine's CPU.
        inputs: what the timed runs are fed, raw values of the file.
        given: more raw inputs, each of which the model that was measured runs once; or none.
    """

    request: Request
    sha256: str
    twin: bytes
    runtime: Runtime
    inputs: TimedInputs
    given: Tensors = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request, given: Tensors | None = None) -> "SharedModel":
        """
        Raises:
            ModelError: it cannot be loaded, or not be given float borders.
        """
        content = read_model_bytes(request.model)
        twin = with_float_borders(content, name=str(request.model))
        runtime = open_runtime(request.model)
        inputs = timed_inputs(runtime, request)
        sha256 = hashlib.sha256(content).hexdigest()
        return cls(request, sha256, twin, runtime, inputs, given or {})

    def to_json(self) -> dict[str, Any]:
        """What the page has to know of it."""
        return {
            "id": self.sha256,
            "name": self.request.model.stem,
            "size_bytes": len(self.twin),
            "inputs": {name: _facts(info) for name, info in self.runtime.inputs.items()},
            "turns": len(self.inputs.repeated),
            "fresh": len(self.inputs.fresh),
            "given": len(next(iter(self.given.values()), ())),
            "landmarks": _landmarks(self.request.model),
        }

    def blobs(self) -> dict[str, bytes]:
        """The model, and its inputs: the file's raw values, little-endian, run after run."""
        runs = [*self.inputs.repeated, *self.inputs.fresh]
        for number in range(len(next(iter(self.given.values()), ()))):
            runs.append({name: values[number] for name, values in self.given.items()})
        infos = self.runtime.inputs
        values = [
            run[name].astype(infos[name].dtype.newbyteorder("<")) for run in runs for name in infos
        ]
        inputs = b"".join(one.tobytes() for one in values)
        return {f"{self.sha256}.tflite": self.twin, f"{self.sha256}.inputs": inputs}

    def measurement(self, measured: dict[str, Any]) -> Measurement:
        """What the page measured, as ``refuse_unmeasured`` has let it pass.

        Raises:
            ModelError: outputs of other names or lengths than the model's.
            TargetError: something else than the requested accelerator ran it.
            WrongNumbers: times that cannot be.
        """
        samples = measured["invoke_ms"]
        if min(samples) <= 0:
            raise WrongNumbers(f"the browser's clock says that a run took {min(samples):g} ms")
        self._refuse_kept(measured)
        self._refuse_windows(measured["sustained"])
        name, ran = measured["accelerator"], measured["actual"]
        if ran == "webgpu" and not measured["fully_accelerated"]:
            raise TargetError(
                f"{self.request.model.name}: WebGPU was asked for, and left operators to the CPU"
            )
        kept = [self._kept(run) for run in measured["kept"]]
        check, parity, found = check_outputs(self.runtime, kept, self.inputs, self.request)
        browser = clean(measured["browser"])
        threads = measured["threads"] if name == "wasm-threads" else 1
        gpu = browser.get("gpu") or "" if ran == "webgpu" else ""
        software = is_software(gpu)
        return Measurement(
            target={
                "requested": f"{MACHINE}:{name}",
                "actual": f"{MACHINE}:{SOFTWARE if software else ran}",
                "threads": threads if ran != "webgpu" else None,
                "delegate": "LiteRT.js WebGPU" if ran == "webgpu" else "LiteRT.js WebAssembly",
                **({"adapter": gpu, "software": software} if gpu else {}),
                "delegated_ops": None,
                "total_ops": None,
                "device": _device(browser),
                "proof": _proof(measured, browser),
            },
            machine={
                "cpu": None,
                "architecture": browser.get("architecture")
                or without_version(browser["platform"])
                or "unknown",
                **({"cores": browser["cores"]} if browser["cores"] else {}),
                "memory_bytes": _bytes(browser["memory_gb"]),
                "browser": browser,
            },
            runtime={
                "name": "LiteRT.js",
                "version": litert_js.VERSION,
                "kernels": f"{clean(measured['variant'])}, {ran}",
            },
            protocol={
                "mode": self.request.mode,
                "warmup_runs": measured["warmup_runs"],
                "runs": len(samples),
                "min_seconds": self.request.min_seconds,
                "requested_runs": self.request.runs,
                "nonce": measured["nonce"],
                "input": self.inputs.words,
                "batch": measured["batch"],
                "timed": "make the input's tensor, run, read every output; float32 borders",
                "load": "start the runtime and compile the model; without fetching them",
            },
            timings_ms={
                "load": measured["load_ms"] + measured["compile_ms"],
                "first": measured["first_ms"],
                "invoke": samples,
                "pre": None,
                "post": None,
                "end_to_end": None,
            },
            memory={"peak_rss_bytes": None, "model_arena_bytes": None},
            parity=parity,
            sustained=self._sustained(measured["sustained"]),
            output_check=check,
            warnings=[*instability(samples), *self._warnings(measured), *found],
            notes=_notes(measured),
        )

    def outputs(self, measured: dict[str, Any]) -> Tensors:
        """The raw outputs of ``given``, by name.

        Raises:
            ModelError: as ``measurement``; or not as many as inputs.
        """
        runs = [self._raw(outputs) for outputs in measured["outputs"]]
        wanted = len(next(iter(self.given.values()), ()))
        if len(runs) != wanted:
            raise ModelError(
                f"expected the outputs of {wanted} inputs, got {len(runs)}: was the page made with "
                "another --people? Give the same here"
            )
        return {name: np.stack([run[name] for run in runs]) for name in self.runtime.outputs}

    def _refuse_kept(self, measured: Mapping[str, Any]) -> None:
        """The outputs that are compared must be those of runs from the beginning to the end.

        Raises:
            WrongNumbers: of a run that was not, or one is missing.
        """
        batch, samples = measured["batch"], len(measured["invoke_ms"])
        kept = [(run["run"], run["number"]) for run in measured["kept"]]
        timed = {number for which, number in kept if which == "timed"}
        last = batch * samples - 1
        windows = measured["sustained"] or []
        ran = sum(window["runs"] for window in windows)
        expected = [
            ("the first inference, once", kept[0] == ("first", 0)),
            ("each run once", len(kept) == len(set(kept))),
            ("one first inference", [which for which, _ in kept].count("first") == 1),
            (f"timed runs up to number {last}", bool(timed) and max(timed) == last),
            ("timed runs from the beginning and the middle", len(timed) >= min(3, samples)),
            ("a run with a fresh input", not self.inputs.fresh or ("fresh", 0) in kept),
            (
                "the last sustained run",
                [number for which, number in kept if which == "sustained"]
                == ([ran] if windows else []),
            ),
        ]
        missing = [words for words, there in expected if not there]
        if missing:
            raise WrongNumbers(f"the page kept other outputs than expected: {', '.join(missing)}")

    def _refuse_windows(self, windows: Sequence[Mapping[str, Any]] | None) -> None:
        """
        Raises:
            WrongNumbers: windows of another length than the protocol's.
        """
        total = 60 * self.request.sustained_minutes
        ends = [window["seconds"] for window in windows or ()]
        if not ends and not total:
            return
        before = ends[-2] if len(ends) > 1 else 0.0
        if not ends or ends != sorted(ends) or not before < total <= ends[-1] + SLACK_S:
            raise WrongNumbers(
                f"expected a sustained run of {total:g} s, got windows up to "
                f"{ends[-1] if ends else 0:g} s"
            )

    def _kept(self, run: Mapping[str, Any]) -> KeptRun:
        which, number = run["run"], run["number"]
        fed = self.inputs.fresh[-1] if which == "fresh" else self.inputs.of_run(number)
        told = number + 1 if which == "timed" else None
        words = f"{RUNS[which]}, number {told}" if told else RUNS[which]
        return KeptRun(words, told, fed, self._raw(run["outputs"]))

    def _raw(self, outputs: Mapping[str, Sequence[float | None]]) -> dict[str, NDArray[Any]]:
        """Real values as the file's raw ones."""
        infos = self.runtime.outputs
        expected = {name: int(np.prod(info.shape)) for name, info in infos.items()}
        got = {name: len(values) for name, values in outputs.items()}
        if expected != got:
            raise ModelError(
                f"{self.request.model.name}: expected outputs of {expected} values, got {got}"
            )
        return {name: _raw_values(outputs[name], info) for name, info in infos.items()}

    def _sustained(self, windows: list[dict[str, Any]] | None) -> dict[str, Any] | None:
        if not windows:
            return None
        minutes = self.request.sustained_minutes
        return {"minutes": minutes, "windows": windows, **sustained_summary(windows)}

    def _warnings(self, measured: dict[str, Any]) -> list[str]:
        warnings = []
        if measured["hidden"]:
            warnings.append("the page was hidden during the runs: browsers slow such pages down")
        if len(measured["invoke_ms"]) < self.request.runs:
            warnings.append(
                f"stopped with {len(measured['invoke_ms'])} of {self.request.runs} runs"
            )
        curve = self._sustained(measured["sustained"])
        gpu = clean(measured["browser"].get("gpu") or "")
        if measured["actual"] == "webgpu" and is_software(gpu):
            warnings.append(
                f"software: {gpu} computes on the CPU; these are not the times of a GPU"
            )
        if curve is not None and (curve["slowdown"] or 1) > 1 + MAX_DRIFT:
            warnings.append(
                f"throttled: after {self.request.sustained_minutes:g} minutes a run takes "
                f"{100 * (curve['slowdown'] - 1):.0f} % longer than at the start"
            )
        return warnings

    def by_protocol_of(self, measured: Mapping[str, Any]) -> "SharedModel":
        """The same model, measured as the page says that it did.

        Raises:
            UsageError: no protocol of this version's page.
        """
        posted = dict(measured["protocol"])
        if posted.pop("clock_steps") != CLOCK_STEPS:
            raise UsageError("the page is of another version of asmnet-kit: export it again")
        return replace(self, request=replace(self.request, **posted))


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    text = (
        files("asmnet_kit.benchmarks.browser").joinpath("measured.schema.json").read_text("utf-8")
    )
    return Draft202012Validator(json.loads(text))


def refuse_unmeasured(content: Any) -> dict[str, Any]:
    """What a page posted, once it has the shape of ``measured.schema.json``.

    Raises:
        ResultError: it has not; the message names the key.
    """
    error = next(iter(_validator().iter_errors(content)), None)
    if error is not None:
        key = ".".join(str(part) for part in error.absolute_path) or "the top level"
        raise ResultError(clean(f"what the page sent: {key}: {error.message[:200]}"))
    measured: dict[str, Any] = content
    return measured


def detector_blobs() -> dict[str, bytes]:
    """The networks that find faces, by the names that core.js has for them."""
    networks = {"short": SHORT_RANGE, "full": FULL_RANGE}
    return {f"{name}.detector": network.path.read_bytes() for name, network in networks.items()}


def job(
    models: Sequence[SharedModel], *, accelerators: Sequence[str], auto: bool
) -> dict[str, Any]:
    """What the page is told.

    Args:
        models: measured by the same protocol.
        auto: measure every model on every accelerator without being asked.
    """
    request = models[0].request
    return {
        "litert": f"litert/{litert_js.VERSION}/",
        "auto": auto,
        "accelerators": list(accelerators),
        "models": [model.to_json() for model in models],
        "protocol": {
            **{key: getattr(request, key) for key in PROTOCOL},
            "clock_steps": CLOCK_STEPS,
        },
    }


def _facts(info: TensorInfo) -> dict[str, Any]:
    """What core.js has to know of a tensor, in its words."""
    return {
        "shape": list(info.shape),
        "type": info.dtype.name.upper(),
        "scale": info.scale,
        "zero_point": info.zero_point,
    }


def _raw_values(values: Sequence[float | None], info: TensorInfo) -> NDArray[Any]:
    try:
        given = np.array([np.nan if v is None else v for v in values], np.float64)
    except OverflowError as error:
        raise WrongNumbers(f"the output {info.name!r} has values that are no numbers") from error
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which no limit allows
        real = given.astype(np.float32).reshape(info.shape)
    if info.scale is not None and not np.isfinite(real).all():
        raise WrongNumbers(f"the output {info.name!r} has values that are no numbers")
    return quantize(real, info)


def _landmarks(path: Path) -> dict[str, Any] | None:
    """How to draw what a model of the kit predicts; None for any other."""
    try:
        metadata = read_metadata(path)
    except ModelError:
        return None
    scheme = metadata.scheme
    fit = metadata.calibration and metadata.calibration.confidence
    return {
        "size": metadata.input_size,
        "crop_scale": metadata.crop_scale,
        "points": scheme.points,
        "normaliser": None if scheme.normaliser == BOX else list(scheme.normaliser),
        "parts": [
            {"name": name, "points": list(points), "closed": name in scheme.closed}
            for name, points in scheme.parts.items()
        ],
        "factor": metadata.calibration.factor if metadata.calibration else 1.0,
        "confidence": fit and {"intercept": fit.intercept, "slope": fit.slope},
        "licence": metadata.licence,
    }


def _device(browser: Mapping[str, Any]) -> str:
    """For example ``Chromium on Pixel 8 Android``. Without versions, which change by themselves."""
    name, platform = (without_version(browser[key]) for key in ("name", "platform"))
    return f"{name} on {' '.join(filter(None, (browser.get('device'), platform or 'unknown')))}"


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 2**30)


def _proof(measured: Mapping[str, Any], browser: Mapping[str, Any]) -> list[str]:
    proof = [f"LiteRT.js {litert_js.VERSION} loaded {clean(measured['variant'])}"]
    if measured["actual"] == "webgpu":
        proof.append(f"LiteRT.js says that the model is fully on WebGPU ({browser.get('gpu')})")
    proof.append(
        f"the browser's clock has steps of {browser['clock_ms']:.3g} ms; cross-origin isolation "
        f"is {'on' if browser['isolated'] else 'off'}"
    )
    return proof


def _notes(measured: Mapping[str, Any]) -> list[str]:
    notes = [
        "a browser's figures: inputs and outputs are float32, and a run holds the page's own calls",
        "pre- and post-processing and memory not measured: the page does not time them",
    ]
    if measured["batch"] > 1:
        notes.append(
            f"a time is the mean of {measured['batch']} runs in a row: a single run is shorter "
            f"than {CLOCK_STEPS} steps of the browser's clock"
        )
    return notes
