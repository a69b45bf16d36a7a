"""Scripts that measure training for the documents; run from a checkout, not installed."""
