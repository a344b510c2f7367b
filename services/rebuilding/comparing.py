"""Two states of the profile service held against each other, page by page.

Compared are the records (without `version`, which only rises), the identifiers with the customer each belongs to, the
timeline event by event, and the list of the erased. Receipts of erasures are not: they tell what stores have
done, not what the log says.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, select, tuple_

from services.profile import tables
from shared.database import among

PAGE = 500
_records = msgspec.json.Decoder(dict[str, Any])


class Difference(msgspec.Struct, frozen=True):
    """Something that is not the same: `live` and `rebuilt` say how it is on either side, None where it is missing."""

    part: str
    name: str
    live: Any
    rebuilt: Any


def differences(live: Connection, rebuilt: Connection) -> Iterator[Difference]:
    """All differences between the live state and the rebuilt one."""
    yield from _by_key(live, rebuilt, tables.profile, ("profile_id",), _record)
    yield from _by_key(live, rebuilt, tables.identifier, ("kind", "value"), lambda row: row.profile_id)
    yield from _by_key(live, rebuilt, tables.erased, ("name",), lambda row: row.at)
    yield from _timelines(live, rebuilt)


def lower_versions(live: Connection, rebuilt: Connection) -> Iterator[Difference]:
    """Records whose version would go back: those who read `profiles` would take no notice of them any more."""
    for difference in _by_key(live, rebuilt, tables.profile, ("profile_id",), lambda row: row.version):
        if difference.live is not None and difference.rebuilt is not None and difference.rebuilt < difference.live:
            yield difference


def _record(row: Any) -> dict[str, Any]:
    record = _records.decode(row.record)
    del record["version"]
    return record


def _by_key(
    live: Connection, rebuilt: Connection, table: Table, key: Sequence[str], shown: Any
) -> Iterator[Difference]:
    for one, other, turned in ((live, rebuilt, False), (rebuilt, live, True)):
        for page in _pages(one, table, key):
            found = _found(other, table, key, list(page))
            for name, row in page.items():
                here, there = shown(row), shown(found[name]) if name in found else None
                if (not turned and here != there) or (turned and there is None):
                    sides = (there, here) if turned else (here, there)
                    yield Difference(str(table.name), ":".join(map(str, name)), *_unequal(*sides))


def _unequal(one: Any, other: Any) -> tuple[Any, Any]:
    """Of two records only the fields that are not equal."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one, other
    names = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    return {name: one.get(name) for name in sorted(names)}, {name: other.get(name) for name in sorted(names)}


_Key = tuple[Any, ...]


def _pages(connection: Connection, table: Table, key: Sequence[str]) -> Iterator[Mapping[_Key, Any]]:
    columns = [table.c[name] for name in key]
    last: _Key | None = None
    while True:
        query = select(table).order_by(*columns).limit(PAGE)
        rows = connection.execute(query if last is None else query.where(tuple_(*columns) > last)).all()
        if rows:
            yield {_key(row, key): row for row in rows}
        if len(rows) < PAGE:
            return
        last = _key(rows[-1], key)


def _key(row: Any, key: Sequence[str]) -> _Key:
    return tuple(getattr(row, name) for name in key)


def _found(connection: Connection, table: Table, key: Sequence[str], names: Sequence[_Key]) -> dict[_Key, Any]:
    columns = [table.c[name] for name in key]
    wanted = [name[0] if len(key) == 1 else name for name in names]
    found: dict[_Key, Any] = {}
    for condition in among(connection, columns, wanted):
        found.update((_key(row, key), row) for row in connection.execute(select(table).where(condition)))
    return found


def _timelines(live: Connection, rebuilt: Connection) -> Iterator[Difference]:
    """The events of every identifier on either side; names are the identifier and the event's type and time."""
    for page in _pages(live, tables.identifier, ("kind", "value")):
        here, there = (_events(side, list(page)) for side in (live, rebuilt))
        for event in (here - there) + (there - here):
            kind, value, at, type_, _ = event
            yield Difference("event", f"{kind}:{value}/{type_}/{at}", here[event], there[event])
    counts = [side.execute(select(func.count()).select_from(tables.event)).scalar_one() for side in (live, rebuilt)]
    if counts[0] != counts[1]:
        yield Difference("event", "all", *counts)


def _events(connection: Connection, names: Sequence[_Key]) -> Counter[tuple[Any, ...]]:
    table = tables.event
    found: Counter[tuple[Any, ...]] = Counter()
    for condition in among(connection, (table.c.kind, table.c.value), names):
        query = select(table.c.kind, table.c.value, table.c.occurred_at, table.c.type, table.c.body)
        rows = connection.execute(query.where(condition))
        found.update((row.kind, row.value, row.occurred_at, row.type, bytes(row.body)) for row in rows)
    return found
