"""Fixtures every test may use."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asmnet_kit.face.schemes import Scheme
from asmnet_kit.face.uncertainty import Calibration
from asmnet_kit.tflite.metadata import (
    OUTPUT_UNITS,
    PLAIN_OUTPUTS,
    ModelMetadata,
    with_metadata,
)
from asmnet_kit.training.environment import apply_settings
from made_models import chain_model, constant_face_model

# Before any test module imports TensorFlow itself: pytest loads this file first.
apply_settings()

# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: else the last one runs while the other processes are idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)  # stable: else as they lie in the folders


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development data beside the project; tests that need it skip where it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the development data (../shared) is not on this machine")
    return folder


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a package with one entry point, as pip would leave it; gives the folder it is in.

    ``offer("asmnet_kit.formats", "acme", SOURCE)``: the module ``acme_format`` of the package
    ``acme`` has that source; the entry point is the module, or its attribute ``attribute``.
    """

    def install(
        group: str, name: str, source: str, *, attribute: str = "", package: str = "acme"
    ) -> Path:
        module = f"{package}_{group.rpartition('.')[2]}"
        site = tmp_path / "site"
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        value = f"{module}:{attribute}" if attribute else module
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
        (site / f"{module}.py").write_text(source)
        monkeypatch.delitem(sys.modules, module, raising=False)
        if str(site) not in sys.path:
            monkeypatch.syspath_prepend(str(site))
        return site

    return install


@pytest.fixture
def make_tflite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model of ``constant_face_model`` with the kit's metadata and returns its path."""

    def make(
        name: str = "constant.tflite",
        *,
        points: int = 68,
        size: int = 32,
        int8: bool = False,
        pose: bool = True,
        metadata: bool = True,
        sure: bool = False,
        calibration: Calibration | None = None,
        scheme: Scheme | None = None,
    ) -> Path:
        content = constant_face_model(points, size, int8=int8, pose=pose, sure=sure)
        if metadata:
            about = ModelMetadata(
                architecture="constant",
                landmarks=points,
                input_size=size,
                recipe="none",
                outputs=OUTPUT_UNITS if sure else PLAIN_OUTPUTS,
                calibration=calibration,
                own_scheme=scheme,
            )
            content = with_metadata(content, about)
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def make_op_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model of a chain of operators described by plain tuples and returns its path."""

    def make(*ops: dict[str, Any], name: str = "ops.tflite") -> Path:
        path = tmp_path / name
        path.write_bytes(chain_model(ops))
        return path

    return make


@pytest.fixture
def make_result() -> Callable[..., dict[str, Any]]:
    """Makes a benchmark result that the schema accepts; every figure in it is round."""

    def make(
        name: str = "model", *, p50: float = 2.0, threads: int = 1, nme: float | None = None
    ) -> dict[str, Any]:
        sha256 = f"{sum(name.encode('utf-8', 'replace')):064x}"
        summary = {"min": p50, "p50": p50, "p90": p50, "p99": p50, "mean": p50, "std": 0.0}
        accuracy = {
            "nme_percent": nme,
            "faces": 10,
            "failure_rate_percent": {"8": 10.0, "10": 0.0},
            "auc": {"8": 0.5, "10": 0.6},
            "pose_mae_deg": {"yaw": 1.0, "pitch": 2.0, "roll": 3.0},
            "per_subset": {},
        }
        return {
            "schema_version": 1,
            "kind": "benchmark",
            "command": f"asmnet-kit benchmark {name}.tflite --out results",
            "measured_at": "2026-01-01T00:00:00+00:00",
            "model": {
                "name": name,
                "sha256": sha256,
                "size_bytes": 1000,
                "recipe": None,
                "architecture": None,
                "metadata": None,
            },
            "target": {
                "requested": "cpu",
                "actual": "cpu",
                "threads": threads,
                "delegate": "XNNPACK",
                "proof": ["this process kept 1.00 CPU cores busy during the timed runs"],
            },
            "machine": {"cpu": "A CPU", "architecture": "x86_64", "cores": 2},
            "runtime": {"name": "ai-edge-litert", "version": "2.3.0", "kernels": "XNNPACK"},
            "protocol": {"warmup_runs": 5, "runs": 3, "min_seconds": 0.0},
            "timings_ms": {
                "load": 12.3,
                "first": 4.0,
                "invoke": [p50, p50, p50],
                "pre": 0.31,
                "post": 0.021,
                "end_to_end": 2.4,
            },
            "summary": summary | {"runs_per_second": 1000 / p50},
            "intervals_ms": {"p50": [p50, p50]},
            "memory": {"peak_rss_bytes": 50_000_000, "model_arena_bytes": None},
            "accuracy": None if nme is None else accuracy,
            "parity": None,
            "profile": None,
            "warnings": [],
        }

    return make
