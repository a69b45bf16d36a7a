"""Scripts that measure training for the documents. Not installed: they run from a checkout."""
