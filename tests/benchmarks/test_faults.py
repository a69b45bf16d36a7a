"""Each published way in which benchmarks lie is noticed, by name; clean runs raise no alarm.

``faults.toml`` is the catalogue. Each row is injected at the seam between a target and its runtime,
and the command that a user types must end as the row says.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faulty_chip
import numpy as np
import pytest
from click.testing import CliRunner
from scripts import load_script

import made_models
from asmnet_kit.benchmarks import runner, worker
from asmnet_kit.benchmarks.protocol import Request, WrongNumbers
from asmnet_kit.benchmarks.targets import cpu
from asmnet_kit.benchmarks.targets.registry import TARGETS
from asmnet_kit.benchmarks.timing import machine, session_timing
from asmnet_kit.benchmarks.timing.machine import CpuUse, clock_step, disturbances
from asmnet_kit.benchmarks.timing.noise import instability
from asmnet_kit.benchmarks.timing.output_check import KeptRun, Landmarks, OutputCheck
from asmnet_kit.benchmarks.timing.timed_inputs import timed_inputs
from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result
from asmnet_kit.shipping.shipped import shipped_models
from asmnet_kit.tflite.runtime import open_runtime

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CATALOGUE = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))
ROWS = {row["name"]: row for row in CATALOGUE["fault"]}
QUICK = ("--warmup", "0", "--runs", "40", "--seconds", "0")
FLOAT = {"half precision", "not a number", "wrong range", "one pixel"}  # need a float model


@pytest.fixture(scope="module")
def models() -> dict[str, Path]:
    """A small int8 model and a float one that look at faces."""
    by_name = {model.name: model.path for model in shipped_models()}
    return {"int8": by_name["asmnet_nano"], "float": by_name["asmnet_plus_fp16"]}


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Types ``asmnet-kit benchmark``; the worker's work is done in this process, where the doubles
    are."""

    def run_here(job: dict[str, Any], **_: Any) -> Any:
        return json.loads(json.dumps(worker.answer(json.loads(json.dumps(job))), allow_nan=False))

    monkeypatch.setattr(runner, "run_worker", run_here)
    monkeypatch.setattr(worker, "on_progress", lambda done, note: None)
    monkeypatch.setitem(TARGETS.own, "chip", "faulty_chip:CHIP")  # type: ignore[arg-type]
    monkeypatch.setattr(faulty_chip.Chip, "fault", "none")
    monkeypatch.setenv("COLUMNS", "1000")

    def run(model: Path, *words: object, target: str = "chip") -> Any:
        arguments = [
            "benchmark",
            model,
            "--target",
            target,
            *QUICK,
            *words,
            "--out",
            tmp_path / "r",
        ]
        return CliRunner().invoke(main, [str(word) for word in arguments])

    return run


def noticed(done: Any, row: dict[str, str]) -> None:
    """The command ended as the row says, and named the cause."""
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    assert row["says"] in done.stderr, done.output
    assert done.exit_code == (1 if row["ends"] == "exit 1" else 0), done.output


@pytest.mark.parametrize("name", [n for n in faulty_chip.FAULTS if n in ROWS])
def test_a_lying_runtime_is_noticed(
    name: str,
    measure: Callable[..., Any],
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(faulty_chip.Chip, "fault", name)
    if issubclass(faulty_chip.FAULTS[name].session, faulty_chip.Timed):
        by_its_clock(monkeypatch)
    words: tuple[object, ...] = ("--sustained", "0.02") if name == "hot after minutes" else ()
    done = measure(models["float" if name in FLOAT else "int8"], *words)
    noticed(done, ROWS[name])
    if ROWS[name]["ends"] == "exit 1":
        assert not list(tmp_path.glob("r/*.json"))  # no wrong number leaves the harness


def by_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs are timed by the double's clock, and so is the second clock."""
    monkeypatch.setattr(session_timing, "time", faulty_chip.CLOCK)
    monkeypatch.setattr(machine, "_second_clock_s", lambda: faulty_chip.CLOCK.now)


class Clock:
    """Stands in for the module ``time``: ``change`` of the true seconds since it was made."""

    def __init__(self, change: Callable[[float], float]) -> None:
        self.began, self.change = time.perf_counter(), change

    def perf_counter(self) -> float:
        return self.change(time.perf_counter() - self.began)


def injected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults of the machine, not of the runtime."""
    counting = iter(range(10**6))

    def slower(seconds: float) -> None:
        monkeypatch.setattr(faulty_chip.Chip, "fault", "slow")
        monkeypatch.setattr(faulty_chip.Slow, "seconds", seconds)

    def second(values: tuple[float, float]) -> Callable[[], float]:
        return lambda: values[min(1, next(counting))]

    if name == "clock jumps ahead":
        clock = Clock(lambda s: s + (5.0 if next(counting) > 40 else 0.0))
        monkeypatch.setattr(session_timing, "time", clock)
    elif name == "clock jumps back":
        clock = Clock(lambda s: s - (5.0 if next(counting) > 40 else 0.0))
        monkeypatch.setattr(session_timing, "time", clock)
    elif name == "coarse clock":
        slower(0.005)
        clock = Clock(lambda s: max(1, s // 0.0156) * 0.0156 + 1e-6 * next(counting))
        monkeypatch.setattr(session_timing, "time", clock)
    elif name == "shared core":
        slower(0.015)
        monkeypatch.setattr(machine, "_waited_s", second((0.0, 0.4)))
    elif name == "busy machine":
        slower(0.015)
        busy = iter([0.0, 60.0, 60.0])
        times = lambda: SimpleNamespace(user=next(busy), system=0.0)  # noqa: E731
        monkeypatch.setattr(machine.psutil, "cpu_times", times)
    elif name == "frequency scaling":
        monkeypatch.setattr(machine, "governor", lambda: "powersave")
    elif name == "clock frequency changed":
        # The machine's facts read it first, then the start and the end of the runs.
        read = iter([2000.0, 2000.0, 1200.0, 1200.0])
        monkeypatch.setattr(machine, "frequency_mhz", lambda: next(read))


@pytest.mark.parametrize(
    "name",
    ["clock jumps ahead", "clock jumps back", "coarse clock", "shared core", "busy machine",
     "frequency scaling", "clock frequency changed"],
)  # fmt: skip
def test_a_disturbed_machine_is_noticed(
    name: str,
    measure: Callable[..., Any],
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    injected(name, monkeypatch)
    runs = ("--runs", "100") if name == "coarse clock" else ()
    noticed(measure(models["int8"], *runs), ROWS[name])


def test_a_failed_delegate_that_leaves_a_slow_interpreter_is_noticed(
    measure: Callable[..., Any], models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from asmnet_kit.tflite import runtime

    real = runtime._interpreter

    def refusing(module: Any, content: bytes, threads: int, *, xnnpack: bool) -> Any:
        if xnnpack:
            raise RuntimeError("failed to prepare the delegate")
        return real(module, content, threads, xnnpack=False)

    monkeypatch.setattr(runtime, "_interpreter", refusing)
    noticed(measure(models["int8"], target="cpu"), ROWS["failed delegate"])


def test_a_model_that_was_calibrated_on_other_data_is_noticed(
    measure: Callable[..., Any],
    make_tflite: Callable[..., Path],
    make_pts_faces: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = made_models.generic_reference
    monkeypatch.setattr(made_models, "generic_reference", lambda points: 3 * wide(points))
    model = make_tflite(int8=True)
    noticed(measure(model, target="cpu"), ROWS["calibrated on other data"])
    data = ("--data", make_pts_faces(), "--format", "300w", "--max-nme", "5")
    noticed(measure(model, *data, target="cpu"), ROWS["accuracy target missed"])


@pytest.mark.parametrize("name", ["file replaced", "file replaced while it is timed"])
def test_a_replaced_file_is_noticed(
    name: str,
    measure: Callable[..., Any],
    models: dict[str, Path],
    make_pts_faces: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(models["int8"].read_bytes())
    step = "measure" if name.endswith("timed") else "accuracy"
    real = worker.measure
    if step == "measure":

        def replacing(content: dict[str, Any]) -> Any:
            found = real(content)
            model.write_bytes(models["float"].read_bytes())
            return found

        monkeypatch.setattr(worker, "measure", replacing)
    else:
        answer = worker.answer

        def between(job: dict[str, Any]) -> Any:
            if job["data"] is not None:
                model.write_bytes(models["float"].read_bytes())
            return answer(job)

        monkeypatch.setattr(worker, "answer", between)
    data = ("--data", make_pts_faces(), "--format", "300w")
    noticed(measure(model, *data, target="cpu"), ROWS[name])


def test_accuracy_of_other_kernels_than_the_times_is_noticed(
    measure: Callable[..., Any],
    models: dict[str, Path],
    make_pts_faces: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def predictor(self: Any, request: Request) -> Any:
        from asmnet_kit.predict.open_predictor import open_tflite

        return open_tflite(request.model, session=open_runtime(request.model, xnnpack=False))

    monkeypatch.setattr(cpu.CpuTarget, "predictor", predictor)
    data = ("--data", make_pts_faces(), "--format", "300w")
    noticed(measure(models["int8"], *data, target="cpu"), ROWS["other kernels for accuracy"])


def test_results_of_another_commit_are_noticed(
    measure: Callable[..., Any], models: dict[str, Path], tmp_path: Path
) -> None:
    assert measure(models["int8"], target="cpu").exit_code == 0
    (path,) = (tmp_path / "r").glob("*.json")
    other = json.loads(path.read_text()) | {"kit_code": "0123456789ab"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    words = ["compare", str(path), str(tmp_path / "other.json")]
    noticed(CliRunner().invoke(main, words), ROWS["another commit"])
    other["summary"]["p50"] *= 0.5
    (tmp_path / "other.json").write_text(json.dumps(other))
    noticed(CliRunner().invoke(main, words), ROWS["altered summary"])


def test_every_row_of_the_catalogue_is_injected_by_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    missing = [n for n in ROWS if n not in faulty_chip.FAULTS and f'"{n}"' not in source]
    assert missing == []
    assert len(ROWS) >= 20
    assert {row["ends"] for row in ROWS.values()} == {"exit 1", "warning"}


def test_the_page_about_trust_is_up_to_date() -> None:
    script = load_script("docs/trust.py")
    assert script.TARGET.read_text(encoding="utf-8") == script.page(), "run: make docs"


def test_a_clean_chip_passes_and_says_by_what_it_was_judged(
    measure: Callable[..., Any], models: dict[str, Path], tmp_path: Path
) -> None:
    for model in models.values():
        done = measure(model)
        assert done.exit_code == 0, done.output
    for path in (tmp_path / "r").glob("*.json"):
        check = load_result(path)["output_check"]
        assert check["passed"]
        runs = [run["run"] for run in check["runs"]]
        assert runs[:4] == [
            "the first inference",
            "the first timed run",
            "a timed run in the middle",
            "the last timed run",
        ]
        assert check["runs"][3]["number"] == 40
        assert check["outputs"]["landmarks"]["unit"] == "pixels of the 112 px crop"


def test_the_users_limit_replaces_the_derived_one(
    measure: Callable[..., Any],
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(faulty_chip.Chip, "fault", "right once")  # half of the landmarks move
    assert measure(models["int8"], "--max-parity", "100").exit_code == 0
    (path,) = (tmp_path / "r").glob("*.json")
    result = load_result(path)
    assert result["output_check"]["outputs"]["landmarks"]["limit"] == 100
    assert "--max-parity 100" in result["command"]
    done = measure(models["int8"], "--max-parity", "0.1")
    assert done.exit_code == 1
    assert "allowed are 0.1" in done.stderr


def test_a_limit_of_the_users_makes_no_half_precision_of_rounding(
    measure: Callable[..., Any], models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faulty_chip.Chip, "fault", "one step")
    assert measure(models["int8"]).exit_code == 0
    done = measure(models["int8"], "--max-parity", "0.001")
    assert done.exit_code == 1 and "(--max-parity)" in done.stderr
    assert "float16 ran" not in done.stderr


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (
            "parity too large",
            1,
            "landmarks up to 20 pixels of the 112 px crop from the CPU's, 4.1 allowed",
        ),
        ("parity small", 0, ""),
        ("nothing compared", 0, "the outputs were not compared with the CPU's"),
    ],
)
def test_a_target_that_compares_for_itself_is_judged_by_its_parity(
    fault: str,
    code: int,
    says: str,
    measure: Callable[..., Any],
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faulty_chip.Chip, "fault", fault)
    done = measure(models["int8"])
    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert bool(says) or "the outputs were not compared" not in done.stderr


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_model_without_landmarks_is_judged_in_units_of_its_output(
    kind: str,
    measure: Callable[..., Any],
    make_op_model: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    shape = (1, 4, 4, 2)
    model = make_op_model(
        {"op": "RELU", "into": shape, "into_type": kind, "shape": shape, "type": kind}
    )
    assert measure(model).exit_code == 0
    (path,) = (tmp_path / "r").glob("*.json")
    check = load_result(path)["output_check"]
    assert check["input"].startswith("random values")
    ((_, output),) = check["outputs"].items()
    units = {"float32": "of the output's largest value", "int8": "steps of the output's scale"}
    assert output["unit"] in (units[kind], "of its values")
    monkeypatch.setattr(faulty_chip.Chip, "fault", "inverted")
    done = measure(model)
    assert done.exit_code == 1
    assert "wrong on every run that was looked at" in done.stderr


def test_landmarks_of_faces_that_are_not_the_cpus_are_refused(
    make_result: Callable[..., Any], models: dict[str, Path]
) -> None:
    """What --data finds on a phone or a board: its outputs come back and are compared here."""
    request = Request(models["int8"], target="gpu")
    found = {
        "accuracy": {"nme_percent": 3.0, "measured_with": {"kernels": None}},
        "parity": {"max": 9.0, "mean": 0.5, "unit": "pixels of the 112 px crop"},
    }
    result = make_result()
    # On average a fifth of what a point may be off is allowed.
    runner.add_accuracy(result, found, request)
    assert result["parity"] == found["parity"]
    found["parity"] = {**found["parity"], "mean": 1.0}
    with pytest.raises(WrongNumbers, match="1 pixels of the 112 px crop from the CPU's on average"):
        runner.add_accuracy(make_result(), found, request)


@pytest.mark.slow
def test_a_thousand_clean_measurements_raise_no_alarm() -> None:
    """Noise as on a quiet machine: a slow wander of 2 %, 1 % of each run, one run in a hundred
    late by up to twice its time; outputs some steps off, as other kernels give them."""
    model = next(m.path for m in shipped_models() if m.name == "asmnet_nano")
    session = open_runtime(model)
    inputs = timed_inputs(session, Request(model))
    fed = [*inputs.repeated, inputs.fresh[-1]]
    right = [session.run(one) for one in fed]
    known = {id(one): outputs for one, outputs in zip(fed, right, strict=True)}

    class Reference:
        """Remembers, since a thousand measurements ask the same."""

        inputs, outputs = session.inputs, session.outputs

        def run(self, one: Any) -> Any:
            return known[id(one)]

    landmarks = Landmarks("landmarks", 112, 1.0)
    alarms = []
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(100, 600))
        wander = 1 + 0.02 * np.sin(np.linspace(0, rng.uniform(0, 20), n) + rng.uniform(0, 6))
        late = 1 + rng.uniform(0, 2, n) * (rng.random(n) < 0.01)
        samples = rng.uniform(0.1, 50) * wander * late * rng.normal(1, 0.01, n)
        alarms += instability(samples.tolist())
        seconds = max(float(samples.sum() / 1000), 0.6)
        before = CpuUse(0.0, 0.0, 0.0, 2000.0, 0.0, 0.0)
        shares = rng.uniform(0, 0.03, 2) * seconds
        after = CpuUse(
            seconds + float(shares[0]),
            seconds,
            seconds,
            2000.0 * float(rng.uniform(0.98, 1.02)),
            float(shares[1]),
            seconds * float(rng.uniform(0.9995, 1.0005)),
        )
        alarms += [text for text in [clock_step(before, after)] if text]
        alarms += disturbances(before, after, threads=1)
        runs = []
        for number, (one, outputs) in enumerate(zip(fed, right, strict=True)):
            noisy = {
                name: np.clip(values + np.rint(rng.normal(0, 1.2, values.shape)), -128, 127).astype(
                    values.dtype
                )
                for name, values in outputs.items()
            }
            runs.append(KeptRun(str(number), number + 1, one, noisy))
        check = OutputCheck(
            session, runs, inputs, Reference(),
            reference_name="CPU", landmarks=landmarks, max_parity=None, steps={},
        )  # fmt: skip
        found = check.to_json()
        alarms += [] if found["passed"] else [found["cause"]]
    assert alarms == []


def test_clean_runs_through_the_front_door_raise_no_alarm(
    measure: Callable[..., Any], models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the double's clock, since the machine of a test is busy; what is said of that is true."""
    monkeypatch.setattr(faulty_chip.Chip, "fault", "clean by its clock")
    monkeypatch.setattr(session_timing, "disturbances", lambda *_, **__: [])
    by_its_clock(monkeypatch)
    for _ in range(10):
        done = measure(models["int8"])
        assert done.exit_code == 0, done.output
        warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
        # The double is the CPU, which is suspicious for an accelerator.
        assert [line for line in warnings if "to the last bit" not in line] == []
