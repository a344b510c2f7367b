"""What the topics hold and where they end, read with a consumer that belongs to no group."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from services.topics import plans

PLANS = plans()
"""The topics as `deploy/topics.yaml` plans them."""


class Record(NamedTuple):
    """One record of a topic."""

    partition: int
    offset: int
    key: str | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


Ends = Mapping[tuple[str, int], int]
"""The offset behind the last record, by topic (without prefix) and partition."""


class Topics:
    """Reads the topics of one prefix."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self._brokers = brokers
        self._prefix = prefix

    def ends(self, topics: Sequence[str]) -> Ends:
        """Where the topics end now."""
        return asyncio.run(self._ends(topics))

    def read(self, topic: str) -> list[Record]:
        """Everything that is on a topic."""
        return asyncio.run(self._read(topic))

    async def _open(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._brokers, enable_auto_commit=False, fetch_max_wait_ms=100)
        await consumer.start()
        return consumer

    def _places(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [
            TopicPartition(self._prefix + topic, number)
            for topic in topics
            for number in range(PLANS[topic].partitions)
        ]

    async def _ends(self, topics: Sequence[str]) -> Ends:
        consumer = await self._open()
        try:
            places = self._places(topics)
            ends = await consumer.end_offsets(places)
        finally:
            await consumer.stop()
        return {(place.topic.removeprefix(self._prefix), place.partition): end for place, end in ends.items()}

    async def _read(self, topic: str) -> list[Record]:
        consumer = await self._open()
        try:
            places = self._places([topic])
            ends = await consumer.end_offsets(places)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            found: list[Record] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for part in (await consumer.getmany(timeout_ms=500, max_records=5_000)).values():
                    found += _records(part)
        finally:
            await consumer.stop()
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def delete(self) -> None:
        """Delete all topics of the prefix."""
        asyncio.run(self._delete())

    async def _delete(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._brokers)
        await admin.start()
        try:
            names = [name for name in await admin.list_topics() if name.startswith(self._prefix)]
            await admin.delete_topics(names)
        finally:
            await admin.close()


def _records(part: Sequence[Any]) -> Iterator[Record]:
    for one in part:
        key = one.key.decode() if one.key is not None else None
        yield Record(one.partition, one.offset, key, one.value, tuple(one.headers))
