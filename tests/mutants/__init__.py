"""Every guard of the exactly-once runtime taken away once, to see that a test notices: `python -m tests.mutants`."""

from collections.abc import Sequence

from tests.mutants import runtime, simulated, storage
from tests.mutants.mutant import Mutant

MUTANTS: Sequence[Mutant] = (*runtime.MUTANTS, *storage.MUTANTS, *simulated.MUTANTS)
"""All of them."""
