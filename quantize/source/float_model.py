"""What a file is made from: a training run, or a tf_keras model of the user's own."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tf_keras

from asmnet_kit.adapters.adapter import Adapter, read_adapter
from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.files import real_home, real_path
from asmnet_kit.base.model_kind import FLOAT, require_kind
from asmnet_kit.base.run_folder import CONFIG, MODEL, SHAPE_MODEL
from asmnet_kit.datasets.formats import PEOPLE
from asmnet_kit.datasets.registry import has_both_schemes
from asmnet_kit.face.schemes import BUILT_IN, Scheme
from asmnet_kit.face.shape_model.file import load_shape_model
from asmnet_kit.face.shape_model.operator import ShapeModel
from asmnet_kit.face.uncertainty import UNCERTAINTY, VISIBILITY
from asmnet_kit.quantize.private_doors import is_functional
from asmnet_kit.quantize.source.adapted import in_kit_terms
from asmnet_kit.quantize.source.flatten import flattened, with_input_range
from asmnet_kit.quantize.source.fold import output_names_of, with_outputs
from asmnet_kit.tflite.metadata import COMMON_SCHEMES
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.people import KNOWN
from asmnet_kit.training.data.sources import Sources, choose_sources
from asmnet_kit.training.manifest import read_manifest
from asmnet_kit.training.networks.keras_predictor import (
    KerasPredictor,
    input_size_of,
    load_model,
)

# --val-data and --val-share are options of train: here the data itself must have enough.
HOLD_OUT_ADVICE = "add pictures, or put some into a folder called val beside train"
POSE_WIDTH = 3


# A teacher and how it is used: settings that make no sense one without the other.
_WITHOUT_TEACHER: dict[str, Any] = {
    "teacher": "",
    "teacher_share": "",
    "teacher_calibrate": "",
    "fill_weight": TrainConfig.fill_weight,
}


@dataclass(frozen=True)
class FaceData:
    """The faces that a model was trained on, as the command names them.

    Attributes:
        folder, format: of the data set.
        split: None = the run's.
        moved: ``teacher`` and ``val_data`` of the run, where they are elsewhere now.
    """

    folder: Path
    format: str
    split: str | None = None
    moved: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class FloatModel:
    """A float model and how it was trained.

    Attributes:
        path: of the model.
        predictor: runs it.
        architecture: for names of files.
        config: of the run; the defaults of training for a model of the user's own.
        shape_model: of the run, where it has one.
        sha256: of the model's file, or of all files of a SavedModel.
        dataset_fingerprint: of what it was trained on, where that is known.
        validation_fingerprint: of what it was validated on, where that is known.
        licence: of the weights, where it is known.
    """

    path: Path
    predictor: KerasPredictor
    architecture: str
    config: TrainConfig
    shape_model: ShapeModel | None
    sha256: str
    dataset_fingerprint: str | None
    validation_fingerprint: str | None
    licence: str | None

    @property
    def model(self) -> tf_keras.Model:
        return self.predictor.model

    def config_for(self, format: str) -> TrainConfig:
        """The run's settings, as far as they hold for data of this format.

        Another format's validation folder could not be read, nor has it the pictures that the
        teacher saw, or subsets of the same names.
        """
        config = replace(self.config, format=format, input_size=self.predictor.input_size)
        if format == self.config.format:
            return config
        config = replace(
            config,
            val_data="",
            val_format="",
            sampling="",
            clips="",
            visibility_subsets="",
            **_WITHOUT_TEACHER,
        )
        return replace(config, faces_per_epoch=KNOWN if config.draws_people else 0)

    def sources(self, data: FaceData, *, taught: bool = False) -> Sources:
        """The training and validation faces, chosen as the run chose its own.

        A warning goes to the terminal where faces that the run was trained on may be among those
        to validate on.

        Args:
            taught: let the run's teacher improve the labels, where they are trained on.

        Raises:
            UsageError: an unknown split, one called test, or something moved that the run does not
                have.
            DatasetError: the data cannot be used.
            ModelError: the data has another number of landmarks than the model.
        """
        config, scheme = self.config_on(data, taught=taught), self.predictor.scheme
        sources = choose_sources(config, advice=HOLD_OUT_ADVICE, scheme=scheme)
        if sources.train.scheme != scheme:
            raise ModelError(
                f"{self.path} predicts {scheme.points} landmarks, {data.folder} has "
                f"{sources.train.scheme.points}: quantize on data like that it was trained on"
            )
        if self._may_have_trained_on(sources):
            stderr().print(
                f"--data: not the faces that {self.path} was trained and validated on, so some "
                "that it was trained on may be among the validation faces here. NME, drift and "
                "gates would then look better than they are: give the run's own --data, --format "
                "and --split",
                style="yellow",
                markup=False,
            )
        return sources

    def config_on(self, data: FaceData, *, taught: bool) -> TrainConfig:
        """The run's settings for these faces.

        Raises:
            UsageError: something moved that the run does not have.
        """
        config = self.config_for(data.format)
        is_renderer = config.draws_people and data.folder == Path(PEOPLE)
        own_split = "" if config.draws_people else config.split
        scheme = self.predictor.scheme
        has_both = has_both_schemes(data.format) and scheme.name in COMMON_SCHEMES
        config = replace(
            config,
            data=PEOPLE if is_renderer else str(real_path(real_home(data.folder))),
            split=own_split if data.split is None else data.split,
            points=scheme.points if has_both and not config.scheme else 0,
        )
        for name, path in data.moved.items():
            if not getattr(config, name):
                raise UsageError(
                    f"--{name.replace('_', '-')}: {self.path} was trained without one on this "
                    "data; leave it out"
                )
            here: dict[str, Any] = {name: str(real_path(real_home(path)))}
            config = replace(config, **here)
        return config if taught else replace(config, **_WITHOUT_TEACHER)

    def _may_have_trained_on(self, sources: Sources) -> bool:
        """Whether faces to validate on may be some that the run was trained on.

        Not where either side is the run's own: both are chosen apart from each other. (A teacher
        changes the landmarks, and so the fingerprint, of the training side.) Nor where people are
        drawn: those to validate on are never trained on.
        """
        if self.dataset_fingerprint is None or sources.stream is not None:
            return False
        return (
            sources.val.fingerprint() != self.validation_fingerprint
            and sources.train.fingerprint() != self.dataset_fingerprint
        )


def open_float_model(
    path: Path,
    *,
    mean: float | None,
    scale: float | None,
    scheme: Scheme | None = None,
    side: int | None = None,
    adapter: str | None = None,
) -> FloatModel:
    """Load a run folder or a model of the user's own.

    Args:
        mean, scale: of a model of the user's own that takes (v - mean) / scale of a value v in
            0..255; the kit's own 128 and 128 by default.
        scheme: of such a model's landmarks; by default the built-in one with so many.
        side: of its input, pixels, where the model leaves it open.
        adapter: of a model in other terms than the kit's, instead of all these but ``side``.

    Raises:
        UsageError: no usable adapter, or one for a run.
        ModelError: neither, or a model that cannot be used; the message says what would be needed.
    """
    if require_kind(path, FLOAT) != "run":
        return _own_model(path, mean=mean, scale=scale, scheme=scheme, side=side, adapter=adapter)
    if adapter is not None:
        raise UsageError(f"--adapter is for a model of your own; {path} is in the kit's terms")
    manifest = read_manifest(path)
    config = TrainConfig.load(path / CONFIG)
    shape_path = path / SHAPE_MODEL
    return FloatModel(
        path=path,
        predictor=KerasPredictor(path),
        architecture=str(manifest.get("architecture", {}).get("name", config.arch)),
        config=config,
        shape_model=load_shape_model(shape_path) if shape_path.exists() else None,
        sha256=hashlib.sha256((path / MODEL).read_bytes()).hexdigest(),
        dataset_fingerprint=manifest.get("dataset", {}).get("sha256"),
        validation_fingerprint=manifest.get("dataset", {}).get("val_sha256"),
        licence=manifest.get("licence"),
    )


def load_own_model(
    path: Path,
    *,
    mean: float | None,
    scale: float | None,
    side: int | None = None,
    adapter: Adapter | None = None,
) -> tf_keras.Model:
    """A user's own model as a flat one that takes the kit's input, its outputs by name.

    Args:
        mean, scale, side, adapter: as for ``open_float_model``.

    Raises:
        UsageError: ``side`` is not that of an input of fixed size.
        ModelError: it cannot be read, or not be flattened; the message says what would be needed.
    """
    model = load_model(path, side=side)
    if not is_functional(model):
        raise ModelError(
            f"{path}: expected a functional or Sequential model, got a subclassed "
            f"{type(model).__name__}: rebuild it from tf_keras.Input"
        )
    names = output_names_of(model)
    flat = with_outputs(flattened(model, side=side), names)
    size = input_size_of(flat, str(path))
    if side is not None and size != side:
        raise UsageError(
            f"--input-shape: the input of {path} has a fixed size of {size} x {size} pixels: leave "
            "the option out"
        )
    if adapter is not None:
        return in_kit_terms(flat, adapter)
    return with_input_range(flat, mean=mean, scale=scale)


def name_of(path: Path) -> str:
    """What a model is called in names of files: a folder's name may hold a point."""
    whole = path.absolute()
    return whole.name if whole.is_dir() else whole.stem


def _own_model(
    path: Path,
    *,
    mean: float | None,
    scale: float | None,
    scheme: Scheme | None,
    side: int | None,
    adapter: str | None,
) -> FloatModel:
    adapted = None if adapter is None else read_adapter(adapter)
    if adapted is not None:
        if scheme not in (None, adapted.scheme):
            raise UsageError(f"--scheme: the adapter {adapted.name} has another: leave it out")
        scheme = adapted.scheme
    model = load_own_model(path, mean=mean, scale=scale, side=side, adapter=adapted)
    predictor = KerasPredictor(_named(model, path, scheme), name=name_of(path), scheme=scheme)
    if adapted is not None:
        predictor.crop_scale = adapted.crop_scale
    return FloatModel(
        path=path,
        predictor=predictor,
        architecture=name_of(path),
        # A model without a run has no shape model: the loss is one that needs none.
        config=TrainConfig(data="", format="", loss="smooth_l1", crop_scale=predictor.crop_scale),
        shape_model=None,
        sha256=_sha256(path),
        dataset_fingerprint=None,
        validation_fingerprint=None,
        licence=None,
    )


def _sha256(path: Path) -> str:
    """Of a file, or of the names and contents of the files in a SavedModel's folder."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            whole.update(f"{file.relative_to(path)}\0".encode())
            whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _named(model: tf_keras.Model, path: Path, scheme: Scheme | None) -> tf_keras.Model:
    """``model`` with its outputs called by what they hold.

    Raises:
        ModelError: other outputs than landmarks and a pose.
    """
    tensors = list(model.outputs)
    known = sorted({int(name) for name in BUILT_IN} | ({scheme.points} if scheme else set()))
    names = {2 * points: "landmarks" for points in known} | {POSE_WIDTH: "pose"}
    widths = [tensor.shape[-1] if len(tensor.shape) == 2 else None for tensor in tensors]
    found = [None if width is None else names.get(width) for width in widths]
    # These two are as wide as each other, so a name alone tells them apart.
    told = output_names_of(model)
    for index, width in enumerate(widths):
        if found[index] is None and width in known and told[index] in (UNCERTAINTY, VISIBILITY):
            found[index] = told[index]
    if None in found or "landmarks" not in found or len(set(found)) != len(found):
        expected = " or ".join(str(2 * points) for points in known)
        raise ModelError(
            f"{path}: expected an output [B, {expected}] of landmarks and, if any, others "
            f"[B, {POSE_WIDTH}] of the pose, [B, N] called {UNCERTAINTY} or {VISIBILITY}; got "
            + ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in tensors)
            + ". Points of your own: --scheme FILE. No landmarks: leave --format out, pictures do"
        )
    return tf_keras.Model(model.inputs, dict(zip(found, tensors, strict=True)), name=model.name)
