"""The decision at send time: every reason to refuse, their order, quiet hours, caps, and the control group."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.company import parse_company, quiet_until
from services.campaign.model import Audience, ProfileGone, State, View
from services.campaign.occasion import held_out, message_id
from shared.events.envelope import derived_id
from shared.events.profiles import Emails, Known
from shared.events.times import to_ms
from tests.core.campaign_builders import (
    ANA,
    NOON,
    after,
    at,
    campaign,
    changed,
    decided,
    due,
    empty,
    granted,
    only,
    outcome,
    policy,
    seen,
    view,
)


def test_a_reachable_willing_customer_is_written_to() -> None:
    message = decided()
    assert (message.state, message.channel, message.reason) == ("sending", "email", "email is the default")


def test_gone() -> None:
    state = after(empty(), seen(), changed(), ProfileGone(ANA, at(0.1), "erasure", 2))
    assert [(m.state, m.reason) for m in state.customer.messages] == [("refused", "customer_gone")]


def test_class_changed_since() -> None:
    first = after(empty(), seen(), changed(), changed("inactive", 2, NOON))
    message = only(after(first, due(only(first))))
    assert (message.state, message.reason) == ("refused", "class_changed")


def test_too_late() -> None:
    assert decided(now=at(24)).state == "sending"
    assert decided(now=at(24) + timedelta(milliseconds=1)).reason == "too_late"


def test_the_kill_switch_holds() -> None:
    message = decided(policy(stopped=True))
    assert (message.state, message.reason) == ("held", "sending_stopped")


def test_paused() -> None:
    assert decided(policy(paused=frozenset({"welcome"}))).reason == "campaign_paused"


def test_hold_out() -> None:
    assert decided(policy(campaign(hold_out="99.9999%"))).reason == "hold_out"


@pytest.mark.parametrize("record", [view(email=None), view(email=None, phone=None)])
def test_no_address(record: View) -> None:
    assert decided(record=record).reason == "no_address"


def test_no_consent() -> None:
    assert decided(record=view(consents={})).reason == "no_consent"
    assert decided(record=view(consents={"email": granted(status="denied")})).reason == "no_consent"
    assert decided(record=view(consents={"sms": granted()})).reason == "no_consent"
    assert decided(record=view(consents={"email": granted(expires_at=NOON)})).reason == "no_consent"
    assert decided(record=view(consents={"email": granted(expires_at=at(0.1))})).state == "sending"
    assert decided(record=view(consents={"email": granted(purpose="research")})).reason == "no_consent"


def test_service_messages_need_no_consent() -> None:
    rules = policy(campaign(limits={"category": "service"}))
    assert decided(rules, view(consents={"email": granted(status="denied")})).state == "sending"


def test_opt_out_companies_write_unless_denied() -> None:
    rules = policy(company=parse_company({"consent": "opt_out"}))
    assert decided(rules, view(consents={})).state == "sending"
    assert decided(rules, view(consents={"email": granted(status="denied")})).reason == "no_consent"


HARD = Emails(bounced=1, hard_bounced=1, hard_bounced_at=at(-0.1))


def soft(number: int) -> Emails:
    return Emails(bounced=9, soft_bounced=number, soft_bounced_at=at(-0.1))


@pytest.mark.parametrize("emails", [HARD, Emails(complained=1), soft(3)])
def test_suppressed(emails: Emails) -> None:
    assert decided(record=view(emails=emails, known_at=at(-1))).reason == "suppressed"


@pytest.mark.parametrize("emails", [Emails(bounced=9), soft(2)])
def test_soft_bounces_that_are_few_or_apart_suppress_nothing(emails: Emails) -> None:
    assert decided(record=view(emails=emails, known_at=at(-1))).state == "sending"


@pytest.mark.parametrize("emails", [HARD, soft(3)])
def test_an_address_that_became_known_after_the_bounces_is_tried(emails: Emails) -> None:
    old = view(emails=emails, known_at=at(-1))
    both = msgspec.structs.replace(old, identifiers=(*old.identifiers, Known("email", "ana.new@example.com", NOON)))
    assert decided(record=both).state == "sending"
    assert decided(record=view(emails=Emails(complained=1))).reason == "suppressed"


def test_no_template() -> None:
    assert decided(policy(templates={})).reason == "template_missing"


def test_audience() -> None:
    wanted = campaign(audience="purchases_count > 1")
    for answer, reason in ((False, "not_in_audience"), (None, "audience_unknown")):
        asked = policy(wanted, audiences={"welcome": lambda facts, now, said=answer: said}, language=Telling())
        assert decided(asked).reason == reason
    asked = policy(wanted, audiences={"welcome": Telling().compile("facts of {}")}, language=Telling())
    assert decided(asked).state == "sending"
    kept = msgspec.structs.replace(after(empty(asked), seen()).customer, record=None, facts=b"facts of {}")
    state = after(State(kept, asked), changed())
    assert only(after(state, due(only(state)))).state == "sending"
    assert decided(policy(wanted)).reason == "audience_unknown"


class Telling:
    """Facts that tell what they were made from."""

    def facts(self, record: bytes) -> bytes:
        return b"facts of " + record

    def compile(self, text: str) -> Audience:
        return lambda facts, now: facts == text.encode()


def test_the_first_reason_in_the_order_wins() -> None:
    late = at(100)
    rules = policy(campaign(hold_out="99.9999%"), stopped=True)
    assert decided(rules, view(email=None), late).reason == "too_late"
    assert decided(rules, view(email=None)).reason == "sending_stopped"
    assert decided(policy(campaign(hold_out="99.9999%")), view()).reason == "hold_out"
    assert decided(record=view(email=None, consents={})).reason == "no_address"
    assert decided(record=view(consents={}, emails=Emails(complained=1))).reason == "no_consent"


def test_caps_count_claimed_and_sent_messages_of_the_window() -> None:
    state = after(empty(), seen())
    reasons = []
    for number in range(5):
        moment = NOON + timedelta(days=number)
        state = after(state, changed("active", number + 1, moment))
        message = state.customer.messages[-1]
        state = after(state, due(message))
        message = next(m for m in state.customer.messages if m.message_id == message.message_id)
        reasons.append(message.reason if message.state == "refused" else message.state)
        state = after(state, outcome(message, "sent", moment))
    assert reasons == ["sending", "sending", "sending", "capped", "capped"]
    week = NOON + timedelta(days=7)
    state = after(state, changed("active", 9, week))
    assert after(state, due(state.customer.messages[-1])).customer.messages[-1].state == "sending"


def test_what_was_surely_not_sent_does_not_count() -> None:
    state = after(empty(), seen())
    for number in range(6):
        state = after(state, changed("active", number + 1))
        message = state.customer.messages[-1]
        state = after(state, due(message), outcome(message, "failed"))
        assert state.customer.messages[-1].state == "failed"


def test_quiet_hours_postpone_to_their_end_in_the_customers_zone() -> None:
    evening = datetime(2026, 5, 25, 19, 30, tzinfo=UTC)
    record = view(traits={"timezone": "Europe/Madrid"})
    state = after(empty(), seen(record), changed(time=evening))
    state = after(state, due(only(state)))
    message = only(state)
    assert (message.state, message.reason) == ("planned", "quiet_hours")
    morning = datetime(2026, 5, 26, 6, 0, tzinfo=UTC)
    assert message.due_at == to_ms(morning)
    assert only(after(state, due(message))).state == "sending"
    assert decided(now=at(8.9)).state == "sending"
    assert decided(now=at(9)).state == "planned"


@pytest.mark.parametrize("trait", [{}, {"timezone": "Mars/Olympus"}])
def test_quiet_hours_are_the_companys_where_his_zone_is_not_known(trait: dict[str, str]) -> None:
    rules = policy(company=parse_company({"timezone": "Asia/Tokyo"}))
    message = decided(rules, view(traits=trait), NOON)
    assert (message.state, message.due_at) == ("planned", to_ms(at(11)))
    assert decided(rules, view(traits={"timezone": "Europe/Madrid"}), NOON).state == "sending"


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-03-28T22:00+01:00", "2026-03-29T08:00+02:00"),
        ("2026-03-29T00:30+01:00", "2026-03-29T08:00+02:00"),
        ("2026-10-24T23:00+02:00", "2026-10-25T08:00+01:00"),
        ("2026-10-25T02:30+01:00", "2026-10-25T08:00+01:00"),
        ("2026-05-25T20:59+02:00", None),
        ("2026-05-25T08:00+02:00", None),
    ],
)
def test_quiet_hours_across_clock_changes(moment: str, until: str | None) -> None:
    found = quiet_until(datetime.fromisoformat(moment), (21 * 60, 8 * 60), ZoneInfo("Europe/Madrid"))
    assert found == (None if until is None else datetime.fromisoformat(until))


def test_an_end_that_comes_twice_is_the_next_one() -> None:
    madrid, quiet = ZoneInfo("Europe/Madrid"), (21 * 60, 2 * 60 + 30)
    first = datetime.fromisoformat("2026-10-25T02:10+02:00")
    second = datetime.fromisoformat("2026-10-25T02:10+01:00")
    assert quiet_until(first, quiet, madrid) == datetime.fromisoformat("2026-10-25T02:30+02:00")
    assert quiet_until(second, quiet, madrid) == datetime.fromisoformat("2026-10-25T02:30+01:00")


@settings(max_examples=200, deadline=None)
@given(
    minute=st.integers(0, 400 * 1440),
    start=st.integers(0, 1439),
    end=st.integers(0, 1439),
    zone=st.sampled_from(["Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_the_end_of_quiet_hours_is_later_and_not_quiet(minute: int, start: int, end: int, zone: str) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    if start == end:
        return
    until = quiet_until(moment, (start, end), ZoneInfo(zone))
    if until is not None:
        assert moment < until <= moment + timedelta(hours=26)
        assert quiet_until(until, (start, end), ZoneInfo(zone)) is None


def test_the_control_group_has_its_share_and_stays() -> None:
    names = [derived_id("someone", number) for number in range(20_000)]
    out = [name for name in names if held_out("win-back", name, 100_000)]
    assert 0.093 < len(out) / len(names) < 0.107
    assert out == [name for name in names if held_out("win-back", name, 100_000)]
    assert set(out) < {name for name in names if held_out("win-back", name, 200_000)}
    assert set(out) != {name for name in names if held_out("welcome", name, 100_000)}
    assert not any(held_out("win-back", name, 0) for name in names)


def test_message_ids_are_the_occasions() -> None:
    assert message_id("a", 0, ANA, "status/x/1") == message_id("a", 0, ANA, "status/x/1")
    others = {message_id("a", 1, ANA, "status/x/1"), message_id("b", 0, ANA, "status/x/1")}
    assert len(others | {message_id("a", 0, ANA, "status/x/1"), message_id("a", 0, ANA, "status/x/2")}) == 4
