"""Clean photographs as training data: labelled by a public face mesh, then turned and reshaped."""
