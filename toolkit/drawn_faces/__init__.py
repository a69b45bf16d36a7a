"""Synthetic faces: a parametric 3-D head, what it wears, its renderer, films and folders of it."""
