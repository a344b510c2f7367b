"""How one interaction changes what is counted for its strongest identifier: one function per kind of payload."""

import hashlib
from collections.abc import Callable, Mapping
from decimal import InvalidOperation
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from services.profile.joining import (
    add,
    earliest,
    interest_on,
    latest,
    mailed,
    newer_scores,
    newer_traits,
    occur,
    on_day,
    with_digest,
)
from services.profile.model import Sighting, customer_identifiers, sighting
from services.profile.tally import Answered, Bought, Called, Chatted, Interested, Mailed, Said, Tally, Trait
from shared.errors import Fault, InvalidEvent
from shared.events.envelope import Event
from shared.events.identifiers import Identifier
from shared.events.interactions import (
    DECODERS,
    Call,
    Chat,
    Consent,
    Email,
    Identified,
    Interest,
    Loyalty,
    Payload,
    Purchase,
    Statement,
    Survey,
)
from shared.events.money import to_minor
from shared.events.times import to_ms

ARRIVED = frozenset({"delivered", "opened", "clicked", "replied", "received"})
"""What shows that mail reaches the customer."""

MISSED = frozenset({"missed", "no_answer", "busy"})
"""The states of a call in which nobody answered."""

_any = msgspec.json.Decoder(Payload)


class Told(NamedTuple):
    """An interaction, read: whom it is about, when, and what it says.

    `anew` are the names of which a former customer was erased, and when (ms).
    """

    identifiers: tuple[Identifier, ...]
    made: Sighting
    day: str
    kind: str
    payload: Payload
    anew: Mapping[Identifier, int] = {}


def read(event: Event) -> Told:
    """Decode an interaction. Types without a payload of their own are known customers' activity and counted as seen."""
    try:
        payload = DECODERS.get(event.type, _any).decode(event.data)
    except msgspec.DecodeError as error:
        raise InvalidEvent("invalid_event", (Fault(str(error), "/data"),)) from None
    identifiers = customer_identifiers(payload.customer)
    # a statement may name all that it is about in its own list
    if not identifiers and not (isinstance(payload, Statement) and payload.identifiers):
        raise InvalidEvent("invalid_event", (Fault("names no customer", "/data/customer"),))
    return Told(identifiers, sighting(event), event.time.date().isoformat(), event.type, payload)


def message_of(event: Event) -> str | None:
    """The message that an e-mail event names; what a machine did says nothing of it."""
    if not event.type.startswith("email."):
        return None
    email = DECODERS[event.type].decode(event.data)
    return email.message_id if isinstance(email, Email) and not email.machine else None


def fold(tally: Tally, told: Told) -> Tally:
    """The tally with one interaction more. What a machine opened or clicked is no activity of the customer."""
    payload = told.payload
    if isinstance(payload, Email) and payload.machine:
        return tally
    at = told.made.at
    said = _traits(payload)
    seen = replace(
        tally,
        first=earliest(tally.first, at),
        last=latest(tally.last, at),
        traits=newer_traits(tally.traits, _stamped(said, told.made)) if said else tally.traits,
    )
    folding = _FOLDINGS.get(type(payload))
    return seen if folding is None else folding(seen, payload, told)


def consents(told: Told) -> Mapping[str, Said]:
    """What the interaction says of consents, by `channel/purpose`; it holds for every identifier that it names."""
    payload, made = told.payload, told.made
    if isinstance(payload, Consent):
        expires = None if payload.expires_at is None else to_ms(payload.expires_at)
        return {f"{payload.channel}/{payload.purpose}": Said(payload.status, made.at, made.digest, expires)}
    if told.kind in ("email.unsubscribed", "email.complained"):
        return {"email/marketing": Said("denied", made.at, made.digest)}
    return {}


def _traits(payload: Payload) -> Mapping[str, object]:
    found = payload.customer.get("traits")
    said: Mapping[str, object] = found if isinstance(found, dict) else {}
    return {**said, **payload.traits} if isinstance(payload, Identified) else said


def _stamped(said: Mapping[str, object], made: Sighting) -> Mapping[str, Trait]:
    return {name: Trait(made.at, made.digest, value) for name, value in said.items()}


def _minor(amount: str | None, currency: str, field: str) -> int:
    if amount is None:
        return 0
    try:
        return to_minor(amount, currency)
    except InvalidOperation:
        raise InvalidEvent("invalid_event", (Fault("is no amount", f"/data/{field}"),)) from None


def _net(purchase: Purchase) -> int:
    currency = purchase.currency
    extras = _minor(purchase.tax, currency, "tax") + _minor(purchase.shipping, currency, "shipping")
    return _minor(purchase.total, currency, "total") - extras


def _purchase(tally: Tally, purchase: Purchase, told: Told) -> Tally:
    bought, net, currency, at = tally.bought, _net(purchase), purchase.currency, told.made.at
    if told.kind == "purchase.refunded":
        refunded = replace(
            bought,
            refunds=bought.refunds + 1,
            revenue=add(bought.revenue, currency, -abs(net)),
            days=on_day(bought.days, told.day, 0, currency, -abs(net)),
        )
        return replace(tally, bought=refunded)
    categories = tuple(item.category for item in purchase.items if item.category)
    grown = Bought(
        bought.count + 1,
        bought.refunds,
        add(bought.revenue, currency, net),
        add(bought.orders, currency),
        earliest(bought.first, at),
        latest(bought.last, at),
        on_day(bought.days, told.day, 1, currency, net),
        occur(bought.channels, (purchase.channel,) if purchase.channel else ()),
        occur(bought.categories, categories),
        occur(bought.stores, (purchase.store_id,) if purchase.store_id else ()),
    )
    return replace(tally, bought=grown)


def _call(tally: Tally, call: Call, told: Told) -> Tally:
    known = tally.called
    called = Called(
        known.count + 1,
        known.inbound + (call.direction == "inbound"),
        known.outbound + (call.direction == "outbound"),
        known.missed + (call.status in MISSED),
        known.duration + round(call.duration_seconds),
        latest(known.last, told.made.at),
    )
    return replace(tally, called=called, answered=_satisfied(tally.answered, call.csat, told))


def _email(tally: Tally, email: Email, told: Told) -> Tally:
    action, at = told.kind.removeprefix("email."), told.made.at
    counts: Mapping[str, int] = {action: 1}
    if action == "bounced" and email.bounce_type == "hard":
        one = Mailed({action: 1, "hard_bounced": 1}, at, hard=at)
    elif action == "bounced":
        one = Mailed(counts, at, soft=(told.made.stamp,))
    else:
        one = Mailed(counts, at, good=at if action in ARRIVED else None)
    return replace(tally, mailed=mailed(tally.mailed, one))


def _chat(tally: Tally, chat: Chat, told: Told) -> Tally:
    known = tally.chatted
    digest = told.made.digest
    if chat.conversation_id:
        digest = int.from_bytes(hashlib.blake2b(chat.conversation_id.encode(), digest_size=8).digest()) >> 1
    counted = chat.conversation_id or told.kind == "chat.started"
    chatted = Chatted(
        with_digest(known.conversations, digest) if counted else known.conversations,
        with_digest(known.resolved, digest) if chat.resolved else known.resolved,
        with_digest(known.handed_over, digest) if chat.handed_over else known.handed_over,
        known.messages + (told.kind == "chat.message"),
        latest(known.last, told.made.at),
    )
    return replace(tally, chatted=chatted, answered=_satisfied(tally.answered, chat.csat, told))


def _interest(tally: Tally, interest: Interest, told: Told) -> Tally:
    known = tally.interested
    days = interest_on(known.days, told.day)
    return replace(tally, interested=Interested(known.count + 1, latest(known.last, told.made.at), days))


def _survey(tally: Tally, survey: Survey, told: Told) -> Tally:
    known = tally.answered
    if survey.score is not None:
        return replace(tally, answered=_scored(known, survey.survey, survey.score, told))
    answered = Answered(known.count + 1, known.latest, latest(known.last, told.made.at))
    return replace(tally, answered=answered)


def _satisfied(known: Answered, csat: float | None, told: Told) -> Answered:
    return known if csat is None else _scored(known, "csat", csat, told)


def _scored(known: Answered, survey: str, score: float, told: Told) -> Answered:
    made = told.made
    scores = newer_scores(known.latest, {survey: (made.at, made.digest, score)})
    return Answered(known.count + 1, scores, latest(known.last, made.at))


def _loyalty(tally: Tally, loyalty: Loyalty, told: Told) -> Tally:
    return replace(tally, points=tally.points + loyalty.points)


_FOLDINGS: Mapping[type[Payload], Callable[[Tally, Any, Told], Tally]] = {
    Purchase: _purchase,
    Call: _call,
    Email: _email,
    Chat: _chat,
    Interest: _interest,
    Survey: _survey,
    Loyalty: _loyalty,
}
