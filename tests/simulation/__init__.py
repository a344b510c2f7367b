"""Seeded, deterministic simulation of the runtime under faults: `python -m tests.simulation`.

The loops, the claims, the transactions on SQLite files and the services are the real ones. What is simulated is what is
around them: time, threads, the brokers of the log, and the death of processes. A run is told by its seed alone.
"""
