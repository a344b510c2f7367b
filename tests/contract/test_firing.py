"""Timers and the stream: neither holds the other up."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from shared.events.outgoing import Outgoing
from shared.events.times import EPOCH, from_ms
from shared.log import TopicPartition
from shared.log.sqlite import open_log
from shared.runtime.loop import Loop
from shared.runtime.process import Process
from shared.runtime.service import Service, Timers, Watermark
from shared.telemetry import Metrics
from tests.conftest import Opener
from tests.contract.test_processor import SERVICE, metadata

PLACE = TopicPartition("words", 0)


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
