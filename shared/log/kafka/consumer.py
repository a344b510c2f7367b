"""A member of a group: shares the partitions with the others, reads from where the runtime tells it to.

The runtime's database decides who may apply a partition and from where; the group only spreads the work. So what the
group does is never trusted: records are taken only from positions that were sought, and after every change of the
group each partition that stayed is sought again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiokafka.errors import OffsetOutOfRangeError

from shared.errors import Conflict
from shared.log import Position, Record, TopicPartition
from shared.log.kafka.answering import answering
from shared.log.kafka.configuration import ANSWER_SECONDS
from shared.log.kafka.membership import Membership
from shared.log.kafka.reading import Backlog
from shared.telemetry import logger

GRACE = 0.02
"""Seconds that the shortest poll waits for a broker: without them, asking again at once would be a busy loop."""

FETCH_SECONDS = 5.0
"""For which one fetch waits; it is never cancelled, since that would upset the library's watch over idle members."""

STUCK_SECONDS = 30.0
"""Of waiting without a record, after which a member looks whether there should have been some."""


class Offsets(Protocol):
    """What a member asks of the cluster besides records."""

    async def beginnings(self, topic: str) -> Mapping[TopicPartition, int]:
        """The oldest offset still there, per partition."""

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """The offset after the last record, per partition."""


class KafkaConsumer:
    """Joins its group with the first call, and anew whenever the library's consumer has failed or stands still."""

    def __init__(self, join: Callable[[Membership], Awaitable[Any]], name: Callable[[str], str], log: Offsets) -> None:
        self._join = join
        self._name = name
        self._log = log
        self._backlog = Backlog()
        self._member: Membership | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._paused: frozenset[TopicPartition] = frozenset()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = False
        self._waited = 0.0
        self._closed = False

    async def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that the group has given to this member; none until it has joined."""
        mine = await self._joined()
        missed = self._member.take_missed() if self._member is not None else frozenset()
        if missed:
            self.wake()  # the next call is to come soon
        return mine - missed

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """The next poll reads this partition from here; what lies near is not fetched again."""
        known = self._backlog.seek(partition, offset)
        if self._member is not None:
            self._member.seek(partition, None if known else offset)

    def pause(self, partitions: frozenset[TopicPartition]) -> None:
        """Exactly these are paused from now on; of each a few thousand records may still be fetched ahead."""
        self._paused = partitions

    async def poll(self, max_records: int, timeout: float) -> Mapping[TopicPartition, Sequence[Record]]:
        """Up to `max_records`, shared fairly. Ends at once when the assignment has changed."""
        mine = await self._joined()
        assert self._member is not None or self._closed
        clock = asyncio.get_running_loop().time
        deadline = clock() + max(timeout, GRACE)
        while not (found := self._backlog.deal(mine - self._paused, max_records)) and not self._woken:
            left = deadline - clock()
            if left <= 0 or self._member is None:
                break
            await self._wait(self._member, left)
        self._woken = False
        if self._member is not None:
            self._member.regulate()
            self._fetch(self._member)
        return found

    def wake(self) -> None:
        """End a waiting poll at once; from any thread."""
        self._woken = True
        if self._loop is not None:
            with suppress(RuntimeError):  # its event loop is closed: nobody waits there any more
                self._loop.call_soon_threadsafe(self._news.set)

    async def tell(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """Commit as this member; False when it is none or the partitions are not its own."""
        if self._member is None or not self._member.mine.issuperset(positions):
            return False
        await self._member.commit(positions)
        return True

    async def close(self) -> None:
        """Leave the group."""
        self._closed = True
        await self._leave()
        self.wake()

    async def _joined(self) -> frozenset[TopicPartition]:
        if self._closed:
            return frozenset()
        if self._member is None:
            self._loop = asyncio.get_running_loop()
            member = Membership(self._backlog, self._name, self.wake)
            async with answering(ANSWER_SECONDS):
                member.consumer = await self._join(member)
            self._member = member
        return self._member.mine

    async def _wait(self, member: Membership, seconds: float) -> None:
        """Until there is news, at most so long. Raises what the fetching has come upon."""
        self._news.clear()
        self._fetch(member)
        async with answering(ANSWER_SECONDS):
            await member.commit_again()
        started = asyncio.get_running_loop().time()
        waiting = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait((waiting,), timeout=seconds)
        finally:
            waiting.cancel()
        self._waited += asyncio.get_running_loop().time() - started
        if self._error is not None:
            await self._heed(member, self._error)
        elif member.failed or await self._is_stuck(member):
            logger().warning("consumer_renewed", reason="it stood still")
            await self._leave()

    def _fetch(self, member: Membership) -> None:
        """Have a fetch under way, unless enough waits or the last one failed."""
        if self._fetching is None and self._error is None and member.hungry():
            self._fetching = asyncio.create_task(self._fetch_once(member))

    async def _fetch_once(self, member: Membership) -> None:
        try:
            if member.take(await member.consumer.getmany(timeout_ms=int(FETCH_SECONDS * 1000))):
                self._waited = 0.0
        except (Exception, asyncio.CancelledError) as error:
            # Also a cancellation that the library lets escape; when it is ours, nobody looks any more.
            self._error = error
        finally:
            self._fetching = None
            self._news.set()

    async def _heed(self, member: Membership, error: BaseException) -> None:
        self._error = None
        if isinstance(error, OffsetOutOfRangeError):
            await self._out_of_range(member, error)
            return
        await self._leave()
        async with answering(ANSWER_SECONDS):
            raise error

    async def _out_of_range(self, member: Membership, error: OffsetOutOfRangeError) -> None:
        """Go on with the oldest record when ours are gone; the claim decides about everything else."""
        for name, offset in error.args[0].items():
            place = member.place(name)
            oldest = (await self._log.beginnings(place.topic)).get(place, 0)
            if offset >= oldest:
                raise Conflict(f"{place} has no offset {offset}: it was cut off or made anew")
            logger().warning("records_gone", topic=place.topic, partition=place.partition, offset=oldest)
            self.seek(place, oldest)

    async def _is_stuck(self, member: Membership) -> bool:
        if self._waited < STUCK_SECONDS:
            return False
        self._waited = 0.0
        for topic in {place.topic for place in member.mine - self._paused}:
            for place, end in (await self._log.ends(topic)).items():
                if place in member.mine - self._paused and await member.position(place) < end:
                    return True
        return False

    async def _leave(self) -> None:
        member, self._member = self._member, None
        task, self._waited = self._fetching, 0.0
        if member is not None:
            await member.leave()
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._fetching = self._error = None
        self._backlog.forget(list(self._backlog.sought()))
