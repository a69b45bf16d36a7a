"""Fixtures every test may use."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.uncertainty import Calibration
from asmnet_kit.tflite.metadata import (
    OUTPUT_UNITS,
    PLAIN_OUTPUTS,
    ModelMetadata,
    with_metadata,
)
from asmnet_kit.tflite.packing import pack_model
from asmnet_kit.training.environment import apply_settings

# Before any test module imports TensorFlow itself: pytest loads this file first.
apply_settings()


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


# Of the 98 points of ``constant_face_model``: e^0.5 = 1.65 hundredths of the crop, every fourth
# point e^1.5; the first 17, a jaw, can rather not be seen.
POINT_UNCERTAINTY = 0.5 + (np.arange(98) % 4 == 0)
POINT_VISIBILITY = np.where(np.arange(98) < 17, -2.0, 3.0)


def constant_face_model(
    points: int, size: int, *, int8: bool, pose: bool, sure: bool = False
) -> bytes:
    """A model that predicts the generic face for every crop, and a pose that reads one pixel.

    landmarks = bias; pose = the R, G, B inputs of the crop's top-left pixel. Names are in the
    signature alone, and pose comes before landmarks, as converters like to do.

    With ``sure``, uncertainty = POINT_UNCERTAINTY + 2 R of that pixel; visibility =
    POINT_VISIBILITY, whatever is shown.
    """
    inputs = size * size * 3
    face = generic_reference(points).ravel()
    reads = np.zeros((3, inputs))
    reads[[0, 1, 2], [0, 1, 2]] = 1
    heads = {"landmarks": (np.zeros((2 * points, inputs)), face, 1 / 256)}
    if pose:
        heads = {"pose": (reads, np.zeros(3), 1 / 128), **heads}
    if sure:
        red = np.zeros((points, inputs))
        red[:, 0] = 2
        nothing = np.zeros((points, inputs))
        heads["visibility"] = (nothing, POINT_VISIBILITY[:points], 1 / 16)
        heads["uncertainty"] = (red, POINT_UNCERTAINTY[:points], 1 / 32)

    buffers = [schema.BufferT()]
    tensors, operators, outputs = [], [], []
    kinds = schema.TensorType

    def tensor(name, shape, kind, scale, data=None):
        """Append a tensor and its buffer; real value = scale x raw."""
        if data is not None:
            buffers.append(schema.BufferT(data=np.frombuffer(data.tobytes(), np.uint8)))
        quantization = None
        if int8:
            quantization = schema.QuantizationParametersT(
                scale=np.array([scale], np.float32), zeroPoint=np.array([0], np.int64)
            )
        tensors.append(
            schema.TensorT(
                name=name,
                shape=list(shape),
                type=kind,
                buffer=0 if data is None else len(buffers) - 1,
                quantization=quantization,
            )
        )
        return len(tensors) - 1

    values = kinds.INT8 if int8 else kinds.FLOAT32
    image = tensor("in:0", (1, size, size, 3), values, 1 / 128)
    for name, (weights, bias, output_scale) in heads.items():
        if int8:
            # Weights of scale 1, so the accumulator and the bias have the input's scale, 1/128;
            # the face's bias keeps the scale of its weights at 1/64 for a finer one.
            weight_scale = 1 / 64 if name == "landmarks" else 1.0
            raw_weights = np.rint(weights / weight_scale).astype(np.int8)
            raw_bias = np.rint(bias * 128 / weight_scale).astype("<i4")
            bias_kind = kinds.INT32
        else:
            weight_scale = 1.0
            raw_weights, raw_bias = weights.astype("<f4"), bias.astype("<f4")
            bias_kind = kinds.FLOAT32
        kernel = tensor(f"{name}/kernel", weights.shape, values, weight_scale, raw_weights)
        offset = tensor(f"{name}/bias", bias.shape, bias_kind, weight_scale / 128, raw_bias)
        output = tensor(f"out:{len(outputs)}", (1, len(bias)), values, output_scale)
        outputs.append((name, output))
        operators.append(
            schema.OperatorT(
                opcodeIndex=0,
                inputs=[image, kernel, offset],
                outputs=[output],
                builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
                builtinOptions=schema.FullyConnectedOptionsT(),
            )
        )
    signature = schema.SignatureDefT(
        signatureKey="serving_default",
        subgraphIndex=0,
        inputs=[schema.TensorMapT(name="image", tensorIndex=image)],
        outputs=[schema.TensorMapT(name=name, tensorIndex=index) for name, index in outputs],
    )
    graph = schema.SubGraphT(
        tensors=tensors,
        inputs=[image],
        outputs=[index for _, index in outputs],
        operators=operators,
    )
    code = schema.OperatorCodeT(
        deprecatedBuiltinCode=schema.BuiltinOperator.FULLY_CONNECTED,
        builtinCode=schema.BuiltinOperator.FULLY_CONNECTED,
        version=4,
    )
    return pack_model(
        schema.ModelT(
            version=3,
            operatorCodes=[code],
            subgraphs=[graph],
            buffers=buffers,
            signatureDefs=[signature],
        )
    )


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


def chain_model(ops: Sequence[dict[str, Any]]) -> bytes:
    """A model in which each operator reads the one before.

    Keys of an operator: ``op`` (name), ``version``, ``type`` and ``shape`` of its output, ``into``
    (shape of the first one's input) with ``into_type``, ``constants`` (arrays), ``scales`` (of the
    first constant), ``options`` (table name, values), ``custom`` (code), ``payload`` (its bytes),
    ``inputs`` (how often the one before is read; once unless told).
    """
    kinds = schema.TensorType
    buffers = [schema.BufferT(data=[])]
    tensors: list[Any] = []
    codes: list[Any] = []
    operators: list[Any] = []

    def tensor(shape: Any, kind: str, data: Any = None, scales: Any = (0.5,)) -> int:
        if data is not None:
            buffers.append(schema.BufferT(data=list(data.tobytes())))
        quantization = schema.QuantizationParametersT(
            scale=np.array(scales, np.float32), zeroPoint=np.zeros(len(scales), np.int64)
        )
        tensors.append(
            schema.TensorT(
                name=f"t{len(tensors)}",
                shape=list(shape),
                type=getattr(kinds, kind.upper()),
                buffer=0 if data is None else len(buffers) - 1,
                quantization=quantization if kind in ("int8", "uint8") else None,
            )
        )
        return len(tensors) - 1

    first = last = tensor(ops[0]["into"], ops[0].get("into_type", "int8"))
    for op in ops:
        constants = [
            tensor(c.shape, str(c.dtype), c, op.get("scales", (0.5,)) if i == 0 else (0.5,))
            for i, c in enumerate(op.get("constants", ()))
        ]
        inputs = [last] * op.get("inputs", 1) + constants
        last = tensor(op["shape"], op.get("type", "int8"))
        custom = op.get("custom")
        number = schema.BuiltinOperator.CUSTOM if custom else getattr(
            schema.BuiltinOperator, op["op"]
        )  # fmt: skip
        codes.append(
            schema.OperatorCodeT(
                deprecatedBuiltinCode=min(number, 127),
                builtinCode=number,
                version=op.get("version", 1),
                customCode=custom,
            )
        )
        operator = schema.OperatorT(
            opcodeIndex=len(codes) - 1,
            inputs=inputs,
            outputs=[last],
            customOptions=list(op["payload"]) if "payload" in op else None,
        )
        if "options" in op:
            table, values = op["options"]
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")(**values)
        operators.append(operator)
    graph = schema.SubGraphT(tensors=tensors, inputs=[first], outputs=[last], operators=operators)
    return pack_model(
        schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)
    )


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
