"""Play runs of the simulation and tell which went wrong.

    python -m tests.simulation [--seeds N] [--first N] [--places some|every|none] [--jobs N]
    python -m tests.simulation --seed N | --place N ACTION

The first form plays so many seeds (default 20) from a first one on (1), and small runs in which one thing goes wrong at
one place: of each sort of place one (the default), or every one. The second form plays one run again, twice, and tells
what happened. The exit code is 0 when nothing was wrong.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests.simulation.faults import Action
from tests.simulation.playing import KINDS, SMALL, Kind, Outcome, Stage, choices, kind_of, stage

Run = Callable[[Stage], Outcome]
SHOWN = 8
"""Lines of what is wrong that are shown of a run."""

_here: list[Stage] = []


def main() -> int:
    """Play what was asked for."""
    asked = _asked()
    began = time.monotonic()
    with stage(_kinds(asked)) as built:
        print(f"stage built, undisturbed runs played ({time.monotonic() - began:.0f} s)", flush=True)
        if asked.seed is not None:
            return _again(built, partial(Stage.by_seed, seed=asked.seed))
        if asked.place is not None:
            return _again(built, partial(Stage.by_place, number=int(asked.place[0]), action=asked.place[1]))
        runs: list[Run] = [partial(Stage.by_seed, seed=seed) for seed in range(asked.first, asked.first + asked.seeds)]
        if asked.places != "none":
            found = choices(built.places[SMALL.name], asked.places == "every")
            runs += [partial(Stage.by_place, number=number, action=action) for number, action in found]
        return _report(_played(built, runs, asked.jobs), len(runs), began)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--places", choices=("some", "every", "none"), default="some")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--place", nargs=2, metavar=("N", "ACTION"))
    return parser.parse_args()


def _kinds(asked: argparse.Namespace) -> Sequence[Kind]:
    if asked.seed is not None:
        return (kind_of(asked.seed),)
    return (SMALL,) if asked.place is not None else KINDS


def _again(built: Stage, run: Run) -> int:
    """One run, twice: what it told, and whether it told the same both times."""
    first, second = run(built), run(built)
    print(f"{first.points} places, went wrong: {_sum(first.happened)}")
    print("\n".join(first.faults) or "nothing is wrong with the end")
    if first != second:
        print("NOT DETERMINISTIC: the second time it went another way")
    return 1 if first.faults or first != second else 0


def _played(built: Stage, runs: Sequence[Run], jobs: int) -> Iterator[Outcome]:
    _here[:] = [built]
    if jobs <= 1:
        yield from map(_play, runs)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        yield from pool.map(_play, runs, chunksize=2)


def _play(run: Run) -> Outcome:
    return run(_here[0])


def _report(outcomes: Iterable[Outcome], count: int, began: float) -> int:
    failed: list[Outcome] = []
    happened: Counter[str] = Counter()
    points = 0
    for number, outcome in enumerate(outcomes, 1):
        points += outcome.points
        happened.update(outcome.happened)
        if outcome.faults:
            failed.append(outcome)
            print(f"FAILED: python -m tests.simulation {outcome.told}", flush=True)
            print("\n".join(f"  {line[:300]}" for line in outcome.faults[:SHOWN]), flush=True)
        if number % max(1, count // 10) == 0:
            print(f"{number} of {count} runs, {time.monotonic() - began:.0f} s", flush=True)
    print(
        f"simulation: {count} runs, {points} places, {_sum(happened)}: {len(failed)} failed, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if failed else 0


def _sum(happened: dict[str, int]) -> str:
    names: dict[Action, str] = {
        "kill": "processes killed",
        "away": "answers lost or refused",
        "late": "appends that came later",
        "freeze": "processes stopped for a while",
    }
    return ", ".join(f"{happened.get(name, 0)} {text}" for name, text in names.items())


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # the order of sets is part of a run
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
