"""Benchmark results: the JSON schema, reading, writing; the report made from them."""
