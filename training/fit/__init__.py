"""The training loop, its checkpoints with exact resume, and what a run shows while it trains."""
