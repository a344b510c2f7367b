"""Where an import is sorted: one SQLite file in the data folder, so that memory stays small whatever the file holds.

Rows are kept by the group they belong to (an order's rows may lie anywhere in a file), then events by their time. The
file is complete or begun again; from a complete one an interrupted import goes on. It is deleted at the end.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    case,
    func,
    select,
    tuple_,
)

from services.importing.drafting import Draft
from shared.database import open_sqlite, put, transaction
from shared.errors import WrongSetting

CHUNK = 5_000
LETTER = -(1 << 62)
"""The place of dead letters in the order of time: before everything."""

metadata = MetaData()
line = Table(
    "line",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("part", Text, nullable=False),
    Column("file", Integer, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("total", Text),
    Column("body", LargeBinary, nullable=False),
    Index("line_part", "part", "seq"),
)
"""A drafted row: `part` is its source and group, `total` the amount that it says for an order of several rows."""

event = Table(
    "event",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Index("event_at", "at", "seq"),
)
"""What is to be appended, by its time (ms)."""

done = Table("done", metadata, Column("id", Integer, primary_key=True), Column("summary", Text, nullable=False))
"""One row once everything is staged: the summary."""

_packer = msgspec.msgpack.Encoder(decimal_format="string")
_drafts = msgspec.msgpack.Decoder(Draft)


class Staged(NamedTuple):
    """A drafted row with its place: the number of its file and its line."""

    file: int
    line: int
    draft: Draft


class Staging:
    """The staging file of one import. Only one process at a time may have it."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{name}.db"
        self._lock = (folder / f"{name}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise WrongSetting("this import is running already, in another process") from None
        self._engine = open_sqlite(self.path)
        with transaction(self._engine) as connection:
            metadata.create_all(connection)
        self._rows = self._events = 0

    def summary(self) -> dict[str, Any] | None:
        """The summary of a complete staging, None when it has to be made."""
        with self._engine.connect() as connection:
            found = connection.execute(select(done.c.summary)).scalar_one_or_none()
        return None if found is None else dict(json.loads(found))

    def start(self) -> None:
        """Empty, whatever an interrupted run left."""
        self._rows = self._events = 0
        with transaction(self._engine) as connection:
            metadata.drop_all(connection)
            metadata.create_all(connection)

    def add_rows(self, rows: Sequence[tuple[str, Staged]]) -> None:
        """Keep drafted rows, each with its part, in the order of the file."""
        written = []
        for part, (file, number, draft) in rows:
            self._rows += 1
            total = draft.total if draft.named else None
            body = _packer.encode(draft)
            written.append(
                {"seq": self._rows, "part": part, "file": file, "line": number, "total": total, "body": body}
            )
        with transaction(self._engine) as connection:
            put(connection, line, written)

    def totals_differ(self) -> bool:
        """Whether the rows of most orders of several rows say different totals: then they say those of their lines."""
        orders = (
            select(case((func.count(line.c.total.distinct()) > 1, 1), else_=0).label("differ"))
            .where(line.c.total.is_not(None))
            .group_by(line.c.part)
            .having(func.count() > 1)
            .subquery()
        )
        with self._engine.connect() as connection:
            differ, several = connection.execute(
                select(func.sum(orders.c.differ), func.count()).select_from(orders)
            ).one()
        return bool(2 * int(differ or 0) > int(several))

    def groups(self, most: int) -> Iterator[list[Staged]]:
        """The rows of each part, read in pages; of a part at most so many rows and one more."""
        held: list[Staged] = []
        name: str | None = None
        for part, staged in self._by_part():
            if part != name and held:
                yield held
                held = []
            name = part
            if len(held) <= most:
                held.append(staged)
        if held:
            yield held

    def _by_part(self) -> Iterator[tuple[str, Staged]]:
        last: tuple[str, int] = ("", 0)
        key = tuple_(line.c.part, line.c.seq)
        columns = (line.c.part, line.c.seq, line.c.file, line.c.line, line.c.body)
        while True:
            query = select(*columns).where(key > last).order_by(line.c.part, line.c.seq).limit(CHUNK)
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                yield row.part, Staged(row.file, row.line, _drafts.decode(row.body))
            if len(rows) < CHUNK:
                return
            last = (rows[-1].part, rows[-1].seq)

    def add_events(self, events: Sequence[tuple[int, str, bytes]]) -> None:
        """Keep what is to be appended: time, key, bytes."""
        rows = []
        for at, key, value in events:
            self._events += 1
            rows.append({"seq": self._events, "at": at, "key": key, "value": value})
        with transaction(self._engine) as connection:
            put(connection, event, rows)

    def complete(self, summary: Mapping[str, Any]) -> None:
        """Everything is here; the rows are no longer needed."""
        with transaction(self._engine) as connection:
            line.drop(connection)
            put(connection, done, [{"id": 1, "summary": json.dumps(summary)}])

    def bounds(self) -> tuple[int, int] | None:
        """The times (ms) of the first and the last event; None without events."""
        with self._engine.connect() as connection:
            query = select(func.min(event.c.at), func.max(event.c.at)).where(event.c.at > LETTER)
            first, last = connection.execute(query).one()
        return None if first is None else (first, last)

    def counts(self) -> tuple[int, int]:
        """How many dead letters and how many events are to be appended."""
        with self._engine.connect() as connection:
            letters = connection.execute(select(func.count()).where(event.c.at == LETTER)).scalar_one()
            every = connection.execute(select(func.count()).select_from(event)).scalar_one()
        return letters, every - letters

    def place(self, number: int) -> tuple[int, int]:
        """Where the so-manyth thing to be appended stands in the order (time in ms, number); number from 1 on."""
        query = select(event.c.at, event.c.seq).order_by(event.c.at, event.c.seq).offset(number - 1).limit(1)
        with self._engine.connect() as connection:
            found = connection.execute(query).one()
        return found.at, found.seq

    def events(self, skip: int) -> Iterator[Sequence[tuple[int, str, bytes]]]:
        """What is to be appended in the order of its time, in pages, without the first `skip`."""
        order = (event.c.at, event.c.seq)
        last = self.place(skip) if skip else (LETTER - 1, 0)
        while True:
            page = select(event).where(tuple_(*order) > last).order_by(*order).limit(CHUNK)
            with self._engine.connect() as connection:
                rows = connection.execute(page).all()
            if rows:
                yield [(row.at, row.key, row.value) for row in rows]
                last = (rows[-1].at, rows[-1].seq)
            if len(rows) < CHUNK:
                return

    def close(self, *, remove: bool = False) -> None:
        """Let go of the file; `remove` deletes it."""
        self._engine.dispose()
        if remove:
            for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
                self.path.with_suffix(suffix).unlink(missing_ok=True)
        self._lock.close()
