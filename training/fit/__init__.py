"""The training loop, its checkpoints with exact resume, and its progress."""
