"""The sample as a stream: complete, in order, canonical, the same every time, and exact to the cent."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec
import phonenumbers
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sample.stream import WEEK, stream, weeks_between
from shared.events.envelope import Event, decode, encode, fingerprint
from shared.events.interactions import DECODERS, Purchase
from shared.events.money import to_minor
from shared.events.times import rfc3339
from tests.system.independent_count import independent_count, shift, table

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
REAL = "sample/complete-journey"
SYNTHETIC = "sample/synthetic"


@dataclass
class Seen:
    """One reading of the whole stream; the purchases are tallied, everything else is kept."""

    digest: str = ""
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    ids: set[tuple[str, str]] = field(default_factory=set)
    events: int = 0
    out_of_order: int = 0
    wrong_key: int = 0
    largest: int = 0
    first: datetime = NOW
    last: datetime = NOW
    baskets: Counter[int] = field(default_factory=Counter)
    cents: Counter[int] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    first_purchase: dict[int, datetime] = field(default_factory=dict)
    last_purchase: dict[int, datetime] = field(default_factory=dict)
    others: list[Event] = field(default_factory=list)


def read(seen: Seen, event: Event) -> None:
    data = DECODERS[event.type].decode(event.data)
    if not isinstance(data, Purchase):
        seen.others.append(event)
        return
    household = int(str(data.customer["customer_id"]))
    seen.baskets[household] += 1
    seen.cents[household] += to_minor(data.total, data.currency)
    seen.first_purchase.setdefault(household, event.time)
    seen.last_purchase[household] = event.time
    for item in data.items:
        seen.items["lines"] += 1
        seen.items["unnamed"] += item.name is None
        seen.items["priced"] += item.unit_price is not None
        seen.items["without quantity"] += item.quantity == 0


@pytest.fixture(scope="module")
def seen() -> Seen:
    result, digest = Seen(), hashlib.sha256()
    result.last = datetime(1970, 1, 1, tzinfo=UTC)
    for key, value in stream(NOW):
        digest.update(key.encode() + value)
        event = decode(value)
        result.events += 1
        result.kinds[event.source, event.type] += 1
        result.ids.add((event.source, event.id))
        result.out_of_order += event.time < result.last
        result.first, result.last = min(result.first, event.time), event.time
        result.largest = max(result.largest, len(value))
        read(result, event)
    result.digest = digest.hexdigest()
    return result


def payloads(seen: Seen, kind: str) -> list[tuple[Event, Any]]:
    return [(event, msgspec.json.decode(event.data)) for event in seen.others if event.type == kind]


def test_every_real_fact_is_one_event(seen: Seen) -> None:
    real = {kind: count for (source, kind), count in seen.kinds.items() if source == REAL}
    assert real == {
        "purchase.completed": 155_848,
        "customer.identified": 801,
        "email.sent": 6_589,
        "email.clicked": 2_102,
    }


def test_what_is_generated_says_so(seen: Seen) -> None:
    generated = {kind for source, kind in seen.kinds if source == SYNTHETIC}
    assert generated == {
        "customer.identified",
        "consent.changed",
        "call.completed",
        "chat.started",
        "chat.message",
        "chat.ended",
    }
    assert {source for source, _ in seen.kinds} == {REAL, SYNTHETIC}


def test_order_and_names(seen: Seen) -> None:
    assert seen.out_of_order == 0
    assert len(seen.ids) == seen.events
    assert seen.largest <= 32 * 1024


def test_money_and_moments_agree_with_the_independent_count(seen: Seen) -> None:
    count = independent_count()
    moved = shift(NOW)
    assert Decimal(sum(seen.cents.values())) / 100 == count.revenue == Decimal("4596039.58")
    assert seen.baskets == {number: household.purchases for number, household in count.households.items()}
    assert {number: Decimal(cents) / 100 for number, cents in seen.cents.items()} == {
        number: household.revenue for number, household in count.households.items()
    }
    assert seen.last_purchase == {n: h.last_purchase + moved for n, h in count.households.items()}
    assert seen.first_purchase == {n: h.first_purchase + moved for n, h in count.households.items()}


def test_times_move_by_whole_weeks_into_the_last_seven_days(seen: Seen) -> None:
    last = max(seen.last_purchase.values())
    moved = last - independent_count().last_purchase
    assert moved % timedelta(days=7) == timedelta()
    assert NOW - timedelta(days=7) < last <= NOW
    assert seen.last == last


@given(st.datetimes(datetime(2010, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - hypothesis bounds must be naive
def test_weeks_between_always_reaches_the_last_seven_days(moment: datetime) -> None:
    now = int(moment.replace(tzinfo=UTC).timestamp() * 1_000)
    end = 1_514_779_280_000
    assert 0 <= now - (end + weeks_between(end, now) * WEEK) < WEEK


def test_every_line_is_an_item(seen: Seen) -> None:
    assert seen.items["lines"] == 1_469_307
    assert seen.items["without quantity"] == 8_869
    assert seen.items["priced"] == 1_469_307 - 8_869 - 44_595
    kinds = table("products", ["product_id", "product_type"])
    named = kinds.filter(pc.is_valid(kinds["product_type"]))["product_id"]
    sold = table("transactions", ["product_id"])["product_id"]
    assert seen.items["unnamed"] == pc.sum(pc.invert(pc.is_in(sold, named))).as_py() == 6_310


def test_the_same_week_gives_the_same_bytes(seen: Seen) -> None:
    digest = hashlib.sha256()
    for key, value in stream(NOW + timedelta(hours=3)):
        digest.update(key.encode() + value)
    assert digest.hexdigest() == seen.digest


def test_events_are_what_ingest_would_have_written() -> None:
    for key, value in islice(stream(NOW), 6_000):
        event = decode(value)
        assert encode(event) == value
        assert event.history == "sample"
        assert event.receivedat == event.time
        data = msgspec.json.decode(event.data)
        assert event.fingerprint == fingerprint(event.type, rfc3339(event.time), data)
        assert key == f"customer_id:{data['customer']['customer_id']}"


def test_the_generated_are_canonical_too(seen: Seen) -> None:
    for event in seen.others:
        data = msgspec.json.decode(event.data)
        assert event.fingerprint == fingerprint(event.type, rfc3339(event.time), data)


def test_items_and_discounts_add_up() -> None:
    """Line amounts sum to the total; a discount is the positive sum of what was taken off."""
    checked = 0
    for _, value in islice(stream(NOW), 20_000):
        event = decode(value)
        if event.type != "purchase.completed":
            continue
        data = msgspec.json.decode(event.data)
        amounts = [
            Decimal(item["total"]) if "total" in item else Decimal(item["unit_price"]) * item["quantity"]
            for item in data["items"]
        ]
        assert sum(amounts) == Decimal(data["total"])
        assert Decimal(data.get("discount", "0.01")) > 0
        assert data["order_id"] == event.id
        checked += 1
    assert checked > 10_000


def test_demographics_come_just_before_the_first_basket(seen: Seen) -> None:
    ranks = Counter()
    for event, data in payloads(seen, "customer.identified"):
        if event.source != REAL:
            continue
        household = int(data["customer"]["customer_id"])
        assert timedelta() < seen.first_purchase[household] - event.time < timedelta(minutes=1)
        assert None not in data["traits"].values()
        ranks[data["traits"]["income_band_rank"]] += 1
    assert sum(ranks.values()) == 801
    assert set(ranks) == set(range(1, 13))


def test_addresses_and_consents(seen: Seen) -> None:
    mailed = {int(data["customer"]["customer_id"]) for _, data in payloads(seen, "email.sent")}
    addressed = {
        int(data["customer"]["customer_id"]): (event.time, data["customer"]["email"])
        for event, data in payloads(seen, "customer.identified")
        if event.source == SYNTHETIC
    }
    assert len(mailed) == 1_559
    assert mailed < set(addressed)
    assert 0.05 < len(set(addressed) - mailed) / (2_469 - 1_559) < 0.12
    assert len({address for _, address in addressed.values()}) == len(addressed)
    assert all(at < seen.first_purchase[household] for household, (at, _) in addressed.items())
    choices: dict[str, set[int]] = defaultdict(set)
    for event, data in payloads(seen, "consent.changed"):
        choices[data["status"]].add(int(data["customer"]["customer_id"]))
        assert data["channel"] == "email"
        assert event.source == SYNTHETIC
    assert choices["granted"] == set(addressed)
    assert choices["denied"] < choices["granted"]
    assert 0.01 < len(choices["denied"]) / len(addressed) < 0.05


def test_nothing_was_sent_to_anybody_who_had_refused(seen: Seen) -> None:
    refused = {
        data["customer"]["customer_id"]: event.time
        for event, data in payloads(seen, "consent.changed")
        if data["status"] == "denied"
    }
    for event, data in payloads(seen, "email.sent"):
        assert event.time < refused.get(data["customer"]["customer_id"], NOW)


def test_clicks_follow_the_message_they_name(seen: Seen) -> None:
    sent = {data["message_id"]: (event.time, data["campaign"]) for event, data in payloads(seen, "email.sent")}
    assert len(sent) == 6_589
    for event, data in payloads(seen, "email.clicked"):
        at, campaign = sent[data["message_id"]]
        assert at < event.time
        assert data["campaign"] == campaign
        assert data["link_url"].startswith("coupon:")
    assert {campaign[-7:-1] for _, campaign in sent.values()} == {"-type-"}
    assert {campaign[-1] for _, campaign in sent.values()} == {"A", "B", "C"}
    assert all(8 <= at.hour < 18 for at, _ in sent.values())


def test_calls_keep_the_rates_of_their_sources(seen: Seen) -> None:
    calls = payloads(seen, "call.completed")
    inbound = [(event, data) for event, data in calls if data["direction"] == "inbound"]
    years = sum((seen.last_purchase[n] - seen.first_purchase[n]).days for n in seen.baskets) / 365
    assert 1.5 < len(calls) / years < 2.1
    hours = Counter((event.time - timedelta(hours=5)).hour for event, _ in inbound)
    assert max(hours, key=lambda hour: hours[hour]) in {9, 10, 11, 12}
    assert set(hours) <= set(range(7, 22))
    assert max((event.time - timedelta(hours=5)).weekday() for event, _ in inbound) == 4
    durations = sorted(data["duration_seconds"] for _, data in calls if data["status"] == "completed")
    assert 170 < durations[len(durations) // 2] < 210
    phones = {data["customer"]["customer_id"]: data["customer"]["phone"] for _, data in calls}
    assert len(set(phones.values())) == len(phones)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in phones.values())
    assert all(number[5:10] == "55501" for number in phones.values())


def test_conversations_are_whole(seen: Seen) -> None:
    turns: dict[str, list[str]] = defaultdict(list)
    for event in seen.others:
        if event.type.startswith("chat."):
            turns[msgspec.json.decode(event.data)["conversation_id"]].append(event.type)
    assert 0.7 < len(turns) / 2_469 < 1.1
    for kinds in turns.values():
        assert (kinds[0], kinds[-1]) == ("chat.started", "chat.ended")
        assert set(kinds[1:-1]) == {"chat.message"}
        assert 2 <= len(kinds) - 2 <= 6
