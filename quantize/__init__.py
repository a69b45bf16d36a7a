"""Quantization: from a float model to an int8 .tflite (needs TensorFlow)."""

from asmnet_kit.training.environment import apply_settings

apply_settings()  # before any module of this package imports TensorFlow
