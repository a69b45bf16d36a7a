"""Accuracy on labelled faces: NME, failure rate, pose error, drift, label offsets."""
