"""Every guard of the exactly-once runtime taken away once, to see that a test notices: `python -m tests.mutants`."""
