"""What time alone brings: due timers, the close of days, and customers to be looked at under new definitions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from services.segment import closing, tables
from services.segment.model import Due, Refresh, SegmentEvent
from services.segment.population import Company, load_company
from services.segment.queries import stale
from shared.events.times import EPOCH, from_ms, to_ms
from shared.runtime.service import Watermark

AGAIN_MS = 2_000
"""A closed day that late events changed is measured anew at most this often."""


def next_due(connection: Connection) -> datetime | None:
    """The earliest moment at which time alone changes something; a moment in the past when work waits."""
    company = load_company(connection)
    if stale(connection, company.ruleset, 1):
        return EPOCH
    moments = [connection.execute(select(func.min(tables.due.c.due_at)).where(tables.due.c.held_by.is_(None))).scalar()]
    if not company.imports:
        if company.closed_day is not None:
            moments.append((company.closed_day + 2) * closing.DAY_MS)
        elif _anybody(connection):
            return EPOCH
        if company.dirty:
            moments.append(company.again_at + AGAIN_MS)
    known = [moment for moment in moments if moment is not None]
    return from_ms(min(known)) if known else None


def due(connection: Connection, mark: Watermark, limit: int) -> Sequence[SegmentEvent] | None:
    """What is due now, in the order of its moments: timers of a day, its close, then the next day's."""
    company = load_company(connection)
    names = stale(connection, company.ruleset, limit)
    if names:
        return [Refresh(profile_id=name) for name in names]
    if company.imports:
        return _during_import(connection, company, mark, limit)
    live = to_ms(mark.live)
    if company.closed_day is None:
        if not _anybody(connection) or live <= 0:
            return None
        return closing.begin(connection, company, closing.day_of(live) - 1, live)
    end = (company.closed_day + 2) * closing.DAY_MS
    found = _timers(connection, None, min(live, end - 1), limit)
    if found:
        return found
    if live >= end:
        return closing.close(connection, company, company.closed_day + 1)
    if company.dirty and live >= company.again_at + AGAIN_MS:
        return closing.close_again(connection, company, live)
    return None


def _during_import(
    connection: Connection, company: Company, mark: Watermark, limit: int
) -> Sequence[SegmentEvent] | None:
    """Live customers follow the clock; those of the import follow its time, day by day."""
    found = _timers(connection, None, to_ms(mark.live), limit)
    if found:
        return found
    if mark.history is None or company.closed_day is None:
        return None
    end = (company.closed_day + 2) * closing.DAY_MS
    if to_ms(mark.history) < end:
        return None
    for name in sorted(company.imports):
        found = _timers(connection, name, end - 1, limit)
        if found:
            return found
    return closing.close(connection, company, company.closed_day + 1)


def _timers(connection: Connection, held_by: str | None, until_ms: int, limit: int) -> list[SegmentEvent]:
    table = tables.due
    rows = connection.execute(
        select(table.c.profile_id)
        .where(
            (table.c.held_by.is_(None) if held_by is None else table.c.held_by == held_by)
            & (table.c.due_at <= until_ms)
        )
        .order_by(table.c.due_at, table.c.profile_id)
        .limit(limit)
    )
    until = from_ms(max(until_ms, 0))
    return [Due(profile_id=row[0], until=until) for row in rows]


def _anybody(connection: Connection) -> bool:
    return connection.execute(select(tables.customer.c.profile_id).limit(1)).first() is not None


__all__ = ["due", "next_due"]
