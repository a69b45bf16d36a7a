"""Settings of TensorFlow's converter, as plain data: recipes name them, ``convert`` applies them.

This file needs no TensorFlow, so that ``--help`` stays quick.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ConverterSettings:
    """Settings of TFLiteConverter; the defaults leave a model as it is.

    Attributes:
        weights: type of the weights in the file, ``float32``, ``float16`` or ``int8``.
        border: type of inputs and outputs, ``float32``, ``int8`` or ``int16``. Where it is an
            integer, so are the activations in between, and dense weights have one scale.
        operators: name in ``tf.lite.OpsSet`` that every operator must be of; an operator without
            such a kernel then ends the conversion instead of staying float. None = TensorFlow's
            own choice.
        calibrates: whether the converter measures the ranges of activations on crops. Without, they
            are in the model (emulated rounding), or there are none to measure.
    """

    weights: str = "float32"
    border: str = "float32"
    operators: str | None = None
    calibrates: bool = False


FLOAT32 = ConverterSettings()
FLOAT16 = ConverterSettings(weights="float16")
DYNAMIC_INT8 = ConverterSettings(weights="int8")
CALIBRATED_INT8 = ConverterSettings(
    weights="int8", border="int8", operators="TFLITE_BUILTINS_INT8", calibrates=True
)
CALIBRATED_INT16 = ConverterSettings(
    weights="int8",
    border="int16",
    operators="EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
    calibrates=True,
)
# Layers without emulated rounding stay float, so the operators are not restricted.
EMULATED_INT8 = ConverterSettings(weights="int8", border="int8")
