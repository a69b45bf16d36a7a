"""asmnet-kit: train, quantize, benchmark and ship small face alignment models."""

__version__ = "0.1.0"
