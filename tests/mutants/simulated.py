"""Mutants that the simulation must notice, besides the tests that were written for them."""

from collections.abc import Sequence

from tests.mutants.mutant import LOOP, PROCESSOR, WATERMARK, Edit, Mutant

SEEDS = ("tests/simulation/test_simulation.py::test_some_seeds_and_a_place_of_each_sort_leave_no_trace",)

def simulated(name: str, *edits: Edit) -> Mutant:
    """A mutant that a few seeds and places must notice."""
    return Mutant(name=f"simulated: {name}", edits=edits, tests=SEEDS, needs="time")


MUTANTS: Sequence[Mutant] = (
    simulated(
        "the inbox is not consulted",
        Edit(
            PROCESSOR, "if key not in seen and keys[key] == number:", "if keys[key] == number:"
        ),
    ),
    simulated(
        "what an earlier owner left is not published",
        Edit(
            LOOP,
            "            await outbox.publish_left_over(self.engine, self.log, self.service.name, partition.partition)\n",
            "",
        ),
    ),
    simulated(
        "timers do not look at the stages before",
        Edit(
            WATERMARK,
            "        mark = min(mark, _stage(told, ends, now))\n",
            "        _stage(told, ends, now)\n",
        ),
    ),
    simulated(
        "timers fire before the stream is read",
        Edit(LOOP, "        if horizon.is_reached(self.positions()):\n", "        if horizon is not None:\n"),
    ),
    simulated(
        "a conflict keeps the claim",
        Edit(
            LOOP,
            "reason=str(conflict))\n                    self._let_go()\n",
            "reason=str(conflict))\n",
        ),
    ),
)
"""All of them."""
