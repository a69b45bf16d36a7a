"""From a tf_keras model to the bytes of a .tflite with a fixed batch of 1 and named outputs."""

import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.face.pictures import Image
from asmnet_kit.quantize.ranges.calibrate import representative_dataset
from asmnet_kit.quantize.recipes import Recipe
from asmnet_kit.tflite.contract import verify_activations
from asmnet_kit.training.fit.loop import named_outputs

INPUT = "image"


def convert(
    model: tf_keras.Model, recipe: Recipe, *, crops: Image | None = None, emulated: bool = False
) -> bytes:
    """The .tflite of ``model``, without metadata.

    Args:
        model: the float model; for ``qat_w8a8`` the one with emulated rounding.
        recipe: how.
        crops: uint8 [N, S, S, 3], for the recipes that calibrate after training.
        emulated: ``model`` has emulated rounding although the recipe does not fine-tune it: the
            ranges are there already, and layers without any stay float.

    Raises:
        ModelError: TensorFlow cannot convert the model, or no runtime could load the result.
    """
    # The variables belong to ``model``: it must live as long as the converter.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_signature(model)], model)
    _SETTINGS["qat_w8a8" if emulated else recipe.name](converter)
    if recipe.calibrated and not recipe.fine_tuned and not emulated:
        if crops is None:
            raise ValueError(f"{recipe.name} needs calibration crops")
        converter.representative_dataset = representative_dataset(crops)
    try:
        # The converter's notes concern its own deprecated parts.
        with warnings.catch_warnings(), silent_stderr():
            warnings.simplefilter("ignore")
            content: bytes = converter.convert()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()
        raise ModelError(
            f"{model.name}: TensorFlow cannot convert it with {recipe.name}: "
            f"{reason[0] if reason else type(error).__name__}"
        ) from error
    verify_activations(content)
    return content


def _signature(model: tf_keras.Model) -> Any:
    """A concrete function with input ``image`` [1, S, S, 3] and outputs by their names.

    It becomes the signature ``serving_default``.
    """
    size = model.inputs[0].shape[1]
    spec = tf.TensorSpec([1, size, size, 3], tf.float32, name=INPUT)

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return named_outputs(model(image, training=False), model)

    return tf.function(serve, input_signature=[spec], autograph=False).get_concrete_function()


def _fp32(converter: Any) -> None:
    pass


def _fp16(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _w8a8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    # The Edge TPU knows dense weights with one scale only, and TFLite 2.5 reads several wrongly
    # without an error. There is no public name for this.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def _calibrated_w8a8(converter: Any) -> None:
    _w8a8(converter)
    # An operator without an int8 kernel ends the conversion instead of staying float. (Emulated
    # rounding brings its own ranges, and the converter would ask for crops here.)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _w8a16(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    converter.inference_input_type = converter.inference_output_type = tf.int16
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True


_SETTINGS: dict[str, Callable[[Any], None]] = {
    "fp32": _fp32,
    "fp16": _fp16,
    "dynamic_w8": _dynamic,
    "ptq_w8a8": _calibrated_w8a8,
    "ptq_w8a16": _w8a16,
    "qat_w8a8": _w8a8,
}
