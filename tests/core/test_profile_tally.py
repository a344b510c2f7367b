"""What is counted of each kind of interaction, and that joining counts is commutative and associative."""

from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile.folding import fold, read
from services.profile.joining import distinct, join, on_day, with_digest
from services.profile.tally import DIGEST_RANGE, EMPTY, PURCHASE_DAYS, SKETCH, Said, Tally
from shared.errors import InvalidEvent
from shared.events.envelope import Event
from shared.events.profiles import Day, Profile
from tests.builders import call, chat, email, identified, interaction, moment, purchase, refund
from tests.core.test_profile_core import customers
from tests.strategies import interactions

WHO = {"customer_id": "C1"}
DAY = 1440
events = st.lists(interactions(), max_size=5, unique_by=lambda event: event.id)


def tally(*told: Event) -> Tally:
    return reduce(fold, map(read, told), EMPTY)


def known(*told: Event) -> Profile:
    return customers(*told)["C1"]


@settings(max_examples=150, deadline=None)
@given(events, events, events)
def test_joining_is_commutative_and_associative(a: list[Event], b: list[Event], c: list[Event]) -> None:
    left, middle, right = tally(*a), tally(*b), tally(*c)
    assert join(left, middle) == join(middle, left)
    assert join(join(left, middle), right) == join(left, join(middle, right))


@settings(max_examples=150, deadline=None)
@given(events, events)
def test_counting_apart_and_joining_is_counting_together(a: list[Event], b: list[Event]) -> None:
    together = list({event.id: event for event in (*a, *b)}.values())
    apart = [event for event in b if event.id not in {one.id for one in a}]
    assert join(tally(*a), tally(*apart)) == tally(*together)


def test_revenue_is_what_was_paid_less_tax_and_shipping_net_of_refunds() -> None:
    bought = known(
        purchase(WHO, "100.00", at=0, tax="15.00", shipping="5.00"),
        purchase(WHO, "20.00", at=DAY),
        refund(WHO, "30.00", at=2 * DAY),
        purchase(WHO, "700", at=3, currency="JPY"),
    ).purchases
    assert (bought.count, bought.refunds) == (3, 1)
    assert bought.revenue == {"EUR": "70.00", "JPY": "700"}
    assert bought.average_order_value == {"EUR": "35.00", "JPY": "700"}
    assert (bought.first_at, bought.last_at) == (moment(0), moment(DAY))
    assert bought.days == (
        Day("2026-03-02", 2, {"EUR": 8000, "JPY": 700}),
        Day("2026-03-03", 1, {"EUR": 2000}),
        Day("2026-03-04", 0, {"EUR": -3000}),
    )


@pytest.mark.parametrize("order", [1, -1])
def test_purchase_days_are_kept_for_two_years_back_from_the_latest(order: int) -> None:
    told = [purchase(WHO, at=day * DAY) for day in (0, 1, PURCHASE_DAYS)]
    bought = known(*told[::order]).purchases
    assert [day.date for day in bought.days] == ["2026-03-03", "2028-03-02"]
    assert (bought.count, bought.first_at) == (3, moment(0))


def test_a_late_day_is_put_where_it_belongs() -> None:
    days = on_day(on_day(on_day((), "2026-01-03", 1, "EUR", 1), "2026-01-01", 1, "EUR", 2), "2026-01-01", 1, "EUR", 3)
    assert days == (Day("2026-01-01", 2, {"EUR": 5}), Day("2026-01-03", 1, {"EUR": 1}))


def test_preferences_are_the_most_frequent_and_ties_go_to_the_smaller_name() -> None:
    kitchen, garden = {"category": "Kitchen"}, {"category": "Garden"}
    found = known(
        purchase(WHO, at=1, channel="web", items=[kitchen, garden], store_id="M2"),
        purchase(WHO, at=2, channel="store", items=[kitchen], store_id="M1"),
    ).preferences
    assert (found.channel, found.category, found.store) == ("store", "Kitchen", "M1")


def test_calls() -> None:
    found = known(
        call(WHO, at=1, duration_seconds=61, csat=4),
        call(WHO, at=2, status="no_answer"),
        call(WHO, at=3, direction="outbound", status="busy", duration_seconds=0.4),
    )
    calls = found.calls
    assert (calls.count, calls.inbound, calls.outbound, calls.missed, calls.duration_seconds) == (3, 2, 1, 2, 61)
    assert (calls.last_at, found.satisfaction.last) == (moment(3), {"csat": 4})


def test_machine_opens_are_not_counted() -> None:
    found = known(email(WHO, "opened", at=1), email(WHO, "opened", at=2, machine=True), email(WHO, "clicked", at=3))
    assert (found.emails.opened, found.emails.clicked, found.emails.last_at) == (1, 1, moment(3))
    assert known(email(WHO, "sent", at=1), email(WHO, "opened", at=2, machine=True)).last_seen_at == moment(1)


def test_hard_bounces_are_told_apart_and_remembered() -> None:
    found = known(
        email(WHO, "bounced", at=3, bounce_type="hard"),
        email(WHO, "bounced", at=2, bounce_type="hard"),
        email(WHO, "bounced", at=4, bounce_type="soft"),
        email(WHO, "delivered", at=5),
    ).emails
    assert (found.bounced, found.hard_bounced, found.hard_bounced_at) == (3, 2, moment(3))


@pytest.mark.parametrize(
    ("good", "count", "last"), [(None, 3, 5), ("delivered", 2, 5), ("opened", 2, 5), ("sent", 3, 5), ("late", 0, None)]
)
@pytest.mark.parametrize("order", [1, -1])
def test_soft_bounces_count_in_a_row(good: str | None, count: int, last: int | None, order: int) -> None:
    told = [email(WHO, "bounced", at=at, bounce_type="soft") for at in (1, 2, 4)] + [email(WHO, "bounced", at=5)]
    if good is not None:
        told.append(email(WHO, "delivered" if good == "late" else good, at=6 if good == "late" else 3))
    found = known(*told[::order]).emails
    assert (found.bounced, found.hard_bounced, found.soft_bounced) == (4, 0, count)
    assert found.soft_bounced_at == (None if last is None else moment(last))


@pytest.mark.parametrize("action", ["unsubscribed", "complained"])
def test_leaving_a_list_is_a_denial(action: str) -> None:
    found = known(email(WHO, action, at=5))
    assert (found.consents["email"].status, found.consents["email"].at) == ("denied", moment(5))
    assert getattr(found.emails, action) == 1


def test_a_conversation_of_many_messages_is_one() -> None:
    told = [chat(WHO, "message", at=at, conversation_id="x") for at in range(3)]
    told.append(chat(WHO, "ended", at=4, conversation_id="x", resolved=True, handed_over=True))
    found = known(*told, chat(WHO, "started", at=5), chat(WHO, "message", at=6)).chats
    assert (found.conversations, found.messages, found.resolved, found.handed_over) == (2, 4, 1, 1)


def test_very_many_conversations_are_estimated() -> None:
    some: tuple[int, ...] = ()
    count = 4 * SKETCH
    for number in range(count):
        some = with_digest(some, number * DIGEST_RANGE // count)
    assert len(some) == SKETCH
    assert abs(distinct(some) / count - 1) < 0.05


def test_interest_by_day() -> None:
    found = known(*(interaction("interest.shown", WHO, at=at * DAY) for at in (5, 5.1, 3, 500))).interest
    assert (found.count, found.days, found.last_at) == (4, {"2027-07-15": 1}, moment(500 * DAY))


def test_surveys_and_points() -> None:
    nps, points = {"survey": "nps"}, {"reason": "x"}
    found = known(
        interaction("survey.answered", WHO, at=2, score=9, **nps),
        interaction("survey.answered", WHO, at=1, score=3, **nps),
        interaction("loyalty.adjusted", WHO, at=3, points=70, **points),
        interaction("loyalty.adjusted", WHO, at=4, points=-20),
    )
    assert (found.satisfaction.answers, found.satisfaction.last, found.loyalty.points) == (2, {"nps": 9}, 50)


def test_nested_traits_are_kept_whole() -> None:
    address = {"city": "Vigo", "lines": ["a", "b"]}
    assert known(identified(WHO, address=address)).traits == {"address": address}


def test_other_purposes_stand_beside_marketing() -> None:
    def stated(at: int, status: str, **data: Any) -> Event:
        return interaction("consent.changed", WHO, at=at, channel="email", status=status, **data)

    found = known(stated(1, "granted"), stated(2, "denied", purpose="research")).consents
    assert {name: (one.status, one.purpose) for name, one in found.items()} == {
        "email": ("granted", "marketing"),
        "email/research": ("denied", "research"),
    }
    assert known(stated(1, "granted", purpose="research")).consents["email"].purpose == "research"


def test_an_expiry_is_kept() -> None:
    told = interaction("consent.changed", WHO, channel="sms", status="granted", expires_at="2026-12-31T00:00:00Z")
    assert str(known(told).consents["sms"].expires_at) == "2026-12-31 00:00:00+00:00"
    assert Said("granted", 0, 0).expires is None


@pytest.mark.parametrize(
    ("kind", "who", "data", "pointer"),
    [
        ("purchase.completed", WHO, {"order_id": "1", "total": "x", "currency": "EUR"}, "/data/total"),
        ("purchase.completed", WHO, {"total": "1"}, "/data"),
        ("call.completed", {"traits": {}}, {}, "/data/customer"),
    ],
)
def test_what_can_never_be_counted_is_refused(kind: str, who: dict[str, Any], data: Any, pointer: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        tally(interaction(kind, who, **data))
    assert refused.value.faults[0].pointer == pointer
