"""What time alone brings: due timers, the close of days, and customers to be looked at under new definitions."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, or_, select

from services.segment import closing, tables
from services.segment.model import Due, Recheck, Refresh, SegmentEvent
from services.segment.population import Company, load_company, load_company_alone
from services.segment.queries import stale
from shared.database import among, put
from shared.events.times import EPOCH, from_ms, to_ms
from shared.runtime.service import Watermark

AGAIN_MS = 2_000
"""A closed day that late events changed is measured anew at most this often."""

RENEWED = 500
"""So many customers are looked at under new definitions between two looks at the stream, that events need not wait."""


def next_due(connection: Connection, parts: Collection[int]) -> datetime | None:
    """The earliest moment at which time alone changes something on these partitions; a past one when work waits."""
    company = load_company(connection)
    if stale(connection, company.ruleset, parts, 1):
        return from_ms(_renewal(connection, company))
    table, again = tables.due, tables.recheck
    moments = [
        connection.execute(
            select(func.min(table.c.due_at)).where(table.c.held_by.is_(None) & table.c.part.in_(parts))
        ).scalar(),
        connection.execute(select(func.min(again.c.at)).where(again.c.part.in_(parts))).scalar(),
    ]
    if not company.imports:
        if company.closed_day is not None:
            moments.append((company.closed_day + 2) * closing.DAY_MS)
        elif _anybody(connection):
            return EPOCH
        if company.dirty:
            moments.append(_again(company))
    known = [moment for moment in moments if moment is not None]
    return from_ms(min(known)) if known else None


def overdue(connection: Connection, now: datetime) -> int:
    """How many customers have a timer whose moment has passed, those of open imports left out."""
    table = tables.due
    query = select(func.count()).where(table.c.held_by.is_(None) & (table.c.due_at <= to_ms(now)))
    return connection.execute(query).scalar_one()


def due(connection: Connection, mark: Watermark, limit: int) -> Sequence[SegmentEvent] | None:
    """What is due now, in the order of its moments: timers of a day, its close, then the next day's."""
    company = load_company(connection)
    live = to_ms(mark.live)
    first = _renewals(connection, company, mark.partition, live)
    if first is None or first:
        return first
    again = _rechecks(connection, company, mark.partition, limit)
    if again:
        return again
    if company.imports:
        return _during_import(connection, company, mark, limit)
    if company.closed_day is None:
        return _begin(connection, mark, live)
    end = (company.closed_day + 2) * closing.DAY_MS
    found = _timers(connection, mark.partition, None, min(live, end - 1), limit)
    if found:
        return found
    if live >= end:
        return _close(connection, mark, company.closed_day + 1, ())
    if company.dirty and live >= _again(company):
        return _close_again(connection, mark, live)
    return None


def _during_import(
    connection: Connection, company: Company, mark: Watermark, limit: int
) -> Sequence[SegmentEvent] | None:
    """Live customers follow the clock; those of the import follow its time, day by day."""
    found = _timers(connection, mark.partition, None, to_ms(mark.live), limit)
    if found:
        return found
    if mark.history is None or company.closed_day is None:
        return None
    end = (company.closed_day + 2) * closing.DAY_MS
    if to_ms(mark.history) < end:
        return None
    for name in sorted(company.imports):
        found = _timers(connection, mark.partition, name, end - 1, limit)
        if found:
            return found
    return _close(connection, mark, company.closed_day + 1, sorted(company.imports))


def _renewals(connection: Connection, company: Company, part: int, live: int) -> Sequence[SegmentEvent] | None:
    """Customers to be looked at under new definitions before any timer; None while the stream is not there yet."""
    names = stale(connection, company.ruleset, [part], RENEWED)
    if names and live < _renewal(connection, company):
        return None
    return [Refresh(profile_id=name) for name in names]


def _renewal(connection: Connection, company: Company) -> int:
    """From when on customers may be looked at under the newest definitions: no change may overtake the stream.

    While an import is open the stream is long behind; the time of the events is never ahead of it.
    """
    if company.imports or company.by_events:
        return 0
    return connection.execute(select(func.max(tables.definition.c.applied_at))).scalar() or 0


def _again(company: Company) -> int:
    """When a dirty close may be made anew. The time of the events may stand still, so nothing waits for it."""
    return company.again_at + (0 if company.by_events else AGAIN_MS)


def _rechecks(connection: Connection, company: Company, part: int, limit: int) -> Sequence[SegmentEvent]:
    """Who must be looked at after a close that another owner made; the timers before it first."""
    table = tables.recheck
    rows = connection.execute(
        select(table.c.profile_id, table.c.at).where(table.c.part == part).order_by(table.c.profile_id).limit(limit)
    ).all()
    if not rows:
        return ()
    for name in (None, *sorted(company.imports)):
        found = _timers(connection, part, name, rows[0].at - 1, limit)
        if found:
            return found
    for these in among(connection, table.c.profile_id, [row.profile_id for row in rows]):
        connection.execute(delete(table).where((table.c.part == part) & these))
    return [Recheck(profile_id=row.profile_id, at=from_ms(row.at)) for row in rows]


def _begin(connection: Connection, mark: Watermark, live: int) -> Sequence[SegmentEvent] | None:
    if not _anybody(connection) or live <= 0:
        return None
    company = load_company_alone(connection)
    if company.closed_day is not None:
        return ()
    return _handed_out(connection, mark, closing.begin(connection, company, closing.day_of(live) - 1, live))


def _close(connection: Connection, mark: Watermark, day: int, imports: Sequence[str]) -> Sequence[SegmentEvent] | None:
    """Close a day when everything due in it has fired on every partition; whoever comes first does it."""
    if mark.parts > 1 and _anything_left(connection, (day + 1) * closing.DAY_MS, imports):
        return None
    company = load_company_alone(connection)
    if company.closed_day != day - 1:
        return ()
    return _handed_out(connection, mark, closing.close(connection, company, day))


def _close_again(connection: Connection, mark: Watermark, live: int) -> Sequence[SegmentEvent] | None:
    company = load_company_alone(connection)
    if not company.dirty:
        return ()
    return _handed_out(connection, mark, closing.close_again(connection, company, live))


def _anything_left(connection: Connection, end: int, imports: Sequence[str]) -> bool:
    """Whether a timer of the day is still to fire or a customer still to be looked at after the close before."""
    table = tables.due
    whose = or_(table.c.held_by.is_(None), table.c.held_by.in_(imports))
    timers = select(table.c.part).where(whose & (table.c.due_at < end)).limit(1)
    rechecks = select(tables.recheck.c.part).limit(1)
    return any(connection.execute(query).first() is not None for query in (timers, rechecks))


def _handed_out(connection: Connection, mark: Watermark, found: Sequence[Recheck]) -> Sequence[Recheck]:
    """Those on our own partition at once; the others are looked at by the owners of theirs."""
    if mark.parts == 1:
        return found
    at = {one.profile_id: one for one in found}
    own: list[Recheck] = []
    rows = []
    table = tables.customer
    for these in among(connection, table.c.profile_id, sorted(at)):
        places = connection.execute(select(table.c.profile_id, table.c.part).where(these))
        for name, part in places:
            if part == mark.partition:
                own.append(at[name])
            else:
                rows.append({"part": part, "profile_id": name, "at": to_ms(at[name].at)})
    put(connection, tables.recheck, rows)
    return sorted(own, key=lambda one: one.profile_id)


def _timers(connection: Connection, part: int, held_by: str | None, until_ms: int, limit: int) -> list[SegmentEvent]:
    table = tables.due
    whose = table.c.held_by.is_(None) if held_by is None else table.c.held_by == held_by
    rows = connection.execute(
        select(table.c.profile_id)
        .where(whose & (table.c.part == part) & (table.c.due_at <= until_ms))
        .order_by(table.c.due_at, table.c.profile_id)
        .limit(limit)
    )
    until = from_ms(max(until_ms, 0))
    return [Due(profile_id=row[0], until=until) for row in rows]


def _anybody(connection: Connection) -> bool:
    return connection.execute(select(tables.customer.c.profile_id).limit(1)).first() is not None


__all__ = ["due", "next_due", "overdue"]
