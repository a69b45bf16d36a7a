"""The ways to make a .tflite, by name: bits of weights (w) and of activations (a).

A recipe owns its three steps: what is done to the float model (``prepare``), how the result is
trained (``tune``), and the settings of TensorFlow's converter (``converter``). The steps import
TensorFlow when they run: the command line reads this table for ``--help``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.quantize.converter_settings import (
    CALIBRATED_INT8,
    CALIBRATED_INT16,
    DYNAMIC_INT8,
    EMULATED_INT8,
    FLOAT16,
    FLOAT32,
    ConverterSettings,
)

if TYPE_CHECKING:
    from asmnet_kit.face.pictures import Image
    from asmnet_kit.quantize.ranges.int8_ready import Int8Ready
    from asmnet_kit.quantize.rounding.finetune import FineTuned, TuningJob


@dataclass(frozen=True)
class Prepared:
    """A model on its way to the converter.

    Attributes:
        model: a tf_keras model with outputs by name; ``tune`` trains it in place.
        ready: the folded and equalised float model behind it, with its calibration crops; None
            where nothing is calibrated.
    """

    model: Any
    ready: "Int8Ready | None" = None

    @property
    def crops(self) -> "Image | None":
        """uint8 [N, S, S, 3] that ranges were or will be measured on."""
        return None if self.ready is None else self.ready.crops


Prepare = Callable[[Any, Callable[[], "Image"]], Prepared]
Tune = Callable[[Any, "TuningJob"], "FineTuned"]


def as_it_is(model: Any, crops: Callable[[], "Image"]) -> Prepared:
    """The float model itself."""
    return Prepared(model)


def calibrated(model: Any, crops: Callable[[], "Image"]) -> Prepared:
    """Batch normalisation folded, concatenations equalised; the converter measures the ranges."""
    from asmnet_kit.quantize.ranges.int8_ready import int8_ready
    from asmnet_kit.quantize.source.fold import output_names_of, with_outputs

    ready = int8_ready(model, crops())
    return Prepared(with_outputs(ready.model, output_names_of(model)), ready)


def emulated(
    model: Any, crops: Callable[[], "Image"], *, keep_float: Sequence[str] = ()
) -> Prepared:
    """The same with emulated rounding, which brings its ranges and can leave layers float."""
    from asmnet_kit.quantize.ranges.int8_ready import int8_ready
    from asmnet_kit.quantize.rounding.emulate import emulate
    from asmnet_kit.quantize.source.fold import output_names_of, with_outputs

    ready = int8_ready(model, crops())
    rounded = emulate(ready.model, ready.crops, keep_float=keep_float)
    return Prepared(with_outputs(rounded, output_names_of(model)), ready)


def fine_tuned(model: Any, job: "TuningJob") -> "FineTuned":
    """Train emulated rounding with the float run's data and losses, in place."""
    from asmnet_kit.quantize.rounding.finetune import finetune

    return finetune(model, job)


# Parameters of the command that some recipes have no use for.
CALIBRATION = frozenset({"calibration_faces"})
FLOAT_LAYERS = frozenset({"keep_float"})
TUNING = frozenset(
    {"epochs", "learning_rate", "distil", "resume", "keep_emulated", "teacher", "dashboard"}
)


@dataclass(frozen=True, eq=False)
class Recipe:
    """One way from a float model to a .tflite.

    Attributes:
        name: as in file names and metadata.
        summary: what it does and what it is for.
        runs_on: the targets it is made for.
        converter: settings of TensorFlow's converter.
        prepare: (float model, what gives calibration crops) -> the model to convert or fine-tune.
        tune: trains that model in place; None where nothing is trained.
        options: names of the command's parameters that only some recipes use, and this one does.
        float_layers: names of layers that are left float.
    """

    name: str
    summary: str
    runs_on: tuple[str, ...]
    converter: ConverterSettings
    prepare: Prepare = as_it_is
    tune: Tune | None = None
    options: frozenset[str] = frozenset()
    float_layers: tuple[str, ...] = ()

    @property
    def calibrates(self) -> bool:
        """Whether ranges are measured, on training crops."""
        return self.prepare is not as_it_is

    @property
    def is_int8(self) -> bool:
        """Whether activations are int8, as far as no layer is left float."""
        return self.converter.border == "int8"

    @property
    def is_int8_throughout(self) -> bool:
        """Whether everything from input to output is int8."""
        return self.is_int8 and not self.float_layers

    def keeping_float(self, layers: Sequence[str]) -> "Recipe":
        """This recipe with some layers left float: a file for CPUs alone.

        Only emulated rounding can leave a layer out, so that measures the ranges here, also where
        the converter does it otherwise.

        Raises:
            UsageError: the recipe rounds no layer to int8.
        """
        if not layers:
            return self
        self.refuse_unused({"keep_float": layers})
        return replace(
            self,
            runs_on=("cpu",),
            converter=EMULATED_INT8,
            prepare=partial(emulated, keep_float=tuple(layers)),
            float_layers=tuple(layers),
        )

    def refuse_unused(self, options: Mapping[str, object]) -> None:
        """Refuse options that this recipe would ignore.

        Args:
            options: name of the parameter -> value, None where it was not given.

        Raises:
            UsageError: naming the first one.
        """
        for name, value in options.items():
            if value is not None and name not in self.options:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"the recipe {self.name} has no use for {option}: leave it out")


RECIPES = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                "fp32",
                "float32 throughout: the reference that the others are compared with",
                runs_on=("cpu", "gpu"),
                converter=FLOAT32,
            ),
            Recipe(
                "fp16",
                "float16 weights, half the size, computed in float: for GPUs",
                runs_on=("cpu", "gpu"),
                converter=FLOAT16,
            ),
            Recipe(
                "dynamic_w8",
                "int8 weights, activations quantized as they come: small, float input and output",
                runs_on=("cpu",),
                converter=DYNAMIC_INT8,
            ),
            Recipe(
                "ptq_w8a8",
                "int8 throughout, ranges from calibration crops, no training: quick",
                runs_on=("cpu", "edgetpu"),
                prepare=calibrated,
                converter=CALIBRATED_INT8,
                options=CALIBRATION | FLOAT_LAYERS,
            ),
            Recipe(
                "ptq_w8a16",
                "int8 weights, int16 activations: close to float32, slower on most CPUs",
                runs_on=("cpu",),
                prepare=calibrated,
                converter=CALIBRATED_INT16,
                options=CALIBRATION,
            ),
            Recipe(
                "qat_w8a8",
                "int8 throughout, fine-tuned with emulated quantization: the one to ship",
                runs_on=("cpu", "edgetpu"),
                prepare=emulated,
                tune=fine_tuned,
                converter=EMULATED_INT8,
                options=CALIBRATION | FLOAT_LAYERS | TUNING,
            ),
        )
    }
)


def recipe_of(name: str) -> Recipe:
    """The recipe called ``name``.

    Raises:
        UsageError: no such recipe.
    """
    if name not in RECIPES:
        raise UsageError(f"expected a recipe of {', '.join(RECIPES)}; got {name!r}")
    return RECIPES[name]
