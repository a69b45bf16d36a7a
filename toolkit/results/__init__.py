"""Benchmark results: the JSON schema, reading and writing; the report made from them."""
