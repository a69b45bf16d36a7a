"""Accuracy on labelled faces: NME, failures, pose; drift in pixels; label offsets."""
