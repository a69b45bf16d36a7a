"""The range of every tensor: calibrated on crops, chosen so that int8 arithmetic is exact."""
