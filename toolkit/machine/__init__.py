"""Drivers and libraries of this machine that both the doctor and the benchmarks ask for."""
