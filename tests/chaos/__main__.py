"""`python -m tests.chaos`: a series of runs, each with a seed of its own, resumable, with a report."""

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos import report
from tests.chaos.plan import Sizes
from tests.chaos.run import Run
from tests.chaos.servers import Servers
from tests.system import kill

SECONDS_PER_KILL = 2.4
"""On two cores: a start costs one and a half seconds of one, and the rest of the platform must go on beside it."""

FOLDER = Path("data/chaos")
REPORT = Path("docs/chaos.md")


def options() -> argparse.ArgumentParser:
    """What can be chosen."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=20, help="how many runs (20)")
    add("--seed", type=int, default=1001, help="seed of the first run; each takes the next (1001)")
    add("--events", type=int, default=51_000, help="unique events of each run (51000)")
    add("--kills", type=int, default=52, help="kill -9 of each run (52)")
    add("--stops", type=int, default=6, help="SIGSTOP longer than the group session, of each run (6)")
    add("--brokers", type=int, default=3, help="broker crashes of each run, besides a pause for every three (3)")
    add("--databases", type=int, default=3, help="PostgreSQL crashes of each run (3)")
    add("--seconds", type=float, help=f"least seconds of load of each run ({SECONDS_PER_KILL} a kill)")
    add("--cluster", type=int, choices=(1, 3), default=3, help="how many brokers there are (3)")
    add("--embedded", type=int, default=0, help="kill -9 of the platform on its own files, first of all (0)")
    add("--folder", type=Path, default=FOLDER, help=f"state and logs ({FOLDER}); runs in it are not repeated")
    add("--report", type=Path, default=REPORT, help=f"where the report is written after every run ({REPORT})")
    add("--anew", action="store_true", help="forget the runs in the folder")
    return parser


def sizes_of(chosen: argparse.Namespace) -> Sizes:
    """The sizes of one run."""
    seconds = chosen.seconds or SECONDS_PER_KILL * max(chosen.kills, 10)
    scalings = max(1, chosen.kills // 12)
    return Sizes(
        events=chosen.events,
        kills=chosen.kills,
        stops=chosen.stops,
        short=chosen.stops,
        brokers=chosen.brokers,
        databases=chosen.databases,
        scalings=scalings,
        seconds=seconds,
    )


class State:
    """The results of finished runs, one JSON line each."""

    def __init__(self, folder: Path, anew: bool) -> None:
        self.file = folder / "state.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        if anew:
            self.file.unlink(missing_ok=True)

    def results(self) -> list[dict[str, Any]]:
        """All that is known."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def add(self, result: dict[str, Any]) -> None:
        """Keep one more."""
        with self.file.open("a") as out:
            out.write(json.dumps(result) + "\n")


def one_run(seed: int, chosen: argparse.Namespace, servers: Servers, told: str) -> dict[str, Any]:
    """The result of one run; of one that broke off, why. Logs are kept of what was not good."""
    folder = chosen.folder / f"run-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    try:
        result = Run(seed, sizes_of(chosen), servers, folder, lambda text: print(f"{told}: {text}", flush=True)).do()
    except Exception:
        why = traceback.format_exc()
        print(f"{told}: broke off\n{why}", flush=True)
        return {"seed": seed, "seconds": time.monotonic() - begun, "broken": why, "violations": {"run": [why]}}
    if result.good:
        shutil.rmtree(folder, ignore_errors=True)
    return result.kept


def summary(result: dict[str, Any]) -> str:
    """One line about a run."""
    wrong = [f"{name}: {said}" for name, found in result["violations"].items() for said in found]
    verdict = "good" if not wrong else "WRONG\n  " + "\n  ".join(wrong)
    return f"{result.get('events', 0)} events, {result.get('faults', {}).get('kill', 0)} kills: {verdict}"


def series(chosen: argparse.Namespace, state: State) -> None:
    """All runs that are still to be done."""
    done = {result["seed"] for result in state.results()}
    left = [seed for seed in range(chosen.seed, chosen.seed + chosen.runs) if seed not in done]
    if not left:
        return
    servers = Servers(chosen.folder / "servers", chosen.cluster)
    begun = time.monotonic()
    try:
        print("starting brokers and PostgreSQL", flush=True)
        servers.start()
        for number, seed in enumerate(left):
            if number:
                each = (time.monotonic() - begun) / number
                print(f"{each * (len(left) - number) / 60:.0f} min left", flush=True)
            result = one_run(seed, chosen, servers, f"run {number + 1}/{len(left)} (seed {seed})")
            state.add(result)
            print(summary(result), flush=True)
            chosen.report.write_text(report.markdown(state.results()))
            servers.cluster.start()
    finally:
        servers.remove()


def embedded(kills: int, state: State) -> None:
    """The part on the platform's own files: killed while it replays the sample, equal to the byte at the end."""
    if kills and not any("embedded" in result for result in state.results()):
        equal = kill.main(kills) == 0
        wrong = [] if equal else ["the end state differs from that of an undisturbed run"]
        state.add({"seed": 17, "embedded": kills, "violations": {"embedded": wrong}})


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the runs; 0 when nothing was wrong in any."""
    chosen = options().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    # that a broker is away is what is wanted here
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    state = State(chosen.folder, chosen.anew)
    chosen.folder = chosen.folder.resolve()
    embedded(chosen.embedded, state)
    series(chosen, state)
    chosen.report.write_text(report.markdown(state.results()))
    wrong = [result for result in state.results() if any(result["violations"].values())]
    print(f"{len(wrong)} of {len(state.results())} runs were not good; report: {chosen.report}")
    return 1 if wrong else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
