"""The segment stage on a real database: evidence, moments, late events, and that no customer is forgotten."""

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.json import encode
from sqlalchemy import Engine, select

from services.segment import tables
from shared.events.outgoing import Outgoing
from shared.events.profiles import Removal
from tests.builders import interaction, moment, purchase
from tests.chain import Chain, opened

POSTGRES = os.environ.get("CARTERA_TEST_POSTGRES", "")
DAY = 24 * 60
ANA = {"customer_id": "C1", "email": "ana@example.com"}
BEN = {"customer_id": "C2", "email": "ben@example.com"}
BUYERS = {"segmentation": "buyers", "classes": [{"name": "many", "when": "purchases_count >= 2"}, {"name": "few"}]}


@pytest.fixture(params=["sqlite", *([POSTGRES] if POSTGRES else [])], ids=["sqlite", "postgres"][: 1 + bool(POSTGRES)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine = opened(request.param, tmp_path)
    yield engine
    engine.dispose()


def day(number: float) -> datetime:
    return moment(number * DAY)


def test_a_change_by_time_holds_the_value_that_crossed(engine: Engine) -> None:
    chain = Chain(engine)
    chain.feed(*(purchase(ANA, at=number * DAY) for number in range(5)))
    chain.tick(day(200))
    change = chain.history("status", "C1")[-1]
    assert (change["from"], change["to"], change["cause"]) == ("active", "inactive", "time")
    assert change["evidence"] == {"days_since_last_purchase": 180, "purchases_count": 5}


def test_who_leaves_a_dropped_segmentation_leaves_at_that_moment(engine: Engine) -> None:
    chain = Chain(engine).only(BUYERS)
    chain.feed(purchase(ANA, at=0), purchase(BEN, at=9 * DAY))
    chain.drop("buyers", at=day(5))
    chain.tick(day(20))
    left = {one["customer"]["customer_id"]: one for one in chain.history("buyers") if one["to"] is None}
    assert left["C1"]["occurred_at"] == "2026-03-07T09:00:00Z"
    assert left["C2"]["occurred_at"] == "2026-03-11T09:00:00Z", "never earlier than what he did last"
    assert {one["cause"] for one in left.values()} == {"definition"}


def test_a_new_definition_changes_classes_at_its_moment_each_at_its_own(engine: Engine) -> None:
    chain = Chain(engine).only(BUYERS)
    chain.feed(purchase(ANA, at=0))
    one = [{"name": "seen", "when": "purchases_count = 1"}]
    chain.put({**BUYERS, "classes": one}, at=day(3))
    chain.put({"segmentation": "late", "classes": [{"name": "yes", "when": "days_since_last_purchase > 2"}]}, at=day(4))
    chain.tick(day(20))
    assert [(c["to"], c["occurred_at"], c["cause"]) for c in chain.history("buyers")] == [
        ("few", "2026-03-02T09:00:00Z", "event"),
        ("seen", "2026-03-05T09:00:00Z", "definition"),
    ]
    assert [(c["to"], c["occurred_at"], c["cause"]) for c in chain.history("late")] == [
        ("yes", "2026-03-06T09:00:00Z", "definition")
    ]


def test_a_timer_due_before_a_new_definition_does_not_use_it(engine: Engine) -> None:
    recent = {"segmentation": "recent", "classes": [{"name": "yes", "when": "days_since_last_purchase < 2"}]}
    chain = Chain(engine).only(recent, BUYERS)
    chain.feed(purchase(ANA, at=0))
    chain.put({**BUYERS, "classes": [{"name": "one", "when": "purchases_count = 1"}]}, at=day(5))
    chain.tick(day(6))
    assert [(c["segmentation"], c["to"], c["occurred_at"]) for c in chain.history("recent")[1:]] == [
        ("recent", None, "2026-03-04T09:00:00Z")
    ]
    assert chain.history("buyers")[-1]["occurred_at"] == "2026-03-07T09:00:00Z"


def test_an_event_before_the_back_fill_does_not_hide_a_dropped_class(engine: Engine) -> None:
    chain = Chain(engine).only(BUYERS)
    chain.feed(purchase(ANA, at=0))
    chain.drop("buyers", at=day(1))
    chain.feed(purchase(ANA, at=2 * DAY))
    chain.tick(day(3))
    assert [(c["to"], c["occurred_at"]) for c in chain.history("buyers", "C1")] == [
        ("few", "2026-03-02T09:00:00Z"),
        (None, "2026-03-03T09:00:00Z"),
    ]


def test_a_chain_goes_on_when_a_definition_comes_back(engine: Engine) -> None:
    chain = Chain(engine).only(BUYERS)
    chain.feed(purchase(ANA, at=0))
    chain.drop("buyers", at=day(1))
    chain.tick(day(1))
    chain.put(BUYERS, at=day(2))
    chain.tick(day(2))
    chain.feed(purchase(ANA, at=3 * DAY))
    found = chain.history("buyers", "C1")
    assert [one["to"] for one in found] == ["few", None, "few", "many"]
    assert [one["version"] for one in found] == [1, 2, 3, 4]
    assert all(former["to"] == later["from"] for former, later in pairwise(found))


def test_of_who_is_erased_no_feature_stays(engine: Engine) -> None:
    chain = Chain(engine)
    chain.feed(purchase(ANA, at=0), interaction("interest.shown", BEN, DAY, kind="visit"), purchase(BEN, at=DAY))
    chain.tick(day(3))
    gone = chain.customers()["C1"].profile_id
    removal = Removal(profile_id=gone, reason="erasure", version=99, time=day(4), event_id="e")
    chain.apply([Outgoing("profiles", gone, None, (("removal", encode(removal)),))])
    with engine.connect() as connection:
        for table in (tables.features, tables.feature_day, tables.rolling, tables.due):
            names = {name for (name,) in connection.execute(select(table.c.profile_id))}
            assert gone not in names, table.name
            assert names, table.name
