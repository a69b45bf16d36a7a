"""TensorFlow Lite's schema: the classes generated from schema.fbs, and its names for numbers."""

from asmnet_kit.tflite.litert_private import tflite_schema

schema = tflite_schema()


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int) and k[0] != "_"}


OPERATOR_NAMES = _names(schema.BuiltinOperator)
TYPE_NAMES = {number: name.lower() for number, name in _names(schema.TensorType).items()}
