"""A parametric 3-D face: the generic landmarks in millimetres and a renderer of synthetic faces."""
