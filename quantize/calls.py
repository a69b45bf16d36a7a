"""What the commands of quantize were called with: which options go together, and what they mean.

This file needs no TensorFlow, so that a call that makes no sense is refused at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.model_kind import KINDS, model_kind
from asmnet_kit.quantize.recipes import RECIPES

if TYPE_CHECKING:
    from asmnet_kit.face.schemes import Scheme
    from asmnet_kit.quantize.run import QuantizeConfig
    from asmnet_kit.quantize.source.float_model import FaceData


@dataclass(frozen=True, kw_only=True)
class SourceCall:
    """What RUN is, what it was trained on, and where to write; None = not given."""

    run: Path
    data: Path
    data_format: str | None
    split: str | None
    input_mean: float | None
    input_scale: float | None
    input_shape: int | None
    adapter: str | None
    scheme: "Scheme | None"
    out: Path
    seed: int
    as_json: bool

    def face_data(self, **moved: Path | None) -> "FaceData":
        """The faces that RUN was trained on; there must be a ``--format``.

        Args:
            moved: ``teacher`` and ``val_data`` of the run, where they are now; None = as it was.
        """
        from asmnet_kit.quantize.source.float_model import FaceData

        if self.data_format is None:
            raise ValueError("without --format the data are pictures without faces")
        return FaceData(
            self.data,
            self.data_format,
            split=self.split,
            moved={name: path for name, path in moved.items() if path is not None},
        )

    def refuse_input_of_a_run(self) -> None:
        """Refuse options that only a model of the user's own has a use for.

        Raises:
            UsageError: naming the first one.
        """
        for name in ("input_mean", "input_scale", "input_shape"):
            if getattr(self, name) is not None and model_kind(self.run) == "run":
                raise UsageError(
                    f"{option_of(name)} is for a model of your own; a run has the kit's input: "
                    "leave it out"
                )
            if getattr(self, name) is not None and self.adapter is not None:
                raise UsageError(f"{option_of(name)} is also in the --adapter: remove one of them")
        if self.scheme is not None and model_kind(self.run) == "run":
            raise UsageError(
                "--scheme is for a model of your own; a run knows its landmarks: leave it out"
            )
        if self.scheme is not None and self.data_format is None:
            raise UsageError("--scheme is of landmarks: give --format, how --data is laid out")
        if self.adapter is not None and self.data_format is None:
            raise UsageError("--adapter is of landmarks: give --format, how --data is laid out")


@dataclass(frozen=True, kw_only=True)
class QuantizeCall(SourceCall):
    """The options of ``asmnet-kit quantize``; None = not given."""

    teacher: Path | None
    val_data: Path | None
    recipe: str
    max_nme_increase: float | None
    max_pixel_drift: float | None
    epochs: int | None
    learning_rate: float | None
    distil: float | None
    resume: bool
    calibration_faces: int | None
    keep_float: tuple[str, ...]
    keep_emulated: bool
    dashboard: bool

    # Options that measure accuracy or follow from labels.
    NEED_FACES = ("split", "teacher", "val_data", "max_nme_increase", "max_pixel_drift")

    def refuse_what_has_no_use(self) -> None:
        """Refuse options that the recipe or the kind of RUN would ignore.

        Raises:
            UsageError: naming the first one.
        """
        given = {**self.recipe_options(), "teacher": self.teacher}
        if self.resume:
            given["resume"] = True
        if self.keep_emulated:
            given["keep_emulated"] = True
        if self.dashboard:
            given["dashboard"] = True
        RECIPES[self.recipe].refuse_unused(given)
        self.refuse_input_of_a_run()
        self._refuse_layers_of_a_graph()
        if self.data_format is None:
            self._refuse_what_needs_faces()

    def _refuse_layers_of_a_graph(self) -> None:
        kind = KINDS[model_kind(self.run)]
        if kind.layers:
            return
        if RECIPES[self.recipe].tune is not None or self.keep_float:
            option = "--keep-float" if self.keep_float else f"--recipe {self.recipe}"
            raise UsageError(
                f"{option} takes a model apart by its layers, and {kind.words} has none: take "
                "ptq_w8a8, or save the network as a .keras or .h5"
            )

    def _refuse_what_needs_faces(self) -> None:
        if model_kind(self.run) == "run":
            raise UsageError("expected --format, how --data is laid out: a run predicts landmarks")
        for name in self.NEED_FACES:
            if getattr(self, name) is not None:
                raise UsageError(
                    f"{option_of(name)} needs labelled faces: give --format, or leave it out"
                )

    def recipe_options(self) -> dict[str, Any]:
        """The options that say how the recipe goes about it; those that were given."""
        names = ("epochs", "learning_rate", "distil", "calibration_faces", "keep_float")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value not in (None, ())}

    def config(self) -> "QuantizeConfig":
        from asmnet_kit.quantize.run import QuantizeConfig

        return QuantizeConfig(
            recipe=self.recipe,
            seed=self.seed,
            input_mean=self.input_mean,
            input_scale=self.input_scale,
            input_side=self.input_shape,
            adapter=self.adapter,
            scheme=self.scheme,
            **self.recipe_options(),
        )


def option_of(name: str) -> str:
    """``val_data`` -> ``--val-data``."""
    return "--" + name.replace("_", "-")
