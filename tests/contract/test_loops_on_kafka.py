"""Loops that share a group on a broker: each claims what it is given, and takes over what another leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from shared.database import open_sqlite, transaction
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms
from shared.log.kafka import KafkaLog, Plan, open_log, parse
from shared.runtime.loop import Loop
from shared.runtime.process import Process
from shared.runtime.schema import prepare
from shared.telemetry import Metrics
from tests.contract.test_processor import SERVICE, counts, metadata

pytestmark = pytest.mark.kafka

PARTITIONS = 4
KEYS = [f"w{number}" for number in range(12)]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = open_sqlite(tmp_path / "counter.db")
    prepare(made, SERVICE)
    with transaction(made) as connection:
        metadata.create_all(connection)
    return made


@asynccontextmanager
async def worker(engine: Engine, url: str, prefix: str) -> AsyncIterator[tuple[Loop, KafkaLog]]:
    """A loop on a log of its own, as in a process of its own."""
    log = open_log(parse(url), prefix, lambda _: Plan(partitions=PARTITIONS))
    loop = Loop(SERVICE, engine, Process(log=log, clock=lambda: from_ms(10), metrics=Metrics("0"), owner="w"))
    running = asyncio.create_task(loop.run())
    try:
        yield loop, log
    finally:
        loop.stop()
        await running
        await log.close()


async def until(look: Callable[[], bool]) -> None:
    """Wait until it is so, half a minute at most."""
    async with asyncio.timeout(30):
        while not look():
            await asyncio.sleep(0.05)


async def test_partitions_are_claimed_as_they_come_and_taken_over_when_another_leaves(
    engine: Engine, kafka: str
) -> None:
    prefix, sent = f"{uuid4().hex[:12]}.", 0

    async def send(log: KafkaLog) -> None:
        nonlocal sent
        sent += 1
        await log.append([Outgoing("words", key, f"{key}#{sent}".encode()) for key in KEYS])

    def applied() -> bool:
        return counts(engine) == dict.fromkeys(KEYS, sent)

    async with worker(engine, kafka, prefix) as (first, log):
        await until(lambda: len(first.parts()) == PARTITIONS)
        await send(log)
        await until(applied)
        async with worker(engine, kafka, prefix) as (second, _):
            await until(lambda: len(first.parts()) == len(second.parts()) == PARTITIONS // 2)
            await send(log)
            await until(applied)
        await until(lambda: len(first.parts()) == PARTITIONS)
        await send(log)
        await until(applied)
