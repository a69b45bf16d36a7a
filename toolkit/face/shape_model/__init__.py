"""The active shape model: its operator, its fit to shapes, their alignment, its file."""
