"""Several processes on one database: each decides and sends what belongs to its partitions, and nothing else."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from services.campaign import ledger, tables
from services.campaign.service import SERVICE
from shared.database import transaction
from shared.events.times import from_ms, to_ms
from tests.contract.campaign.house import NOON, House, change_of, files, name_of, record_of

FEW, MANY = range(1, 4), range(4, 11)
"""Customers of partition 0 and of partition 1."""


@pytest.fixture
def houses(engine: Engine, tmp_path: Path) -> tuple[House, House]:
    for name in "01":
        (tmp_path / name).mkdir()
    return House(engine, tmp_path / "0"), House(engine, tmp_path / "1", part=1)


def plan(houses: tuple[House, House]) -> None:
    for house, numbers in zip(houses, (FEW, MANY), strict=True):
        for number in numbers:
            house.apply(record_of(number, part=house.part), change_of(number, part=house.part))


def test_timers_and_sends_are_seen_to_by_the_owner_of_the_partition(houses: tuple[House, House]) -> None:
    first, second = houses
    plan(houses)
    first.fire()
    assert not second.gateway.send_batch()
    assert first.gateway.send_batch()
    assert (len(files(first)), len(files(second))) == (len(FEW), 0)
    second.send()
    first.send()
    assert (len(files(first)), len(files(second))) == (len(FEW), len(MANY))
    assert first.types().count("message.sent") == len(FEW)
    assert second.types().count("message.sent") == len(MANY)


def test_the_next_moment_is_that_of_the_own_partitions(houses: tuple[House, House]) -> None:
    first, _ = houses
    plan(houses)
    assert SERVICE.timers is not None
    later = to_ms(NOON) + 5_000
    with transaction(first.engine) as connection:
        connection.execute(update(tables.due).where(tables.due.c.part == 1).values(due_at=later))
        assert SERVICE.timers.next_due(connection, (0,)) == NOON
        assert SERVICE.timers.next_due(connection, (1,)) == from_ms(later)
        assert SERVICE.timers.next_due(connection, (0, 1)) == NOON
        assert SERVICE.timers.next_due(connection, ()) is None


def test_what_an_operator_wants_reaches_the_owner(houses: tuple[House, House]) -> None:
    first, second = houses
    plan(houses)
    second.fire()
    table = tables.message
    with transaction(first.engine) as connection:
        of_second = (table.c.profile_id == name_of(MANY[0])) & (table.c.campaign == "welcome")
        name = connection.execute(select(table.c.message_id).where(of_second)).scalar_one()
        shown = ledger.one(connection, name)
        assert shown is not None
    second.send()
    with transaction(first.engine) as connection:
        ledger.ask(connection, shown, "drop", to_ms(NOON))
    first.send()
    assert first.count(tables.signal) == 1
    first.nudged = second.nudged = 0
    first.gateway.send_batch()
    second.gateway.send_batch()
    assert (first.nudged, second.nudged) == (0, 1)
    assert second.fire() == 1
    assert second.count(tables.signal) == 0
