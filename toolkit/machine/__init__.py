"""This machine: its CPU; drivers and libraries of its GPU and Edge TPU."""
