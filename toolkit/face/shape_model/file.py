"""The .npz file of a shape model, ``shape_model.npz`` of a training run: no pickled objects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import replacing
from asmnet_kit.base.npz import read_npz
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.shape_model.operator import ShapeModel

EXPECTED = "a shape model (the shape_model.npz of a training run)"
SCHEME = "scheme"  # the file's name for the number of points
SCALE = "crop_scale"
_REQUIRED = ("mean", "components", "eigenvalues", "explained_variance_ratio", SCHEME)


def save_shape_model(model: ShapeModel, path: Path) -> None:
    """Write ``model`` whole or not at all."""
    save_arrays(shape_model_arrays(model), path)


def load_shape_model(path: Path) -> ShapeModel:
    """Read what ``save_shape_model`` wrote.

    Raises:
        ModelError: no such file, not an .npz, pickled objects, missing arrays, or arrays
            that are no shape model.
    """
    return shape_model_of(read_npz(path, expected=EXPECTED), path)


def save_arrays(arrays: Mapping[str, Any], path: Path) -> None:
    """Write an .npz whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def shape_model_arrays(model: ShapeModel) -> dict[str, Any]:
    """The arrays of a shape model's file, by name."""
    arrays: dict[str, Any] = {
        "mean": model.mean,
        "components": model.components,
        "eigenvalues": model.eigenvalues,
        "explained_variance_ratio": model.explained_variance_ratio,
        SCHEME: np.int64(model.points),
        "total_variance": np.float64(model.total_variance),
    }
    if model.reference is not None:
        arrays["reference"] = model.reference
    if model.crop_scale != CROP_SCALE:  # as earlier versions wrote
        arrays[SCALE] = np.float64(model.crop_scale)
    return arrays


def shape_model_of(arrays: Mapping[str, NDArray[Any]], path: Path) -> ShapeModel:
    """The shape model in the arrays of the file ``path``.

    Raises:
        ModelError: as for ``load_shape_model``.
    """
    missing = [key for key in _REQUIRED if key not in arrays]
    if missing:
        raise ModelError(
            f"{path}: expected a shape model with the arrays {', '.join(_REQUIRED)}; "
            f"missing: {', '.join(missing)}"
        )
    for problem in _problems(arrays):
        raise ModelError(f"{path}: not a shape model: {problem}. Train again to write a new one.")
    eigenvalues, ratio = arrays["eigenvalues"], arrays["explained_variance_ratio"]
    reference = arrays.get("reference")
    return ShapeModel(
        mean=arrays["mean"].astype(np.float32),
        components=arrays["components"].astype(np.float32),
        eigenvalues=eigenvalues.astype(np.float32),
        explained_variance_ratio=ratio.astype(np.float32),
        total_variance=float(
            arrays.get("total_variance", eigenvalues.sum(dtype=np.float64) / ratio.sum())
        ),
        reference=None if reference is None else reference.astype(np.float32),
        crop_scale=float(arrays.get(SCALE, CROP_SCALE)),
    )


def _problems(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """What makes the arrays of a file no shape model, worst first."""
    floats = [key for key in arrays if key != SCHEME]
    wrong = [key for key in floats if not np.issubdtype(arrays[key].dtype, np.floating)]
    if wrong:
        return [f"{', '.join(wrong)} should hold floating-point numbers"]
    infinite = [key for key in floats if not np.isfinite(arrays[key]).all()]
    if infinite:
        return [f"{', '.join(infinite)} should hold finite numbers"]
    mean, rows = arrays["mean"], arrays["components"]
    if mean.ndim != 2 or mean.shape[1] != 2 or not len(mean):
        return [f"mean should be [N, 2], got {list(mean.shape)}"]
    if rows.ndim != 2 or not 0 < len(rows) <= rows.shape[1] or rows.shape[1] != mean.size:
        return [f"components should be [K, {mean.size}], got {list(rows.shape)}"]
    problems = [
        f"{key} should be [{len(rows)}], got {list(arrays[key].shape)}"
        for key in ("eigenvalues", "explained_variance_ratio")
        if arrays[key].shape != (len(rows),)
    ]
    scheme = arrays[SCHEME]
    if not np.issubdtype(scheme.dtype, np.integer) or scheme.shape != () or scheme != len(mean):
        problems.append(f"scheme should be {len(mean)}, the number of points of the mean")
    if "reference" in arrays and arrays["reference"].shape != mean.shape:
        problems.append(f"reference should be {list(mean.shape)}")
    if "total_variance" in arrays and arrays["total_variance"].shape != ():
        problems.append("total_variance should be one number")
    if SCALE in arrays and (arrays[SCALE].shape != () or not arrays[SCALE] > 0):
        problems.append("crop_scale should be one number above 0")
    if problems:
        return problems
    if not (arrays["eigenvalues"] > 0).all() or (np.diff(arrays["eigenvalues"]) > 0).any():
        problems.append("eigenvalues should be above 0, largest first")
    if not (arrays["explained_variance_ratio"] > 0).all():
        problems.append("explained_variance_ratio should be above 0")
    # float32 rows of unit length are orthonormal within a few 1e-7 x sqrt(2N).
    if np.abs(rows.astype(np.float64) @ rows.T - np.eye(len(rows))).max() > 1e-4:
        problems.append("components should have orthonormal rows")
    return problems
