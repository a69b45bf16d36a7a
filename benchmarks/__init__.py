"""Benchmarks: run a .tflite model on a target and report what was measured."""
