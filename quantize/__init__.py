"""Quantization: QAT and PTQ recipes, conversion to TFLite and its audit (needs TensorFlow)."""
