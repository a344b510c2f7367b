"""The file: its tables, its connections and every statement that reads it. All of it blocks: call it in a thread."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from shared.errors import Unavailable
from shared.log import Position, Record, TopicPartition
from shared.log.sqlite.batch import unpack

BUSY_SECONDS = 5.0
"""How long a write waits for the writers of other processes before the log counts as unavailable."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS partition (
    topic INTEGER NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, part INTEGER NOT NULL, base INTEGER NOT NULL,
    count INTEGER NOT NULL, appended_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS batch_at ON batch (topic, part, base, count);
CREATE TABLE IF NOT EXISTS position (
    consumers TEXT NOT NULL, topic INTEGER NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL,
    appended_at INTEGER NOT NULL, event_time INTEGER NOT NULL, PRIMARY KEY (consumers, topic, part)) WITHOUT ROWID;
"""

FROM_OFFSET = """
SELECT base, appended_at, body FROM batch WHERE topic = :topic AND part = :part AND base >= coalesce((
    SELECT base FROM batch WHERE topic = :topic AND part = :part AND base <= :at ORDER BY base DESC LIMIT 1), 0)
ORDER BY base
"""

Wanted = tuple[TopicPartition, int, int]
"""A partition, the offset to read from, and the number of records that are enough."""


@contextmanager
def answering() -> Iterator[None]:
    """Turns whatever SQLite complains of (locked, full, unreadable) into Unavailable."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"the log file does not answer: {error}") from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit that any one thread at a time may use. `synchronous=FULL` makes a commit durable."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("synchronous=FULL", "journal_size_limit=67108864", "wal_autocheckpoint=4000"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def create(path: Path) -> None:
    """The tables, where they are not there yet. Several processes may do this at once."""
    with answering(), closing(connect(path)) as connection:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError:
                # The change of mode does not wait for other processes, whatever the busy timeout.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction that takes the lock before it reads, so that it never has to be tried again."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def read_ends(connection: sqlite3.Connection) -> Mapping[TopicPartition, int]:
    """The offset after the last record of every partition there is."""
    found = connection.execute("SELECT name, part, next FROM partition JOIN topic ON topic.id = partition.topic")
    return {TopicPartition(name, part): end for name, part, end in found}


def read_beginnings(connection: sqlite3.Connection, topic: str) -> Mapping[TopicPartition, int]:
    """The oldest offset still there, per partition; that of an empty one is its end."""
    found = connection.execute(
        "SELECT part, coalesce((SELECT min(base) FROM batch b WHERE b.topic = p.topic AND b.part = p.part), next) "
        "FROM partition p JOIN topic ON topic.id = p.topic WHERE name = ?",
        (topic,),
    )
    return {TopicPartition(topic, part): beginning for part, beginning in found}


def read_records(
    connection: sqlite3.Connection, topics: Mapping[str, int], wanted: Sequence[Wanted]
) -> Mapping[TopicPartition, list[Record]]:
    """Whole batches of each partition until there are enough, without what lies before the offset."""
    return {place: _read(connection, topics[place.topic], place, at, enough) for place, at, enough in wanted}


def _read(connection: sqlite3.Connection, topic: int, place: TopicPartition, at: int, enough: int) -> list[Record]:
    records: list[Record] = []
    # Closed, not left to be collected: an open cursor holds a snapshot that no checkpoint can pass.
    with closing(connection.execute(FROM_OFFSET, {"topic": topic, "part": place.partition, "at": at})) as batches:
        for base, appended_at, body in batches:
            found = unpack(place, base, appended_at, body)
            records += found[at - base :] if base < at else found
            if len(records) >= enough:
                break
    return records


def read_told(connection: sqlite3.Connection, topic: str) -> Mapping[str, Mapping[TopicPartition, Position]]:
    """What every group said of its positions on a topic."""
    found = connection.execute(
        "SELECT consumers, part, next, appended_at, event_time FROM position "
        "JOIN topic ON topic.id = position.topic WHERE name = ?",
        (topic,),
    )
    told: dict[str, dict[TopicPartition, Position]] = {}
    for group, part, *position in found:
        told.setdefault(group, {})[TopicPartition(topic, part)] = Position(*position)
    return told
