"""What is written when a customer is erased: the list of the erased, his rows removed, and the receipt."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, select, update

from services.profile.erasing import admitted
from services.profile.model import Forgotten, State, body_of, hear
from services.profile.tables import erased, erasure, event
from services.profile.work import Work
from shared.database import among, put, shred
from shared.events.envelope import Event
from shared.events.erasures import Erasure, digest_of, erasure_in, removed_in
from shared.events.identifiers import Identifier
from shared.events.times import from_ms, to_ms

STORES = ("profile", "ingest", "segment", "campaign", "log")
"""What must have answered before a receipt is complete."""


class Removal(msgspec.Struct, frozen=True):
    """What one store has removed, by kind, and when it last did."""

    store: str
    removed: dict[str, int]
    at: datetime


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an erasure: `accepted`, `applied` once the record is gone, `complete` when all have answered."""

    erasure_id: str
    profile_id: str
    state: str
    requested_at: datetime
    applied_at: datetime | None
    stores: tuple[Removal, ...]


class Blackening(msgspec.Struct, frozen=True):
    """By what an erased customer is found in the log: digests of his identifiers, his profile ids, and when.

    `at` is the moment of the erasure (ms), `until` that of the request by the clock on the wall, as records have it.
    """

    names: frozenset[str]
    profile_ids: frozenset[str]
    at: int
    until: int


_removals = msgspec.json.Decoder(tuple[Removal, ...])
_blackenings = msgspec.json.Decoder(Blackening)


def erased_among(connection: Connection, names: Sequence[Identifier]) -> dict[str, int]:
    """Those of the identifiers that are on the list of the erased: digests, with the moment (ms)."""
    if not names or connection.execute(select(erased.c.name).limit(1)).first() is None:
        return {}
    found: dict[str, int] = {}
    for these in among(connection, erased.c.name, [digest_of(name) for name in names]):
        found.update({name: at for name, at in connection.execute(select(erased).where(these))})
    return found


def accept(connection: Connection, about: Erasure, at: int) -> None:
    """Open a receipt: the erasure was asked for and is on its way."""
    put(connection, erasure, [_opened(about, at)], "ignore")


def _opened(about: Erasure, at: int) -> dict[str, Any]:
    return {
        "erasure_id": about.erasure_id,
        "profile_id": about.profile_id,
        "requested_at": at,
        "applied_at": None,
        "stores": b"[]",
        "names": msgspec.json.encode(Blackening(frozenset(about.names), frozenset((about.profile_id,)), at, at)),
        "pending": 0,
    }


def forget(connection: Connection, work: Work, after: State) -> None:
    """Remove what is kept of an erased customer beside his component and record, and say so in the receipt."""
    assert after.cause is not None
    assert after.forgotten is not None
    shred(connection)
    gone, about, at = after.forgotten, erasure_in.decode(after.cause.data), to_ms(after.cause.time)
    put(connection, erased, [{"name": name, "at": max(at, work.erased[name])} for name in gone.named])
    removed = {
        "identifiers": len(gone.identifiers),
        "events": _remove_events(connection, sorted(gone.identifiers)),
        "mentions": _strip_neighbours(connection, gone, at),
    }
    names = msgspec.json.encode(Blackening(frozenset(gone.named), gone.profile_ids, at, _asked_at(after.cause)))
    accept(connection, about, at)
    row = {"applied_at": at, "names": names, "pending": 1}
    connection.execute(update(erasure).where(erasure.c.erasure_id == about.erasure_id).values(**row))
    _add(connection, about.erasure_id, Removal("profile", removed, from_ms(at)))


def _asked_at(cause: Event) -> int:
    return to_ms(cause.receivedat or cause.time)


def _remove_events(connection: Connection, names: Sequence[Identifier]) -> int:
    named = among(connection, (event.c.kind, event.c.value), names)
    return sum(connection.execute(delete(event).where(these)).rowcount for these in named)


def _strip_neighbours(connection: Connection, gone: Forgotten, at: int) -> int:
    """Take the names of the erased out of the events of those who were seen together with them."""
    out = dict.fromkeys(gone.identifiers, at)
    count = 0
    for name in sorted(gone.near):
        rows = connection.execute(
            select(event.c.seq, event.c.body).where((event.c.kind == name.kind) & (event.c.value == name.value))
        )
        for seq, body in rows.all():
            left = admitted(hear(body), out)
            if left is None:
                count += connection.execute(delete(event).where(event.c.seq == seq)).rowcount
            elif (stripped := body_of(left)) != body:
                connection.execute(update(event).where(event.c.seq == seq).values(body=stripped))
                count += 1
    return count


def note(connection: Connection, removals: Sequence[Event]) -> None:
    """Enter into the receipts what other stores have removed; what they said before is then blackened as well."""
    for one in removals:
        told = removed_in.decode(one.data)
        if _add(connection, told.erasure_id, Removal(told.store, told.removed, one.receivedat or one.time)):
            again = update(erasure).where(erasure.c.erasure_id == told.erasure_id)
            connection.execute(again.values(pending=erasure.c.pending + 1))


def blackened(connection: Connection, erasure_id: str, seen: int, removed: Mapping[str, int], at: datetime) -> None:
    """Enter into a receipt what was blackened in the log; `seen` is how many reasons there were when it began."""
    _add(connection, erasure_id, Removal("log", dict(removed), at))
    same = (erasure.c.erasure_id == erasure_id) & (erasure.c.pending == seen)
    connection.execute(update(erasure).where(same).values(pending=0))


def to_blacken(connection: Connection) -> list[tuple[str, int, Blackening]]:
    """The erasures for which the log is to be gone through, with the number of reasons for it."""
    query = select(erasure.c.erasure_id, erasure.c.pending, erasure.c.names).where(erasure.c.pending > 0)
    return [(name, pending, _blackenings.decode(names)) for name, pending, names in connection.execute(query)]


def _add(connection: Connection, erasure_id: str, removal: Removal) -> bool:
    where = erasure.c.erasure_id == erasure_id
    body = connection.scalar(select(erasure.c.stores).where(where))
    if body is None:
        return False
    known = {one.store: one for one in _removals.decode(body)}
    if removal.store in known:
        before = known[removal.store].removed
        total = {kind: before.get(kind, 0) + removal.removed.get(kind, 0) for kind in {**before, **removal.removed}}
        removal = Removal(removal.store, total, removal.at)
    known[removal.store] = removal
    connection.execute(update(erasure).where(where).values(stores=msgspec.json.encode(tuple(known.values()))))
    return True


def find(connection: Connection, erasure_id: str) -> Receipt | None:
    """A receipt."""
    row = connection.execute(select(erasure).where(erasure.c.erasure_id == erasure_id)).one_or_none()
    return None if row is None else _receipt(row)


def _receipt(row: Row[Any]) -> Receipt:
    stores = _removals.decode(row.stores)
    complete = not row.pending and {one.store for one in stores} >= {*STORES}
    state = "accepted" if row.applied_at is None else "complete" if complete else "applied"
    return Receipt(
        erasure_id=row.erasure_id,
        profile_id=row.profile_id,
        state=state,
        requested_at=from_ms(row.requested_at),
        applied_at=None if row.applied_at is None else from_ms(row.applied_at),
        stores=stores,
    )
