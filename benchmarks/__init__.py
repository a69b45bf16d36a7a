"""Benchmarks: runs any .tflite on a target and reports what was measured."""
