"""Appends records: in batches per partition, in order, acknowledged by all in-sync replicas.

A batch that was handed to the producer is sent by it under one number until it is acknowledged. So when an append takes
too long, the producer is kept: what was handed over will lie in the log once, and before anything appended later. Only
a producer that has failed for good is replaced; its sequence has a gap that the broker would refuse for ever.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer

from shared.errors import Unavailable
from shared.log import TopicPartition
from shared.log.kafka.answering import answering

Row = tuple[bytes, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value and headers."""

Rows = Mapping[TopicPartition, Sequence[Row]]
"""Rows by partition; the topics carry their full names."""

TOGETHER = 5_000
"""Rows after which no further append joins a turn."""

PATIENCE = 30.0
"""Seconds without an acknowledgement after which a producer that has not failed is replaced, if brokers answer."""

RETIRE_SECONDS = 5.0
"""For which a producer may take its leave before it is cut off."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    rows: Rows
    done: "asyncio.Future[None]"

    def size(self) -> int:
        """The number of its rows."""
        return sum(map(len, self.rows.values()))


class Appender:
    """The one producer of a process, opened by the first append and replaced when it has failed.

    What is asked for while an append is under way goes into the next turn, together. One that nobody waits for any more
    when its turn comes is left out.
    """

    def __init__(self, settings: Callable[[], Mapping[str, Any]], ping: Callable[[], Awaitable[None]]) -> None:
        self._settings = settings
        self._ping = ping
        self._producer: Any = None
        self._waiting: deque[_Request] = deque()
        self._turns: asyncio.Task[None] | None = None
        self._turn_began = 0.0
        self._judging: asyncio.Task[None] | None = None
        self._closed = False

    async def append(self, rows: Rows, seconds: float) -> None:
        """Return when every row is acknowledged, or raise Unavailable after so many seconds at the latest.

        Some of the rows may then be appended all the same.
        """
        if self._closed:
            raise Unavailable("the log is closed")
        request = _Request(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._turns is None or self._turns.done():
            self._turn_began = time.monotonic()
            self._turns = asyncio.create_task(self._take_turns())
        try:
            async with answering(seconds):
                await request.done
        except Unavailable:
            if self._judging is None or self._judging.done():
                self._judging = asyncio.create_task(self._judge())
            raise

    async def close(self) -> None:
        """Wait a moment for what was handed over, then let go."""
        self._closed = True
        under_way = [task for task in (self._turns, self._judging) if task is not None]
        if under_way:
            await asyncio.wait(under_way, timeout=RETIRE_SECONDS)
        await self._retire()

    async def _take_turns(self) -> None:
        while self._waiting:
            self._turn_began = time.monotonic()
            taken: list[_Request] = []
            try:
                producer = await self._open()
                taken = self._take()
                await _append(producer, _joined(taken))
            except Exception as error:
                _settle(taken or self._take(), error)
                await self._retire()
            else:
                _settle(taken, None)

    def _take(self) -> list[_Request]:
        taken: list[_Request] = []
        size = 0
        while self._waiting and size < TOGETHER:
            request = self._waiting.popleft()
            if not request.done.done():
                taken.append(request)
                size += request.size()
        return taken

    async def _open(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(**self._settings())
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _judge(self) -> None:
        """After an append without an answer: a producer that waits while brokers answer is stuck."""
        turns = self._turns
        if turns is None or turns.done() or time.monotonic() - self._turn_began < PATIENCE:
            return
        with suppress(Unavailable):
            await self._ping()
            turns.cancel()
            await asyncio.wait((turns,))
            await self._retire()

    async def _retire(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and not await _ended(producer.stop()):
            # It still holds batches and would send them whenever it could, perhaps after newer ones.
            await _ended(producer._sender.close())
            await producer.client.close()


def _settle(requests: Sequence[_Request], error: Exception | None) -> None:
    for request in requests:
        if request.done.done():
            continue
        if error is None:
            request.done.set_result(None)
        else:
            request.done.set_exception(error)


def _joined(requests: Sequence[_Request]) -> dict[TopicPartition, list[Row]]:
    joined: dict[TopicPartition, list[Row]] = {}
    for request in requests:
        for place, rows in request.rows.items():
            joined.setdefault(place, []).extend(rows)
    return joined


async def _append(producer: Any, left: dict[TopicPartition, list[Row]]) -> None:
    """Send batch after batch of each partition.

    While the last batches are under way the next are built; none is handed over before their acknowledgement, so that a
    failure never leaves a gap in a partition.
    """
    sent: list[asyncio.Future[Any]] = []
    while left:
        batches = {place: _fill(producer, rows) for place, rows in left.items()}
        await _acknowledged(sent)
        sent = [
            await producer.send_batch(batch, place.topic, partition=place.partition)
            for place, (batch, _) in batches.items()
        ]
        left = {place: rows[batches[place][1] :] for place, rows in left.items() if len(rows) > batches[place][1]}
    await _acknowledged(sent)


async def _ended(coroutine: Coroutine[Any, Any, None]) -> bool:
    task = asyncio.create_task(coroutine)
    done, _ = await asyncio.wait((task,), timeout=RETIRE_SECONDS)
    if not done:
        task.cancel()
        await asyncio.wait((task,))
    return bool(done)


def _fill(producer: Any, rows: Sequence[Row]) -> tuple[Any, int]:
    """A batch of as many rows as it takes, and their number."""
    batch = producer.create_batch()
    append = batch.append
    count = 0
    for key, value, headers in rows:
        if append(timestamp=None, key=key, value=value, headers=headers) is None:
            break
        count += 1
    batch.close()
    return batch, count


async def _acknowledged(sent: Sequence["asyncio.Future[Any]"]) -> None:
    for future in sent:
        future.add_done_callback(_heard)
    if sent:
        await asyncio.gather(*sent)


def _heard(future: "asyncio.Future[Any]") -> None:
    """Take note of an outcome that nobody waits for any more."""
    if not future.cancelled():
        future.exception()
