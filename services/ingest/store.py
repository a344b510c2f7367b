"""Where dead letters are kept: one table, written in sets, read by key and in pages from the newest on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    select,
    tuple_,
    update,
)

from services.ingest.model import OPEN, REPAIRED, REPLAYED, Door, Forgotten, Incoming, Letter
from shared.database import among, put, shred
from shared.events.erasures import confirm, mentions
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms, to_ms
from shared.runtime.service import Work as States

PAGE = 500
"""Letters looked through at once when a customer is erased."""

LARGEST_PAGE = 8 * 1024 * 1024
"""Bytes of originals in one page; at least one letter is always shown."""

metadata = MetaData()

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("received_at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("type", Text),
    Column("code", Text, nullable=False),
    Column("errors", Text, nullable=False),
    Column("original", LargeBinary, nullable=False),
    Column("repaired", LargeBinary),
    Column("state", String(16), nullable=False, server_default=OPEN),
    Column("service", Text, nullable=False),
    Column("topic", Text),
    Column("part", Integer),
    Column("position", BigInteger),
    Column("file", Text),
    Column("line", BigInteger),
    Index("dead_letter_received", "received_at", "id"),
)

_errors = msgspec.json.Decoder(tuple[dict[str, str], ...])


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters; None asks nothing. Times are of arrival, `since` inclusive and `until` exclusive."""

    code: str | None = None
    source: str | None = None
    state: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Work:
    """The letters that one batch brings, and those of them that are kept already."""

    def __init__(self, kept: Mapping[str, Letter]) -> None:
        self._kept = dict(kept)
        self.fresh: list[Letter] = []
        self.forgotten: list[Forgotten] = []
        self.confirmed: list[Outgoing] = []

    def part(self, event: Incoming) -> Door:
        """An open door; for a letter that is kept already, the door that holds it."""
        if isinstance(event, Forgotten):
            self.forgotten.append(event)
        return Door(letter=self._kept.get(event.id)) if isinstance(event, Letter) else Door()

    def replace(self, before: Door, after: Door) -> None:
        """Keep the letter that the batch brought."""
        if after.letter is not None and after.letter is not before.letter:
            self._kept[after.letter.id] = after.letter
            self.fresh.append(after.letter)


def load(connection: Connection, events: Sequence[Incoming]) -> Work:
    """The letters of a batch that are kept already."""
    names = [event.id for event in events if isinstance(event, Letter)]
    return Work({letter.id: letter for letter in _find(connection, names)})


def save(connection: Connection, work: States) -> None:
    """Keep what the batch brought."""
    assert isinstance(work, Work)
    keep(connection, work.fresh)
    for one in work.forgotten:
        gone = forget(connection, one.about.names)
        work.confirmed.append(confirm("ingest", one.about, {"dead_letters": gone}, one.at))


def keep(connection: Connection, letters: Sequence[Letter]) -> None:
    """Insert letters; one that is kept already stays as it is."""
    put(connection, dead_letter, [_row(letter) for letter in letters], "ignore")


def forget(connection: Connection, names: Collection[str]) -> int:
    """Delete the letters that name one of the erased (digests); how many there were."""
    shred(connection)
    last, gone = "", 0
    while True:
        query = select(dead_letter.c.id, dead_letter.c.original, dead_letter.c.repaired)
        rows = connection.execute(query.where(dead_letter.c.id > last).order_by(dead_letter.c.id).limit(PAGE)).all()
        his = [id for id, *texts in rows if any(text is not None and mentions(bytes(text), names) for text in texts)]
        if his:
            gone += connection.execute(delete(dead_letter).where(dead_letter.c.id.in_(his))).rowcount
        if len(rows) < PAGE:
            return gone
        last = rows[-1].id


def find(connection: Connection, letter_id: str) -> Letter | None:
    """One letter."""
    return next(iter(_find(connection, [letter_id])), None)


def page(
    connection: Connection, wanted: Filter, before: tuple[int, str] | None, limit: int
) -> tuple[Sequence[Letter], bool]:
    """Letters from the newest on, and whether there are more; `before` is (received_at in ms, id) of the last one."""
    key = tuple_(dead_letter.c.received_at, dead_letter.c.id)
    query = select(dead_letter.c.id, func.length(dead_letter.c.original)).where(*_conditions(wanted))
    if before is not None:
        query = query.where(key < before)
    order = (dead_letter.c.received_at.desc(), dead_letter.c.id.desc())
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    names: list[str] = []
    size = 0
    for name, length in rows[:limit]:
        size += length
        if names and size > LARGEST_PAGE:
            break
        names.append(name)
    letters = {letter.id: letter for letter in _find(connection, names)}
    return [letters[name] for name in names if name in letters], len(rows) > len(names)


def repair(connection: Connection, letter_id: str, corrected: bytes, kind: str) -> bool:
    """Put a corrected event beside the original; False when the letter has been replayed (or is gone)."""
    return _change(connection, letter_id, {"repaired": corrected, "type": kind, "state": REPAIRED})


def mark_replayed(connection: Connection, letter_id: str) -> bool:
    """Close a letter; False when it was closed (or is gone)."""
    return _change(connection, letter_id, {"state": REPLAYED})


def _change(connection: Connection, letter_id: str, values: Mapping[str, Any]) -> bool:
    where = (dead_letter.c.id == letter_id) & (dead_letter.c.state != REPLAYED)
    return bool(connection.execute(update(dead_letter).where(where).values(**values)).rowcount)


def _conditions(wanted: Filter) -> Iterable[ColumnElement[bool]]:
    for name in ("code", "source", "state", "type"):
        value = getattr(wanted, name)
        if value is not None:
            yield dead_letter.c[name] == value
    if wanted.since is not None:
        yield dead_letter.c.received_at >= to_ms(wanted.since)
    if wanted.until is not None:
        yield dead_letter.c.received_at < to_ms(wanted.until)


def _find(connection: Connection, names: Sequence[str]) -> Iterable[Letter]:
    for these in among(connection, dead_letter.c.id, names):
        for row in connection.execute(select(dead_letter).where(these)):
            yield _letter(row)


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "received_at": to_ms(letter.received_at),
        "source": letter.source,
        "type": letter.type,
        "code": letter.code,
        "errors": msgspec.json.encode(letter.errors).decode(),
        "original": letter.original,
        "repaired": letter.repaired,
        "state": letter.state,
        "service": letter.service,
        "topic": letter.topic,
        "part": letter.partition,
        "position": letter.offset,
        "file": letter.file,
        "line": letter.line,
    }


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        id=row.id,
        received_at=from_ms(row.received_at),
        source=row.source,
        type=row.type,
        code=row.code,
        errors=_errors.decode(row.errors),
        original=bytes(row.original),
        repaired=None if row.repaired is None else bytes(row.repaired),
        state=row.state,
        service=row.service,
        topic=row.topic,
        partition=row.part,
        offset=row.position,
        file=row.file,
        line=row.line,
    )
