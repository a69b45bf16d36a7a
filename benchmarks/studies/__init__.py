"""Scripts that measure for the documents; run from a checkout, not installed."""
