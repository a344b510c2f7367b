"""Try mutants and tell which survived.

    python -m tests.mutants [--fast] [WORDS…]

`--fast` leaves out those that need a server. Words choose the mutants that have one of them in their name. The exit
code is 0 when every mutant that was tried was killed; with CI=true all must have been tried.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.mutants import runtime, storage
from tests.mutants.mutant import Mutant
from tests.mutants.trial import NoMatch, Outcome, Verdict, attempt, copied, preload, unharmed

MUTANTS: Sequence[Mutant] = (*runtime.MUTANTS, *storage.MUTANTS)
ALL_TRIED = "CI"


def main(arguments: Sequence[str]) -> int:
    """Try those that were chosen."""
    words = [one for one in arguments if not one.startswith("--")]
    chosen = [one for one in MUTANTS if not words or any(word in one.name for word in words)]
    if "--fast" in arguments:
        chosen = [one for one in chosen if not one.needs]
        os.environ["PYTEST_ADDOPTS"] = '-m "not postgres and not kafka"'
    preload()
    started = time.monotonic()
    outcomes: Counter[Outcome] = Counter()
    with copied() as tree:
        if failing := unharmed(tree, chosen):
            print("\n".join(f"fails without any mutant: {test}" for test in failing))
            return 1
        print(f"{len(chosen)} mutants; unharmed, their tests pass ({time.monotonic() - started:.0f} s)", flush=True)
        for mutant in chosen:
            verdict = tried(tree, mutant)
            outcomes[verdict.outcome] += 1
            reason = f": {verdict.reason}" if verdict.reason else ""
            print(f"{verdict.outcome.value:<10} {verdict.seconds:5.1f} s  {mutant.name}{reason}", flush=True)
    found = ", ".join(f"{count} {outcome.value}" for outcome, count in outcomes.items())
    print(f"{len(chosen)} mutants in {time.monotonic() - started:.0f} s: {found}")
    excused = {Outcome.KILLED} if os.environ.get("CI") == "true" else {Outcome.KILLED, Outcome.UNTRIED}
    return 0 if set(outcomes) <= excused else 1


def tried(tree: Path, mutant: Mutant) -> Verdict:
    """The verdict on a mutant; one that does not match the source any more is undecided."""
    try:
        return attempt(tree, mutant)
    except NoMatch as reason:
        return Verdict(Outcome.UNDECIDED, 0.0, str(reason))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
