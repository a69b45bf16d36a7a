"""From a tf_keras model to the bytes of a .tflite with a fixed batch of 1 and named outputs."""

import warnings
from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.face.pictures import Image
from asmnet_kit.quantize.converter_settings import ConverterSettings
from asmnet_kit.quantize.private_doors import give_dense_weights_one_scale
from asmnet_kit.quantize.ranges.calibrate import representative_dataset
from asmnet_kit.tflite.contract import verify_activations
from asmnet_kit.training.fit.loop import named_outputs

INPUT = "image"


def convert(
    model: tf_keras.Model, settings: ConverterSettings, *, crops: Image | None = None
) -> bytes:
    """The .tflite of ``model``, without metadata.

    Args:
        model: prepared (and fine-tuned) as the recipe of ``settings`` does it.
        settings: of a recipe.
        crops: uint8 [N, S, S, 3], for settings that calibrate; others do not read them.

    Raises:
        ModelError: TensorFlow cannot convert the model, or no runtime could load the result.
    """
    # The variables belong to ``model``: it must live as long as the converter.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_signature(model)], model)
    _tell(converter, settings)
    if settings.calibrates:
        if crops is None:
            raise ValueError("these settings need calibration crops")
        converter.representative_dataset = representative_dataset(crops)
    try:
        # The converter's notes concern its own deprecated parts.
        with warnings.catch_warnings(), silent_stderr():
            warnings.simplefilter("ignore")
            content: bytes = converter.convert()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()
        raise ModelError(
            f"{model.name}: TensorFlow cannot convert it to {settings.weights} weights and "
            f"{settings.border} inputs: {reason[0] if reason else type(error).__name__}"
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


def _tell(converter: Any, settings: ConverterSettings) -> None:
    """Set what ``settings`` ask for in TensorFlow's own terms."""
    if settings.weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if settings.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if settings.border != "float32":
        border = tf.as_dtype(settings.border)
        converter.inference_input_type = converter.inference_output_type = border
        give_dense_weights_one_scale(converter)
    if settings.operators is not None:
        converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, settings.operators)]
