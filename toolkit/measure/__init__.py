"""Accuracy on labelled faces: NME, failure rate, pose error, pixel drift, label offsets."""
