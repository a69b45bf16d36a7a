"""Landmark data sets: one reader for each public format."""
