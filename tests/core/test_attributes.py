"""The facts of a record and the values of its attributes."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from services.segment.attributes import CATALOGUE, Facts, Type, Value, describe, dynamic, facts_of, markdown
from services.segment.attributes.facts import usual_gap
from shared.events.profiles import (
    Calls,
    Chats,
    Consent,
    Day,
    Emails,
    Interests,
    Known,
    Loyalty,
    Profile,
    Purchases,
    Satisfaction,
)
from shared.events.times import to_ms

NOW = datetime(2026, 5, 25, 9, 15, tzinfo=UTC)
LAST = NOW - timedelta(days=12, hours=9)
ANA = Profile(
    profile_id="p1",
    version=3,
    identifiers=(Known("customer_id", "C-17", LAST), Known("email", "ana@example.com", LAST)),
    traits={"income_band_rank": 2, "name": "Ana", "contract_active": "Yes", "tags": ["x"], "vip": False},
    consents={
        "email": Consent("granted", "marketing", LAST, NOW + timedelta(hours=1)),
        "sms": Consent("denied", "marketing", LAST),
        "fax": Consent("granted", "marketing", LAST),
    },
    first_seen_at=NOW - timedelta(days=400),
    last_seen_at=NOW,
    purchases=Purchases(
        count=4,
        revenue={"EUR": "149.70", "USD": "5.00"},
        average_order_value={"EUR": "49.90"},
        first_at=datetime(2026, 2, 1, 8, tzinfo=UTC),
        last_at=LAST,
        refunds=1,
        days=(
            Day("2026-02-01", 1, {"EUR": 10_000}),
            Day("2026-04-27", 0, {"EUR": -20}),
            Day("2026-04-28", 2, {"EUR": 4_990, "USD": 500}),
            Day("2026-05-13", 1, {}),
        ),
    ),
    calls=Calls(count=2, missed=1, last_at=NOW - timedelta(hours=12)),
    emails=Emails(sent=5, opened=4, clicked=3, replied=2, last_at=NOW),
    chats=Chats(conversations=6, last_at=NOW - timedelta(days=1)),
    interest=Interests(count=7, last_at=NOW - timedelta(days=2), days={"2026-05-23": 3, "2026-04-01": 4}),
    satisfaction=Satisfaction(last={"nps": 9.0, "csat": 4.5}),
    loyalty=Loyalty(points=120),
    scores={"churn": 0.25},
)
POPULATION = {"mean:revenue_91d": 24.95, "median:usual_gap_days_median": 20.0}


def value(name: str, at: datetime = NOW, population: dict[str, float] = POPULATION) -> Value:
    return CATALOGUE[name].read(facts_of(ANA, "EUR"), to_ms(at), population)


SHRUNK = math.exp((2 * math.log(50.5) + 3 * math.log(20.0)) / 5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("purchases_count", 4),
        ("refunds_count", 1),
        ("purchase_days", 3),
        ("revenue", 149.7),
        ("average_order_value", 49.9),
        ("days_since_last_purchase", 12.375),
        ("days_since_last_call", 0.5),
        ("revenue_28d", 49.9),
        ("revenue_30d", 49.7),
        ("revenue_91d", 49.7),
        ("revenue_365d", 149.7),
        ("purchases_count_28d", 3),
        ("purchases_count_182d", 4),
        ("revenue_91d_to_average", 49.7 / 24.95),
        ("usual_gap_days_median", 50.5),
        ("usual_gap_days_q90", 15 + 71 * 0.9),
        ("usual_gap_days", SHRUNK),
        ("usual_gap_to_median", SHRUNK / 20.0),
        ("calls_count", 2),
        ("calls_missed", 1),
        ("emails_sent", 5),
        ("emails_opened", 4),
        ("emails_clicked", 3),
        ("emails_replied", 2),
        ("chats_conversations", 6),
        ("interest_count", 7),
        ("interest_count_30d", 3),
        ("interest_count_90d", 7),
        ("days_since_first_seen", 400),
        ("days_since_last_seen", 0),
        ("reachable", True),
        ("contract_active", True),
        ("churned_for_price", False),
        ("consent_email", "granted"),
        ("consent_sms", "denied"),
        ("consent_phone", None),
        ("satisfaction_nps", 9),
        ("satisfaction_csat", 4.5),
        ("loyalty_points", 120),
    ],
)
def test_values(name: str, expected: Value) -> None:
    assert value(name) == (pytest.approx(expected, rel=1e-12) if name.startswith("usual_gap") else expected)


def test_values_that_need_the_population_are_null_without_it() -> None:
    for name in ("revenue_91d_to_average", "usual_gap_days", "usual_gap_to_median"):
        assert value(name, population={}) is None


def test_a_window_changes_at_midnight() -> None:
    midnight = datetime(2026, 5, 26, tzinfo=UTC)
    assert value("purchases_count_28d", midnight - timedelta(milliseconds=1)) == 3
    assert value("purchases_count_28d", midnight) == 1
    changes = CATALOGUE["purchases_count_28d"].changes
    assert changes is not None
    moment, after = next(changes(facts_of(ANA, "EUR"), to_ms(NOW), {}))
    assert (moment, after) == (to_ms(midnight), 1)


def test_a_grant_ends_when_it_expires() -> None:
    assert value("consent_email", NOW + timedelta(minutes=59)) == "granted"
    assert value("consent_email", NOW + timedelta(hours=1)) is None


def test_traits_and_scores_count_only_as_the_type_asked_for() -> None:
    facts = facts_of(ANA, "EUR")
    read = [
        dynamic("traits", "income_band_rank", Type.NUMBER),
        dynamic("traits", "income_band_rank", Type.TEXT),
        dynamic("traits", "name", Type.TEXT),
        dynamic("traits", "vip", Type.FLAG),
        dynamic("traits", "vip", Type.NUMBER),
        dynamic("traits", "tags", Type.ANY),
        dynamic("scores", "churn", Type.NUMBER),
    ]
    assert [attribute.read(facts, 0, {}) for attribute in read] == [2, None, "Ana", False, None, None, 0.25]


def test_another_currency_of_the_company_counts_other_money() -> None:
    facts = facts_of(ANA, "USD")
    assert (facts.revenue, facts.revenues, facts.average) == (500, (0, 0, 500, 0), None)


def test_the_usual_gap_looks_at_the_latest_gaps_only() -> None:
    assert usual_gap([]) == (0, None, None)
    assert usual_gap([10]) == (0, None, None)
    assert usual_gap([10, 13]) == (1, 3.0, 3.0)
    days = [0, 1_000, *range(1_002, 1_002 + 2 * 16, 2)]
    assert usual_gap(days) == (16, 2.0, 2.0)


def test_an_empty_record_has_a_value_or_null_everywhere() -> None:
    empty = facts_of(Profile(profile_id="p", version=1, first_seen_at=NOW, last_seen_at=NOW), "EUR")
    values = {name: attribute.read(empty, 0, {}) for name, attribute in CATALOGUE.items()}
    assert all(value is None or isinstance(value, int | float | str) for value in values.values())
    assert (values["purchases_count"], values["days_since_last_purchase"], values["reachable"]) == (0, None, False)


def test_facts_survive_storage() -> None:
    facts = facts_of(ANA, "EUR")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(facts), type=Facts) == facts
    assert msgspec.json.decode(msgspec.json.encode(facts), type=Facts) == facts


def test_time_varying_attributes_tell_their_changes() -> None:
    for attribute in CATALOGUE.values():
        assert attribute.time_varying == (attribute.since is not None or attribute.changes is not None)
    assert {entry["name"] for entry in describe()} == {*CATALOGUE, "traits.NAME", "scores.NAME"}


def test_the_documentation_lists_the_catalogue() -> None:
    text = (Path(__file__).parents[2] / "docs" / "segmentations.md").read_text(encoding="utf-8")
    assert markdown() in text
