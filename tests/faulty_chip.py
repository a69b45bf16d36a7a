"""A target whose runtime lies: a double at the seam between a target and its runtime.

``FAULTS`` has one way to lie for each row of ``tests/benchmarks/faults.toml`` that is the
runtime's or the machine's doing; ``CHIP`` is the target that runs a real model by it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.benchmarks.protocol import Abilities, Measurement, OnProgress, Request
from asmnet_kit.benchmarks.timing.session_timing import measure_session
from asmnet_kit.tflite.runtime import TensorInfo, open_runtime

Raw = Mapping[str, NDArray[Any]]
Run = Callable[[Raw], dict[str, NDArray[Any]]]


class Lying:
    """A session on the CPU that passes for a chip's; each kind of lie overrides one method."""

    precision = "fp32"

    def __init__(self, request: Request) -> None:
        self.real = open_runtime(request.model)
        self.inputs, self.outputs = dict(self.real.inputs), dict(self.real.outputs)
        self.count = 0

    def run(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        self.count += 1
        return self.lie(inputs)

    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        return self.real.run(inputs)

    def mistaken(self, change: Callable[[NDArray[Any]], NDArray[Any]], inputs: Raw) -> Any:
        """The right outputs of changed inputs."""
        return self.real.run({k: np.ascontiguousarray(change(v)) for k, v in inputs.items()})


def shifted(outputs: Raw, steps: int = 40) -> dict[str, NDArray[Any]]:
    """Plausible outputs that are wrong: landmarks moved by so many steps, or halves of the crop."""
    moved = np.array(outputs["landmarks"])
    half = moved.size // 2
    if moved.dtype.kind == "f":
        moved.flat[:half] += np.float32(0.2)
    else:
        moved.flat[:half] = np.clip(moved.ravel()[:half].astype(int) + steps, -128, 127)
    return {**outputs, "landmarks": moved}


class RightOnce(Lying):
    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        right = self.real.run(inputs)
        return right if self.count == 1 else shifted(right)


class WrongLate(Lying):
    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        right = self.real.run(inputs)
        return right if self.count < 15 else shifted(right)


class WrongAlways(Lying):
    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        wrong = shifted(self.real.run(inputs))
        return {name: values if name == "landmarks" else -values for name, values in wrong.items()}


class OneOutputWrong(Lying):
    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        right = self.real.run(inputs)
        return {**right, "pose": np.zeros_like(right["pose"]) - 90}


class NotANumber(Lying):
    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        right = self.real.run(inputs)
        return {**right, "landmarks": np.full_like(right["landmarks"], np.nan)}


class OneStep(Lying):
    """No lie: other kernels round an int8 output to the step beside."""

    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        return shifted(self.real.run(inputs), steps=1)


class HalfPrecision(Lying):
    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng(self.count)
        return {
            name: v + np.abs(v).max() * rng.uniform(-4e-3, 4e-3, v.shape).astype(np.float32)
            for name, v in self.real.run(inputs).items()
        }


class SubmissionOnly(Lying):
    """Returns at once what the run before left behind, and only then computes."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.ready = {n: np.zeros(i.shape, i.dtype) for n, i in self.outputs.items()}

    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        found, self.ready = self.ready, self.real.run(inputs)
        return found


class Handle:
    """Outputs that are fetched when somebody reads them."""

    def __init__(self, fetch: Callable[[], NDArray[Any]]) -> None:
        self.fetch = fetch

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        return self.fetch()


class Handles(Lying):
    def lie(self, inputs: Raw) -> Any:
        name = next(iter(self.outputs))
        return {name: Handle(lambda: self.real.run(inputs)[name])}


class FrozenBuffer(Lying):
    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        if self.count == 1:
            self.first = self.real.run(inputs)
        return self.first


class InputNeverWritten(Lying):
    def lie(self, inputs: Raw) -> Any:
        # Noise of the last bit keeps the outputs from being frozen.
        noise = np.random.default_rng(self.count).integers(-1, 2, 1)
        return self.mistaken(lambda v: np.zeros_like(v) + noise.astype(v.dtype), inputs)


class OtherSign(Lying):
    def lie(self, inputs: Raw) -> Any:
        return self.mistaken(lambda v: (v.view(np.uint8) ^ 128).view(np.int8), inputs)


class BlueGreenRed(Lying):
    def lie(self, inputs: Raw) -> Any:
        return self.mistaken(lambda v: v[..., ::-1], inputs)


class RowsAsColumns(Lying):
    def lie(self, inputs: Raw) -> Any:
        return self.mistaken(lambda v: v.transpose(0, 2, 1, 3), inputs)


class WrongRange(Lying):
    def lie(self, inputs: Raw) -> Any:
        return self.mistaken(lambda v: v / 2 + np.float32(0.5), inputs)


class OnePixel(Lying):
    """The size was left open: one pixel is computed, and quickly."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        info = self.inputs["image"]
        self.whole = info.shape
        self.inputs = {"image": replace(info, shape=(1, 1, 1, 3))}

    def lie(self, inputs: Raw) -> Any:
        return self.mistaken(lambda v: np.broadcast_to(v, self.whole), inputs)


class OtherScale(Lying):
    def __init__(self, request: Request) -> None:
        super().__init__(request)
        info: TensorInfo = self.outputs["landmarks"]
        self.outputs["landmarks"] = replace(info, scale=2 * (info.scale or 1.0))


class Remembering(Lying):
    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.known: dict[bytes, dict[str, NDArray[Any]]] = {}

    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        key = inputs["image"].tobytes()
        if key not in self.known:
            time.sleep(0.02)
            self.known[key] = self.real.run(inputs)
        return self.known[key]


class Clock:
    """A clock that stands still but for what the runs take: a busy machine changes nothing."""

    now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-7
        return self.now


CLOCK = Clock()


class Timed(Lying):
    """Takes the time, by ``CLOCK``, that ``seconds`` says of a run's number."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.began = CLOCK.now

    def seconds(self, number: int) -> float:
        return 0.0002

    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        jitter = 1 + 0.01 * np.random.default_rng(self.count).random()
        CLOCK.now += jitter * self.seconds(self.count)
        return self.real.run(inputs)


class WarmingUp(Timed):
    def seconds(self, number: int) -> float:
        return 0.0005 if number <= 6 else 0.0002


class Throttled(Timed):
    def seconds(self, number: int) -> float:
        return 0.0002 if number < 30 else 0.0004


class GettingHot(Timed):
    """Slower with time alone, which only a sustained run has enough of."""

    def seconds(self, number: int) -> float:
        return 0.0002 if number < 50 else 0.001 + 0.002 * (CLOCK.now - self.began)


class Slow(Lying):
    """Takes a true time, for what the machine is asked about runs of a second."""

    seconds = 0.015

    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        time.sleep(self.seconds)
        return self.real.run(inputs)


@dataclass(frozen=True)
class Fault:
    """A way to lie.

    Attributes:
        session: what runs the model.
        target: of what the target says of itself, what differs from the truth.
        change: made to the measurement before it is handed over.
    """

    session: type[Lying] = Lying
    target: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Measurement], Measurement] = lambda measured: measured


def _with_samples(change: Callable[[list[float]], list[float]]) -> Any:
    def changed(measured: Measurement) -> Measurement:
        times = measured.timings_ms
        return replace(measured, timings_ms={**times, "invoke": change(times["invoke"])})

    return changed


def _only_parity(largest: float | None) -> Callable[[Measurement], Measurement]:
    """As a target that compares its own outputs, or nothing."""
    parity = None if largest is None else {"max": largest, "mean": 0.1}
    return lambda measured: replace(measured, output_check=None, parity=parity)


class Inverted(Lying):
    """Of any model: each output negated."""

    def lie(self, inputs: Raw) -> dict[str, NDArray[Any]]:
        return {name: -values for name, values in self.real.run(inputs).items()}


FAULTS: dict[str, Fault] = {
    "none": Fault(),
    "inverted": Fault(Inverted),
    "parity too large": Fault(change=_only_parity(20.0)),
    "parity small": Fault(change=_only_parity(1.0)),
    "nothing compared": Fault(change=_only_parity(None)),
    "right once": Fault(RightOnce),
    "wrong late": Fault(WrongLate),
    "wrong always": Fault(WrongAlways),
    "one output wrong": Fault(OneOutputWrong),
    "not a number": Fault(NotANumber),
    "half precision": Fault(HalfPrecision),
    "one step": Fault(OneStep),
    "silent cpu": Fault(target={"actual": "cpu"}),
    "nothing delegated": Fault(target={"delegated_ops": 0}),
    "partly delegated": Fault(target={"delegated_ops": 1}),
    "cpu's very bits": Fault(),
    "submission only": Fault(SubmissionOnly),
    "handles": Fault(Handles),
    "frozen buffer": Fault(FrozenBuffer),
    "input never written": Fault(InputNeverWritten),
    "int8 as uint8": Fault(OtherSign),
    "bgr for rgb": Fault(BlueGreenRed),
    "rows as columns": Fault(RowsAsColumns),
    "wrong range": Fault(WrongRange),
    "one pixel": Fault(OnePixel),
    "other scale": Fault(OtherScale),
    "remembered outputs": Fault(Remembering),
    "warm-up too short": Fault(WarmingUp),
    "throttled": Fault(Throttled),
    "hot after minutes": Fault(GettingHot),
    "seconds for milliseconds": Fault(change=_with_samples(lambda v: [1e4 * one for one in v])),
    "slow": Fault(Slow),
    "clean by its clock": Fault(Timed),
}


class Chip:
    """``--target chip``; ``fault`` is set by the test."""

    name = "chip"
    abilities = Abilities(rounds_differently=True)
    fault = "none"

    def problem(self, request: Request | None = None) -> str | None:
        return None

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        fault = FAULTS.get(self.fault, FAULTS["none"])
        session, timed = measure_session(lambda: fault.session(request), request, on_progress)
        total = session.real.total_ops  # type: ignore[attr-defined]
        truth = {
            "actual": "chip",
            "threads": None,
            "delegate": "chip",
            "delegated_ops": total,
            "total_ops": total,
            "proof": ["the double says so"],
        }
        return fault.change(
            timed.measurement(
                request,
                target={**truth, **fault.target},
                runtime={"name": "double", "version": "1", "kernels": "chip"},
                load="open",
                timed="run",
                parity=timed.parity,
            )
        )

    def predictor(self, request: Request) -> Any:
        from asmnet_kit.predict.open_predictor import open_tflite

        fault = FAULTS.get(self.fault, FAULTS["none"])
        return open_tflite(request.model, session=fault.session(request))


CHIP = Chip()
