"""Rendered people: photograph-like faces from CC0 assets, with exact landmarks and pose."""
