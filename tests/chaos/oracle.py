"""What the records must be: plain counting over the set of events, without a line of the platform's code. Pure.

Customers are the connected components of identifiers: all that stand on one event belong together. Every event counts
for the component that it names. Money is whole minor units, times are milliseconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Name = tuple[str, str]
KINDS = ("customer_id", "loyalty_card", "email", "phone", "chat_handle", "device_id")
MISSED = ("missed", "busy", "no_answer")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000


def ms_of(text: str) -> int:
    """An RFC 3339 time in milliseconds since 1970."""
    passed = datetime.fromisoformat(text) - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1000 + passed.microseconds // 1000


def minor(text: str | None) -> int:
    """An amount of a currency with two decimals in minor units."""
    return 0 if text is None else int(Decimal(text) * 100)


@dataclass(slots=True)
class Customer:
    """What is known of one customer. `names` are identifiers that he used, `stated` those that were said to be his,
    each with the first moment; `days` has purchases and net revenue by day number, `talks` are conversations.
    """

    names: dict[Name, int] = field(default_factory=dict)
    stated: dict[Name, int] = field(default_factory=dict)
    events: int = 0
    seen: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    lasts: dict[str, int] = field(default_factory=dict)
    first_purchase: int | None = None
    days: dict[int, tuple[int, int]] = field(default_factory=dict)
    talks: set[str] = field(default_factory=set)
    traits: dict[str, Any] = field(default_factory=dict)
    granted: bool = False

    def known(self) -> dict[Name, int]:
        """All identifiers, each since when: by a statement only if he never used it."""
        return {**self.stated, **self.names}

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counts[name] = self.counts.get(name, 0) + by

    def last(self, name: str, at: int) -> None:
        """Keep the latest moment of something."""
        self.lasts[name] = max(self.lasts.get(name, at), at)


def names_of(event: Mapping[str, Any]) -> list[Name]:
    """The identifiers on an event, in their normal form."""
    data = event["data"]
    shown = [(kind, value) for kind, value in data.get("customer", {}).items() if kind in KINDS]
    shown += [(one["kind"], one["value"]) for one in data.get("identifiers", ())]
    return [(kind, value.lower() if kind == "email" else value) for kind, value in shown]


def customers(events: Iterable[Mapping[str, Any]]) -> list[Customer]:
    """The customers that a set of events makes; each event must be given once."""
    kept = list(events)
    parent: dict[Name, Name] = {}

    def find(name: Name) -> Name:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for event in kept:
        first, *others = names_of(event)
        for other in [first, *others]:
            parent[find(other)] = find(first)
    found: dict[Name, Customer] = {}
    for event in kept:
        customer = found.setdefault(find(names_of(event)[0]), Customer())
        _count(customer, event)
    return list(found.values())


def _count(customer: Customer, event: Mapping[str, Any]) -> None:
    at, kind, data = ms_of(event["time"]), event["type"], event["data"]
    customer.events += 1
    known = customer.stated if kind == "customer.linked" else customer.names
    for name in names_of(event):
        known[name] = min(known.get(name, at), at)
    if kind == "customer.linked":
        return
    customer.seen = [min([at, *customer.seen]), max([at, *customer.seen])]
    family, _, action = kind.partition(".")
    {
        "purchase": _bought,
        "call": _called,
        "email": _mailed,
        "chat": _chatted,
    }.get(family, _said)(customer, action, data, at)


def _bought(customer: Customer, action: str, data: Mapping[str, Any], at: int) -> None:
    net = minor(data["total"]) - minor(data.get("tax")) - minor(data.get("shipping"))
    day = at // DAY_MS
    count, revenue = customer.days.get(day, (0, 0))
    if action == "refunded":
        customer.count("refunds")
        customer.count("revenue", -net)
        customer.days[day] = (count, revenue - net)
        return
    customer.count("purchases")
    customer.count("revenue", net)
    customer.days[day] = (count + 1, revenue + net)
    customer.last("purchase", at)
    customer.first_purchase = at if customer.first_purchase is None else min(customer.first_purchase, at)


def _called(customer: Customer, action: str, data: Mapping[str, Any], at: int) -> None:
    customer.count("calls")
    customer.count(data["direction"])
    customer.count("missed", data["status"] in MISSED)
    customer.count("duration", data["duration_seconds"])
    customer.last("call", at)


def _mailed(customer: Customer, action: str, data: Mapping[str, Any], at: int) -> None:
    customer.count(f"email_{action}")
    customer.last("email", at)


def _chatted(customer: Customer, action: str, data: Mapping[str, Any], at: int) -> None:
    customer.talks.add(data["conversation_id"])
    customer.count("chat_messages", action == "message")
    customer.last("chat", at)


def _said(customer: Customer, action: str, data: Mapping[str, Any], at: int) -> None:
    if action == "identified":
        customer.traits |= data["traits"]
    elif action == "changed":
        customer.granted = True
    elif action == "shown":
        customer.count("interests")
        customer.last("interest", at)
    elif action == "adjusted":
        customer.count("points", data["points"])


EMAILS = ("sent", "delivered", "opened", "clicked", "replied", "received", "bounced")


def expected(customer: Customer) -> dict[str, Any]:
    """The fields of the record that must be so, by their path."""
    counts, lasts = customer.counts, customer.lasts
    known = customer.known()
    seen = customer.seen or [min(known.values()), max(known.values())]
    fields: dict[str, Any] = {
        "identifiers": {f"{kind}:{value}": at for (kind, value), at in known.items()},
        "first_seen_at": seen[0],
        "last_seen_at": seen[1],
        "traits": customer.traits,
        "consents.email": "granted" if customer.granted else None,
        "purchases.count": counts.get("purchases", 0),
        "purchases.refunds": counts.get("refunds", 0),
        "purchases.revenue": counts.get("revenue", 0),
        "purchases.first_at": customer.first_purchase,
        "purchases.last_at": lasts.get("purchase"),
        "purchases.days": {day: both for day, both in sorted(customer.days.items())},
        "calls.count": counts.get("calls", 0),
        "calls.inbound": counts.get("inbound", 0),
        "calls.outbound": counts.get("outbound", 0),
        "calls.missed": counts.get("missed", 0),
        "calls.duration_seconds": counts.get("duration", 0),
        "calls.last_at": lasts.get("call"),
        "emails.last_at": lasts.get("email"),
        "chats.conversations": len(customer.talks),
        "chats.messages": counts.get("chat_messages", 0),
        "chats.last_at": lasts.get("chat"),
        "interest.count": counts.get("interests", 0),
        "interest.last_at": lasts.get("interest"),
        "loyalty.points": counts.get("points", 0),
    }
    return fields | {f"emails.{name}": counts.get(f"email_{name}", 0) for name in EMAILS}


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields of a record as it was published."""
    parts = {path: path.split(".") for path in expected(Customer(names={("email", ""): 0}))}
    fields = {path: _read(record, steps) for path, steps in parts.items()}
    fields |= {path: ms_of(value) for path, value in fields.items() if path.endswith("_at") and value is not None}
    fields["identifiers"] = {f"{k['kind']}:{k['value']}": ms_of(k["first_seen_at"]) for k in record["identifiers"]}
    fields["consents.email"] = (fields["consents.email"] or {}).get("status")
    fields["purchases.revenue"] = minor(record["purchases"]["revenue"].get("EUR"))
    fields["purchases.days"] = {
        (datetime.fromisoformat(day).replace(tzinfo=UTC) - EPOCH).days: (count, revenue.get("EUR", 0))
        for day, count, revenue in record["purchases"]["days"]
    }
    return fields


def _read(record: Mapping[str, Any], steps: list[str]) -> Any:
    found: Any = record
    for step in steps:
        found = (found or {}).get(step)
    return found
