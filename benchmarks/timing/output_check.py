"""Are the outputs of the timed runs right? They are compared with this machine's CPU.

That a runtime placed every operator on an accelerator does not say that it computes them: there
are drivers that do so wrongly, and others that are right on the first run alone. So the outputs of
the first inference, of the first, a middle and the last timed run, and of one more with an input
that no run had before, are kept, and compared afterwards. Where they are wrong, known ways to be so
are tried until one explains it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.benchmarks.timing.timed_inputs import Inputs, TimedInputs
from asmnet_kit.tflite.graph import Graph
from asmnet_kit.tflite.runtime import Session, TensorInfo, dequantize

# In steps of an integer output's scale. Integer kernels were seen up to 6 apart in single outputs;
# a lost bias or a wrong scale moved outputs by 5 to 74.
MAX_LEVELS = 10.0
# Of the crop's side, where outputs are float: float16 arithmetic gives 6e-3 in single outputs.
MAX_FRACTION = 1e-2
# The same where the target says that it computes in float32: other orders of summing give 1e-6.
MAX_FRACTION_FLOAT32 = 1e-3
# What the mean over an output's values may be, of the limit of the largest difference. A GPU that
# computes an int8 model in float was 1.3 steps off in the landmarks of noise on average, 2.4 in the
# other outputs of a face.
MEAN_SHARE, MEAN_SHARE_OF_OTHERS = 0.2, 0.4
MAX_DIFFERING = 0.01  # share of an output of whole numbers without a scale: indices, counts
FLOAT32 = "fp32"  # of a session's ``precision``
EIGHT_BITS = ("int8", "uint8")

STALE = (
    "the outputs of an earlier run: they were read before its own were there (a stale buffer, or a "
    "time of the submission alone)"
)

Outputs = Mapping[str, NDArray[Any]]  # raw values by name
Misreading = Callable[[Inputs], Inputs | None]


@dataclass(frozen=True, eq=False)
class KeptRun:
    """The outputs of one run.

    Attributes:
        which: for people: ``the last timed run``.
        number: of the timed run, from 1; None for a run that was not timed.
        inputs: what it was fed.
    """

    which: str
    number: int | None
    inputs: Inputs
    outputs: Outputs


@dataclass(frozen=True)
class Ruler:
    """How differences of an output are measured, and what may be.

    Attributes:
        factor: of a difference of real values; None where values are equal or not.
        limit: of the largest difference.
        source: where the limit comes from, for people.
        mean_share: what the mean over the output may be, of the limit.
    """

    unit: str
    factor: float | None
    limit: float
    source: str
    mean_share: float = MEAN_SHARE_OF_OTHERS

    @property
    def mean_limit(self) -> float:
        return self.mean_share * self.limit

    def difference(
        self, ours: NDArray[Any], theirs: NDArray[Any], info: TensorInfo
    ) -> tuple[float, float]:
        """(largest, mean) difference of raw values; infinite where one alone is no number, or the
        shapes differ."""
        if np.shape(ours) != np.shape(theirs):
            return float("inf"), float("inf")
        if self.factor is None:
            share = float(np.mean(ours != theirs)) if ours.size else 0.0
            return share, 0.0
        a, b = dequantize(ours, info), dequantize(theirs, info)
        finite = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return float("inf"), float("inf")
        apart = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
        if not apart.size:
            return 0.0, 0.0
        return self.factor * float(apart.max()), self.factor * float(apart.mean())

    def allows(self, largest: float, mean: float) -> bool:
        return largest <= self.limit and mean <= self.mean_limit


@dataclass(frozen=True)
class Landmarks:
    """Which output holds landmarks.

    Attributes:
        size: side of the model's crop, pixels.
        unit_sides: length of one unit of the output, sides of the crop.
    """

    output: str
    size: int
    unit_sides: float


def steps_before_float(graph: Graph) -> dict[str, float]:
    """Scales of what float outputs are dequantized from, by the outputs' names.

    The arithmetic of such outputs is that of 8 bits, so they are as far apart as integer ones.
    """
    public = dict(graph.signature)
    makers = {tensor.index: op for op in graph.ops for tensor in op.outputs}
    found = {}
    for tensor in graph.outputs:
        op = makers.get(tensor.index)
        if op is None or op.name != "DEQUANTIZE":
            continue
        source = op.inputs[0]
        if source.type in EIGHT_BITS and len(source.scales) == 1:
            found[public.get(tensor.name, tensor.name)] = source.scales[0]
    return found


def landmark_limit(
    info: TensorInfo,
    landmarks: Landmarks,
    *,
    precision: str | None = None,
    step: float | None = None,
) -> Ruler:
    """What the landmarks' largest difference may be, in pixels of the crop.

    Args:
        precision: ``fp32`` where the target says that it computes so; None where it does not say.
        step: the scale that float landmarks are dequantized from; None where they are not.
    """
    unit = f"pixels of the {landmarks.size} px crop"
    factor = landmarks.size * landmarks.unit_sides
    scale = step if info.scale is None else info.scale
    if scale is not None:
        source = f"{MAX_LEVELS:g} steps of the output's scale"
        return Ruler(unit, factor, MAX_LEVELS * scale * factor, source, MEAN_SHARE)
    fraction, arithmetic = _float_limit(precision)
    source = f"{100 * fraction:g} % of the crop's side, for {arithmetic}"
    return Ruler(unit, factor, fraction * landmarks.size, source, MEAN_SHARE)


def rulers(
    infos: Mapping[str, TensorInfo],
    reference: Sequence[Outputs],
    landmarks: Landmarks | None,
    *,
    precision: str | None,
    max_parity: float | None,
    steps: Mapping[str, float],
) -> dict[str, Ruler]:
    """A ruler for each output.

    Args:
        steps: as ``steps_before_float`` has them.
        reference: outputs of the CPU, by which float outputs are measured that are no landmarks.
        max_parity: the user's limit of the landmarks' largest difference, in pixels of the crop;
            of a model without landmarks that of each output, in the output's own unit.
    """
    found = {}
    for name, info in infos.items():
        scale = steps.get(name) if info.scale is None else info.scale
        if landmarks is not None and name == landmarks.output:
            ruler = landmark_limit(info, landmarks, precision=precision, step=scale)
        elif scale is not None:
            limit, why = MAX_LEVELS, f"{MAX_LEVELS:g} steps of the output's scale"
            ruler = Ruler("steps of the output's scale", 1 / scale, limit, why)
        elif info.dtype.kind == "f":
            values = np.concatenate([np.abs(run[name]).ravel() for run in reference])
            largest = float(values[np.isfinite(values)].max(initial=0.0))
            fraction, arithmetic = _float_limit(precision)
            why = f"{fraction:g} of the output's largest value, for {arithmetic}"
            unit = "of the output's largest value"
            ruler = Ruler(unit, 1 / max(largest, 1e-6), fraction, why)
        else:
            why = f"{MAX_DIFFERING:g} of its values, for whole numbers"
            ruler = Ruler("of its values", None, MAX_DIFFERING, why)
        theirs = landmarks is None or name == landmarks.output
        if max_parity is not None and theirs:
            ruler = replace(ruler, limit=max_parity, source="--max-parity")
        found[name] = ruler
    return found


def _float_limit(precision: str | None) -> tuple[float, str]:
    if precision == FLOAT32:
        return MAX_FRACTION_FLOAT32, "float32 arithmetic"
    return MAX_FRACTION, "float16 arithmetic"


class OutputCheck:
    """Kept runs of a session beside the same model on this machine's CPU.

    Args:
        runs: the first inference first, in the order in which they ran.
        inputs: what the timed runs were fed.
        reference: the model on the CPU.
        reference_name: what it is, for people.
        max_parity, steps: as ``rulers`` has them.
    """

    def __init__(
        self,
        session: Session,
        runs: Sequence[KeptRun],
        inputs: TimedInputs,
        reference: Session,
        *,
        reference_name: str,
        landmarks: Landmarks | None,
        max_parity: float | None,
        steps: Mapping[str, float],
    ) -> None:
        self.session, self.runs, self.inputs, self.reference = session, runs, inputs, reference
        self.reference_name, self.landmarks = reference_name, landmarks
        self.max_parity, self.steps = max_parity, steps
        self.precision = getattr(session, "precision", None)
        self._theirs: list[Outputs] = []  # none of a model of other tensors

    def to_json(self) -> dict[str, Any]:
        """A result's ``output_check``."""
        common = {"reference": self.reference_name, "passed": False}
        unlike = _unlike_tensors(self.session, self.reference)
        if unlike:
            return {**common, "cause": unlike, "outputs": {}, "runs": []}
        self._theirs = [self._right(run.inputs) for run in self.runs]
        infos = self.reference.outputs
        self.rulers = rulers(
            infos,
            self._theirs,
            self.landmarks,
            precision=self.precision,
            max_parity=self.max_parity,
            steps=self.steps,
        )
        passed = [self._agrees(run, theirs) for run, theirs in self._pairs()]
        return {
            **common,
            "passed": all(passed),
            "cause": None if all(passed) else self._cause(passed),
            "outputs": {name: self._output(name) for name in infos},
            "runs": [
                {"run": run.which, "number": run.number, "passed": ok}
                for run, ok in zip(self.runs, passed, strict=True)
            ],
        }

    def parity(self) -> dict[str, Any] | None:
        """A result's ``parity`` over these runs; None for a model without landmarks, or of other
        tensors. Of integer outputs with their ``levels``. After ``to_json``."""
        if self.landmarks is None or _unlike_tensors(self.session, self.reference):
            return None
        name = self.landmarks.output
        ruler, info = self.rulers[name], self.reference.outputs[name]
        found = [ruler.difference(r.outputs[name], t[name], info) for r, t in self._pairs()]
        if not np.isfinite(found).all():
            return None
        return {
            "max": max(largest for largest, _ in found),
            "mean": float(np.mean([mean for _, mean in found])),
            "identical": all(np.array_equal(r.outputs[name], t[name]) for r, t in self._pairs()),
            "inputs": len(self.runs),
            "unit": ruler.unit,
            "reference": "the same model on the CPU",
            **self.levels(),
        }

    def levels(self) -> dict[str, Any]:
        """How many steps of their type integer outputs are apart: ``max_levels`` and
        ``mean_levels`` over all of them; {} where there are none. After ``to_json``."""
        steps = [
            np.abs(run.outputs[name].astype(np.int64) - theirs[name].astype(np.int64)).ravel()
            for run, theirs in zip(self.runs, self._theirs, strict=False)
            for name, info in self.reference.outputs.items()
            if info.dtype.kind in "iu"
        ]
        if not steps:
            return {}
        every = np.concatenate(steps)
        return {"max_levels": int(every.max()), "mean_levels": float(every.mean())}

    def _pairs(self) -> list[tuple[KeptRun, Outputs]]:
        return list(zip(self.runs, self._theirs, strict=True))

    def _right(self, inputs: Inputs) -> Outputs:
        return self.reference.run(inputs)

    def _output(self, name: str) -> dict[str, Any]:
        ruler, info = self.rulers[name], self.reference.outputs[name]
        found = [ruler.difference(r.outputs[name], t[name], info) for r, t in self._pairs()]
        worst = [max(values) for values in zip(*found, strict=True)]
        largest, mean = (value if np.isfinite(value) else None for value in worst)
        return {
            "max": largest,
            "mean": mean,
            "limit": ruler.limit,
            "mean_limit": ruler.mean_limit,
            "unit": ruler.unit,
            "limit_from": ruler.source,
        }

    def _agrees(
        self,
        run: KeptRun,
        theirs: Outputs,
        names: Sequence[str] = (),
        measured_by: Mapping[str, Ruler] | None = None,
    ) -> bool:
        """Are the run's outputs, by default all of them, within the limits of these?"""
        infos = self.reference.outputs
        by = measured_by or self.rulers
        return all(
            by[name].allows(*by[name].difference(run.outputs[name], theirs[name], infos[name]))
            for name in names or infos
        )

    def _cause(self, passed: Sequence[bool]) -> str:
        """The first of the known ways to be wrong that explains every run that is."""
        wrong = [run for run, ok in zip(self.runs, passed, strict=True) if not ok]
        for explain in (
            self._no_numbers,
            self._never_changing,
            self._of_another_input,
            self._misread_input,
            self._half_precision,
            self._single_outputs,
        ):
            cause = explain(wrong)
            if cause:
                return cause
        since = wrong[0].which
        if passed[0] and not any(passed[1:]):
            return "right on the first inference alone, wrong on every run after it"
        if passed[0]:
            return f"right at first, wrong from {since} on"
        if all(not ok for ok in passed):
            return "wrong on every run that was looked at, and no known cause explains it"
        return f"wrong in {', '.join(run.which for run in wrong)}, and right in others"

    def _no_numbers(self, wrong: Sequence[KeptRun]) -> str | None:
        for run, theirs in self._pairs():
            for name, values in run.outputs.items():
                if values.dtype.kind != "f" or values.shape != np.shape(theirs[name]):
                    continue
                if not np.isfinite(values[np.isfinite(theirs[name])]).all():
                    return f"NaN or infinity in the output {name!r} of {run.which}"
        return None

    def _never_changing(self, wrong: Sequence[KeptRun]) -> str | None:
        def one(all_outputs: Sequence[Outputs]) -> bool:
            return all(
                np.array_equal(outputs[name], all_outputs[0][name])
                for outputs in all_outputs
                for name in all_outputs[0]
            )

        timed = [run.outputs for run in self.runs[1:]]
        if len(timed) > 1 and one(timed) and not one(self._theirs[1:]):
            return "the same outputs for every input: what the harness reads is never written"
        return None

    def _of_another_input(self, wrong: Sequence[KeptRun]) -> str | None:
        """Outputs that belong to what another run was fed; before the first there was none."""
        fed = {id(one): one for one in (*self.inputs.repeated, *self.inputs.fresh)}
        right = {key: self._right(inputs) for key, inputs in fed.items()}
        later = [run for run in wrong if run is not self.runs[0]]
        for run in later:
            others = [outputs for key, outputs in right.items() if key != id(run.inputs)]
            if not any(self._agrees(run, outputs) for outputs in others):
                return None
        return STALE if later else None

    def _misread_input(self, wrong: Sequence[KeptRun]) -> str | None:
        for what, misread in MISREADINGS.items():
            changed = [misread(run.inputs) for run in wrong]
            if any(inputs is None for inputs in changed):
                continue
            right = [self._right(inputs) for inputs in changed if inputs is not None]
            if all(self._agrees(run, outputs) for run, outputs in zip(wrong, right, strict=True)):
                return what
        return None

    def _single_outputs(self, wrong: Sequence[KeptRun]) -> str | None:
        names = list(self.reference.outputs)
        bad = [
            name
            for name in names
            if any(not self._agrees(run, theirs, [name]) for run, theirs in self._pairs())
        ]
        if len(wrong) < len(self.runs) or len(bad) == len(names):
            return None
        good = ", ".join(name for name in names if name not in bad)
        return f"the output {', '.join(bad)} is wrong on every run, {good} is right"

    def _half_precision(self, wrong: Sequence[KeptRun]) -> str | None:
        if self.precision != FLOAT32:
            return None
        infos = self.reference.outputs
        half, single = (
            rulers(
                infos,
                self._theirs,
                self.landmarks,
                precision=precision,
                max_parity=None,
                steps=self.steps,
            )
            for precision in (None, FLOAT32)
        )  # not the user's limit: what is within float32's own tells nothing of half precision
        within_half, within_single = (
            all(self._agrees(run, theirs, (), limits) for run, theirs in self._pairs())
            for limits in (half, single)
        )
        if within_half and not within_single:
            return "as far off as half precision is: float32 was asked for, float16 ran"
        return None


def _unlike_tensors(session: Session, reference: Session) -> str | None:
    """That the target runs a model of other tensors than the file's; None where they are its.

    Raises:
        ModelError: the target calls them by other names, so nobody knows which is which.
    """
    for kind, ours, theirs in (
        ("input", session.inputs, reference.inputs),
        ("output", session.outputs, reference.outputs),
    ):
        if ours.keys() != theirs.keys():
            raise ModelError(
                f"expected the {kind}s {', '.join(theirs)}, the target has {', '.join(ours)}"
            )
        for name, info in theirs.items():
            expected, got = _described(info), _described(ours[name])
            if got != expected:
                return (
                    f"the target runs another model than the file's: expected the {kind} {name!r} "
                    f"as {expected}, got {got}"
                )
    return None


def _described(info: TensorInfo) -> str:
    """For example ``int8 [1, 112, 112, 3] of scale 0.0078125 from 0``."""
    scale = (
        "" if info.scale is None else f" of scale {info.scale:.5g}, zero point {info.zero_point}"
    )
    return f"{info.dtype.name} {list(info.shape)}{scale}"


def _pictures(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Misreading:
    """A misreading of pictures: inputs [1, H, W, 3]."""

    def misread(inputs: Inputs) -> Inputs | None:
        if not all(v.ndim == 4 and v.shape[3] == 3 for v in inputs.values()):
            return None
        changed = {name: np.ascontiguousarray(change(values)) for name, values in inputs.items()}
        same = all(changed[name].shape == values.shape for name, values in inputs.items())
        return changed if same else None

    return misread


def _of_kind(kinds: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Misreading:
    """A misreading of inputs of these kinds of NumPy's types."""

    def misread(inputs: Inputs) -> Inputs | None:
        if not all(values.dtype.kind in kinds for values in inputs.values()):
            return None
        return {
            name: np.asarray(change(values)).astype(values.dtype) for name, values in inputs.items()
        }

    return misread


def _other_sign(values: NDArray[Any]) -> NDArray[Any]:
    """What a signed value is where its bits are read as unsigned, or the other way round."""
    top = 1 << (8 * values.dtype.itemsize - 1)
    unsigned = values.view(f"u{values.dtype.itemsize}")
    flipped: NDArray[Any] = (unsigned ^ unsigned.dtype.type(top)).view(values.dtype)
    return flipped


# What a runtime may take an input for, in words, and the input that is then computed with.
MISREADINGS: Mapping[str, Misreading] = {
    "it takes int8 input as uint8, or the other way round": _of_kind("iu", _other_sign),
    "it takes pictures as BGR, they are RGB": _pictures(lambda v: v[..., ::-1]),
    "it takes rows of pictures as columns": _pictures(lambda v: v.transpose(0, 2, 1, 3)),
    "it takes pictures upside down": _pictures(lambda v: v[:, ::-1]),
    "it takes channels of pictures one after the other (NCHW), they are interleaved": _pictures(
        lambda v: v.reshape(v.shape[0], v.shape[3], v.shape[1], v.shape[2]).transpose(0, 2, 3, 1)
    ),
    "it takes float input of -1..1 as 0..1": _of_kind("f", lambda v: v / 2 + 0.5),
    "it takes float input of -1..1 as 0..255": _of_kind("f", lambda v: 127.5 * v + 127.5),
    "its input is never written: it computes with zeros": _of_kind("iuf", np.zeros_like),
}
