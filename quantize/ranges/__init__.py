"""The value range of every tensor, measured on crops, for int8."""
