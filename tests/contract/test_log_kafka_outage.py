"""Brokers that hang, die and come back: an error soon, recovery by itself, nothing lost, no key out of order."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence

import pytest

from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Position, Record, Told
from shared.log.kafka import KafkaLog, Plan, open_log, parse
from tests.contract.log_suite import TOPIC, everything, seek_all
from tests.servers.kafka import Cluster, own

pytestmark = pytest.mark.kafka

SOON = 15.0
"""Seconds within which an outage must show."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker that may be hurt."""
    with own(tmp_path_factory.mktemp("hurt")) as started:
        yield started


@pytest.fixture
async def log(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[KafkaLog]:
    opened = open_log(parse(cluster.url), f"{request.node.name}.", lambda _: Plan(partitions=2))
    yield opened
    await opened.close()


async def fails_soon(attempt: Awaitable[object]) -> None:
    start = time.monotonic()
    with pytest.raises(Unavailable):
        await attempt
    assert time.monotonic() - start < SOON


async def again(log: KafkaLog, records: Sequence[Outgoing], patience: float = 60) -> float:
    """Appends as the runtime does: until it is acknowledged. The seconds it took."""
    start = time.monotonic()
    while True:
        try:
            await log.append(records)
            return time.monotonic() - start
        except Unavailable:
            assert time.monotonic() - start < patience, "it did not recover"
            await asyncio.sleep(0.2)


def numbers(records: Sequence[Record]) -> list[int]:
    """The numbers in the order in which each came for the first time."""
    return list(dict.fromkeys(int(record.value or b"-1") for record in records))


def some(first: int, count: int = 10) -> list[Outgoing]:
    return [Outgoing(TOPIC, "k", b"%d" % i) for i in range(first, first + count)]


async def test_a_broker_that_hangs_is_unavailable_and_what_was_handed_over_comes_in_order(
    log: KafkaLog, cluster: Cluster
) -> None:
    await log.append(some(0))
    consumer = log.consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    cluster.pause()
    try:
        await asyncio.gather(
            fails_soon(log.append(some(10))),
            fails_soon(log.append(some(20))),
            fails_soon(log.ping()),
            fails_soon(log.ends(TOPIC)),
            fails_soon(log.told("g", TOPIC)),
            fails_soon(log.tell(Told("g", dict.fromkeys(mine, Position(1, 1, 1))))),
        )
        # by now nobody knows the topic any more: all have to ask, and nobody waits for the others' turn
        await asyncio.gather(*(fails_soon(log.ends(TOPIC)) for _ in range(5)))
    finally:
        cluster.resume()
    for first in (10, 20, 30):
        await again(log, some(first))
    end = sum((await log.ends(TOPIC)).values())
    records = await everything(log, end)
    assert numbers(records) == list(range(40))
    came: list[Record] = []
    deadline = time.monotonic() + 60
    while len(came) < end:
        assert time.monotonic() < deadline, "the member did not recover"
        for place in await consumer.assignment():
            if place not in consumer._backlog.sought():  # as the runtime does with what is new
                consumer.seek(place, next((r.offset + 1 for r in reversed(came) if r.partition == place.partition), 0))
        try:
            came += itertools.chain.from_iterable((await consumer.poll(100, 0.5)).values())
        except Unavailable:
            await asyncio.sleep(0.2)
    assert numbers(came) == list(range(40))
    await consumer.close()


async def test_a_broker_that_is_killed_and_started_again_loses_nothing(log: KafkaLog, cluster: Cluster) -> None:
    acknowledged: list[int] = []

    async def appending() -> None:
        for number in range(10_000):
            await again(log, some(number, 1))
            acknowledged.append(number)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(appending())
    while len(acknowledged) < 100:
        await asyncio.sleep(0.05)
    cluster.kill()
    await asyncio.sleep(1)
    await fails_soon(log.ping())
    before = len(acknowledged)
    await asyncio.to_thread(cluster.start)
    deadline = time.monotonic() + 60
    while len(acknowledged) < before + 100:
        assert time.monotonic() < deadline, "it did not recover"
        await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait((task,))
    records = await everything(log, sum((await log.ends(TOPIC)).values()))
    found = numbers(records)
    assert set(acknowledged) <= set(found)
    assert found == sorted(found)


async def test_what_a_caller_no_longer_waits_for_is_left_out(log: KafkaLog, cluster: Cluster) -> None:
    await again(log, some(0, 1))
    cluster.pause()
    try:
        held = asyncio.create_task(log.append(some(1, 1)))
        await asyncio.sleep(0.3)
        queued = asyncio.create_task(log.append(some(2, 1)))
        await asyncio.sleep(0.3)
        queued.cancel()
        await asyncio.wait((queued,))
    finally:
        cluster.resume()
    await held
    await log.append(some(3, 1))
    assert numbers(await everything(log, 3)) == [0, 1, 3]


def test_the_script_starts_once_and_tells_the_truth(cluster: Cluster) -> None:
    pid = cluster._pid(1)
    cluster.start()
    assert cluster._pid(1) == pid
    assert cluster._script("status").stdout.startswith(f"broker 1 runs (process {pid}) at 127.0.0.1:{cluster.port}")
    cluster.stop()
    done = cluster._script("status")
    assert (done.returncode, done.stdout) == (1, "broker 1 is stopped\n")
    assert cluster._script("stop").returncode == 0
    assert cluster._script("begin").returncode == 2
    cluster.start()
