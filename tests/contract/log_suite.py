"""What every log must do, whatever it is built on: an adapter's tests inherit this class and give it a `log`."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest

from shared.events.outgoing import Outgoing
from shared.log import Consumer, Log, Position, Record, Told, TopicPartition

PARTITIONS = 4
"""Of every topic of the log under test."""

TOPIC, OTHER = "interactions", "profiles"
PATIENCE = 20.0
"""Seconds after which something that should have come counts as lost."""


def numbered(count: int, keys: int = 7, topic: str = TOPIC) -> list[Outgoing]:
    """Records whose values count up; each key has several."""
    return [Outgoing(topic, f"k{i % keys}", str(i).encode()) for i in range(count)]


async def seek_all(consumer: Consumer, start: Mapping[TopicPartition, int] | None = None) -> frozenset[TopicPartition]:
    """Waits until the member has partitions and sends it to where it shall begin."""
    deadline = time.monotonic() + PATIENCE
    while not (mine := await consumer.assignment()):
        assert time.monotonic() < deadline, "no partition was assigned"
        await consumer.poll(1, 0.1)
    for place in mine:
        consumer.seek(place, (start or {}).get(place, 0))
    return mine


async def drain(consumer: Consumer, count: int, at_once: int = 500) -> list[Record]:
    """Polls until so many records have come; fails when they do not, or when there are more."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        for found in (await consumer.poll(at_once, 0.5)).values():
            records += found
    assert not await consumer.poll(at_once, 0.05)
    return records


async def everything(log: Log, count: int, topic: str = TOPIC, group: str = "all") -> list[Record]:
    """The first `count` records of a topic, which must be all of them."""
    consumer = log.consumer(group, [topic])
    await seek_all(consumer)
    records = await drain(consumer, count)
    await consumer.close()
    return records


def values_by_key(records: Sequence[Record]) -> Mapping[str | None, list[int]]:
    """The numbers that came under each key, in the order in which they came."""
    came: dict[str | None, list[int]] = defaultdict(list)
    for record in records:
        came[record.key].append(int(record.value or b"-1"))
    return came


class LogSuite:
    """Inherit, and define a fixture `log` whose topics have `PARTITIONS` partitions and are empty."""

    async def test_records_come_back_whole(self, log: Log) -> None:
        headers = (("content-type", b"application/cloudevents+json"), ("raw", bytes(range(256))))
        before = int(time.time() * 1000)
        await log.append([Outgoing(TOPIC, "k", b'{"a":1}', headers)])
        (record,) = await everything(log, 1)
        assert (record.topic, record.offset, record.key, record.value) == (TOPIC, 0, "k", b'{"a":1}')
        assert record.headers == headers
        assert before - 1 <= record.timestamp <= int(time.time() * 1000) + 1

    async def test_null_empty_and_unicode_survive(self, log: Log) -> None:
        sent = [
            Outgoing(TOPIC, "chat_handle:@josé 🧺", None, (("removal", b"{}"),)),
            Outgoing(TOPIC, "chat_handle:@josé 🧺", b""),
            Outgoing(TOPIC, "名前", "ключ".encode(), (("a", b"1"), ("a", b"2"))),
        ]
        await log.append(sent)
        came = await everything(log, 3)
        assert {(r.key, r.value, r.headers) for r in came} == {(s.key, s.value, s.headers) for s in sent}

    async def test_order_per_key_and_dense_offsets(self, log: Log) -> None:
        sent = numbered(1000)
        for i in range(0, 1000, 90):
            await log.append(sent[i : i + 90])
        came = await everything(log, 1000)
        assert values_by_key(came) == {f"k{k}": list(range(k, 1000, 7)) for k in range(7)}
        homes: dict[str | None, set[int]] = defaultdict(set)
        offsets: dict[int, list[int]] = defaultdict(list)
        for record in came:
            homes[record.key].add(record.partition)
            offsets[record.partition].append(record.offset)
        assert all(len(home) == 1 for home in homes.values())
        assert len(offsets) > 1
        assert all(found == list(range(len(found))) for found in offsets.values())

    async def test_appends_at_once_keep_their_own_order(self, log: Log) -> None:
        async def one(key: str) -> None:
            for i in range(20):
                await log.append([Outgoing(TOPIC, key, str(i).encode())])

        await asyncio.gather(*(one(f"k{k}") for k in range(10)))
        assert values_by_key(await everything(log, 200)) == {f"k{k}": list(range(20)) for k in range(10)}

    async def test_a_big_append_in_small_polls(self, log: Log) -> None:
        body = b"x" * 4000
        await log.append([Outgoing(TOPIC, f"k{i % 3}", b"%d" % i, (("body", body),)) for i in range(3000)])
        consumer = log.consumer("g", [TOPIC])
        await seek_all(consumer)
        came = await drain(consumer, 3000, at_once=70)
        assert values_by_key(came) == {f"k{k}": list(range(k, 3000, 3)) for k in range(3)}
        await consumer.close()

    async def test_a_poll_gives_no_more_than_asked_and_no_partition_starves(self, log: Log) -> None:
        await log.append_everywhere(TOPIC, b"0")
        await log.append(numbered(2000, keys=40))
        consumer = log.consumer("g", [TOPIC])
        await seek_all(consumer)
        met: set[TopicPartition] = set()
        for _ in range(20):
            found = await consumer.poll(10, 5)
            assert 0 < sum(map(len, found.values())) <= 10
            met |= set(found)
        assert len(met) == PARTITIONS
        await consumer.close()

    async def test_a_seek_resumes_exactly_there(self, log: Log) -> None:
        await log.append(numbered(100, keys=1))
        first = await everything(log, 100)
        place = TopicPartition(TOPIC, first[0].partition)
        consumer = log.consumer("g", [TOPIC])
        await seek_all(consumer, {place: 37})
        assert [r.offset for r in await drain(consumer, 63)] == list(range(37, 100))
        consumer.seek(place, 99)
        assert [r.offset for r in await drain(consumer, 1)] == [99]
        consumer.seek(place, 0)
        assert [r.offset for r in (await consumer.poll(5, 5))[place]] == list(range(5))
        consumer.seek(place, 50)
        assert [r.offset for r in await drain(consumer, 50)] == list(range(50, 100))
        await consumer.close()

    async def test_groups_and_topics_are_independent(self, log: Log) -> None:
        await log.append([*numbered(30), *numbered(20, topic=OTHER)])
        one, two = log.consumer("one", [TOPIC, OTHER]), log.consumer("two", [OTHER])
        await seek_all(one)
        await seek_all(two)
        assert len(await drain(one, 50)) == 50
        assert {r.topic for r in await drain(two, 20)} == {OTHER}
        await one.close()
        await two.close()

    async def test_an_empty_poll_ends_with_its_timeout(self, log: Log) -> None:
        consumer = log.consumer("g", [TOPIC])
        await seek_all(consumer)
        await consumer.poll(10, 0)
        start = time.monotonic()
        assert not await consumer.poll(10, 0.3)
        assert 0.25 <= time.monotonic() - start < 5
        await consumer.close()

    async def test_a_waiting_poll_gets_what_is_appended(self, log: Log) -> None:
        consumer = log.consumer("g", [TOPIC])
        await seek_all(consumer)
        waiting = asyncio.create_task(consumer.poll(10, PATIENCE))
        await asyncio.sleep(0.1)
        start = time.monotonic()
        await log.append([Outgoing(TOPIC, "k", b"1")])
        found = await waiting
        assert [r.value for records in found.values() for r in records] == [b"1"]
        assert time.monotonic() - start < PATIENCE / 2
        await consumer.close()

    async def test_wake_ends_a_waiting_poll(self, log: Log) -> None:
        consumer = log.consumer("g", [TOPIC])
        await seek_all(consumer)
        waiting = asyncio.create_task(consumer.poll(10, PATIENCE))
        await asyncio.sleep(0.1)
        start = time.monotonic()
        consumer.wake()
        assert not await waiting
        assert time.monotonic() - start < PATIENCE / 2
        await consumer.close()

    async def test_a_cancelled_poll_loses_nothing(self, log: Log) -> None:
        consumer = log.consumer("g", [TOPIC])
        await seek_all(consumer)
        waiting = asyncio.create_task(consumer.poll(10, PATIENCE))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await log.append(numbered(20))
        assert len(await drain(consumer, 20)) == 20
        await consumer.close()

    async def test_paused_partitions_give_nothing_until_told_otherwise(self, log: Log) -> None:
        await log.append_everywhere(TOPIC, b"1")
        await log.append_everywhere(TOPIC, b"2")
        consumer = log.consumer("g", [TOPIC])
        mine = sorted(await seek_all(consumer))
        consumer.pause(frozenset(mine[:1]))
        assert {r.partition for r in await drain(consumer, 2 * (PARTITIONS - 1))} == {1, 2, 3}
        await log.append_everywhere(TOPIC, b"3")
        consumer.pause(frozenset(mine[1:]))
        assert [(r.partition, r.value) for r in await drain(consumer, 3)] == [(0, b"1"), (0, b"2"), (0, b"3")]
        consumer.pause(frozenset())
        assert sorted(r.partition for r in await drain(consumer, PARTITIONS - 1)) == [1, 2, 3]
        await consumer.close()

    async def test_marks_lie_in_every_partition_between_their_neighbours(self, log: Log) -> None:
        await log.append(numbered(40))
        await log.append_everywhere(TOPIC, b"100", (("mark", b"begin"),))
        await log.append([*numbered(40), Outgoing(TOPIC, "", b"200"), *numbered(40)])
        came = await everything(log, 120 + 2 * PARTITIONS)
        marks = [r for r in came if r.key is None]
        assert sorted((r.partition, r.value) for r in marks) == [
            (part, value) for part in range(PARTITIONS) for value in (b"100", b"200")
        ]
        assert {r.headers for r in marks if r.value == b"100"} == {(("mark", b"begin"),)}
        for key in (f"k{k}" for k in range(7)):
            part = next(r.partition for r in came if r.key == key)
            seen = [r for r in came if r.partition == part and (r.key == key or r.key is None)]
            at = [i for i, r in enumerate(seen) if r.key is None]
            each = len([i for i in range(40) if f"k{i % 7}" == key])
            assert at == [each, 2 * each + 1]

    async def test_beginnings_ends_and_partitions(self, log: Log) -> None:
        places = {TopicPartition(TOPIC, part) for part in range(PARTITIONS)}
        assert (await log.partitions(TOPIC), await log.partitions(OTHER)) == (PARTITIONS, PARTITIONS)
        assert await log.ends(TOPIC) == dict.fromkeys(places, 0)
        assert await log.beginnings(TOPIC) == dict.fromkeys(places, 0)
        await log.append(numbered(50))
        ends = await log.ends(TOPIC)
        assert set(ends) == places
        assert sum(ends.values()) == 50
        assert await log.beginnings(TOPIC) == dict.fromkeys(places, 0)

    async def test_read_one_record(self, log: Log) -> None:
        await log.append(numbered(50, keys=1))
        came = await everything(log, 50)
        place = TopicPartition(TOPIC, came[0].partition)
        assert [await log.read(place, i) for i in (0, 17, 49)] == [came[0], came[17], came[49]]
        assert await log.read(place, 50) is None
        assert await log.read(TopicPartition(TOPIC, (place.partition + 1) % PARTITIONS), 0) is None

    async def test_positions_are_told_with_an_append_or_alone(self, log: Log) -> None:
        zero, one = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
        assert await log.told("profile", TOPIC) == {}
        first = Position(5, 1_700_000_000_000, 1_600_000_000_000)
        await log.append([Outgoing(OTHER, "k", b"1")], Told("profile", {zero: first, one: first}))
        assert await log.told("profile", TOPIC) == {zero: first, one: first}
        assert sum((await log.ends(OTHER)).values()) == 1
        later = Position(9, 1_700_000_000_001, 1_600_000_000_001)
        await log.tell(Told("profile", {zero: later}))
        assert await log.told("profile", TOPIC) == {zero: later, one: first}
        assert await log.told("segment", TOPIC) == {}
        assert await log.told("profile", OTHER) == {}

    async def test_it_answers(self, log: Log) -> None:
        await log.ping()
        await log.append([])
        assert sum((await log.ends(TOPIC)).values()) == 0
