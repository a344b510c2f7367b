"""Measured speed and memory: every figure in benchmarks/README.md comes from a command here."""
