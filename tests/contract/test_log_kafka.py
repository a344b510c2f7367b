"""The Kafka log does what every log does, on a real broker, and what only one with groups and retention must."""

import asyncio
import itertools
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from multiprocessing.connection import Connection
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition as Place

from services import topics
from shared.errors import Conflict, Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Consumer, Log, Position, Record, Told, TopicPartition
from shared.log.kafka import KafkaLog, Plan, open_log, parse, partition_of
from shared.log.kafka import consumer as consuming
from shared.runtime.guards import LogChanged, verify
from shared.runtime.naming import record_fingerprint
from shared.runtime.processor import Claim
from tests.contract.log_suite import OTHER, PARTITIONS, PATIENCE, TOPIC, LogSuite, drain, everything, numbered, seek_all

pytestmark = pytest.mark.kafka

Opener = Callable[..., KafkaLog]
SPAWN = multiprocessing.get_context("spawn")
HOME = TopicPartition(TOPIC, 0)


@pytest.fixture
def prefix() -> str:
    """Before the topics and groups of one test."""
    return f"{uuid4().hex[:12]}."


@pytest.fixture
async def opener(kafka: str, prefix: str) -> AsyncIterator[Opener]:
    """Opens logs that share the topics of the test."""
    opened: list[KafkaLog] = []

    def open_(url: str = kafka, partitions: int = PARTITIONS) -> KafkaLog:
        log = open_log(parse(url), prefix, lambda _: Plan(partitions=partitions))
        opened.append(log)
        return log

    yield open_
    for log in opened:
        await log.close()


@pytest.fixture
def log(opener: Opener) -> KafkaLog:
    return opener()


@pytest.fixture
async def admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Somebody else with power over the brokers."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.removeprefix("kafka://"))
    await client.start()
    yield client
    await client.close()


class TestKafkaLog(LogSuite):
    """The suite that every log passes."""


async def until(look: Callable[[], bool], patience: float = 15.0) -> float:
    """Waits until it is so; the seconds it took."""
    start = time.monotonic()
    while not look():
        assert time.monotonic() - start < patience, "it did not come to be so"
        await asyncio.sleep(0.05)
    return time.monotonic() - start


class Reader:
    """A member that reads all it is given, from where the others say they have got to."""

    def __init__(self, log: KafkaLog, topics: tuple[str, ...], reached: dict[TopicPartition, int]) -> None:
        self.consumer = log.consumer("g", topics)
        self.mine: frozenset[TopicPartition] = frozenset()
        self.reached = reached
        self.came: list[Record] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            now = await self.consumer.assignment()
            for place in now - self.mine:
                self.consumer.seek(place, self.reached.get(place, 0))
            self.mine = now
            for place, records in (await self.consumer.poll(50, 1)).items():
                if records[0].offset == self.reached.get(place, 0):  # what the database's fence does
                    self.came += records
                    self.reached[place] = records[-1].offset + 1

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))
        await self.consumer.close()


async def test_two_members_share_and_one_that_stops_leaves_its_share_at_once(opener: Opener) -> None:
    first, second = opener(), opener()
    both = (TOPIC, OTHER)
    reached: dict[TopicPartition, int] = {}
    one = Reader(first, both, reached)
    await until(lambda: len(one.mine) == 2 * PARTITIONS)
    two = Reader(second, both, reached)
    await until(lambda: len(one.mine) == len(two.mine) == PARTITIONS)
    assert not one.mine & two.mine
    for member in (one, two):  # equal numbers of both topics stay together
        assert {p.partition for p in member.mine if p.topic == TOPIC} == {
            p.partition for p in member.mine if p.topic == OTHER
        }
    await first.append(numbered(400, keys=40))
    await until(lambda: len(one.came) + len(two.came) == 400)
    await two.end()
    assert await until(lambda: len(one.mine) == 2 * PARTITIONS) < 10
    await first.append([*numbered(200, keys=40), *numbered(200, keys=40, topic=OTHER)])
    await until(lambda: len(one.came) + len(two.came) == 800)
    came = sorted(one.came + two.came, key=lambda r: (r.topic, r.partition, r.offset))
    assert len({(r.topic, r.partition, r.offset) for r in came}) == 800
    await one.end()


def hold_partitions(url: str, prefix: str, said: Connection) -> None:
    """A process that is a member until it is killed."""

    async def run() -> None:
        log = open_log(parse(url), prefix, lambda _: Plan(partitions=PARTITIONS))
        consumer = log.consumer("g", [TOPIC])
        while True:
            said.send(len(await consumer.assignment()))
            await consumer.poll(10, 0.5)

    asyncio.run(run())


async def test_a_member_that_is_killed_loses_its_share_within_15_seconds(
    opener: Opener, kafka: str, prefix: str
) -> None:
    log = opener()
    await log.partitions(TOPIC)
    mine, theirs = SPAWN.Pipe(duplex=False)
    other = SPAWN.Process(target=hold_partitions, args=(kafka, prefix, theirs))
    other.start()
    try:
        while await asyncio.to_thread(mine.recv) != PARTITIONS:
            pass
        member = Reader(log, (TOPIC,), {})
        await until(lambda: len(member.mine) == PARTITIONS // 2)
    finally:
        other.kill()
        other.join()
    assert await until(lambda: len(member.mine) == PARTITIONS, 20) < 15
    await member.end()


async def test_a_compacted_topic_takes_marks(kafka: str, prefix: str) -> None:
    log = open_log(parse(kafka), prefix, topics.plan_of())
    planned = topics.plans()
    assert planned["profiles"].configs["cleanup.policy"] == "compact"
    for topic in planned:
        await log.append_everywhere(topic, b"begin")
        await log.append_everywhere(topic, b"end")
    consumer = log.consumer("g", ["profiles"])
    await seek_all(consumer)
    count = await log.partitions("profiles")
    came = await drain(consumer, 2 * count)
    assert [(record.key, record.value) for record in came if record.partition == 0] == [
        (None, b"begin"),
        (None, b"end"),
    ]
    first = await log.read(TopicPartition("profiles", 0), 0)
    assert first is not None
    assert first.key is None
    await consumer.close()
    await log.close()


async def test_what_stayed_goes_on_where_it_was_after_the_group_has_changed(opener: Opener) -> None:
    first, second = opener(), opener()
    await first.append_everywhere(TOPIC, b"1")
    consumer = first.consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    assert len(await drain(consumer, PARTITIONS)) == PARTITIONS
    # The committed offsets lie behind: whoever starts from them reads everything again.
    await first.tell(Told("g", dict.fromkeys(mine, Position(0, 0, 0))))
    other = Reader(second, (TOPIC,), {place: 1 for place in mine})
    async with asyncio.timeout(PATIENCE):
        while len(await consumer.assignment()) != PARTITIONS // 2:
            assert not await consumer.poll(10, 0.2)
    await first.append_everywhere(TOPIC, b"2")
    kept = await consumer.assignment()
    assert {(r.partition, r.value) for r in await drain(consumer, len(kept))} == {(p.partition, b"2") for p in kept}
    await other.end()
    await consumer.close()


async def test_what_was_lost_and_came_back_unnoticed_is_left_out_once(opener: Opener) -> None:
    consumer = opener().consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    member = consumer._member
    assert member is not None
    other = Reader(opener(), (TOPIC,), {})
    await until(lambda: len(member.mine) == PARTITIONS // 2)
    await other.end()
    await until(lambda: len(member.mine) == PARTITIONS)
    first = await consumer.assignment()
    assert len(first) == PARTITIONS // 2
    assert await consumer.poll(10, 5) == {}
    assert await consumer.assignment() == mine
    for place in mine - first:
        consumer.seek(place, 0)
    await opener().append(numbered(40, keys=40))
    assert len(await drain(consumer, 40)) == 40
    await consumer.close()


async def test_a_member_tells_for_its_partitions_and_nobody_overrules_it(opener: Opener) -> None:
    inside, outside = opener(), opener()
    consumer = inside.consumer("g", [TOPIC])
    await seek_all(consumer)
    told = Position(7, 1_700_000_000_000, 5)
    await inside.tell(Told("g", {HOME: told}))
    await outside.tell(Told("g", {HOME: Position(3, 2, 1)}))  # one who lost the partition and does not know it yet
    assert await outside.told("g", TOPIC) == {HOME: told}
    await consumer.close()
    await outside.tell(Told("g", {HOME: Position(8, 2, 1)}))
    assert await inside.told("g", TOPIC) == {HOME: Position(8, 2, 1)}


async def test_a_member_does_not_tell_for_the_partitions_of_another(opener: Opener) -> None:
    first = opener()
    consumer = first.consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    other = Reader(opener(), (TOPIC,), {})
    await until(lambda: len(other.mine) == PARTITIONS // 2)
    theirs = mine - await consumer.assignment() & other.mine
    assert theirs
    await first.tell(Told("g", dict.fromkeys(theirs, Position(7, 1, 1))))
    there = await first.told("g", TOPIC)
    await other.end()
    await consumer.close()
    assert there == {}


async def test_what_was_refused_while_the_group_changed_is_told_after_it(opener: Opener) -> None:
    first = opener()
    consumer = first.consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    assert consumer._member is not None
    consumer._member._told.update(dict.fromkeys(mine, Position(9, 8, 7)))  # as after a commit that was refused
    other = Reader(opener(), (TOPIC,), {})
    async with asyncio.timeout(PATIENCE):
        while len(kept := await consumer.assignment()) != PARTITIONS // 2:
            await consumer.poll(1, 0.1)
    for _ in range(2):  # the first may end at once, because the group has changed
        await consumer.poll(1, 0.5)
    there = await first.told("g", TOPIC)
    await other.end()
    await consumer.close()
    assert there == dict.fromkeys(kept, Position(9, 8, 7))


async def test_what_could_not_be_told_while_the_group_changed_is_told_after_it(opener: Opener) -> None:
    first, second = opener(), opener()
    consumer = first.consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    other = Reader(second, (TOPIC,), {})
    told: dict[TopicPartition, Position] = {}
    for number in range(1, 10_000):  # tell all the time, so that some of it falls into the change
        told = {place: Position(number, number, number) for place in mine}
        await first.tell(Told("g", told))
        await consumer.poll(1, 0.01)
        if len(kept := await consumer.assignment()) == PARTITIONS // 2:
            break
    for _ in range(2):  # the first may end at once, because the group has changed
        await consumer.poll(1, 0.5)
    there = await first.told("g", TOPIC)
    assert {place: there[place] for place in kept} == {place: told[place] for place in kept}
    await other.end()
    await consumer.close()


async def test_keys_lie_where_partition_of_says(log: KafkaLog) -> None:
    await log.append([Outgoing(TOPIC, f"clé-{i}", b"") for i in range(40)])
    for record in await everything(log, 40):
        assert record.partition == partition_of(record.key or "", PARTITIONS)


async def test_a_wake_before_the_poll_is_not_lost(log: KafkaLog) -> None:
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    consumer.wake()
    start = time.monotonic()
    assert not await consumer.poll(10, PATIENCE)
    assert time.monotonic() - start < PATIENCE / 2
    assert not await consumer.poll(10, 0.2)
    assert time.monotonic() - start >= 0.15


async def test_a_partition_never_sought_gives_nothing(log: KafkaLog) -> None:
    await log.append_everywhere(TOPIC, b"1")
    consumer = log.consumer("g", [TOPIC])
    async with asyncio.timeout(PATIENCE):
        while not await consumer.assignment():
            await consumer.poll(1, 0.1)
    consumer.seek(HOME, 0)
    assert set(await consumer.poll(10, 5)) == {HOME}
    assert not await consumer.poll(10, 0.5)


async def test_polls_that_are_cancelled_anywhere_lose_nothing(log: KafkaLog) -> None:
    await log.append(numbered(2000, keys=40))
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    came: list[Record] = []
    for steps in itertools.cycle(range(12)):
        poll = asyncio.create_task(consumer.poll(100, 0.05))
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.sleep(0 if steps < 8 else 0.005)
        poll.cancel()
        for found in await asyncio.gather(poll, return_exceptions=True):
            if isinstance(found, Mapping):
                came += itertools.chain.from_iterable(found.values())
        if len(came) >= 2000:
            break
    assert len({(r.partition, r.offset) for r in came}) == len(came) == 2000


async def test_waiting_costs_little(log: KafkaLog) -> None:
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    await consumer.poll(10, 1)
    used = time.process_time()
    assert not await consumer.poll(10, 3)
    assert time.process_time() - used < 0.3


async def test_a_member_that_stands_still_is_renewed(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "STUCK_SECONDS", 1.0)
    consumer = log.consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    assert consumer._member is not None
    consumer._member.consumer.pause(*(Place(log.topics.full(TOPIC), place.partition) for place in mine))
    await log.append(numbered(20))
    came: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while len(came) < 20:
        assert time.monotonic() < deadline, "nothing was done about it"
        if await consumer.assignment() and not consumer._backlog.sought():
            await seek_all(consumer)  # as the runtime does: new partitions are claimed and sought
        came += itertools.chain.from_iterable((await consumer.poll(50, 0.5)).values())
    assert len(came) == 20
    await consumer.close()


async def test_a_record_too_large_fails_alone(log: KafkaLog) -> None:
    await log.append([Outgoing(TOPIC, "k", b"0")])
    with pytest.raises(Unavailable, match="MessageSizeTooLarge"):
        await log.append([Outgoing(TOPIC, "k", os.urandom(3_000_000))])
    await log.append([Outgoing(TOPIC, "k", b"%d" % i) for i in (1, 2)])
    assert [r.value for r in await everything(log, 3)] == [b"0", b"1", b"2"]


async def test_what_was_not_published_is_not_told(log: KafkaLog) -> None:
    with pytest.raises(Unavailable, match="MessageSizeTooLarge"):
        await log.append([Outgoing(OTHER, "k", os.urandom(3_000_000))], Told("g", {HOME: Position(5, 1, 1)}))
    assert await log.told("g", TOPIC) == {}
    await log.append([Outgoing(OTHER, "k", b"0")], Told("g", {HOME: Position(5, 1, 1)}))
    assert await log.told("g", TOPIC) == {HOME: Position(5, 1, 1)}


async def test_one_who_cannot_be_reached_is_unavailable_at_once(opener: Opener) -> None:
    log = opener("kafka://127.0.0.1:1")
    consumer = log.consumer("g", [TOPIC])
    start = time.monotonic()
    for attempt in (log.ping(), log.append(numbered(1)), log.ends(TOPIC), consumer.assignment()):
        with pytest.raises(Unavailable, match="no broker of CARTERA_LOG_URL can be reached"):
            await attempt
    assert time.monotonic() - start < 5
    await log.close()
    for attempt in (log.ping(), log.append(numbered(1)), log.ends(TOPIC), log.tell(Told("g", {}))):
        with pytest.raises(Unavailable, match="closed"):
            await attempt


async def loses(consumer: Consumer, place: TopicPartition) -> None:
    """Polls until the member has lost a partition or refuses to read it; it gives nothing meanwhile."""
    deadline = time.monotonic() + 60
    try:
        while place in await consumer.assignment():
            assert not await consumer.poll(10, 0.2)
            assert time.monotonic() < deadline
    except Conflict:
        return


async def test_an_offset_that_is_not_there_is_for_the_claim_to_judge(log: KafkaLog) -> None:
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer, {HOME: 10})
    with pytest.raises(Conflict, match="has no offset 10: it was cut off or made anew"):
        await drain(consumer, 1)


async def test_a_topic_made_anew_is_refused(log: KafkaLog, opener: Opener, admin: AIOKafkaAdminClient) -> None:
    await log.append([Outgoing(TOPIC, "k", b"%d" % i) for i in range(10)])
    last = (await everything(log, 10))[-1]
    place = TopicPartition(TOPIC, last.partition)
    read = Claim(place, 1, Position(10, 0, 0))
    await verify(log, read, record_fingerprint(last))
    consumer = log.consumer("live", [TOPIC])
    await seek_all(consumer, {place: 10})
    await admin.delete_topics([log.topics.full(TOPIC)])
    again = opener()
    for _ in range(100):  # the deletion goes on behind
        if not await again.topics.actual([TOPIC]):
            break
        await asyncio.sleep(0.1)
    await again.append([Outgoing(TOPIC, "k", b"x")] * 4)
    with pytest.raises(LogChanged, match="ends at 4, but 10 was read: the topic was deleted or cut off"):
        await verify(again, read, record_fingerprint(last))
    await loses(consumer, place)
    await again.append([Outgoing(TOPIC, "k", b"x")] * 20)
    with pytest.raises(LogChanged, match="holds another record at 9 than was read: it was made anew"):
        await verify(again, read, record_fingerprint(last))


async def test_records_that_retention_took_are_gone(log: KafkaLog, admin: AIOKafkaAdminClient) -> None:
    await log.append([Outgoing(TOPIC, "k", b"%d" % i) for i in range(20)])
    place = TopicPartition(TOPIC, partition_of("k", PARTITIONS))
    await admin.delete_records({Place(log.topics.full(TOPIC), place.partition): RecordsToDelete(before_offset=15)})
    assert (await log.beginnings(TOPIC))[place] == 15
    assert [await log.read(place, offset) is None for offset in (14, 15, 20)] == [True, False, True]
    assert [r.offset for r in await everything(log, 5)] == list(range(15, 20))
    with pytest.raises(LogChanged, match="begins at 15, but only 7 was read: retention has taken records"):
        await verify(log, Claim(place, 1, Position(7, 0, 0)), None)
    await verify(log, Claim(place, 1, Position(0, 0, 0)), None)


async def test_topics_are_created_and_compared_with_the_plan(opener: Opener) -> None:
    planned = {"a": Plan(2), "b": Plan(3, configs={"cleanup.policy": "compact"})}
    together = {"profile": ("a", "b")}
    rows = await topics.settle(opener(), planned, {}, create=False)
    assert [(row.topic, row.state) for row in rows] == [("a", "missing"), ("b", "missing")]
    first = KafkaLog(opener()._configuration, opener().topics.full(""), lambda name: planned[name])
    rows = await topics.settle(first, planned, {}, create=True)
    assert [(row.state, row.partitions, row.replication) for row in rows] == [("created", 2, 1), ("created", 3, 1)]
    assert rows[1].configs["cleanup.policy"] == "compact"
    assert [row.state for row in await topics.settle(opener(), planned, {}, create=True)] == ["ok", "ok"]
    other = {"a": Plan(4, replication=2), "b": Plan(3, configs={"cleanup.policy": "delete"})}
    rows = await topics.settle(opener(), other, together, create=True)
    assert [row.state for row in rows] == ["differs", "differs"]
    assert rows[0].problems == [
        "has 2 partitions instead of 4",
        "has 1 replicas instead of 2",
        "profile reads topics of unequal numbers of partitions (a 2, b 3)",
    ]
    assert rows[1].problems[0] == "cleanup.policy is compact instead of delete"


def as_log(log: KafkaLog) -> Log:
    """Fails to type-check when the adapter leaves the protocol."""
    return log
