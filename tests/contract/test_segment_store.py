"""The segment stage on a real database: evidence, moments, late events, and that no customer is forgotten."""

from datetime import datetime
from itertools import pairwise

import pytest
from msgspec.json import encode
from sqlalchemy import Engine, delete, select

from services.segment import definitions, tables
from services.segment.population import load_population
from services.segment.service import SERVICE
from shared.database import transaction
from shared.events.outgoing import Outgoing
from shared.events.profiles import Removal
from tests.builders import identified, interaction, moment, purchase, refund
from tests.chain import Chain
from tests.conftest import Opener

DAY = 24 * 60
ANA = {"customer_id": "C1", "email": "ana@example.com"}
BEN = {"customer_id": "C2", "email": "ben@example.com"}
BUYERS = {"segmentation": "buyers", "classes": [{"name": "many", "when": "purchases_count >= 2"}, {"name": "few"}]}


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


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


def shares(cuts: list[str], *classes: str) -> dict[str, object]:
    return {"segmentation": "shares", "share": {"attribute": "revenue_28d", "cuts": cuts, "classes": list(classes)}}


def test_who_is_told_of_late_has_his_value_of_today(engine: Engine) -> None:
    chain = Chain(engine).only(shares(["50%"], "much", "little"))
    chain.feed(purchase(BEN, "100", at=99 * DAY))
    chain.tick(day(101))
    chain.feed(purchase(ANA, "300", at=2 * DAY))
    chain.tick(day(101))
    assert chain.classes()["C1"]["shares"] == "little"
    assert [(c["to"], c["occurred_at"], c["cause"]) for c in chain.history("shares", "C1")] == [
        ("much", "2026-03-04T09:00:00Z", "event"),
        ("little", "2026-04-01T00:00:00Z", "time"),
    ]


def test_new_numbers_meet_what_was_bought_today(engine: Engine) -> None:
    chain = Chain(engine).only(shares(["50%"], "much", "little"))
    chain.feed(purchase(BEN, "100", at=0), purchase(ANA, "10", at=0))
    chain.tick(day(1))
    chain.feed(purchase(ANA, "60", at=1 * DAY))
    chain.tick(day(1))
    assert chain.classes()["C1"]["shares"] == "little"
    chain.feed(refund(BEN, "60", at=5))
    chain.tick(day(1))
    assert chain.classes()["C1"]["shares"] == "much"


def test_when_nobody_has_a_share_nobody_keeps_a_class(engine: Engine) -> None:
    chain = Chain(engine).only(shares(["50%"], "much", "little"))
    chain.feed(purchase(ANA, "10", at=0))
    chain.tick(day(2))
    assert chain.classes()["C1"]["shares"] == "much"
    chain.tick(day(40))
    assert chain.classes()["C1"] == {}


RHYTHM = {"segmentation": "rhythm", "classes": [{"name": "quick", "when": "usual_gap_to_median < 0.9"}]}


def median(chain: Chain) -> float:
    with chain.engine.connect() as connection:
        return load_population(connection)["median:usual_gap_days_median"]


def test_the_median_gap_is_that_of_the_last_closed_day(engine: Engine) -> None:
    chain = Chain(engine).only(RHYTHM)
    chain.feed(*(purchase(who, at=at * DAY) for who, at in ((ANA, 0), (ANA, 10), (BEN, 0), (BEN, 4))))
    chain.tick(day(20))
    assert median(chain) == 7
    chain.feed(purchase(BEN, at=20 * DAY))
    chain.feed(purchase(ANA, at=5 * DAY))
    chain.tick(day(20))
    assert median(chain) == 4.5, "what was told of late counts at once, what was bought today from midnight on"
    chain.tick(day(21))
    assert median(chain) == (5 + 10) / 2
    chain.put({**RHYTHM, "classes": [{"name": "any", "when": "reachable"}]}, at=day(21))
    chain.put(RHYTHM, at=day(21))
    chain.tick(day(21))
    assert median(chain) == (5 + 10) / 2


def test_a_batch_across_midnight_does_not_change_the_day_before(engine: Engine) -> None:
    chain = Chain(engine).only(RHYTHM)
    chain.feed(*(purchase(who, at=at * DAY) for who, at in ((ANA, 0), (ANA, 10), (BEN, 0), (BEN, 4))))
    chain.tick(day(19))
    chain.feed(purchase(BEN, at=19.2 * DAY), purchase(BEN, at=20.2 * DAY))
    chain.tick(day(20.5))
    assert median(chain) == (10 + (4 + 15) / 2) / 2


def test_a_share_of_a_trait_follows_it(engine: Engine) -> None:
    worth = {"segmentation": "worth", "share": {"attribute": "traits.worth", "cuts": ["60%"], "classes": ["A", "B"]}}
    chain = Chain(engine).only()
    chain.feed(identified(ANA, worth=80), purchase(ANA), identified(BEN, worth=20), purchase(BEN))
    chain.tick(day(1))
    chain.put(worth, at=day(1))
    chain.tick(day(2))
    assert {name: held["worth"] for name, held in chain.classes().items()} == {"C1": "A", "C2": "B"}
    chain.feed(identified(BEN, at=2 * DAY, worth=500))
    chain.tick(day(3))
    assert {name: held["worth"] for name, held in chain.classes().items()} == {"C1": "B", "C2": "A"}


@pytest.mark.parametrize("reason", ["merge", "erasure"])
def test_of_who_is_gone_no_feature_stays(engine: Engine, reason: str) -> None:
    chain = Chain(engine)
    chain.feed(purchase(ANA, at=0), interaction("interest.shown", BEN, DAY, kind="visit"), purchase(BEN, at=DAY))
    chain.tick(day(3))
    gone = chain.customers()["C1"].profile_id
    removal = Removal(profile_id=gone, reason=reason, version=99, time=day(4), event_id="e")
    chain.apply([Outgoing("profiles", gone, None, (("removal", encode(removal)),))])
    with engine.connect() as connection:
        for table in (tables.features, tables.feature_day, tables.rolling, tables.due):
            names = {name for (name,) in connection.execute(select(table.c.profile_id))}
            assert gone not in names, table.name
            assert names, table.name


def test_features_that_are_not_there_yet_are_made_at_the_start(engine: Engine) -> None:
    chain = Chain(engine)
    chain.feed(purchase(ANA, at=0), interaction("interest.shown", ANA, DAY, kind="visit"), identified(BEN, tier="gold"))
    chain.tick(day(3))

    def rows() -> list[tuple[object, ...]]:
        with engine.connect() as connection:
            found = [
                tuple(row)
                for table in (tables.features, tables.feature_day)
                for row in connection.execute(select(table))
            ]
        return sorted(found, key=str)

    before = rows()
    with transaction(engine) as connection:
        connection.execute(delete(tables.features))
        connection.execute(delete(tables.feature_day).where(tables.feature_day.c.count == 0))
    assert rows() != before
    with transaction(engine) as connection:
        definitions.start(connection, "EUR", day(0), by_events=True)
    assert rows() == before
