"""Where source documents and quarantines are kept: two small tables, read whole."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, delete, select

from services.ingest.model import Rule
from services.ingest.sources.document import Document
from services.ingest.store import metadata
from shared.database import among, put
from shared.events.times import from_ms, to_ms

event_source = Table(
    "event_source",
    metadata,
    Column("name", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""The documents with their secrets: who verifies a signature must know what it was made with."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("source", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
)

_decoder = msgspec.json.Decoder(Document)


class Quarantine(msgspec.Struct, frozen=True):
    """Since when a source is kept out, and what its events were like until then."""

    source: str
    since: datetime
    accepted: int
    rejected: int


def documents(connection: Connection) -> list[Document]:
    """All documents in order of their names."""
    rows = connection.execute(select(event_source.c.body).order_by(event_source.c.name))
    return [_decoder.decode(bytes(row.body)) for row in rows]


def find(connection: Connection, name: str) -> Document | None:
    """One document."""
    row = connection.execute(select(event_source.c.body).where(event_source.c.name == name)).one_or_none()
    return None if row is None else _decoder.decode(bytes(row.body))


def keep(connection: Connection, document: Document, now: datetime) -> None:
    """Put a document in the place of the former."""
    row = {"name": document.name, "body": msgspec.json.encode(document), "changed_at": to_ms(now)}
    put(connection, event_source, [row])


def remove(connection: Connection, name: str) -> bool:
    """Take a document away; False when there is none."""
    return bool(connection.execute(delete(event_source).where(event_source.c.name == name)).rowcount)


def quarantines(connection: Connection) -> list[Quarantine]:
    """All sources in quarantine, by name."""
    rows = connection.execute(select(quarantine).order_by(quarantine.c.source))
    return [Quarantine(row.source, from_ms(row.since), row.accepted, row.rejected) for row in rows]


def confine(connection: Connection, found: Sequence[Quarantine]) -> None:
    """Put sources in quarantine; those that are stay as they are."""
    rows = [{**msgspec.structs.asdict(one), "since": to_ms(one.since)} for one in found]
    put(connection, quarantine, rows, "ignore")


def release(connection: Connection, source: str) -> bool:
    """Let a source in again; False when it is not in quarantine."""
    return bool(connection.execute(delete(quarantine).where(quarantine.c.source == source)).rowcount)


def rules(connection: Connection, sources: Iterable[str]) -> Mapping[str, Rule]:
    """The rules of those sources that have one."""
    names = sorted(set(sources))
    found: dict[str, Rule] = {}
    for these in among(connection, event_source.c.name, names):
        for row in connection.execute(select(event_source.c.body).where(these)):
            document = _decoder.decode(bytes(row.body))
            found[document.name] = Rule(document.mode)
    for these in among(connection, quarantine.c.source, names):
        for row in connection.execute(select(quarantine.c.source).where(these)):
            found[row.source] = Rule(found.get(row.source, Rule()).mode, quarantined=True)
    return found
