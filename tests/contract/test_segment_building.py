"""A new definition for many customers: in force at once, the back-fill goes on behind, events do not wait for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from services.segment import definitions, queries, tables
from services.segment.population import load_company
from services.segment.service import SERVICE
from shared.database import open_sqlite
from shared.events.envelope import Event, derived_id, encode, raw
from shared.events.outgoing import CONTENT_TYPE, Outgoing
from shared.events.profiles import TOPIC, UPDATED, Day, Known, Profile, Purchases
from shared.log.sqlite import SqliteLog
from shared.runtime.clock import system
from shared.runtime.loop import Loop
from shared.runtime.process import Process
from shared.runtime.schema import prepare
from shared.telemetry import Metrics

MANY = 20_000
BUYERS = {"segmentation": "buyers", "classes": [{"name": "many", "when": "purchases_count >= 2"}, {"name": "few"}]}


def record(number: int, version: int, at: datetime) -> Outgoing:
    """The record of a customer after so many purchases, one a day."""
    name = f"p{number:05}"
    days = tuple(Day((at - timedelta(days=back)).date().isoformat(), 1, {"EUR": 1000}) for back in range(version))[::-1]
    profile = Profile(
        profile_id=name,
        version=version,
        identifiers=(Known("customer_id", f"C{number}", at),),
        first_seen_at=at - timedelta(days=version),
        last_seen_at=at,
        purchases=Purchases(
            count=version,
            revenue={"EUR": f"{10 * version}.00"},
            first_at=at - timedelta(days=version),
            last_at=at,
            days=days,
        ),
    )
    cause = derived_id(name, version)
    event = Event(
        specversion="1.0", id=cause, source="cartera/profile", type=UPDATED, time=at, data=raw(profile), subject=name
    )
    return Outgoing(TOPIC, name, encode(event), CONTENT_TYPE)


class House:
    """Twenty thousand customers, and the loop of the service on top of them."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_sqlite(folder / "segment.db")
        prepare(self.engine, SERVICE, lambda one: definitions.start(one, "EUR", system()))
        self.log = SqliteLog(folder / "log.db", 1, lambda: int(time.time() * 1000))
        process = Process(log=self.log, clock=system, metrics=Metrics("1"), owner="test")
        self.loop = Loop(SERVICE, self.engine, process)

    async def fill(self) -> None:
        """Until everybody is known and the first day is closed."""
        before = system() - timedelta(hours=1)
        await self.log.append([record(number, 1, before) for number in range(MANY)])
        while await asyncio.to_thread(self.known) < MANY:
            await asyncio.sleep(0.05)

    def known(self) -> int:
        with self.engine.connect() as connection:
            if load_company(connection).closed_day is None:
                return 0
            return connection.execute(select(func.count()).select_from(tables.customer)).scalar_one()

    def left(self) -> int:
        """How many customers are still to be looked at."""
        with self.engine.connect() as connection:
            stale = tables.customer.c.ruleset < load_company(connection).ruleset
            return connection.execute(select(func.count()).select_from(tables.customer).where(stale)).scalar_one()

    def where(self, name: str) -> str | None:
        with self.engine.connect() as connection:
            query = select(tables.membership.c["class"]).where(
                (tables.membership.c.profile_id == name) & (tables.membership.c.segmentation == "buyers")
            )
            return connection.execute(query).scalar()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.log.close()
    house.engine.dispose()


async def test_events_do_not_wait_for_the_back_fill(house: House) -> None:
    running = asyncio.create_task(house.loop.run())
    try:
        await house.fill()
        started = time.monotonic()
        await asyncio.to_thread(definitions.put, house.engine, "buyers", BUYERS, system())
        assert time.monotonic() - started < 5, "it is in force when it answers, whatever is left to do"
        house.loop.nudge()
        lefts = [await asyncio.to_thread(house.left)]
        assert lefts[0] > MANY / 2
        while lefts[-1]:
            number = MANY - len(lefts)
            posted = time.monotonic()
            await house.log.append([record(number, 2, system())])
            while await asyncio.to_thread(house.where, f"p{number:05}") != "many":
                await asyncio.sleep(0.005)
            assert time.monotonic() - posted < 10
            lefts.append(await asyncio.to_thread(house.left))
    finally:
        house.loop.stop()
        await running
    assert len(lefts) > 10
    assert lefts == sorted(lefts, reverse=True)
    assert any(MANY / 10 < left < MANY * 9 / 10 for left in lefts), "live changes were made in the midst of it"
    with house.engine.connect() as connection:
        sizes = queries.counts(connection, "buyers")
    assert sizes["many"] >= len(lefts) - 1
    assert sum(sizes.values()) == MANY
