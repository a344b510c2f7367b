"""Audiences: the rule language asked of what is kept of a record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.segment.attributes import CATALOGUE
from services.segment.audience import AudienceLanguage
from services.segment.rules import RuleError
from shared.events.profiles import Consent, Day, Known, Profile, Purchases

NOON = datetime(2026, 5, 25, 12, 0, tzinfo=UTC)
LANGUAGE = AudienceLanguage("EUR")
WIN_BACK = "revenue_365d >= 50 and not churned_for_price"


def facts(revenue: int = 6000, **given: Any) -> bytes:
    bought = Purchases(1, {"EUR": f"{revenue / 100}"}, {}, NOON, NOON, 0, (Day("2026-05-25", 1, {"EUR": revenue}),))
    record = Profile(
        profile_id="p",
        version=1,
        identifiers=(Known("email", "ana@example.com", NOON),),
        first_seen_at=NOON,
        last_seen_at=NOON,
        purchases=bought,
        **given,
    )
    return LANGUAGE.facts(msgspec.json.encode(record))


def test_the_audience_of_the_contract() -> None:
    asked = LANGUAGE.compile(WIN_BACK)
    assert asked(facts(), NOON) is True
    assert asked(facts(4999), NOON) is False
    assert asked(facts(traits={"churned_for_price": True}), NOON) is False


def test_it_is_asked_as_of_a_moment() -> None:
    asked = LANGUAGE.compile(WIN_BACK)
    assert asked(facts(), NOON + timedelta(days=360)) is True
    assert asked(facts(), NOON + timedelta(days=366)) is False
    granted = {"sms": Consent("granted", "marketing", NOON, NOON + timedelta(days=1))}
    consented = LANGUAGE.compile("consent_sms = 'granted'")
    assert consented(facts(consents=granted), NOON) is True
    assert consented(facts(consents=granted), NOON + timedelta(days=1)) is None


def test_traits_are_asked_by_name() -> None:
    asked = LANGUAGE.compile("traits.region = 'north'")
    assert asked(facts(traits={"region": "north"}), NOON) is True
    assert asked(facts(), NOON) is None


@pytest.mark.parametrize("name", [name for name, attribute in CATALOGUE.items() if attribute.needs])
def test_what_depends_on_the_whole_portfolio_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(RuleError, match=f"{name} depends on the whole portfolio") as caught:
        LANGUAGE.compile(f"reachable and {name} > 1")
    assert caught.value.position == 15


def test_what_is_kept_is_packed() -> None:
    days = tuple(Day(f"2025-{month:02}-{day:02}", 1, {"EUR": 1234}) for month in range(1, 13) for day in range(1, 29))
    record = Profile(
        profile_id="p", version=1, first_seen_at=NOON, last_seen_at=NOON, purchases=Purchases(336, {}, {}, days=days)
    )
    text = msgspec.json.encode(record)
    assert len(LANGUAGE.facts(text)) < len(text) / 3
