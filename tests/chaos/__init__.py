"""The chaos suite: the whole platform under seeded faults, held against an independent count of what it was told.

`python -m tests.chaos --help` runs the full size, `tests/chaos/test_smoke.py` a small one. Pure parts: `load`, `plan`,
`oracle`, `classes`, `checks`, `report`. Everything else starts, hurts or reads processes.
"""
