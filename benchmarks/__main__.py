"""`python -m benchmarks [NAME…] [--size N]`: run benchmarks, print the figures as JSON and as rows of the table."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks import chain, growth, ingest, latency, log, replay, stores, table, timers
from benchmarks.rivals import comparison
from benchmarks.table import Row


class Benchmark(NamedTuple):
    """`size` is the number of events (customers) when none is given; None: it has one size."""

    about: str
    measure: Callable[..., dict[str, Any]]
    rows: Callable[[Any], list[Row]] = lambda found: []
    size: int | None = None


ALL = {
    "ingest": Benchmark("accepting events over HTTP, beside a plain FastAPI route", ingest.measure),
    "replay": Benchmark("the sample year through all stages", replay.measure),
    "latency": Benchmark("from a post to the class change, on an idle platform", latency.measure),
    "timers": Benchmark("how late a class change by time alone is published", timers.measure),
    "log": Benchmark("records in and out of the log, on Kafka and on SQLite", log.measure),
    "stores": Benchmark("the profile stage on SQLite and on PostgreSQL", stores.measure),
    "rivals": Benchmark(
        "the same totals by our profile stage and by other projects (make rivals first)",
        comparison.measure,
        comparison.rows,
        100_000,
    ),
    "chain": Benchmark("purchases through all four stages, in both modes", chain.measure, chain.rows, 200_000),
    "growth": Benchmark(
        "the profile stage with ever more customers; WAL and HOT", growth.measure, growth.rows, 1_000_000
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, all without a name."""
    names = "\n".join(f"  {name:9}{one.about}{_sized(one)}" for name, one in ALL.items())
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=names, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all without one")
    parser.add_argument("--size", type=int, help="events or customers, for those that have a size")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in ALL]:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(ALL)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the servers are ended too
    for name in chosen.names or ALL:
        _run(name, ALL[name], chosen.size)
    return 0


def _sized(one: Benchmark) -> str:
    return "" if one.size is None else f" (--size {one.size})"


def _run(name: str, one: Benchmark, size: int | None) -> None:
    sized = () if one.size is None else (size or one.size,)
    found = one.measure(*sized)
    print(json.dumps({"benchmark": name, **found}, indent=2))
    command = f"{name} --size {sized[0]}" if sized else name
    if rows := one.rows(found):
        print(f"{table.HEAD}\n{table.lines(rows, command)}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
