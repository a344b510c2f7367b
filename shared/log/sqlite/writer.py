"""The one writer of a process. What is asked for while a commit is under way goes into the next one, together."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from shared.log import Position, TopicPartition
from shared.log.sqlite.batch import Row, pack
from shared.log.sqlite.file import answering, connect, transaction

BATCH = 1000
"""Records of a batch at most: what has to be inflated to read one of them."""

TOGETHER = 5000
"""Records after which no further request joins a commit."""

Topic = tuple[int, int]
"""The number of a topic in the file and of its partitions."""


@dataclass(frozen=True, slots=True)
class Request:
    """Rows by partition and positions by group, to be committed in one step."""

    rows: Mapping[TopicPartition, Sequence[Row]]
    told: Mapping[tuple[str, TopicPartition], Position]
    done: Future[None] = field(default_factory=Future)

    def size(self) -> int:
        """The number of its records."""
        return sum(map(len, self.rows.values()))


@dataclass(frozen=True, slots=True)
class _Batch:
    place: TopicPartition
    count: int
    body: bytes


class Writer:
    """Appends in the order of the requests. After each commit `appended` gets the new ends, in the writer's thread."""

    def __init__(
        self, path: Path, clock: Callable[[], int], appended: Callable[[Mapping[TopicPartition, int]], None]
    ) -> None:
        self._connection = connect(path)
        self._clock = clock
        self._appended = appended
        self._thread = ThreadPoolExecutor(1, "log-writer")
        self._lock = threading.Lock()
        self._waiting: deque[Request] = deque()
        self.topics: dict[str, Topic] = {}

    def topic(self, name: str, partitions: int) -> Future[Topic]:
        """The topic, created with so many partitions when there is none of that name; their number stays for good."""
        return self._thread.submit(self._topic, name, partitions)

    def append(self, request: Request) -> Future[None]:
        """Done after the commit. Cancelled before its turn it leaves nothing behind."""
        with self._lock:
            self._waiting.append(request)
        self._thread.submit(self._commit_waiting)
        return request.done

    def trim(self, below: Mapping[TopicPartition, int]) -> Future[int]:
        """Deletes the batches that lie wholly below the offsets; gives the number of records gone."""
        return self._thread.submit(self._trim, below)

    def close(self) -> None:
        """Waits until everything asked for is committed."""
        self._thread.shutdown()
        self._connection.close()

    def _topic(self, name: str, partitions: int) -> Topic:
        with answering(), transaction(self._connection):
            self._connection.execute("INSERT OR IGNORE INTO topic (name, partitions) VALUES (?, ?)", (name, partitions))
            found = self._connection.execute("SELECT id, partitions FROM topic WHERE name = ?", (name,))
            number, count = found.fetchone()
            self._connection.executemany(
                "INSERT OR IGNORE INTO partition VALUES (?, ?, 0)", [(number, part) for part in range(count)]
            )
        self.topics[name] = (number, count)
        return number, count

    def _take(self) -> Sequence[Request]:
        taken: list[Request] = []
        size = 0
        with self._lock:
            while self._waiting and size < TOGETHER:
                request = self._waiting.popleft()
                if request.done.set_running_or_notify_cancel():
                    taken.append(request)
                    size += request.size()
        return taken

    def _commit_waiting(self) -> None:
        taken = self._take()
        if not taken:
            return
        try:
            ends = self._commit(taken)
        except Exception as error:
            for request in taken:
                request.done.set_exception(error)
            return
        self._appended(ends)
        for request in taken:
            request.done.set_result(None)

    def _commit(self, requests: Sequence[Request]) -> Mapping[TopicPartition, int]:
        batches = _batches(requests)
        told = {whose: position for request in requests for whose, position in request.told.items()}
        now = self._clock()
        ends: dict[TopicPartition, int] = {}
        with answering(), transaction(self._connection):
            for batch in batches:
                ends[batch.place] = self._insert(batch, now)
            self._connection.executemany(
                "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?, ?)",
                [(group, self.topics[p.topic][0], p.partition, *position) for (group, p), position in told.items()],
            )
        return ends

    def _insert(self, batch: _Batch, now: int) -> int:
        topic, part = self.topics[batch.place.topic][0], batch.place.partition
        moved: sqlite3.Cursor = self._connection.execute(
            "UPDATE partition SET next = next + ? WHERE topic = ? AND part = ? RETURNING next",
            (batch.count, topic, part),
        )
        ((end,),) = moved.fetchall()
        self._connection.execute(
            "INSERT INTO batch (topic, part, base, count, appended_at, body) VALUES (?, ?, ?, ?, ?, ?)",
            (topic, part, end - batch.count, batch.count, now, batch.body),
        )
        return int(end)

    def _trim(self, below: Mapping[TopicPartition, int]) -> int:
        gone = 0
        with answering(), transaction(self._connection):
            for place, offset in below.items():
                deleted = self._connection.execute(
                    "DELETE FROM batch WHERE topic = ? AND part = ? AND base + count <= ? RETURNING count",
                    (self.topics[place.topic][0], place.partition, offset),
                )
                gone += sum(count for (count,) in deleted.fetchall())
        return gone


def _batches(requests: Sequence[Request]) -> Sequence[_Batch]:
    """All rows, in order per partition. Packed before the transaction: nobody waits for the lock meanwhile."""
    joined: dict[TopicPartition, list[Row]] = {}
    for request in requests:
        for place, rows in request.rows.items():
            joined.setdefault(place, []).extend(rows)
    pieces = ((place, rows[i : i + BATCH]) for place, rows in joined.items() for i in range(0, len(rows), BATCH))
    return [_Batch(place, len(piece), pack(piece)) for place, piece in pieces]
