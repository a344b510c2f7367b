"""What happens in a run: a small company whose customers buy, call, look around and stay away, in a few sittings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from msgspec.structs import replace

from shared.events.envelope import Event, encode
from shared.events.outgoing import Outgoing
from tests.builders import START, call, consent, identified, interaction, purchase, refund

BEFORE = START - timedelta(days=1)
"""When everything is set up."""

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""Of the first day; whatever happens on a day happens within a few minutes after it."""

SHORT = {
    "segmentation": "lately",
    "classes": [
        {"name": "fresh", "when": "days_since_last_purchase < 1.5"},
        {"name": "cooling", "when": "days_since_last_purchase < 6.75"},
        {"name": "stale", "when": "purchases_count >= 1"},
    ],
}
"""What time alone changes between two sittings, more than an hour away from any: no clock of a run is as wrong."""


MEASURED = ("frequency", "pareto", "volume")
"""The shipped definitions that look at the population."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """What is posted at one time, in its order."""

    at: datetime
    records: tuple[Outgoing, ...]


def sittings(customers: int, days: Sequence[int]) -> list[Sitting]:
    """The same for the same numbers; on the last day nothing happens. All events of a customer lie in one partition."""
    chance = Random(1)
    found = []
    for number, day in enumerate(days[:-1]):
        start = (NOON - START).total_seconds() / 60 + day * 24 * 60
        events: list[Event] = []
        for customer in range(customers):
            events += _visit(chance, customer, start + customer * 0.2, first=number == 0)
        events.sort(key=lambda event: event.time)
        found.append(Sitting(NOON + timedelta(days=day, minutes=10), tuple(map(_record, events))))
    return [*found, Sitting(NOON + timedelta(days=days[-1]), ())]


def _visit(chance: Random, customer: int, at: float, first: bool) -> list[Event]:
    """What one customer does at a sitting; some stay away."""
    who: dict[str, Any] = {"customer_id": f"C{customer}", "email": f"c{customer}@example.com"}
    done: list[Event] = []
    if first:
        done.append(identified(who, at, name=f"Customer {customer}"))
        if customer % 3:
            done.append(consent(who, "granted", at + 0.01))
    elif chance.random() < 0.3:
        return done
    at += 0.02
    if chance.random() < 0.8:
        done.append(purchase(who, f"{chance.randint(5, 200)}.{chance.randint(10, 99)}", at))
    if chance.random() < 0.3:
        done.append(interaction("interest.shown", who, at + 0.01, kind="visit"))
    if chance.random() < 0.2:
        done.append(call(who, at + 0.02, direction="inbound", status="completed", duration_seconds=60))
    if not first and chance.random() < 0.2:
        done.append(refund(who, "5.00", at + 0.03))
    return done


def _record(event: Event) -> Outgoing:
    key = event.id if event.data is None else _key(event)
    return Outgoing("interactions", key, encode(replace(event, receivedat=event.time)))


def _key(event: Event) -> str:
    text = bytes(event.data).decode()
    start = text.index('"customer_id":"') + len('"customer_id":"')
    return f"customer_id:{text[start : text.index(chr(34), start)]}"
