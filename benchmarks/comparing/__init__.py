"""Old results against new ones; the same file on different kernels."""
