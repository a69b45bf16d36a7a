"""Training: data, losses, networks, the loop, the run folder (needs TensorFlow)."""

from asmnet_kit.training.environment import apply_settings

apply_settings()  # before any module of this package imports TensorFlow
