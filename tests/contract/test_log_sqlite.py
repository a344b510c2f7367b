"""The SQLite log does what every log does, and what only a file shared by processes must."""

import asyncio
import itertools
import multiprocessing
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Unavailable
from shared.events.outgoing import CONTENT_TYPE, Outgoing
from shared.log import Log, Position, Record, Told, TopicPartition
from shared.log.sqlite import SqliteLog, file, open_log, partition_of
from shared.log.sqlite.batch import Row, pack, unpack
from shared.log.sqlite.news import Bell, News
from tests.contract.log_suite import OTHER, PARTITIONS, TOPIC, LogSuite, drain, everything, numbered, seek_all

SPAWN = multiprocessing.get_context("spawn")
HOME = TopicPartition(TOPIC, 0)


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    opened = open_log(path, PARTITIONS, clock=now)
    yield opened
    await opened.close()


class TestSqliteLog(LogSuite):
    """The suite that every log passes."""


def append_many(path: Path, who: str, appends: int) -> None:
    """A process that appends ten records at a time, each with its number."""

    async def run() -> None:
        log = open_log(path, {TOPIC: 2}, clock=now)
        for i in range(appends):
            await log.append([Outgoing(TOPIC, who, b"%d" % (10 * i + j)) for j in range(10)])
        await log.close()

    asyncio.run(run())


def append_until_killed(path: Path, first: int, acknowledged: Connection) -> None:
    """A process that says of each append that it was acknowledged; positions are told along with the records."""

    async def run() -> None:
        log = open_log(path, clock=now)
        for i in itertools.count(first):
            await log.append([Outgoing(TOPIC, "k", b"%d" % i)] * 3, Told("g", {HOME: Position(3 * (i + 1), i, i)}))
            acknowledged.send(i)

    asyncio.run(run())


async def test_processes_that_append_at_once_lose_nothing(path: Path) -> None:
    workers = [SPAWN.Process(target=append_many, args=(path, f"w{i}", 60)) for i in range(2)]
    for worker in workers:
        worker.start()
    log = open_log(path, {TOPIC: 2}, clock=now)
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    came = await drain(consumer, 1200)  # read while they append
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    for who in ("w0", "w1"):
        assert [int(r.value or b"") for r in came if r.key == who] == list(range(600))
    for part in range(2):
        offsets = [r.offset for r in came if r.partition == part]
        assert offsets == list(range(len(offsets)))
    await log.close()


async def test_kill_minus_nine_loses_no_acknowledged_record(path: Path) -> None:
    there = 0
    for enough in (1, 40, 90):
        mine, theirs = SPAWN.Pipe(duplex=False)
        worker = SPAWN.Process(target=append_until_killed, args=(path, there, theirs))
        worker.start()
        theirs.close()
        last = there - 1
        while last < there + enough:
            last = mine.recv()
        worker.kill()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
        while mine.poll():
            try:
                last = mine.recv()
            except EOFError:
                break
        log = open_log(path, clock=now)
        end = (await log.ends(TOPIC))[HOME]
        came = await everything(log, end)
        assert [int(r.value or b"") for r in came] == [i // 3 for i in range(end)]
        assert end // 3 > last, "an acknowledged append is gone"
        assert (await log.told("g", TOPIC))[HOME].offset == end, "told without its records, or records without it"
        await log.close()
        there = end // 3
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_waiting_poll_hears_of_other_processes(path: Path, log: SqliteLog) -> None:
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    waiting = asyncio.create_task(consumer.poll(10, 20))
    await asyncio.sleep(0.2)
    other = open_log(path, PARTITIONS, clock=now)  # shares nothing with `log` but the file
    start = time.monotonic()
    await other.append([Outgoing(TOPIC, "k", b"1")])
    assert len(await waiting) == 1
    assert time.monotonic() - start < 5
    await other.close()


async def test_a_poll_without_patience_sees_what_others_have_committed(path: Path, log: SqliteLog) -> None:
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    other = open_log(path, PARTITIONS, clock=now)
    await other.append([Outgoing(TOPIC, "k", b"1")])
    assert len(await consumer.poll(10, 0)) == 1
    await other.close()


async def test_waiting_costs_next_to_nothing(log: SqliteLog) -> None:
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    used = time.process_time()
    assert not await consumer.poll(10, 1)
    assert time.process_time() - used < 0.1


async def test_a_wake_before_the_poll_is_not_lost(log: SqliteLog) -> None:
    consumer = log.consumer("g", [TOPIC])
    await seek_all(consumer)
    consumer.wake()
    start = time.monotonic()
    assert not await consumer.poll(10, 20)
    assert time.monotonic() - start < 10
    assert not await consumer.poll(10, 0.2)
    assert time.monotonic() - start >= 0.15


async def test_a_partition_never_sought_gives_nothing(log: SqliteLog) -> None:
    await log.append_everywhere(TOPIC, b"1")
    consumer = log.consumer("g", [TOPIC])
    consumer.seek(HOME, 0)
    assert set(await consumer.poll(10, 1)) == {HOME}
    assert not await consumer.poll(10, 0.1)


async def test_the_smallest_polls_take_turns(log: SqliteLog) -> None:
    for _ in range(3):
        await log.append_everywhere(TOPIC, b"1")
    consumer = log.consumer("g", [TOPIC])
    mine = await seek_all(consumer)
    assert {place for _ in range(PARTITIONS) for place in await consumer.poll(1, 1)} == mine


async def test_news_that_come_between_a_look_and_the_wait_end_the_wait() -> None:
    news, bell = News(), Bell()
    news.subscribe(bell)
    news.learn({HOME: 5})
    start = time.monotonic()
    await bell.wait(20)
    news.learn({HOME: 3})  # an answer that was overtaken
    assert news.end(HOME) == 5
    await bell.wait(0.1)
    assert 0.05 < time.monotonic() - start < 10


async def test_polls_that_are_cancelled_anywhere_lose_nothing(log: SqliteLog) -> None:
    await log.append(numbered(2000))
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
            if isinstance(found, dict):
                came += itertools.chain.from_iterable(found.values())
        if len(came) >= 2000:
            break
    assert len({(r.partition, r.offset) for r in came}) == len(came) == 2000


async def test_an_append_cancelled_before_its_turn_leaves_nothing(log: SqliteLog, path: Path) -> None:
    await log.partitions(TOPIC)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        held = asyncio.create_task(log.append([Outgoing(TOPIC, "k", b"held")]))
        await asyncio.sleep(0.1)
        queued = asyncio.create_task(log.append([Outgoing(TOPIC, "k", b"queued")]))
        await asyncio.sleep(0.1)
        queued.cancel()
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
    await held
    await log.append([Outgoing(TOPIC, "k", b"after")])
    assert [r.value for r in await everything(log, 2)] == [b"held", b"after"]


async def test_readers_do_not_wait_for_a_writer(log: SqliteLog, path: Path) -> None:
    await log.append(numbered(100))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM batch")
        start = time.monotonic()
        assert len(await everything(log, 100)) == 100
        assert time.monotonic() - start < file.BUSY_SECONDS / 2
        other.execute("ROLLBACK")


async def test_a_writer_that_never_gets_its_turn_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_SECONDS", 0.2)
    log = open_log(path, clock=now)
    await log.append([Outgoing(TOPIC, "k", b"1")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await log.append([Outgoing(TOPIC, "k", b"2")])
        other.execute("ROLLBACK")
    await log.append([Outgoing(TOPIC, "k", b"3")])
    assert [r.value for r in await everything(log, 2)] == [b"1", b"3"]
    await log.close()


async def test_unusable_files_and_closed_logs_are_unavailable(tmp_path: Path, log: SqliteLog) -> None:
    (tmp_path / "text").write_text("this is no database " * 100)
    for bad in (tmp_path / "text", tmp_path / "no" / "such" / "folder"):
        with pytest.raises(Unavailable):
            open_log(bad, clock=now)
    await log.append(numbered(1))
    await log.close()
    await log.close()
    for attempt in (log.append(numbered(1)), log.ping(), log.ends(TOPIC)):
        with pytest.raises(Unavailable):
            await attempt


async def test_close_commits_what_was_asked_for(path: Path) -> None:
    log = open_log(path, clock=now)
    await log.partitions(TOPIC)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asked = []
        for i in range(50):
            asked.append(asyncio.create_task(log.append([Outgoing(TOPIC, "k", b"%d" % i)])))
            await asyncio.sleep(0.001)
        closed = asyncio.create_task(log.close())
        await asyncio.sleep(0.05)
        assert not closed.done()
        other.execute("ROLLBACK")
    await closed
    await asyncio.gather(*asked)
    again = open_log(path, clock=now)
    assert [int(r.value or b"") for r in await everything(again, 50)] == list(range(50))
    await again.close()


async def test_records_and_positions_stand_or_fall_together(log: SqliteLog) -> None:
    unstorable = Told("g", {HOME: Position(2**70, 0, 0)})
    with pytest.raises(OverflowError):
        await log.append(numbered(5), unstorable)
    assert set((await log.ends(TOPIC)).values()) == {0}
    await log.append(numbered(5), Told("g", {HOME: Position(1, 2, 3)}))
    assert (sum((await log.ends(TOPIC)).values()), await log.told("g", TOPIC)) == (5, {HOME: Position(1, 2, 3)})


async def test_a_commit_is_on_disk_and_batches_stay_small(log: SqliteLog, path: Path) -> None:
    await log.append(numbered(2500, keys=1))
    with closing(file.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        counts = connection.execute("SELECT base, count FROM batch ORDER BY base").fetchall()
    assert counts == [(0, 1000), (1000, 1000), (2000, 500)]


async def test_event_loops_in_other_threads_share_a_log(log: SqliteLog) -> None:
    consumer = log.consumer("g", [TOPIC])

    async def read() -> int:
        await seek_all(consumer)
        return len(await drain(consumer, 300))

    async def write(k: int) -> None:
        for i in range(100):
            await log.append([Outgoing(TOPIC, f"k{k}", b"%d" % i)])

    reading = asyncio.create_task(asyncio.to_thread(asyncio.run, read()))
    await asyncio.gather(*(asyncio.to_thread(asyncio.run, write(k)) for k in range(3)))
    assert await reading == 300


async def test_partitions_are_settled_when_a_topic_is_created(path: Path) -> None:
    first = open_log(path, {TOPIC: 3}, clock=now)
    assert (await first.partitions(TOPIC), await first.partitions(OTHER)) == (3, 1)
    await first.close()
    again = open_log(path, 8, clock=now)
    assert (await again.partitions(TOPIC), await again.partitions("new")) == (3, 8)
    await again.close()


async def test_the_clock_is_the_one_given(path: Path) -> None:
    log = open_log(path, clock=lambda: 1_234_567_890_123)
    await log.append(numbered(1))
    assert [r.timestamp for r in await everything(log, 1)] == [1_234_567_890_123]
    await log.close()


async def test_trim_deletes_whole_batches_and_keeps_offsets(path: Path) -> None:
    log = open_log(path, clock=now)
    for i in range(4):
        await log.append([Outgoing(TOPIC, "k", b"%d" % (10 * i + j)) for j in range(10)])
    assert await log.trim(TOPIC, {HOME: 25, TopicPartition(OTHER, 0): 99}) == 20
    assert (await log.beginnings(TOPIC), await log.ends(TOPIC)) == ({HOME: 20}, {HOME: 40})
    assert [await log.read(HOME, i) for i in (0, 19)] == [None, None]
    assert [r.offset for r in await everything(log, 20)] == list(range(20, 40))
    consumer = log.consumer("late", [TOPIC])
    await seek_all(consumer)
    assert await log.trim(TOPIC, {HOME: 40}) == 20
    assert (await log.beginnings(TOPIC), await log.ends(TOPIC)) == ({HOME: 40}, {HOME: 40})
    start = time.monotonic()
    assert not await consumer.poll(10, 0.3)  # waits, rather than spinning over what is gone
    assert time.monotonic() - start >= 0.25
    await log.append([Outgoing(TOPIC, "k", b"40")])
    assert [(r.offset, r.value) for r in (await consumer.poll(10, 5))[HOME]] == [(40, b"40")]
    await log.close()


async def test_compact_keeps_what_any_group_still_needs(path: Path) -> None:
    log = open_log(path, 2, clock=now)
    one = TopicPartition(TOPIC, 1)
    for _ in range(3):
        await log.append_everywhere(TOPIC, b"1")
    assert await log.compact(TOPIC) == 0
    await log.tell(Told("segment", {HOME: Position(3, 0, 0), one: Position(3, 0, 0)}))
    await log.tell(Told("campaign", {HOME: Position(2, 0, 0)}))
    assert await log.compact(TOPIC) == 2
    assert await log.beginnings(TOPIC) == {HOME: 2, one: 0}
    await log.close()


async def test_events_take_a_fraction_of_their_size(log: SqliteLog, path: Path) -> None:
    event = (
        b'{"specversion":"1.0","id":"%d","source":"shop/madrid","type":"purchase.completed","data":{"total":"%d.90"}}'
    )
    sent = [Outgoing(TOPIC, f"C-{i % 50}", event % (i, i * 7919 % 1000) * 4, CONTENT_TYPE) for i in range(5000)]
    await log.append(sent)
    await log.close()
    assert path.stat().st_size < sum(len(s.value or b"") for s in sent) / 5


headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2).map(tuple)
rows = st.builds(Row, st.none() | st.text(min_size=1, max_size=9), st.none() | st.binary(max_size=2000), headers)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, min_size=1, max_size=20), st.integers(0, 2**62))
def test_a_batch_unpacks_to_what_was_packed(sent: list[Row], base: int) -> None:
    came = unpack(HOME, base, 5, pack(sent))
    assert came == [Record(TOPIC, 0, base + i, 5, *row) for i, row in enumerate(sent)]


def test_the_partition_of_a_key_is_the_crc_of_its_utf8() -> None:
    assert partition_of("123456789", 2**32) == 0xCBF43926  # the check value of CRC-32
    assert partition_of("josé", 2**32) == 0x6F8F366C
    assert partition_of("123456789", 8) == 0xCBF43926 % 8


def as_log(log: SqliteLog) -> Log:
    """Fails to type-check when the adapter leaves the protocol."""
    return log


async def test_records_are_blackened_where_they_lie(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db", 2, clock=lambda: 5)
    kept = [Outgoing("a", f"k{n}", b"stays" * 50, (("h", b"1"),)) for n in range(40)]
    await log.append([*kept, Outgoing("a", "secret-key", b"canary-1", (("h", b"2"),)), Outgoing("b", "x", b"canary-2")])
    places = [TopicPartition(t, p) for t in ("a", "b") for p in range(2)]
    before = {
        place: [await log.read(place, n) for n in range((await log.ends(place.topic))[place])] for place in places
    }

    def change(record: Record) -> Record:
        if record.value == b"canary-1":
            return record._replace(key=None, value=None)
        return record._replace(value=b"blank") if record.value == b"canary-2" else record

    assert await log.blacken(change) == {"a": 1, "b": 1}
    assert await log.blacken(change) == {}
    for place, records in before.items():
        for offset, record in enumerate(records):
            assert record is not None
            found = await log.read(place, offset)
            assert found is not None
            wanted = change(record)
            if wanted is record:
                assert found == record
            else:
                assert found == wanted._replace(headers=(*record.headers, ("blackened", b"")))
    raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"canary" not in raw
    assert b"secret-key" not in raw
    await log.close()
