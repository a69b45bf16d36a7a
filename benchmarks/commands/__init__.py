"""The commands benchmark, check, compare and parity."""
