"""Try mutants and tell which survived.

    python -m tests.mutants [--fast] [WORDS…]

`--fast` leaves out those that need a server. Words choose the mutants that have one of them in their name. The exit
code is 0 when every mutant that was tried was killed; with CI=true all must have been tried.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.mutants import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.servers import started
from tests.mutants.trial import Outcome, attempt, copied, preload, unharmed

WITHOUT_SERVERS = '-m "not postgres and not kafka"'


def main(arguments: Sequence[str]) -> int:
    """Try those that were chosen."""
    chosen, began = choose(arguments), time.monotonic()
    if "--fast" in arguments:
        os.environ["PYTEST_ADDOPTS"] = WITHOUT_SERVERS
    preload()
    outcomes: Counter[Outcome] = Counter()
    with copied() as tree, started({one.needs for one in chosen}):
        if failing := unharmed(tree, chosen):
            print("\n".join(f"fails without any mutant: {test}" for test in failing))
            return 1
        print(f"{len(chosen)} mutants; their tests pass without them ({time.monotonic() - began:.0f} s)", flush=True)
        for mutant in chosen:
            verdict = attempt(tree, mutant)
            outcomes[verdict.outcome] += 1
            reason = f": {verdict.reason}" if verdict.reason else ""
            print(f"{verdict.outcome.value:<10} {verdict.seconds:5.1f} s  {mutant.name}{reason}", flush=True)
    found = ", ".join(f"{count} {outcome.value}" for outcome, count in outcomes.items())
    print(f"{len(chosen)} mutants in {time.monotonic() - began:.0f} s: {found}")
    allowed = {Outcome.KILLED} if os.environ.get("CI") == "true" else {Outcome.KILLED, Outcome.UNTRIED}
    return 0 if set(outcomes) <= allowed else 1


def choose(arguments: Sequence[str]) -> Sequence[Mutant]:
    """The mutants that the arguments ask for."""
    words = [one for one in arguments if not one.startswith("--")]
    fast = "--fast" in arguments
    return [
        one for one in MUTANTS if (not words or any(word in one.name for word in words)) and not (fast and one.needs)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
