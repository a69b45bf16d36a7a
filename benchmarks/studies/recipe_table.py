"""Recipes side by side: accuracy, pixels moved, size, latency; and why int8 is as fast as it is.

Usage: make bench-quantize RUN="runs/a runs/b" DATA=DIR FORMAT=300w [ARGS="--rounds 5"]

It is written into docs/quantization.md, between two markers. Everything comes from the .tflite
files (which make quantizes first, where they are missing): no TensorFlow. The files of one model
are measured in turn, again and again, so that whatever else the machine is busy with hits all of
them.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.runner import benchmark_model
from asmnet_kit.benchmarks.studies.markers import Markers
from asmnet_kit.benchmarks.timing.machine import machine_facts
from asmnet_kit.benchmarks.timing.operator_times import ProfileError, profile_model
from asmnet_kit.datasets.registry import load_to_measure
from asmnet_kit.measure.drift import Landmarks, PixelDrift, Recorder
from asmnet_kit.measure.evaluate import Evaluation, evaluate
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.tflite.accelerator_placement import FULL
from asmnet_kit.tflite.audit import audit_model
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata
from asmnet_kit.tflite.runtime import all_threads

MARKERS = Markers(
    "<!-- measured: make bench-quantize writes what follows -->", "<!-- measured: until here -->"
)
DEFAULT_DOC = Path("docs/quantization.md")
FLOAT = "fp32"
ORDER = (FLOAT, "fp16", "dynamic_w8", "ptq_w8a8", "ptq_w8a16", "qat_w8a8")
THREADS = (1, 2)
ROUNDS = 5
RUNS = 200
MAX_SECONDS = 2.0  # of a round, for the slow ones
LEAST_MICROSECONDS = 5.0  # by the profiler, which counts whole ones; less gives no ratio
BUSY_SHARE = 0.25  # of the cores: a load above is other programs' and is said

# Instruction sets that multiply bytes in fours, without which int8 has no advantage on x86.
INT8_INSTRUCTIONS = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX VNNI", "amx_int8": "AMX int8",
                     "asimddp": "Arm dot product", "i8mm": "Arm int8 matrix multiply"}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One file.

    Attributes:
        p50_ms, best_ms: by number of threads: the median of the quietest round, and the least
            single run.
        drift: to the landmarks of the float32 file.
        runs_on: targets by the audit.
    """

    metadata: ModelMetadata
    path: Path
    evaluation: Evaluation
    drift: PixelDrift | None
    p50_ms: dict[int, float]
    best_ms: dict[int, float]
    runs_on: str


def measure_folder(
    folder: Path, data: Path, format: str, *, rounds: int = ROUNDS
) -> list[Measured]:
    """Measure every file of one model.

    Raises:
        UsageError: no .tflite, or none of ``fp32`` to compare with.
    """
    about = {path: read_metadata(path) for path in sorted(folder.glob("*.tflite"))}
    models = {f"{m.architecture}_{m.landmarks}_{m.input_size}" for m in about.values()}
    if len(models) > 1:
        raise UsageError(f"{folder}: expected the files of one model, got {', '.join(models)}")
    files = {metadata.recipe: path for path, metadata in about.items()}
    if FLOAT not in files:
        raise UsageError(
            f"{folder}: expected the .tflite files of one model, {FLOAT} among them; got "
            f"{', '.join(files) or 'none'}"
        )
    known = [recipe for recipe in ORDER if recipe in files]
    timings = _timings([files[recipe] for recipe in known], rounds=rounds)
    scheme = about[files[FLOAT]].scheme
    dataset, split = load_to_measure(data, format, split=None, model_scheme=scheme)
    if split is not None:
        dataset = replace(dataset, name=f"{dataset.name} ({split})")
    reference: Landmarks | None = None
    measured = []
    for recipe in known:
        path = files[recipe]
        metadata = read_metadata(path)
        stderr().print(f"accuracy of {path.name}", markup=False)
        recorder = Recorder(TflitePredictor(path, threads=all_threads()))
        evaluation = evaluate(recorder, dataset)
        reference = recorder.landmarks if reference is None else reference
        drift = PixelDrift.between(reference, recorder.landmarks, size=metadata.input_size)
        verdicts = audit_model(path).verdicts
        measured.append(
            Measured(
                metadata=metadata,
                path=path,
                evaluation=evaluation,
                drift=None if recipe == FLOAT else drift,
                p50_ms={t: min(timings[path, t][0]) for t in THREADS},
                best_ms={t: min(timings[path, t][1]) for t in THREADS},
                runs_on=", ".join(t for t, v in verdicts.items() if v.verdict == FULL),
            )
        )
    return measured


def _timings(
    files: Sequence[Path], *, rounds: int
) -> dict[tuple[Path, int], tuple[list[float], list[float]]]:
    """(medians, least) of the rounds by file and threads, all files in turn."""
    found: dict[tuple[Path, int], tuple[list[float], list[float]]] = {
        (path, threads): ([], []) for path in files for threads in THREADS
    }
    for number in range(rounds):
        for path in files if number % 2 == 0 else reversed(files):
            stderr().print(f"latency of {path.name}, round {number + 1} of {rounds}", markup=False)
            for threads in THREADS:
                request = Request(
                    model=path, target="cpu", threads=threads, runs=RUNS, min_seconds=0.5,
                    max_seconds=MAX_SECONDS,
                )  # fmt: skip
                result = benchmark_model(request, on_progress=lambda share, what: None)
                medians, least = found[path, threads]
                medians.append(float(result["summary"]["p50"]))
                least.append(float(result["summary"]["min"]))
    return found


# The page ----------------------------------------------------------------------------------------


def page(folders: Sequence[Path], data: Path, format: str, *, rounds: int = ROUNDS) -> str:
    """What stands between the markers, Markdown."""
    parts = []
    for folder in folders:
        measured = measure_folder(folder, data, format, rounds=rounds)
        first = measured[0]
        about = first.metadata
        parts += [
            f"### `{about.architecture}`, {about.landmarks} points, {about.input_size} px",
            _facts(first.evaluation, rounds),
            _recipe_table(measured),
            _ratio_text(measured),
            *_profile_parts(measured),
        ]
    return "\n\n".join(parts)


def _facts(evaluation: Evaluation, rounds: int) -> str:
    machine = machine_facts()
    sets = set(machine["instruction_sets"])
    int8 = [name for flag, name in INT8_INSTRUCTIONS.items() if flag in sets]
    load = machine["load_average"][0]
    busy = (
        f" **The machine was busy** (load {load:g} on {machine['cores']} cores, most of it other "
        "programs'): medians are higher than on a quiet one."
        if load > (1 + BUSY_SHARE) * machine["cores"]
        else ""
    )
    return (
        f"{evaluation.scores.faces} faces of {evaluation.dataset}; NME in percent of the "
        f"outer eye distance, boxes from landmarks; pose against "
        f"{'labels' if evaluation.pose_source == 'labels' else 'poses fitted to the landmarks'}. "
        f"Landmarks moved: pixels of the crop, to the float32 file. {machine['cpu']}, "
        f"{machine['cores']} cores, int8 instructions: {', '.join(int8) or 'none'}; milliseconds: "
        f"median of the quietest of {rounds} rounds of up to {RUNS} runs, all files in turn (and "
        f"the least of all runs), load average {load:g}.{busy}"
    )


def _recipe_table(measured: Sequence[Measured]) -> str:
    subsets = list(measured[0].evaluation.per_subset)
    head = ["recipe", "NME %, all", *(f"NME %, {name}" for name in subsets)]
    head += ["yaw / pitch / roll °", "moved p50", "moved p99", "KB"]
    head += [f"ms, {threads} thread{'s' if threads > 1 else ''}" for threads in THREADS]
    head += ["runs on (predicted)"]
    rows = [head, ["---"] * len(head)]
    for one in measured:
        pose = one.evaluation.scores.pose_mae_deg
        per_subset = [one.evaluation.per_subset[name].nme_percent for name in subsets]
        rows.append(
            [
                f"`{one.metadata.recipe}`",
                f"{one.evaluation.scores.nme_percent:.2f}",
                *(f"{nme:.2f}" for nme in per_subset),
                " / ".join(f"{value:.1f}" for value in pose.values()) if pose else "-",
                "-" if one.drift is None else f"{one.drift.p50:.2f}",
                "-" if one.drift is None else f"{one.drift.p99:.2f}",
                f"{one.path.stat().st_size / 1000:.0f}",
                *(f"{one.p50_ms[t]:.2f} ({one.best_ms[t]:.2f})" for t in THREADS),
                one.runs_on,
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _ratio_text(measured: Sequence[Measured]) -> str:
    """How the int8 files compare with float32, in accuracy and in time."""
    by_recipe = {one.metadata.recipe: one for one in measured}
    base = by_recipe[FLOAT]
    lines = []
    for recipe in ("qat_w8a8", "ptq_w8a8"):
        one = by_recipe.get(recipe)
        if one is None:
            continue
        nme = one.evaluation.scores.nme_percent / base.evaluation.scores.nme_percent
        times = ", ".join(
            f"{one.p50_ms[t] / base.p50_ms[t]:.2f} ({one.best_ms[t] / base.best_ms[t]:.2f}) with "
            f"{t} thread{'s' if t > 1 else ''}"
            for t in THREADS
        )
        lines.append(f"- `{recipe}` to float32: NME × {nme:.3f}; time × {times}.")
    return "\n".join(lines)


def _profile_parts(measured: Sequence[Measured]) -> list[str]:
    """Time by kind of operator, float32 beside int8."""
    by_recipe = {one.metadata.recipe: one.path for one in measured}
    recipe = next((name for name in ("qat_w8a8", "ptq_w8a8") if name in by_recipe), None)
    if recipe is None:
        return []
    try:
        before, after = (profile_model(by_recipe[name]) for name in (FLOAT, recipe))
    except ProfileError as error:
        return [f"Profile by operator: not measured ({error})."]
    kinds = _by_kind(before), _by_kind(after)
    head = ["operators", f"number, {FLOAT}", "µs", f"number, {recipe}", "µs", "int8 / float"]
    rows = [head, ["---"] * len(head)]
    for kind in sorted({*kinds[0], *kinds[1]}, key=lambda k: -kinds[0].get(k, (0, 0.0))[1]):
        (count, ours), (count8, ours8) = (k.get(kind, (0, 0.0)) for k in kinds)
        is_long = min(ours, ours8) >= LEAST_MICROSECONDS
        ratio = f"{ours8 / ours:.2f}" if is_long else "-"
        rows.append([kind, str(count), f"{ours:.0f}", str(count8), f"{ours8:.0f}", ratio])
    totals = [sum(time for _, time in k.values()) for k in kinds]
    rows.append(["all", "", f"{totals[0]:.0f}", "", f"{totals[1]:.0f}",
                 f"{totals[1] / totals[0]:.2f}" if totals[0] else "-"])  # fmt: skip
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return [f"By kind of operator, one thread (`asmnet-kit benchmark --profile`):\n\n{table}"]


def _by_kind(profile: list[dict[str, object]]) -> dict[str, tuple[int, float]]:
    """(number, microseconds) by kernel, data types and variants dropped from XNNPACK's names."""
    found: dict[str, tuple[int, float]] = {}
    for event in profile:
        words = re.sub(r" \([^)]*\)|\d+$", "", str(event["op"]))
        kind = words if event["target"] == "xnnpack" else f"{words} ({event['target']})"
        count, time = found.get(kind, (0, 0.0))
        found[kind] = count + 1, time + float(str(event["microseconds"]))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the folders and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+", help="folders, each the files of one model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--format", required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--document", type=Path, default=DEFAULT_DOC)
    given = parser.parse_args(arguments)
    try:
        MARKERS.around(given.document)  # rather now than after minutes of measuring
        MARKERS.write(
            given.document, page(given.models, given.data, given.format, rounds=given.rounds)
        )
    except KitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
