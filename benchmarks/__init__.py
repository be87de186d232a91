"""Benchmarks: each module is a command that measures and writes its own table into benchmarks/README.md."""
