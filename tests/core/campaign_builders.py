"""Customers, policies and events of the campaign service as values, for its tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.campaign.company import Company, parse_company
from services.campaign.core import evolve
from services.campaign.definition import Campaign, parse_campaign
from services.campaign.model import (
    CampaignEvent,
    ClassChanged,
    Customer,
    Due,
    Message,
    Outcome,
    Outline,
    Policy,
    ProfileSeen,
    Purchases,
    State,
    View,
)
from shared.events.profiles import Calls, Chats, Consent, Emails, Known
from shared.events.times import from_ms

NOON = datetime(2026, 5, 25, 12, 0, tzinfo=UTC)
ANA = "0d6c7e0a-7c1c-5d59-9c3c-3a3c6f6f0001"


def at(hours: float) -> datetime:
    """A moment, in hours after NOON."""
    return NOON + timedelta(hours=hours)


def granted(**given: Any) -> Consent:
    """A consent to marketing."""
    return Consent(given.get("status", "granted"), given.get("purpose", "marketing"), NOON, given.get("expires_at"))


def view(version: int = 1, *, email: str | None = "ana@example.com", phone: str | None = None, **given: Any) -> View:
    """A record with an e-mail address and a consent to e-mail unless told otherwise."""
    since = given.get("known_at", NOON)
    known = [Known(kind, value, since) for kind, value in (("email", email), ("phone", phone)) if value]
    return View(
        profile_id=given.get("profile_id", ANA),
        version=version,
        identifiers=tuple(known),
        traits=given.get("traits", {"name": "Ana Pérez"}),
        consents=given.get("consents", {"email": granted(), "sms": granted()}),
        purchases=given.get("purchases", Purchases()),
        calls=given.get("calls", Calls()),
        emails=given.get("emails", Emails()),
        chats=given.get("chats", Chats()),
    )


def campaign(**given: Any) -> Campaign:
    """Welcome: from anywhere to active, one step; `given` replaces fields of the document."""
    document = {
        "campaign": "welcome",
        "on": {"segmentation": "status", "to": "active"},
        "steps": [{"template": "hello"}],
    }
    return parse_campaign({**document, **given})


def policy(*campaigns: Campaign, company: Company | None = None, **given: Any) -> Policy:
    """A policy in which every template exists for e-mail and SMS."""
    chosen = campaigns or (campaign(),)
    names = {step.template for one in chosen for step in one.steps}
    return Policy(
        campaigns={one.name: one for one in chosen},
        templates=given.pop("templates", {name: Outline(frozenset({"email", "sms"})) for name in names}),
        company=company or parse_company({}),
        transports=given.pop("transports", frozenset({"email", "sms", "webhook"})),
        **given,
    )


def seen(record: View | None = None, time: datetime = NOON, **given: Any) -> ProfileSeen:
    """A new version of the record."""
    shown = record or view()
    return ProfileSeen(shown.profile_id, time, shown, b"{}", **given)


def changed(to: str | None = "active", version: int = 1, time: datetime = NOON, **given: Any) -> ClassChanged:
    """A change of status."""
    return ClassChanged(
        profile_id=given.pop("profile_id", ANA),
        time=time,
        segmentation=given.pop("segmentation", "status"),
        from_=given.pop("from_", None),
        to=to,
        version=version,
        cause=given.pop("cause", "event"),
        event={"type": "segment.changed", "to": to},
        **given,
    )


def due(message: Message, now: datetime | None = None) -> Due:
    """The timer of a message, fired at `now` (at once unless given)."""
    moment = from_ms(message.due_at)
    return Due(message.profile_id, message.message_id, moment, now or moment)


def outcome(message: Message, kind: str, time: datetime = NOON, **given: Any) -> Outcome:
    """What became of a message."""
    return Outcome(1, message.profile_id, message.message_id, kind, time, **given)


def after(state: State, *events: CampaignEvent) -> State:
    """The state after some events."""
    for event in events:
        state = evolve(state, event)
    return state


def empty(rules: Policy | None = None, profile_id: str = ANA) -> State:
    """A customer of whom nothing is known."""
    return State(Customer(profile_id=profile_id), rules or policy())


def only(state: State) -> Message:
    """The one message of a state."""
    (message,) = state.customer.messages
    return message


def decided(rules: Policy | None = None, record: View | None = None, now: datetime = NOON) -> Message:
    """The message of a class change at NOON, decided at `now`."""
    state = after(empty(rules), seen(record), changed())
    return only(after(state, due(only(state), now)))
