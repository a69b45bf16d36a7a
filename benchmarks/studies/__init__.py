"""Scripts that measure for the documents: not installed, run from a checkout."""
