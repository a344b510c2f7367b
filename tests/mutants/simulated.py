"""Mutants that the simulation must notice, besides the tests that were written for them."""

from collections.abc import Sequence

from tests.mutants.mutant import LOOP, PROCESSOR, Edit, Mutant
from tests.mutants.runtime import NEXT_START

SEEDS = ("tests/simulation/test_simulation.py::test_some_seeds_and_a_place_of_each_sort_leave_no_trace",)


def simulated(name: str, *edits: Edit) -> Mutant:
    """A mutant that a few seeds and places must notice."""
    return Mutant(name=f"simulated: {name}", edits=edits, tests=SEEDS, needs="time")


MUTANTS: Sequence[Mutant] = (
    simulated(
        "the inbox is not consulted",
        Edit(PROCESSOR, "if key not in seen and keys[key] == number:", "if keys[key] == number:"),
    ),
    simulated(
        "what an earlier owner left is not published",
        Edit(
            LOOP,
            NEXT_START,
            "",
        ),
    ),
)
"""All of them."""
