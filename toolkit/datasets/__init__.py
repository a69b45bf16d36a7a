"""Landmark data sets: one reader for each format."""
