"""What a batch says is published after its commit and deleted after its publication, whatever goes wrong between."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from shared.database import outbox, transaction
from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Log, Position, TopicPartition
from shared.log.sqlite import SqliteLog, open_log
from shared.runtime.loop import Loop
from shared.runtime.outbox import Publisher, publish_left_over, put, take_away
from shared.runtime.processor import Slice, claim, process
from tests.conftest import Opener
from tests.contract.test_processor import PLACE, SERVICE, claimed, counts, loop_of, metadata, records

TOTALS = TopicPartition("totals", 0)
LETTERS = TopicPartition("dead-letters", 0)


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE, metadata)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    opened = open_log(tmp_path / "log.db", clock=lambda: 1)
    yield opened
    await opened.close()


def kept(engine: Engine) -> int:
    """The number of rows in the outbox."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


async def published(log: Log, place: TopicPartition = TOTALS) -> list[bytes | None]:
    """The values that lie in a partition."""
    found = [await log.read(place, offset) for offset in range((await log.ends(place.topic))[place])]
    return [record.value for record in found if record is not None]


async def until(look: Callable[[], bool]) -> None:
    """Wait until it is so, ten seconds at most."""
    async with asyncio.timeout(10):
        while not look():
            await asyncio.sleep(0.01)


async def applied(engine: Engine, log: Log, words: int, loop: Loop) -> None:
    """Let a loop run until it has told that it applied so many records, then stop it."""
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(20):
        while (await log.told("counter", "words")).get(PLACE, Position(0, 0, 0)).offset < words:
            assert not running.done(), running.exception()
            await asyncio.sleep(0.01)
    loop.stop()
    await running


@contextmanager
def failing_commits(engine: Engine, rows: int) -> Iterator[list[bool]]:
    """The first commit that leaves so many rows fails: the server is away. What it gives is filled when it has."""
    failed: list[bool] = []

    def fail(connection: Connection) -> None:
        if not failed and len(connection.execute(select(outbox.c.seq)).all()) == rows:
            failed.append(True)
            raise Unavailable("the server went away")

    event.listen(engine, "commit", fail)
    yield failed
    event.remove(engine, "commit", fail)


async def test_nothing_is_published_of_a_transaction_that_was_not_committed(engine: Engine, log: SqliteLog) -> None:
    await log.append([Outgoing("words", "a", b"a#1"), Outgoing("words", "b", b"b#1")])
    with failing_commits(engine, rows=1) as failed:
        await applied(engine, log, 2, loop_of(engine, log))
    assert failed
    assert (counts(engine), await published(log)) == ({"a": 1, "b": 1}, [b"a=1", b"b=1"])


async def test_a_worker_that_was_robbed_claims_again(engine: Engine, log: SqliteLog) -> None:
    loop = loop_of(engine, log)
    await log.append([Outgoing("words", "a", b"a#1")])
    running = asyncio.create_task(loop.run())
    await until(lambda: counts(engine) == {"a": 1})
    robber = claimed(engine, "robber")
    await log.append([Outgoing("words", "a", b"a#2")])
    await until(lambda: counts(engine) == {"a": 2})
    loop.stop()
    await running
    assert claimed(engine).epoch == robber.epoch + 2
    assert list(dict.fromkeys(await published(log))) == [b"a=1", b"a=2"]


async def test_what_cannot_be_published_stays_in_the_outbox(engine: Engine, log: SqliteLog) -> None:
    process(engine, SERVICE, [Slice(claimed(engine), records("a#1"))])
    await log.close()
    with pytest.raises(Unavailable):
        await publish_left_over(engine, log, "counter", 0)
    assert kept(engine) == 1


async def test_what_was_given_up_is_published_by_the_next(engine: Engine, log: SqliteLog, tmp_path: Path) -> None:
    """A loop that is ended while its append waits for the one before has published nothing."""
    publisher = Publisher(engine, log, "counter")
    done = process(engine, SERVICE, [Slice(claimed(engine), records("a#1"))])
    await log.partitions("totals")
    await log.partitions("words")
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        held = asyncio.create_task(log.append([Outgoing("totals", "x", b"x=0")]))
        await asyncio.sleep(0.1)
        told = {one.partition: one.position for one in done.claims}
        queued = asyncio.create_task(publisher.publish(0, done.said, told, done.outbox_seq))
        await asyncio.sleep(0.1)
        queued.cancel()
        with suppress(asyncio.CancelledError):
            await queued
        publisher.leave_all()
        other.execute("ROLLBACK")
    await held
    await publish_left_over(engine, log, "counter", 0)
    assert await published(log) == [b"x=0", b"a=1"]


async def test_a_loop_publishes_what_its_predecessor_left(engine: Engine, log: SqliteLog) -> None:
    await log.append([Outgoing("words", "a", b"a#1"), Outgoing("words", "b", b"b#1")])
    first = await log.read(PLACE, 0)
    assert first is not None
    process(engine, SERVICE, [Slice(claimed(engine), [first])])
    await applied(engine, log, 2, loop_of(engine, log))
    assert await published(log) == [b"a=1", b"b=1"]


async def test_what_was_left_is_published_oldest_first(engine: Engine, log: SqliteLog) -> None:
    held = claimed(engine)
    for number, word in enumerate(("a#1", "a#2", "a#3")):
        (held,) = process(engine, SERVICE, [Slice(held, records(word, start=number))]).claims
    await publish_left_over(engine, log, "counter", 0)
    assert (await published(log), kept(engine)) == ([b"a=1", b"a=2", b"a=3"], 0)


async def test_rows_of_other_partitions_stay(engine: Engine, log: SqliteLog) -> None:
    other = claim(engine, TopicPartition("words", 1), "me")[0]
    process(engine, SERVICE, [Slice(other, records("b#1"))])
    process(engine, SERVICE, [Slice(claimed(engine), records("a#1"))])
    await publish_left_over(engine, log, "counter", 0)
    assert (await published(log), kept(engine)) == ([b"a=1"], 1)
    await publish_left_over(engine, log, "counter", 1)
    assert (await published(log), kept(engine)) == ([b"a=1", b"b=1"], 0)


def test_rows_that_came_later_stay(engine: Engine) -> None:
    with transaction(engine) as connection:
        first = put(connection, 0, [Outgoing("totals", "a", b"1")], {})
        put(connection, 0, [Outgoing("totals", "a", b"2")], {})
        take_away(connection, 0, first)
    assert kept(engine) == 1


def test_a_batch_takes_away_what_was_published_before_it(engine: Engine) -> None:
    first = process(engine, SERVICE, [Slice(claimed(engine), records("a#1"))])
    next_ = [Slice(first.claims[0], records("a#2", start=1))]
    process(engine, SERVICE, next_, published=first.outbox_seq)
    assert kept(engine) == 1


async def test_who_lost_a_partition_takes_nothing_of_his_successor_away(engine: Engine, log: SqliteLog) -> None:
    stale = Publisher(engine, log, "counter")
    first = process(engine, SERVICE, [Slice(claimed(engine, "stale"), records("a#1"))])
    await stale.publish(0, first.said, {}, first.outbox_seq)
    held = claimed(engine, "successor")
    await publish_left_over(engine, log, "counter", 0)
    process(engine, SERVICE, [Slice(held, records("a#2", start=1))])
    stale.leave(0)
    assert kept(engine) == 1
    await publish_left_over(engine, log, "counter", 0)
    assert await published(log) == [b"a=1", b"a=1", b"a=2"]


async def test_what_an_outage_kept_in_the_outbox_is_taken_away_the_next_time(engine: Engine, log: SqliteLog) -> None:
    publisher = Publisher(engine, log, "counter")
    done = process(engine, SERVICE, [Slice(claimed(engine), records("a#1"))])
    await publisher.publish(0, done.said, {}, done.outbox_seq)
    with failing_commits(engine, rows=0) as failed:
        publisher.leave_all()
    assert (failed, kept(engine)) == ([True], 1)
    publisher.leave_all()
    assert kept(engine) == 0


async def test_dead_letters_are_kept_with_what_was_said(engine: Engine, log: SqliteLog) -> None:
    process(engine, SERVICE, [Slice(claimed(engine), records("poison"))])
    await publish_left_over(engine, log, "counter", 0)
    assert len(await published(log, LETTERS)) == 1
