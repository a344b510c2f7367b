"""Timers and the stream: neither holds the other up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from shared.database import position
from shared.events.outgoing import Outgoing
from shared.events.times import EPOCH, from_ms
from shared.log import Position, Told, TopicPartition
from shared.log.sqlite import SqliteLog, open_log
from shared.runtime.loop import Loop
from shared.runtime.process import Process
from shared.runtime.service import Service, Timers, Watermark
from shared.telemetry import Metrics
from tests.conftest import Opener
from tests.contract.test_processor import SERVICE, claimed, counted, counts, evolve, metadata

PLACE = TopicPartition("words", 0)
POSTS = TopicPartition("posts", 0)


def ticking(engine: Engine) -> tuple[Service, list[int]]:
    """The counting service with three times work that was always due, and the list of its firings."""
    fired: list[int] = []

    def due(connection: Connection, mark: Watermark, limit: int) -> Sequence[Any] | None:
        if len(fired) >= 3:
            return None
        fired.append(1)
        return ["tick"]

    timers = Timers(next_due=lambda connection, parts: _next(fired), due=due, overdue=lambda connection, now: 0)
    return Service(**{**{name: getattr(SERVICE, name) for name in Service.__slots__}, "timers": timers}), fired


def _next(fired: list[int]) -> datetime | None:
    return EPOCH if len(fired) < 3 else None


async def test_an_unbroken_stream_does_not_keep_timers_from_firing(database: Opener, tmp_path: Path) -> None:
    engine = database(SERVICE, metadata)
    log = open_log(tmp_path / "log.db", clock=lambda: 1)
    service, fired = ticking(engine)
    loop = Loop(service, engine, Process(log=log, clock=lambda: from_ms(10), metrics=Metrics("0"), owner="me"))
    stopped = asyncio.Event()
    number = 0

    async def stream() -> None:
        """Always something that is not read yet: several appends are under way at every moment."""
        nonlocal number
        while not stopped.is_set():
            number += 1
            await log.append([Outgoing("words", "w", f"w#{number}".encode())])

    senders = [asyncio.create_task(stream()) for _ in range(8)]
    while (await log.ends("words")).get(PLACE, 0) < 50:
        await asyncio.sleep(0.01)
    running = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(10):
            while len(fired) < 3:
                await asyncio.sleep(0.02)
    finally:
        stopped.set()
        await asyncio.gather(*senders)
        loop.stop()
        await running
        await log.close()


def once(engine: Engine, due_at: datetime = EPOCH, before: Callable[[], None] = lambda: None) -> Service:
    """The counting service with one timer, for the word `tick`; `before` happens just before it is looked for."""

    def next_due(connection: Connection, parts: Collection[int]) -> datetime | None:
        before()
        return None if connection.execute(select(counted).where(counted.c.name == "tick")).first() else due_at

    def due(connection: Connection, mark: Watermark, limit: int) -> Sequence[Any] | None:
        found = connection.execute(select(counted).where(counted.c.name == "tick")).first()
        return None if found or mark.live < due_at else ["tick#1"]

    timers = Timers(next_due=next_due, due=due, overdue=lambda connection, now: 0)
    upstream = (("entrance", "posts"),)
    fields = {name: getattr(SERVICE, name) for name in Service.__slots__}
    return Service(**{**fields, "timers": timers, "upstream": upstream})


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE, metadata)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    opened = open_log(tmp_path / "log.db", clock=lambda: 1)
    yield opened
    await opened.close()


@asynccontextmanager
async def running(service: Service, engine: Engine, log: SqliteLog, now_ms: int = 10) -> AsyncIterator[Loop]:
    """A loop that runs meanwhile, by a clock that stands still."""
    loop = Loop(service, engine, Process(log=log, clock=lambda: from_ms(now_ms), metrics=Metrics("0"), owner="me"))
    task = asyncio.create_task(loop.run())
    yield loop
    loop.stop()
    await task


async def ticked(engine: Engine) -> None:
    """Wait until the timer has fired."""
    async with asyncio.timeout(10):
        while "tick" not in counts(engine):
            await asyncio.sleep(0.01)


async def test_who_lost_his_claim_fires_nothing(engine: Engine, log: SqliteLog) -> None:
    robbed: list[int] = []

    def rob() -> None:
        """A successor takes over between the look at what is due and its firing."""
        if not robbed and claimed(engine, "successor"):
            robbed.append(1)

    async with running(once(engine, before=rob), engine, log):
        await ticked(engine)
        with engine.connect() as connection:
            owner = connection.execute(select(position.c.owner)).scalar_one()
    assert (robbed, owner, counts(engine)) == ([1], "me", {"tick": 1})


async def test_timers_wait_for_a_stage_that_is_behind(engine: Engine, log: SqliteLog) -> None:
    await log.append([Outgoing("posts", "p", b"1"), Outgoing("posts", "p", b"2")])
    await log.tell(Told("entrance", {POSTS: Position(1, 4, 0)}))
    async with running(once(engine, due_at=from_ms(5)), engine, log):
        await asyncio.sleep(0.3)
        assert counts(engine) == {}
        await log.tell(Told("entrance", {POSTS: Position(1, 5, 0)}))
        await ticked(engine)


async def test_timers_wait_for_a_stage_that_has_said_nothing(engine: Engine, log: SqliteLog) -> None:
    await log.append([Outgoing("posts", "p", b"1")])
    async with running(once(engine, due_at=from_ms(5)), engine, log):
        await asyncio.sleep(0.3)
        assert counts(engine) == {}
        await log.tell(Told("entrance", {POSTS: Position(1, 1, 0)}))
        await ticked(engine)


async def test_timers_wait_for_what_is_not_applied_yet(engine: Engine, log: SqliteLog) -> None:
    """What was in the topic when the watermark was taken is applied before the timer, however many batches it takes."""
    await log.append([Outgoing("words", "w", f"w#{number}".encode()) for number in range(9_000)])
    before: list[int] = []

    def seen(state: tuple[str, int], event: str) -> tuple[str, int]:
        if event == "tick#1":
            before.append(counts(engine).get("w", 0))
        return evolve(state, event)

    service = once(engine)
    watching = Service(**{**{name: getattr(service, name) for name in Service.__slots__}, "evolve": seen})
    async with running(watching, engine, log):
        await ticked(engine)
    assert before == [9_000]
