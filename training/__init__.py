"""Training: pipeline, losses, architectures and the training loop (needs TensorFlow)."""
