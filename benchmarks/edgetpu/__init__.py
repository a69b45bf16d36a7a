"""The Edge TPU: compiler, its log, what is inside a compiled model, and an estimate of latency."""
