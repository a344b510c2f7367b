"""The next crossing: exact to the millisecond, and never one missed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.segment.attributes import Facts
from services.segment.rules import compile_python, parse
from shared.events.times import from_ms, to_ms

BOUGHT = datetime(2026, 5, 20, 21, 15, tzinfo=UTC)
DAY = 86_400_000
MS = to_ms(BOUGHT)
TODAY = MS // DAY
BUYER = Facts(
    purchases=3, last_purchase=MS, gap_q90=12.5, days=(TODAY - 20, TODAY), counts=(1, 2), revenues=(1_000, 4_990)
)


def crossing(rule: str, at: datetime = BOUGHT, facts: Facts = BUYER) -> datetime | None:
    return compile_python(parse(rule)).next_crossing(facts, at, {})


@pytest.mark.parametrize(
    ("rule", "days", "more_ms"),
    [
        ("days_since_last_purchase < 180", 180, 0),
        ("days_since_last_purchase >= 180", 180, 0),
        ("days_since_last_purchase <= 180", 180, 1),
        ("180 < days_since_last_purchase", 180, 1),
        ("days_since_last_purchase = 2", 2, 0),
        ("days_since_last_purchase < 0.0001", 0, 8_640),
        ("days_since_last_purchase <= usual_gap_days_q90", 12.5, 1),
        ("days_since_last_purchase * 24 < 36", 1.5, 0),
        ("(days_since_last_purchase - 1) / 2 <= 1", 3, 1),
        ("10 - days_since_last_purchase > 4", 6, 0),
        ("coalesce(days_since_last_purchase, 1000) < 7", 7, 0),
        ("days_since_last_purchase between 3 and 5", 3, 0),
        ("not (days_since_last_purchase < 9) or days_since_last_purchase < 4", 4, 0),
    ],
)
def test_the_moment_is_exact(rule: str, days: float, more_ms: int) -> None:
    moment = BOUGHT + timedelta(days=days, milliseconds=more_ms)
    compiled = compile_python(parse(rule))
    assert crossing(rule) == moment
    before, after = (compiled.holds(BUYER, at, {}) for at in (moment - timedelta(milliseconds=1), moment))
    assert before is not after


def test_equality_ends_a_millisecond_after_it_began() -> None:
    begun = BOUGHT + timedelta(days=2)
    assert crossing("days_since_last_purchase = 2", begun) == begun + timedelta(milliseconds=1)
    assert crossing("days_since_last_purchase = 2", begun + timedelta(milliseconds=1)) is None


def test_a_window_changes_at_the_midnight_that_flips_it() -> None:
    assert crossing("purchases_count_28d >= 3") == from_ms((TODAY - 20 + 28) * DAY)
    assert crossing("purchases_count_28d >= 1") == from_ms((TODAY + 28) * DAY)
    assert crossing("revenue_28d > 49.90") == from_ms((TODAY - 20 + 28) * DAY)
    assert crossing("revenue_28d > 100") is None


def test_a_grant_expires_at_its_moment() -> None:
    until = MS + 5_000
    facts = Facts(consents={"email": ("granted", until), "sms": ("denied", until)})
    assert crossing("consent_email = 'granted'", facts=facts) == from_ms(until)
    assert crossing("consent_email is null", facts=facts) == from_ms(until)
    assert crossing("consent_sms = 'denied'", facts=facts) is None
    assert compile_python(parse("consent_email = 'granted'")).holds(facts, from_ms(until), {}) is None


@pytest.mark.parametrize(
    "rule",
    [
        "purchases_count >= 3",
        "purchases_count >= 9 and days_since_last_purchase < 180",
        "purchases_count >= 3 or days_since_last_purchase < 180",
        "days_since_last_call < 180",
        "days_since_last_purchase is null",
        "days_since_last_purchase < traits.nothing",
        "days_since_last_purchase < 1e15",
        "days_since_last_purchase > -1e15",
        "days_since_last_purchase < 3000000",
    ],
)
def test_no_moment_where_time_cannot_change_the_answer(rule: str) -> None:
    assert crossing(rule) is None


LEAVES = [
    "days_since_last_purchase < {x}",
    "days_since_last_purchase <= {x}",
    "days_since_last_purchase = {x}",
    "days_since_last_purchase in ({x}, 30)",
    "days_since_last_purchase * 3 + 1 > {x}",
    "({x} - days_since_last_purchase) / 7 between -1 and 2",
    "days_since_last_call / traits.rank < {x}",
    "revenue_91d > {x}",
    "revenue_28d / 3 <= {x}",
    "purchases_count_30d = {x}",
    "revenue_91d_to_average >= 0.{x}",
    "interest_count_30d between 1 and {x}",
    "consent_email = 'granted'",
    "purchases_count >= {x}",
    "traits.flag is not false",
]
leaves = st.tuples(st.sampled_from(LEAVES), st.integers(0, 60)).map(lambda pair: pair[0].format(x=pair[1]))
rules = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "="]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
        inner.map(lambda part: f"not ({part})"),
        inner.map(lambda part: f"({part}) is not true"),
    ),
    max_leaves=4,
)


@st.composite
def customers(draw: st.DrawFn) -> Facts:
    days = tuple(sorted(draw(st.sets(st.integers(TODAY - 95, TODAY), max_size=5))))
    interest = tuple(sorted(draw(st.sets(st.integers(TODAY - 35, TODAY), max_size=3))))
    return Facts(
        purchases=draw(st.integers(0, 20)),
        last_purchase=draw(st.none() | st.integers(MS - 40 * DAY, MS)),
        last_call=draw(st.none() | st.integers(MS - 40 * DAY, MS)),
        days=days,
        counts=tuple(draw(st.integers(0, 2)) for _ in days),
        revenues=tuple(draw(st.integers(-3_000, 6_000)) for _ in days),
        interest_days=interest,
        interest_counts=tuple(draw(st.integers(1, 2)) for _ in interest),
        consents=draw(st.sampled_from([{}, {"email": ("granted", MS + 3 * DAY)}])),
        traits=draw(st.sampled_from([{}, {"rank": 2, "flag": True}, {"rank": -0.5, "flag": False}, {"rank": 0}])),
    )


@settings(max_examples=200, deadline=None)
@given(rules, customers(), st.integers(0, 20 * DAY), st.data())
def test_nothing_flips_before_the_crossing(rule: str, facts: Facts, later: int, data: st.DataObject) -> None:
    compiled = compile_python(parse(rule))
    at, population = MS + later, {"mean:revenue_91d": 40.0}
    now = compiled.test(facts, at, population)
    due = compiled.crossing(facts, at, population) if compiled.crossing else None
    assert due is None or due > at
    end = at + 400 * DAY if due is None else due
    midnights = [day * DAY for day in range(at // DAY + 1, min(end, at + 100 * DAY) // DAY + 1) if day * DAY < end]
    instants = [end - 1, *midnights, *data.draw(st.lists(st.integers(at, end - 1), max_size=20))]
    assume(instants)
    assert all((compiled.test(facts, moment, population) is True) == (now is True) for moment in instants)
