"""Measuring in one process: timed runs, stages of a frame, operators, noise, the machine."""
