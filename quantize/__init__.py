"""Quantization: QAT and PTQ recipes, and conversion to TFLite (needs TensorFlow)."""

from asmnet_kit.training.environment import apply_settings

apply_settings()  # before any module of this package imports TensorFlow
