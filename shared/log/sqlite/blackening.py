"""Records rewritten where they lie: what was to be erased is gone from the file. Blocks: call it in a thread."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from shared.log import BLACKENED, Record, TopicPartition, is_blackened
from shared.log.sqlite.batch import Row, pack, unpack
from shared.log.sqlite.file import answering, connect, transaction

CHUNK = 100
"""Batches read at once."""

_NEXT = """
SELECT batch.id, topic.name, part, base, appended_at, body FROM batch JOIN topic ON topic.id = batch.topic
WHERE batch.id > ? ORDER BY batch.id LIMIT ?
"""


def blacken(path: Path, change: Callable[[Record], Record]) -> Mapping[str, int]:
    """Go through the whole log once; a batch is written anew, with its offsets, only if one of its records changed."""
    changed: Counter[str] = Counter()
    last = 0
    with answering(), closing(connect(path)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        while batches := connection.execute(_NEXT, (last, CHUNK)).fetchall():
            for number, topic, part, base, appended_at, body in batches:
                records = unpack(TopicPartition(topic, part), base, appended_at, body)
                after = [_marked(record, change(record)) for record in records]
                count = sum(new is not old for new, old in zip(after, records, strict=True))
                if count:
                    _write(connection, number, after)
                    changed[topic] += count
                last = number
        # Pages as they were before lie in the write-ahead log until it is cut off.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return changed


def _marked(before: Record, after: Record) -> Record:
    if after is before or after == before:
        return before
    return after if is_blackened(after) else after._replace(headers=(*after.headers, (BLACKENED, b"")))


def _write(connection: sqlite3.Connection, number: int, records: list[Record]) -> None:
    body = pack([Row(record.key, record.value, record.headers) for record in records])
    with transaction(connection):
        connection.execute("UPDATE batch SET body = ? WHERE id = ?", (body, number))
