"""Landmark models that the kit did not make: adapter files, and how such a model is run."""
