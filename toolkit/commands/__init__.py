"""The command line, except for train, quantize and the benchmarks."""
