"""Customers as columns: what changed of a batch's customers in the tables that rules in SQL and the population read."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from sqlalchemy import Connection, bindparam, delete, select

from services.segment import tables
from services.segment.attributes import Facts
from services.segment.customers import everybody
from services.segment.measured import Moved, follow
from services.segment.model import Customer
from services.segment.population import Company
from services.segment.rules import feature_row
from shared.database import among, put

COLUMNS = ("count", "revenue", "interests")
FILLED = 1000
_NOBODY = Facts()


def save_features(
    connection: Connection,
    company: Company,
    loaded: Mapping[str, Customer],
    touched: Sequence[Customer],
    erased: Collection[str] = (),
) -> None:
    """Write features and day buckets of these customers, and what is measured of them; of who is gone nothing stays.

    The rows of `erased` customers are left to whoever counts what an erasure takes away.
    """
    put(connection, tables.features, [feature_row(c.profile_id, c.facts) for c in touched if c.facts is not None])
    rows: list[dict[str, object]] = []
    gone: list[dict[str, object]] = []
    moved: list[Moved] = []
    for c in touched:
        before = loaded.get(c.profile_id)
        known = before.facts if before is not None and before.facts is not None else _NOBODY
        facts = c.facts if c.facts is not None else _NOBODY
        for day in _changed_days(known, facts):
            was, bucket = _bucket(known, day), _bucket(facts, day)
            moved.append(Moved(c.profile_id, day, *(now - then for now, then in zip(bucket, was, strict=True))))
            row: dict[str, object] = {"day": day, "profile_id": c.profile_id}
            if c.facts is None and c.profile_id not in erased:
                gone.append(row)
            elif c.facts is not None:
                rows.append({**row, **dict(zip(COLUMNS, bucket, strict=True))})
    put(connection, tables.feature_day, rows)
    follow(connection, company, loaded, touched, moved)
    names = [c.profile_id for c in touched if c.facts is None and c.profile_id not in erased]
    _forget(connection, company, names, gone)


def fill(connection: Connection) -> None:
    """Write the features of everybody where there are none yet: once, in a database from before there were any."""
    if connection.execute(select(tables.features.c.profile_id).limit(1)).first() is not None:
        return
    known = everybody(connection)
    while some := {c.profile_id: c.facts for c in islice(known, FILLED) if c.facts is not None}:
        put(connection, tables.features, [feature_row(name, facts) for name, facts in some.items()])
        rows = [
            {"day": day, "profile_id": name, **dict(zip(COLUMNS, _bucket(facts, day), strict=True))}
            for name, facts in some.items()
            for day in facts.interest_days
        ]
        put(connection, tables.feature_day, rows)


def _forget(
    connection: Connection, company: Company, names: Sequence[str], days: Sequence[Mapping[str, object]]
) -> None:
    if days:
        table = tables.feature_day
        key = (table.c.day == bindparam("day")) & (table.c.profile_id == bindparam("profile_id"))
        connection.execute(delete(table).where(key), days)
    for these in among(connection, tables.features.c.profile_id, names):
        connection.execute(delete(tables.features).where(these))
    rolling = tables.rolling
    for these in among(connection, rolling.c.profile_id, names):
        connection.execute(delete(rolling).where(rolling.c.attribute.in_(company.measured) & these))


def _changed_days(before: Facts, after: Facts) -> set[int]:
    """The days of which a bucket is not what it was."""
    bought = _differing(before.days, (before.counts, before.revenues), after.days, (after.counts, after.revenues))
    looked = _differing(before.interest_days, (before.interest_counts,), after.interest_days, (after.interest_counts,))
    return {*bought, *looked}


_Columns = tuple[tuple[int, ...], ...]


def _differing(days: tuple[int, ...], values: _Columns, later: tuple[int, ...], now: _Columns) -> Iterator[int]:
    if days == later and values == now:
        return
    # Nearly always only the newest day moved, or one came after it.
    same = max(len(days) - 1, 0)
    if days[:same] != later[:same] or any(a[:same] != b[:same] for a, b in zip(values, now, strict=True)):
        same = 0
    was = dict(zip(days[same:], zip(*(column[same:] for column in values), strict=True), strict=True))
    is_ = dict(zip(later[same:], zip(*(column[same:] for column in now), strict=True), strict=True))
    yield from (day for day in was.keys() | is_.keys() if was.get(day) != is_.get(day))


def _bucket(facts: Facts, day: int) -> tuple[int, int, int]:
    """Purchases, revenue and interest events of a day."""
    bought, looked = _place(facts.days, day), _place(facts.interest_days, day)
    count, revenue = (0, 0) if bought is None else (facts.counts[bought], facts.revenues[bought])
    return count, revenue, 0 if looked is None else facts.interest_counts[looked]


def _place(days: tuple[int, ...], day: int) -> int | None:
    place = bisect_left(days, day)
    return place if place < len(days) and days[place] == day else None
