"""A seeded load: people with several identifiers that link over time, and what they do on four channels. Pure.

An event is drafted with an age instead of a time: the sender stamps it when it first leaves, so that nothing lies in
the future. The generator stays inside what is unambiguous for identity: no identifier belongs to two people, and nobody
has more of a kind than one customer may have. So clusters are plain connected components.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CANARY = "kanarienvogel"
"""Stands in every name, e-mail address, handle and number of a customer, so that one search of the logs finds any."""

SOURCE_TOPICS = {"purchase": "purchases", "call": "calls", "email": "emails", "chat": "chats"}
"""The source topic that takes the types with this first word."""

DAY_MS = 86_400_000
LATE_SHARE, REORDERED_SHARE, WRONG_SHARE, BY_TOPIC_SHARE = 0.10, 0.30, 0.005, 0.15
LATEST_DAYS = 30
REORDERED_MS = 120_000
FRESH_MS = 1_500

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """One event to send: a CloudEvent without its time, how old it is (ms), whether it is wrong on purpose.

    `topic` names the source topic that it is written to; None: it is posted.
    """

    event: Event
    age_ms: int
    wrong: bool
    topic: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with his identifiers by kind, as the platform normalises them."""

    identifiers: tuple[tuple[str, str], ...]
    name: str
    contract: bool


def people(chance: random.Random, count: int, run: str) -> list[Person]:
    """So many people; one in two has a second e-mail address, one in three a second device."""
    made = []
    for n in range(count):
        word = f"{CANARY}.{run}.{n}"
        known = [
            ("customer_id", f"{word}.c"),
            ("loyalty_card", f"{word}.l"),
            ("email", f"{word}@example.com"),
            ("phone", f"+3491{n:07d}"),
            ("chat_handle", f"{word}.h"),
            ("device_id", f"{word}.d"),
        ]
        if chance.random() < 0.5:
            known.append(("email", f"{word}.second@example.com"))
        if chance.random() < 0.33:
            known.append(("device_id", f"{word}.d2"))
        made.append(Person(tuple(known), f"Ana {CANARY.title()} {n}", chance.random() < 0.03))
    return made


def drafts(seed: int, count: int, run: str) -> Iterator[Draft]:
    """So many unique events of a seed. Few people do much and many do little."""
    chance = random.Random(seed)
    crowd = people(chance, max(20, count // 16), run)
    eager = [chance.paretovariate(1.3) for _ in crowd]
    kinds = list(_MADE)
    shares = [_MADE[kind][0] for kind in kinds]
    for number in range(count):
        person = chance.choices(crowd, eager)[0]
        kind = chance.choices(kinds, shares)[0]
        data = _MADE[kind][1](chance, person, f"{run}-{number}")
        wrong = chance.random() < WRONG_SHARE
        if wrong:
            data = {name: value for name, value in data.items() if name not in ("customer", "identifiers")}
        event = {"specversion": "1.0", "id": f"{run}-{number}", "source": "chaos", "type": kind, "data": data}
        by_topic = chance.random() < BY_TOPIC_SHARE and not wrong
        topic = SOURCE_TOPICS.get(kind.partition(".")[0]) if by_topic else None
        yield Draft(event, _age(chance), wrong, topic)


def _age(chance: random.Random) -> int:
    drawn = chance.random()
    if drawn < LATE_SHARE:
        return chance.randrange(LATEST_DAYS * DAY_MS)
    return chance.randrange(REORDERED_MS if drawn < LATE_SHARE + REORDERED_SHARE else FRESH_MS)


def _customer(chance: random.Random, person: Person) -> dict[str, Any]:
    """Who he is on one event: one to three of his identifiers, one of a kind."""
    count = chance.choices((1, 2, 3), (55, 35, 10))[0]
    shown = dict(chance.sample(person.identifiers, count))
    if "email" in shown and chance.random() < 0.2:
        shown["email"] = shown["email"].upper()
    return shown


def _purchase(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    cents = chance.randrange(100, 20_000)
    tax = cents // 6
    return {
        "customer": _customer(chance, person),
        "order_id": name,
        "currency": "EUR",
        "total": f"{cents // 100}.{cents % 100:02d}",
        "tax": f"{tax // 100}.{tax % 100:02d}",
        "channel": chance.choice(("store", "web", "app", "phone")),
    }


def _refund(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    cents = chance.randrange(100, 3_000)
    total = f"{cents // 100}.{cents % 100:02d}"
    return {"customer": _customer(chance, person), "order_id": name, "currency": "EUR", "total": total}


def _call(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    return {
        "customer": _customer(chance, person),
        "call_id": name,
        "direction": chance.choice(("inbound", "outbound")),
        "status": chance.choice(("completed", "completed", "missed", "busy", "no_answer", "voicemail")),
        "duration_seconds": chance.randrange(600),
    }


def _mail(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    return {"customer": _customer(chance, person), "message_id": f"of-others-{name}", "subject": "Hello"}


def _chat(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    talk = f"{person.identifiers[0][1]}/{chance.randrange(40)}"
    return {"customer": _customer(chance, person), "conversation_id": talk, "role": "customer", "text": person.name}


def _identified(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    traits = {"name": person.name, "contract_active": person.contract}
    return {"customer": _customer(chance, person), "traits": traits}


def _linked(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    both = chance.sample(person.identifiers, 2)
    return {"identifiers": [{"kind": kind, "value": value} for kind, value in both], "reason": "logged in"}


def _consent(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    return {"customer": _customer(chance, person), "channel": "email", "status": "granted"}


def _interest(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    return {"customer": _customer(chance, person), "kind": chance.choice(("page_view", "cart", "search"))}


def _points(chance: random.Random, person: Person, name: str) -> dict[str, Any]:
    return {"customer": _customer(chance, person), "points": chance.randrange(-50, 200)}


_MADE: Mapping[str, tuple[int, Any]] = {
    "purchase.completed": (34, _purchase),
    "purchase.refunded": (3, _refund),
    "call.completed": (12, _call),
    "email.received": (6, _mail),
    "email.replied": (4, _mail),
    "email.opened": (5, _mail),
    "email.clicked": (4, _mail),
    "chat.started": (4, _chat),
    "chat.message": (12, _chat),
    "chat.ended": (4, _chat),
    "customer.identified": (3, _identified),
    "customer.linked": (2, _linked),
    "consent.changed": (2, _consent),
    "interest.shown": (3, _interest),
    "loyalty.adjusted": (2, _points),
}
"""How often (of a hundred) each type comes, and what makes its data."""
