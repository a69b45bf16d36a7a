"""Scripts that measure for the documents. Not installed: they run from a checkout."""
