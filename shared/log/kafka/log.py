"""The log on Kafka: what the protocol asks for, put together from appending, consumers, questions and positions."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Place
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Position, Record, Told, TopicPartition
from shared.log.kafka import positions
from shared.log.kafka.address import Address
from shared.log.kafka.answering import answering
from shared.log.kafka.appending import Appender, Row
from shared.log.kafka.configuration import ANSWER_SECONDS, APPEND_SECONDS, Configuration
from shared.log.kafka.consumer import KafkaConsumer
from shared.log.kafka.keys import key_bytes, key_text
from shared.log.kafka.membership import Membership
from shared.log.kafka.partitioning import partition_of
from shared.log.kafka.requests import Requests, check, leader
from shared.log.kafka.topics import Plan, Topics

OLDEST, NEXT = -2, -1
"""Instead of a time in a question for offsets: the oldest there is, the one after the last."""

Headers = tuple[tuple[str, bytes], ...]


class KafkaLog:
    """A log on the brokers of one address, of topics and groups with one prefix; for one event loop.

    Topics that do not exist are created as planned. An outgoing record with the key "" is a mark: it goes to every
    partition. Brokers compact and expire records by the configuration of the topics; nothing here does.
    """

    def __init__(self, configuration: Configuration, prefix: str, plan_of: Callable[[str], Plan]) -> None:
        self._configuration = configuration
        self._prefix = prefix
        self._requests = Requests(configuration.client)
        self._appender = Appender(configuration.producer, self._requests.ping)
        self._consumers: dict[str, list[KafkaConsumer]] = {}
        self._closed = False
        self.topics = Topics(self._requests, prefix, plan_of)

    async def append(self, records: Sequence[Outgoing], at: Told | None = None) -> None:
        """Acknowledged by all in-sync replicas when this returns; `at` is told after it.

        Unavailable comes within `APPEND_SECONDS`, however many wait. Some of the records may then lie in the log, or
        come to lie there, all the same.
        """
        self._check_open()
        clock = asyncio.get_running_loop().time
        deadline = clock() + APPEND_SECONDS
        async with answering(APPEND_SECONDS):
            counts = await self.topics.counts({record.topic for record in records})
        rows: dict[TopicPartition, list[Row]] = {}
        for topic, key, value, headers in records:
            full, count = self.topics.full(topic), counts[topic]
            row = (key_bytes(key, value), value, list(headers))
            for part in (partition_of(key, count),) if key else range(count):
                rows.setdefault(TopicPartition(full, part), []).append(row)
        if rows:
            await self._append(rows, max(deadline - clock(), 0.0))
        if at is not None:
            await self.tell(at)

    async def append_everywhere(self, topic: str, value: bytes, headers: Headers = ()) -> None:
        """A mark in every partition."""
        await self.append([Outgoing(topic, "", value, headers)])

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaConsumer:
        """A new member of a group; it joins with its first call."""

        async def join(member: Membership) -> Any:
            self._check_open()
            await self.topics.counts(topics)
            found = AIOKafkaConsumer(**self._configuration.consumer(self._prefix + group))
            member.consumer = found
            try:
                await found.start()
                found.subscribe([self.topics.full(topic) for topic in topics], listener=member)
            except BaseException:
                await found.stop()
                raise
            return found

        made = KafkaConsumer(join, self.topics.full, self)
        self._consumers.setdefault(group, []).append(made)
        return made

    async def partitions(self, topic: str) -> int:
        """The number of partitions the topic has."""
        return (await self.topics.counts((topic,)))[topic]

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """As the leaders of the partitions have them at this moment."""
        return await self._offsets(topic, NEXT)

    async def beginnings(self, topic: str) -> Mapping[TopicPartition, int]:
        """After what retention has taken away."""
        return await self._offsets(topic, OLDEST)

    async def read(self, partition: TopicPartition, offset: int) -> Record | None:
        """None also for an offset that is not there yet."""
        await self.topics.counts((partition.topic,))
        place = Place(self.topics.full(partition.topic), partition.partition)

        async def ask(client: Any) -> Any:
            wanted = [(place.topic, [(place.partition, offset, self._configuration.fetch_bytes)])]
            answer = await client.send(leader(client, place), FetchRequest(0, 0, 1 << 26, 0, wanted))
            ((_, ((_, code, *_, body),)),) = answer.topics
            check(code)
            return body

        try:
            body = await self._requests.repeated(ask)
        except Unavailable as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                return None
            raise
        return _find(partition, body, offset)

    async def tell(self, told: Told) -> None:
        """Commit as the member that holds the partitions; where there is none, as anybody may while there is none."""
        self._check_open()
        if not told.positions:
            return
        async with answering(ANSWER_SECONDS):
            for member in self._consumers.get(told.group, ()):
                if await member.tell(told.positions):
                    return
            committed = {
                (self.topics.full(place.topic), place.partition): position for place, position in told.positions.items()
            }
            await positions.commit(self._requests, self._prefix + told.group, committed)

    async def told(self, group: str, topic: str) -> Mapping[TopicPartition, Position]:
        """What the group has committed last."""
        count = await self.partitions(topic)
        found = await positions.fetch(self._requests, self._prefix + group, self.topics.full(topic), count)
        return {TopicPartition(topic, part): position for part, position in found.items()}

    async def ping(self) -> None:
        """Asks any broker."""
        self._check_open()
        await self._requests.ping()

    async def close(self) -> None:
        """Leaves all groups, waits a moment for what is being appended, closes the connections."""
        if self._closed:
            return
        self._closed = True
        members = [member for group in self._consumers.values() for member in group]
        await asyncio.gather(*(member.close() for member in members))
        await self._appender.close()
        await self._requests.close()

    async def _append(self, rows: Mapping[TopicPartition, Sequence[Row]], seconds: float) -> None:
        try:
            await self._appender.append(rows, seconds)
        except Unavailable:
            self.topics.forget()
            raise

    async def _offsets(self, topic: str, which: int) -> Mapping[TopicPartition, int]:
        self._check_open()
        count = (await self.topics.counts((topic,)))[topic]
        full = self.topics.full(topic)

        async def ask(client: Any) -> Mapping[TopicPartition, int]:
            asked: dict[int, list[tuple[int, int]]] = {}
            for part in range(count):
                asked.setdefault(leader(client, Place(full, part)), []).append((part, which))
            answers = await asyncio.gather(
                *(client.send(node, OffsetRequest(-1, 0, [(full, parts)])) for node, parts in asked.items())
            )
            return {TopicPartition(topic, part): offset for answer in answers for part, offset in _offset(answer)}

        try:
            return await self._requests.repeated(ask)
        except Unavailable:
            self.topics.forget()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the log is closed")


def _offset(answer: Any) -> list[tuple[int, int]]:
    found = []
    for _, parts in answer.topics:
        for part, code, _, offset, *_ in parts:
            check(code)
            found.append((part, offset))
    return found


def _find(place: TopicPartition, body: bytes, offset: int) -> Record | None:
    batches = MemoryRecords(body)
    while batches.has_next():
        batch = batches.next_batch()
        if batch.is_control_batch:
            continue
        for one in batch:
            if one.offset == offset:
                headers = tuple(one.headers)
                return Record(
                    place.topic, place.partition, offset, one.timestamp, key_text(one.key), one.value, headers
                )
    return None


def open_log(address: Address, prefix: str = "", plan_of: Callable[[str], Plan] = lambda _: Plan()) -> KafkaLog:
    """The log at this address. Nothing is connected before the first call; `plan_of` says how a topic is created."""
    return KafkaLog(Configuration(address), prefix, plan_of)
