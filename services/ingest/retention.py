"""How long dead letters are kept: a timer deletes those of whole hours that are over, in bounded steps."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from services.ingest import store
from shared.runtime.service import Timers, Watermark
from shared.telemetry import logger

FIRST = 0

HOUR = timedelta(hours=1)
"""Letters of one hour go together: no step for each of them."""


def timers(kept: timedelta) -> Timers:
    """Timers that delete letters `kept` after the end of the hour in which they arrived.

    Letters belong to no partition: whoever has the first deletes them.
    """

    def next_due(connection: Connection, parts: Collection[int]) -> datetime | None:
        oldest = store.oldest(connection) if FIRST in parts else None
        return None if oldest is None else _hour(oldest) + HOUR + kept

    def due(connection: Connection, mark: Watermark, limit: int) -> Sequence[Any] | None:
        gone = store.purge(connection, _hour(mark.live - kept), limit) if mark.partition == FIRST else 0
        if not gone:
            return None
        logger().info("dead_letters_purged", service="ingest", count=gone)
        return ()

    def overdue(connection: Connection, now: datetime) -> int:
        return store.total(connection, store.Filter(until=_hour(now - kept)))

    return Timers(next_due=next_due, due=due, overdue=overdue)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
