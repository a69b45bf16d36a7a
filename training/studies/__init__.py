"""Scripts that measure training: not installed, run from a checkout."""
