"""Benchmark results: the JSON schema, reading and writing; the report is made from these alone."""
