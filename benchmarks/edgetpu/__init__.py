"""The Edge TPU compiler: running it, reading its log."""
