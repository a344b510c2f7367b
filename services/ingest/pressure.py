"""How much the door takes in at a time: events per second and key, and bytes that wait for their answer."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.errors import Unavailable
from shared.runtime.web import Problem

LARGEST_PENDING = 64 * 1024 * 1024
"""Bytes of bodies that may be in work at once in one process."""

MOST_KEYS = 10_000
TOLERANCE = 1e-6


class Pressure:
    """The limits of one process. `rate` is in events per second and key, None for no limit."""

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._pending = 0

    def admit(self, key_id: str, count: int) -> None:
        """Count events of a key. Raises Problem 429 with `Retry-After` while earlier ones exceed the rate.

        A second's worth may come at once; a batch that begins within the rate is taken whole and paid for afterwards.
        """
        if self._rate is None:
            return
        now = self._clock()
        full_at = max(self._full_at.get(key_id, now), now)
        if full_at - now > 1 - TOLERANCE:
            seconds = min(max(math.ceil(full_at - now - 1), 1), 300)
            message = f"this key may send {self._rate:g} events a second"
            raise Problem(429, "rate_limited", message, headers={"Retry-After": str(seconds)})
        if len(self._full_at) >= MOST_KEYS:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        self._full_at[key_id] = full_at + count / self._rate

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Hold so many bytes until the answer is given. Raises Unavailable when too many wait already."""
        if self._pending and self._pending + size > LARGEST_PENDING:
            raise Unavailable("too much is waiting to be written: send again", retry_after=1)
        self._pending += size
        try:
            yield
        finally:
            self._pending -= size
