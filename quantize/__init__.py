"""Quantization: QAT and PTQ recipes, conversion to TFLite and its audit (needs TensorFlow)."""

from asmnet_kit.training.environment import apply_settings

apply_settings()  # before any module of this package imports TensorFlow
