"""The ways to make a .tflite, by name: bits of weights (w) and of activations (a).

This file needs no TensorFlow, so that ``--help`` stays quick.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from asmnet_kit.base.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """One way from a training run to a .tflite.

    Attributes:
        name: as in file names and metadata.
        summary: what it does and what it is for.
        runs_on: the targets it is made for.
        calibrated: whether it measures activation ranges on training crops.
        fine_tuned: whether it trains with emulated quantization.
        integer: whether everything from input to output is int8.
    """

    name: str
    summary: str
    runs_on: tuple[str, ...]
    calibrated: bool = False
    fine_tuned: bool = False
    integer: bool = False

    def refuse_unused(self, options: Mapping[str, object]) -> None:
        """Refuse options that this recipe would ignore.

        Args:
            options: name of the parameter -> value, None where it was not given.

        Raises:
            UsageError: naming the first one.
        """
        used = {
            "calibration_faces": self.calibrated,
            "epochs": self.fine_tuned,
            "learning_rate": self.fine_tuned,
            "distil": self.fine_tuned,
            "resume": self.fine_tuned,
            "keep_float": self.integer,
            "keep_emulated": self.fine_tuned,
            "teacher": self.fine_tuned,
        }
        for name, value in options.items():
            if value is not None and not used[name]:
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
            ),
            Recipe(
                "fp16",
                "float16 weights, half the size, computed in float: for GPUs",
                runs_on=("cpu", "gpu"),
            ),
            Recipe(
                "dynamic_w8",
                "int8 weights, activations quantized as they come: small, float input and output",
                runs_on=("cpu",),
            ),
            Recipe(
                "ptq_w8a8",
                "int8 throughout, ranges from calibration crops, no training: quick",
                runs_on=("cpu", "edgetpu"),
                calibrated=True,
                integer=True,
            ),
            Recipe(
                "ptq_w8a16",
                "int8 weights, int16 activations: close to float32, slower on most CPUs",
                runs_on=("cpu",),
                calibrated=True,
            ),
            Recipe(
                "qat_w8a8",
                "int8 throughout, fine-tuned with emulated quantization: the one to ship",
                runs_on=("cpu", "edgetpu"),
                calibrated=True,
                fine_tuned=True,
                integer=True,
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
