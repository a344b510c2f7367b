"""The log on one SQLite file: what the protocol asks for, put together from the file, its writer and its news."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Position, Record, Told, TopicPartition
from shared.log.sqlite import file
from shared.log.sqlite.batch import Headers, Row, partition_of
from shared.log.sqlite.blackening import blacken
from shared.log.sqlite.consumer import SqliteConsumer
from shared.log.sqlite.news import News, Watcher
from shared.log.sqlite.writer import Request, Topic, Writer

READERS = 2
"""Connections that read, each with a thread. They never wait for the writer."""

Result = TypeVar("Result")


class SqliteLog:
    """A log in one file. Several processes may append and read at once; any number of event loops may share one value.

    Appends that come while a commit is under way share the next one. An outgoing record with the key "" is a mark: it
    goes to every partition.
    """

    def __init__(self, path: Path, partitions: Mapping[str, int] | int, clock: Callable[[], int]) -> None:
        file.create(path)
        self._path = path
        self._partitions = partitions
        self._news = News()
        self._watcher = Watcher(path, self._news)
        self._closed = False
        with file.answering():
            self._writer = Writer(path, clock, self._news.learn)
            self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
            for _ in range(READERS):
                self._idle.put(file.connect(path))
        self._readers = ThreadPoolExecutor(READERS, "log-reader")

    async def append(self, records: Sequence[Outgoing], at: Told | None = None) -> None:
        """Records and positions commit together, with everything on disk when this returns."""
        counts = await self._topics({record.topic for record in records} | _topics_of(at))
        rows: dict[TopicPartition, list[Row]] = {}
        for topic, key, value, headers in records:
            row, count = Row(key or None, value, headers), counts[topic][1]
            for part in (partition_of(key, count),) if key else range(count):
                rows.setdefault(TopicPartition(topic, part), []).append(row)
        await self._commit(rows, at)

    async def append_everywhere(self, topic: str, value: bytes, headers: Headers = ()) -> None:
        """A mark in every partition, all in one commit."""
        await self.append([Outgoing(topic, "", value, headers)])

    async def tell(self, told: Told) -> None:
        """Positions without records."""
        await self.append((), told)

    def consumer(self, group: str, topics: Sequence[str]) -> SqliteConsumer:
        """A reader of all partitions of the topics. Nothing of the group lies in the file but what it tells."""
        names = tuple(topics)

        async def places() -> frozenset[TopicPartition]:
            counts = await self._topics(names)
            return frozenset(TopicPartition(name, part) for name in names for part in range(counts[name][1]))

        return SqliteConsumer(places, self._fetch, self._refresh, self._news, self._watcher)

    async def partitions(self, topic: str) -> int:
        """As many as the topic got when it was created, whatever the configuration says now."""
        return (await self._topics((topic,)))[topic][1]

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """As the file has them at this moment."""
        await self._topics((topic,))
        return {place: end for place, end in (await self._read(file.read_ends)).items() if place.topic == topic}

    async def beginnings(self, topic: str) -> Mapping[TopicPartition, int]:
        """The end where everything has been trimmed."""
        await self._topics((topic,))
        return await self._read(lambda connection: file.read_beginnings(connection, topic))

    async def read(self, partition: TopicPartition, offset: int) -> Record | None:
        """None also for an offset that has not been given out yet."""
        await self._topics((partition.topic,))
        found = (await self._fetch([(partition, offset, 1)]))[partition]
        return found[0] if found and found[0].offset == offset else None

    async def told(self, group: str, topic: str) -> Mapping[TopicPartition, Position]:
        """What the group told last."""
        return (await self._read(lambda connection: file.read_told(connection, topic))).get(group, {})

    async def trim(self, topic: str, below: Mapping[TopicPartition, int]) -> int:
        """Delete the batches of a topic that lie wholly below these offsets; the number of records that went."""
        await self._topics((topic,))
        mine = {place: offset for place, offset in below.items() if place.topic == topic}
        return await asyncio.wrap_future(self._running().trim(mine))

    async def compact(self, topic: str) -> int:
        """Trim what every group that ever told its position on the topic has passed; the number of records that went.

        A group that comes later, or is rebuilt, no longer finds these records.
        """
        groups = (await self._read(lambda connection: file.read_told(connection, topic))).values()
        everywhere = set.intersection(*map(set, groups)) if groups else set()
        return await self.trim(topic, {p: min(group[p].offset for group in groups) for p in everywhere})

    async def blacken(self, change: Callable[[Record], Record]) -> Mapping[str, int]:
        """Rewrite records where they lie; what a consumer has read ahead it keeps until it has handed it over."""
        return await asyncio.to_thread(blacken, self._path, change)

    async def ping(self) -> None:
        """Reads from the file."""
        await self._refresh()

    async def close(self) -> None:
        """Commits what was asked for, then lets go of the file. Once is enough, more does no harm."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._writer.close()
        self._watcher.close()
        self._readers.shutdown()
        while not self._idle.empty():
            self._idle.get().close()

    def _running(self) -> Writer:
        if self._closed:
            raise Unavailable("the log is closed")
        return self._writer

    async def _topics(self, names: Iterable[str]) -> Mapping[str, Topic]:
        writer = self._running()
        for name in names:
            if name not in writer.topics:
                count = self._partitions if isinstance(self._partitions, int) else self._partitions.get(name, 1)
                await asyncio.wrap_future(writer.topic(name, count))
        return writer.topics

    async def _commit(self, rows: Mapping[TopicPartition, Sequence[Row]], at: Told | None) -> None:
        told = {(at.group, place): position for place, position in at.positions.items()} if at else {}
        if rows or told:
            await asyncio.wrap_future(self._running().append(Request(rows, told)))

    async def _fetch(self, wanted: Sequence[file.Wanted]) -> Mapping[TopicPartition, list[Record]]:
        numbers = {place.topic: self._writer.topics[place.topic][0] for place, _, _ in wanted}
        return await self._read(lambda connection: file.read_records(connection, numbers, wanted))

    async def _refresh(self) -> None:
        self._news.learn(await self._read(file.read_ends))

    async def _read(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        self._running()
        return await asyncio.wrap_future(self._readers.submit(self._with_connection, query))

    def _with_connection(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = self._idle.get()
        try:
            with file.answering():
                return query(connection)
        finally:
            self._idle.put(connection)


def _topics_of(at: Told | None) -> set[str]:
    return {place.topic for place in at.positions} if at else set()


def open_log(
    path: str | PathLike[str], partitions: Mapping[str, int] | int = 1, *, clock: Callable[[], int]
) -> SqliteLog:
    """The log in this file, created when it is not there. `clock` gives milliseconds since 1970.

    `partitions` is the number for topics that do not exist yet, for all or by name (1 for those not named). Raises
    Unavailable when the file cannot be used.
    """
    return SqliteLog(Path(path), partitions, clock)
