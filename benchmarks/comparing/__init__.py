"""Compares new results with old ones, and one file across runtimes and kernels."""
