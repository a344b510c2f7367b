"""Watches the positions of all services while they are hurt: never backwards, and how soon what stood still went on."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import psycopg

from services.composition import SERVICES

SAMPLE_SECONDS = 0.4
Place = tuple[str, str, int]
"""Service, topic, partition."""


class Held(NamedTuple):
    """How far a partition is applied, in which claim, and by whom: `host/pid`."""

    next_offset: int
    epoch: int
    owner: str


STAGES = (("profile", "interactions"), ("segment", "profiles"), ("campaign", "profiles"))
"""What follows from every event; each gives at least one record to the next."""

QUERY = " UNION ALL ".join(
    f"SELECT '{name}', topic, part, next_offset, epoch, owner FROM \"{name}\".position" for name in SERVICES
)


def positions(url: str) -> dict[Place, Held]:
    """How far every service is. Raises psycopg.Error while the database is away or has no tables yet."""
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as server:
        rows = server.execute(QUERY.encode()).fetchall()
    return {(name, topic, part): Held(offset, epoch, owner) for name, topic, part, offset, epoch, owner in rows}


class Monitor:
    """Samples the positions in a thread."""

    def __init__(self, url: str) -> None:
        self.backwards: list[str] = []
        self.takeovers: list[float] = []
        self.samples = 0
        self._url = url
        self._last: dict[Place, Held] = {}
        self._orphans: dict[Place, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def killed(self, pid: int) -> None:
        """A process is gone: what it held waits for somebody else from now on."""
        with self._lock:
            for place, held in self._last.items():
                if held.owner.endswith(f"/{pid}"):
                    self._orphans.setdefault(place, (held.owner, time.monotonic()))

    def applied(self) -> int:
        """How many records the slowest service has applied: of events, or of records of customers."""
        with self._lock:
            return min(
                sum(held.next_offset for (name, topic, _), held in self._last.items() if (name, topic) == stage)
                for stage in STAGES
            )

    def orphans(self) -> int:
        """How many partitions nobody has taken over yet."""
        with self._lock:
            return len(self._orphans)

    def end(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            with suppress(psycopg.Error):
                self._compare(positions(self._url))

    def _compare(self, now: Mapping[Place, Held]) -> None:
        with self._lock:
            self.samples += 1
            for place, held in now.items():
                before = self._last.get(place)
                if before is not None and (held.next_offset < before.next_offset or held.epoch < before.epoch):
                    self.backwards.append(f"{place}: {before} then {held}")
            missing = self._last.keys() - now.keys()
            self.backwards += [f"{place}: {self._last[place]} then gone" for place in missing]
            self._last = dict(now)
            for place, (owner, since) in list(self._orphans.items()):
                if place in now and now[place].owner != owner:
                    self.takeovers.append(time.monotonic() - since)
                    del self._orphans[place]
