"""What every program of the comparison shares: its task, its stopwatch, its result. Needs the standard library only."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.processes import family_cpu

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Total = tuple[int, int, int]
"""Of a customer: purchases, revenue in minor units, milliseconds since 1970 of the last one."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a program is given: `topic` holds `events` records; `folder` and `schema` are empty and its own.

    `servers` are the process ids of the broker and of PostgreSQL.
    """

    way: str
    brokers: str
    prefix: str
    events: int
    partitions: int
    database: str
    schema: str
    folder: str
    servers: tuple[int, ...] = ()

    @property
    def topic(self) -> str:
        """The full name of the topic."""
        return f"{self.prefix}interactions"

    @property
    def group(self) -> str:
        """A consumer group that nobody has used."""
        return f"{self.prefix}{self.schema}"


def task() -> Task:
    """The task on the command line."""
    given = json.loads(sys.argv[1])
    return Task(**{**given, "servers": tuple(given["servers"])})


def after(known: Sequence[int], total: str, time_: str) -> Total:
    """What is known of a customer after one more purchase. Amounts have two decimals."""
    count, revenue, last = known
    return count + 1, revenue + minor(total), max(last, milliseconds(time_))


def minor(total: str) -> int:
    """`49.90` as 4990."""
    whole, _, part = total.partition(".")
    return int(whole) * 100 + int(part)


def milliseconds(moment: str) -> int:
    """A time in RFC 3339 as milliseconds since 1970."""
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(milliseconds=1)


class Stopwatch:
    """Runs from the first record to the moment at which the last one is as durable as this means makes it."""

    def __init__(self, where: Task) -> None:
        self._where = where
        self._began: Sequence[float] = ()
        self._ended: Sequence[float] = ()

    def begin(self) -> None:
        """The first record is there; later calls do nothing."""
        if not self._began:
            self._began = self._look()

    def end(self) -> None:
        """All is done; the last call counts."""
        self._ended = self._look()

    def _look(self) -> Sequence[float]:
        return time.perf_counter(), time.process_time(), *map(family_cpu, self._where.servers)

    def tell(self, totals: Mapping[str, Sequence[int]]) -> None:
        """Print the seconds, and those of CPU here and on the servers; write the totals where they are compared."""
        Path(self._where.folder, "totals.json").write_text(json.dumps(totals))
        seconds, cpu, *servers = (end - begin for begin, end in zip(self._began, self._ended, strict=True))
        print(json.dumps({"seconds": seconds, "cpu": cpu, "servers": sum(servers), "peak": _peak()}), flush=True)


def _peak() -> int:
    """Highest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
