"""Predicts what an Edge TPU or GPU would run of a model, and how fast."""
