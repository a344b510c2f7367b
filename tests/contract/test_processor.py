"""The guards of the exactly-once runtime, each shown at work on a real database and a real log."""

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import APIRouter
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, select, text
from sqlalchemy.exc import DBAPIError

from shared.database import outbox, put
from shared.errors import Conflict, Fault, InvalidEvent
from shared.events.dead_letters import DeadLetter
from shared.events.envelope import decode as decode_event
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms
from shared.log import BLACKENED, Log, Position, Record, Rewritable, TopicPartition
from shared.log.sqlite import SqliteLog, open_log
from shared.runtime.guards import LogChanged, StoppedByDeadLetters, verify
from shared.runtime.loop import Loop
from shared.runtime.outbox import publish_left_over
from shared.runtime.process import Process
from shared.runtime.processor import Claim, Slice, claim, process
from shared.runtime.rereading import read_again, refusals
from shared.runtime.service import Service
from shared.telemetry import Metrics
from tests.conftest import Opener

metadata = MetaData()
counted = Table("counted", metadata, Column("name", String, primary_key=True), Column("count", Integer, nullable=False))
PLACE = TopicPartition("words", 0)


class Counts:
    """The counts of the words of a batch."""

    def __init__(self, known: dict[str, int]) -> None:
        self.counts = dict(known)

    def part(self, event: str) -> tuple[str, int]:
        word = event.partition("#")[0]
        return word, self.counts.get(word, 0)

    def replace(self, before: tuple[str, int], after: tuple[str, int]) -> None:
        self.counts[after[0]] = after[1]


def decode(record: Record) -> str:
    if record.value is None or record.value == b"poison":
        raise InvalidEvent("poison", (Fault("cannot be read"),))
    return record.value.decode()


def load(connection: Connection, events: Sequence[str]) -> Counts:
    return Counts({row.name: row.count for row in connection.execute(select(counted))})


def evolve(state: tuple[str, int], event: str) -> tuple[str, int]:
    if event.startswith("refused"):
        raise InvalidEvent("refused", (Fault("not wanted"),))
    return state[0], state[1] + 1


def react(before: tuple[str, int], after: tuple[str, int]) -> Sequence[Outgoing]:
    return [Outgoing("totals", after[0], f"{after[0]}={after[1]}".encode())]


def save(connection: Connection, work: Counts) -> None:
    put(connection, counted, [{"name": name, "count": count} for name, count in sorted(work.counts.items())])


SERVICE = Service(
    name="counter",
    consumes=("words",),
    produces=("totals",),
    metadata=metadata,
    decode=decode,
    load=load,
    evolve=evolve,
    react=react,
    save=save,
    router=lambda context: APIRouter(),
    identity=lambda event: (event, ""),
    event_ms=lambda event: 0,
    describe=lambda event: ("word", None),
)


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE, metadata)


@pytest.fixture
async def log(tmp_path: Path) -> Any:
    opened = open_log(tmp_path / "log.db", clock=lambda: 1)
    yield opened
    await opened.close()


def records(*words: str, start: int = 0) -> list[Record]:
    return [Record("words", 0, start + n, 7, word, word.encode()) for n, word in enumerate(words)]


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {row.name: row.count for row in connection.execute(select(counted))}


def claimed(engine: Engine, owner: str = "me") -> Claim:
    return claim(engine, PLACE, owner)[0]


def test_a_batch_moves_offset_state_inbox_and_outbox_together(engine: Engine) -> None:
    applied = process(engine, SERVICE, [Slice(claimed(engine), records("a#1", "b#1", "a#2"))])
    assert counts(engine) == {"a": 2, "b": 1}
    assert [record.value for record in applied.said] == [b"a=1", b"b=1", b"a=2"]
    assert applied.claims[0].position.offset == 3
    assert claimed(engine).position.offset == 3


def test_the_same_batch_again_is_fenced_by_its_offset(engine: Engine) -> None:
    held = claimed(engine)
    process(engine, SERVICE, [Slice(held, records("a#1"))])
    with pytest.raises(Conflict):
        process(engine, SERVICE, [Slice(held, records("a#1"))])
    assert counts(engine) == {"a": 1}


def test_a_worker_that_lost_its_claim_changes_nothing(engine: Engine) -> None:
    zombie = claimed(engine, "zombie")
    claimed(engine, "successor")
    with pytest.raises(Conflict):
        process(engine, SERVICE, [Slice(zombie, records("a#1"))], "zombie")
    assert counts(engine) == {}


def test_a_copy_is_dropped_within_a_batch_and_later(engine: Engine) -> None:
    first = process(engine, SERVICE, [Slice(claimed(engine), records("a#1", "a#1"))])
    assert (counts(engine), first.duplicates) == ({"a": 1}, 1)
    second = process(engine, SERVICE, [Slice(claimed(engine), records("a#1", "a#2", start=2))])
    assert (counts(engine), second.duplicates) == ({"a": 2}, 1)


def test_what_cannot_be_read_or_applied_becomes_a_dead_letter_and_blocks_nothing(engine: Engine) -> None:
    applied = process(engine, SERVICE, [Slice(claimed(engine), records("a#1", "poison", "refused#1", "a#2"))])
    assert counts(engine) == {"a": 2}
    assert [error.code for error in applied.rejected] == ["poison", "refused"]
    letters = [record for record in applied.said if record.topic == "dead-letters"]
    assert len(letters) == 2
    assert claimed(engine).position.offset == 4


def test_what_was_refused_may_come_again_and_is_no_event_that_was_applied(engine: Engine) -> None:
    timed = {**{name: getattr(SERVICE, name) for name in Service.__slots__}, "event_ms": lambda event: 5}
    first = process(engine, Service(**timed), [Slice(claimed(engine), records("refused#1", "refused#1"))], "me")
    assert (counts(engine), first.events, first.duplicates, len(first.rejected)) == ({}, [], 1, 1)
    assert first.claims[0].position == Position(2, 7, 0)
    mended = Service(**{**timed, "evolve": lambda state, event: (state[0], state[1] + 1)})
    again = process(engine, mended, [Slice(claimed(engine), records("refused#1", start=2))], "me")
    assert (counts(engine), again.duplicates) == ({"refused": 1}, 0)
    copy = process(engine, mended, [Slice(claimed(engine), records("refused#1", start=3))], "me")
    assert (counts(engine), copy.duplicates) == ({"refused": 1}, 1)


def test_a_dead_letter_keeps_the_headers_of_its_record(engine: Engine) -> None:
    sent = records("poison")[0]._replace(headers=(("ce_id", b"7"), ("raw", b"\xff\x00")))
    (said,) = process(engine, SERVICE, [Slice(claimed(engine), [sent])], "me").said
    letter = msgspec.json.decode(decode_event(said.value or b"").data, type=DeadLetter)
    assert [(name, base64.b64decode(value)) for name, value in letter.headers] == list(sent.headers)


def test_what_was_blackened_is_passed_over_and_what_saving_tells_is_said(engine: Engine) -> None:
    told = Outgoing("erasures", "e", b"gone")
    reporting = Service(**{**{n: getattr(SERVICE, n) for n in Service.__slots__}, "report": lambda work: [told]})
    empty = records("x")[0]._replace(value=None, headers=((BLACKENED, b""),))
    applied = process(engine, reporting, [Slice(claimed(engine), [empty, *records("a#1", start=1)])])
    assert (counts(engine), applied.rejected) == ({"a": 1}, [])
    assert [record.topic for record in applied.said] == ["totals", "erasures"]
    assert applied.claims[0].position.offset == 2


def test_a_failing_save_leaves_everything_as_it_was(engine: Engine) -> None:
    def failing(connection: Connection, work: Counts) -> None:
        save(connection, work)
        raise RuntimeError("the disk is full")

    broken = Service(**{**{name: getattr(SERVICE, name) for name in Service.__slots__}, "save": failing})
    held = claimed(engine)
    with pytest.raises(RuntimeError):
        process(engine, broken, [Slice(held, records("a#1"))])
    assert counts(engine) == {}
    process(engine, SERVICE, [Slice(held, records("a#1"))])
    assert counts(engine) == {"a": 1}


async def test_what_was_committed_but_not_published_is_published_at_the_next_start(engine: Engine, log: Log) -> None:
    process(engine, SERVICE, [Slice(claimed(engine), records("a#1", "a#2"))])
    await publish_left_over(engine, log, "counter", 0)
    assert (await log.ends("totals"))[TopicPartition("totals", 0)] == 2
    assert (await log.told("counter", "words"))[PLACE].offset == 2
    with engine.connect() as connection:
        assert connection.execute(select(outbox)).all() == []


def loop_of(engine: Engine, log: Log) -> Loop:
    return Loop(SERVICE, engine, Process(log=log, clock=lambda: from_ms(0), metrics=Metrics("0"), owner="me"))


async def ended(loop: Loop) -> None:
    """Let a loop run that is to end by itself."""
    async with asyncio.timeout(5):
        await loop.run()


async def test_a_log_that_is_another_than_was_read_is_refused(engine: Engine, log: Log) -> None:
    process(engine, SERVICE, [Slice(claimed(engine), records("a#1", "a#2"))])
    with pytest.raises(LogChanged, match="ends at 0"):
        await ended(loop_of(engine, log))
    await log.append([Outgoing("words", "x", b"x#1"), Outgoing("words", "x", b"x#2"), Outgoing("words", "x", b"x#3")])
    with pytest.raises(LogChanged, match="another record"):
        await ended(loop_of(engine, log))


async def test_a_refused_partition_is_read_again_and_nothing_counts_twice(engine: Engine, log: Log) -> None:
    process(engine, SERVICE, [Slice(claimed(engine), records("a#1", "a#2"))])
    held = claim(engine, PLACE, "before")[0]
    assert [(one.partition, one.offset) for one in await refusals(log, engine, ["words", "others"])] == [(PLACE, 2)]
    assert await refusals(log, engine, ["others"]) == []
    read_again(engine, await refusals(log, engine, ["words"]))
    assert await refusals(log, engine, ["words"]) == []
    with pytest.raises(Conflict):  # whoever still holds it
        process(engine, SERVICE, [Slice(held, records("a#3"))])
    again = Slice(claim(engine, PLACE, "after")[0], records("a#2", "a#4"))
    assert process(engine, SERVICE, [again]).duplicates == 1
    assert counts(engine) == {"a": 3}


async def test_records_that_retention_took_unread_are_not_passed_over(engine: Engine, log: SqliteLog) -> None:
    for word in (b"a#1", b"a#2", b"a#3"):
        await log.append([Outgoing("words", "a", word)])
    first = await log.read(PLACE, 0)
    assert first is not None
    process(engine, SERVICE, [Slice(claimed(engine), [first])])
    await log.trim("words", {PLACE: 2})
    with pytest.raises(LogChanged, match="begins at 2, but only 1 was read"):
        await ended(loop_of(engine, log))


async def test_a_log_that_was_blackened_is_still_the_log_that_was_read(engine: Engine, log: Log) -> None:
    await log.append([Outgoing("words", "a", b"a#1")])
    record = await log.read(PLACE, 0)
    assert record is not None
    process(engine, SERVICE, [Slice(claimed(engine), [record])])
    held, last = claim(engine, PLACE, "me")
    await verify(log, held, last)
    assert isinstance(log, Rewritable)
    await log.blacken(lambda record: record._replace(value=None))
    await verify(log, held, last)


async def test_too_many_rejections_in_a_row_stop_the_consumer(engine: Engine, log: Log) -> None:
    await log.append([Outgoing("words", "p", b"poison")] * 1500)
    loop = loop_of(engine, log)
    with pytest.raises(StoppedByDeadLetters):
        await ended(loop)
    assert loop.failure is not None


async def test_rejections_by_the_core_stop_the_consumer_too(engine: Engine, log: Log) -> None:
    await log.append([Outgoing("words", "p", f"refused#{n}".encode()) for n in range(1500)])
    with pytest.raises(StoppedByDeadLetters):
        await ended(loop_of(engine, log))


async def test_a_clean_stop_leaves_nothing_that_the_next_start_would_publish_again(engine: Engine, log: Log) -> None:
    await log.append([Outgoing("words", "a", b"a#1"), Outgoing("words", "b", b"b#1")])
    for _ in range(3):
        loop = loop_of(engine, log)
        running = asyncio.create_task(loop.run())
        while (await log.told("counter", "words")).get(PLACE, Position(0, 0, 0)).offset < 2:
            await asyncio.sleep(0.01)
        loop.stop()
        await running
    assert (await log.ends("totals"))[TopicPartition("totals", 0)] == 2


async def test_what_is_published_leaves_the_outbox_when_nothing_comes(engine: Engine, log: Log) -> None:
    await log.append([Outgoing("words", "a", b"a#1")])
    loop = loop_of(engine, log)
    running = asyncio.create_task(loop.run())

    def kept() -> int:
        with engine.connect() as connection:
            return len(connection.execute(select(outbox)).all())

    while (await log.told("counter", "words")).get(PLACE, Position(0, 0, 0)).offset < 1:
        await asyncio.sleep(0.01)
    loop.nudge()  # a turn in which nothing comes
    async with asyncio.timeout(5):
        while kept():
            await asyncio.sleep(0.01)
    assert not running.done()
    loop.stop()
    await running


async def test_what_stopped_a_consumer_shows_without_the_data_it_stopped_at(engine: Engine, log: Log) -> None:
    def failing(connection: Connection, work: Counts) -> None:
        connection.execute(text("INSERT INTO nowhere VALUES (:name)"), {"name": "Ana García"})

    await log.append([Outgoing("words", "a", b"a#1")])
    broken = Service(**{**{name: getattr(SERVICE, name) for name in Service.__slots__}, "save": failing})
    loop = Loop(broken, engine, Process(log=log, clock=lambda: from_ms(0), metrics=Metrics("0"), owner="me"))
    with pytest.raises(DBAPIError) as stopped:
        await ended(loop)
    assert "Ana" not in str(stopped.value)
    assert loop.failure is not None
    assert "Error" in loop.failure
    assert "Ana" not in loop.failure
