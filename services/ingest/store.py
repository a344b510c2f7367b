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
    Select,
    String,
    Table,
    Text,
    case,
    delete,
    func,
    select,
    tuple_,
    update,
)

from services.ingest.model import OPEN, REPAIRED, REPLAYED, Door, Forgotten, Incoming, Letter, Rule
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

_age = tuple_(dead_letter.c.received_at, dead_letter.c.id)
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
    """The letters that one batch brings, those of them that are kept already, and the rules of its sources."""

    def __init__(self, kept: Mapping[str, Letter], rules: Mapping[str, Rule]) -> None:
        self._kept = dict(kept)
        self._rules = rules
        self.fresh: list[Letter] = []
        self.forgotten: list[Forgotten] = []
        self.confirmed: list[Outgoing] = []

    def part(self, event: Incoming) -> Door:
        """An open door with the rule of the event's source; for a letter that is kept, the door that holds it."""
        if isinstance(event, Letter):
            return Door(letter=self._kept.get(event.id))
        if isinstance(event, Forgotten):
            self.forgotten.append(event)
            return Door()
        return Door(rule=self._rules.get(event.event.source))

    def replace(self, before: Door, after: Door) -> None:
        """Keep the letter that the batch brought."""
        if after.letter is not None and after.letter is not before.letter:
            self._kept[after.letter.id] = after.letter
            self.fresh.append(after.letter)


def load(connection: Connection, rules: Mapping[str, Rule], events: Sequence[Incoming]) -> Work:
    """The letters of a batch that are kept already; `rules` are those of its sources."""
    names = [event.id for event in events if isinstance(event, Letter)]
    return Work({letter.id: letter for letter in _find(connection, names)}, rules)


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
) -> tuple[list[Letter], bool]:
    """Letters from the newest on, and whether there are more; `before` is (received_at in ms, id) of the last one."""
    query = _letters(wanted).order_by(dead_letter.c.received_at.desc(), dead_letter.c.id.desc())
    return _bounded(connection, query if before is None else query.where(_age < before), limit)


def unreplayed(
    connection: Connection, wanted: Filter, after: tuple[int, str] | None, limit: int
) -> tuple[list[Letter], bool]:
    """Letters that are open or repaired, from the oldest on, and whether there are more."""
    query = _letters(wanted).where(dead_letter.c.state != REPLAYED)
    query = query.order_by(dead_letter.c.received_at, dead_letter.c.id)
    return _bounded(connection, query if after is None else query.where(_age > after), limit)


def _letters(wanted: Filter) -> Select[Any]:
    return select(dead_letter.c.id, func.length(dead_letter.c.original)).where(*_conditions(wanted))


def _bounded(connection: Connection, query: Select[Any], limit: int) -> tuple[list[Letter], bool]:
    """The letters of a query for ids and sizes, as far as a page may go in number and bytes."""
    rows = connection.execute(query.limit(limit + 1)).all()
    names: list[str] = []
    size = 0
    for name, length in rows[:limit]:
        size += length
        if names and size > LARGEST_PAGE:
            break
        names.append(name)
    letters = {letter.id: letter for letter in _find(connection, names)}
    return [letters[name] for name in names if name in letters], len(rows) > len(names)


class Count(msgspec.Struct, frozen=True):
    """How many letters of one reason and source there are, by state, and when the latest arrived."""

    code: str
    source: str
    count: int
    open: int
    repaired: int
    replayed: int
    latest_at: datetime


def counts(connection: Connection, wanted: Filter, after: tuple[str, str] | None, limit: int) -> list[Count]:
    """Counts in order of code and source, from behind `after` on."""
    kind = (dead_letter.c.code, dead_letter.c.source)
    by_state = [func.sum(case((dead_letter.c.state == state, 1), else_=0)) for state in (OPEN, REPAIRED, REPLAYED)]
    query = select(*kind, func.count(), *by_state, func.max(dead_letter.c.received_at)).where(*_conditions(wanted))
    if after is not None:
        query = query.where(tuple_(*kind) > after)
    rows = connection.execute(query.group_by(*kind).order_by(*kind).limit(limit))
    return [Count(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), int(row[5]), from_ms(row[6])) for row in rows]


def total(connection: Connection, wanted: Filter) -> int:
    """How many letters match."""
    return connection.execute(select(func.count()).select_from(dead_letter).where(*_conditions(wanted))).scalar_one()


def oldest(connection: Connection) -> datetime | None:
    """When the oldest letter arrived."""
    found = connection.execute(select(func.min(dead_letter.c.received_at))).scalar_one()
    return None if found is None else from_ms(found)


def purge(connection: Connection, before: datetime, limit: int) -> int:
    """Delete the oldest letters that arrived before a moment, at most `limit`; how many."""
    names = select(dead_letter.c.id).where(dead_letter.c.received_at < to_ms(before))
    names = names.order_by(dead_letter.c.received_at).limit(limit)
    return connection.execute(delete(dead_letter).where(dead_letter.c.id.in_(names))).rowcount


def repair(connection: Connection, letter_id: str, corrected: bytes, kind: str) -> bool:
    """Put a corrected event beside the original; False when the letter has been replayed (or is gone)."""
    return bool(_change(connection, [letter_id], {"repaired": corrected, "type": kind, "state": REPAIRED}))


def mark_replayed(connection: Connection, names: Sequence[str]) -> int:
    """Close letters; how many of them were not closed before."""
    return _change(connection, names, {"state": REPLAYED})


def _change(connection: Connection, names: Sequence[str], values: Mapping[str, Any]) -> int:
    changed = 0
    for these in among(connection, dead_letter.c.id, names):
        where = these & (dead_letter.c.state != REPLAYED)
        changed += connection.execute(update(dead_letter).where(where).values(**values)).rowcount
    return changed


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
