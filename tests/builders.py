"""Events as values, for tests: canonical, as they stand on `interactions`."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events.envelope import Event, fingerprint, raw
from shared.events.times import rfc3339

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""The moment from which `at` counts its minutes."""


def moment(minutes: float) -> datetime:
    """A moment, in minutes after START."""
    return START + timedelta(minutes=minutes)


def interaction(kind: str, who: dict[str, Any], /, at: float = 0, event_id: str | None = None, **data: Any) -> Event:
    """Any interaction of a customer (`who` as in `data.customer`); its id follows from its content unless given."""
    time, content = moment(at), {"customer": who, **data}
    print_ = fingerprint(kind, rfc3339(time), content)
    return Event(
        specversion="1.0",
        id=event_id or print_,
        source="test",
        type=kind,
        time=time,
        data=raw(content),
        receivedat=time,
        fingerprint=print_,
    )


def purchase(who: dict[str, Any], total: str = "49.90", at: float = 0, **data: Any) -> Event:
    """A purchase in EUR unless `currency` says otherwise."""
    return interaction(
        "purchase.completed", who, at, **{"order_id": f"o{at}", "currency": "EUR", "total": total, **data}
    )


def refund(who: dict[str, Any], total: str = "49.90", at: float = 0, **data: Any) -> Event:
    """A refund in EUR unless `currency` says otherwise."""
    return interaction(
        "purchase.refunded", who, at, **{"order_id": f"o{at}", "currency": "EUR", "total": total, **data}
    )


def call(who: dict[str, Any], at: float = 0, **data: Any) -> Event:
    """A phone call, inbound and completed unless said otherwise."""
    return interaction("call.completed", who, at, **data)


def email(who: dict[str, Any], action: str = "opened", at: float = 0, **data: Any) -> Event:
    """Something that happened to an e-mail."""
    return interaction(f"email.{action}", who, at, **data)


def chat(who: dict[str, Any], action: str = "message", at: float = 0, **data: Any) -> Event:
    """A part of a chat."""
    return interaction(f"chat.{action}", who, at, **data)


def identified(who: dict[str, Any], at: float = 0, **traits: Any) -> Event:
    """Traits of a customer; None takes one away."""
    return interaction("customer.identified", who, at, traits=traits)


def consent(who: dict[str, Any], status: str, at: float = 0, channel: str = "email", **data: Any) -> Event:
    """A consent given or taken away."""
    return interaction("consent.changed", who, at, channel=channel, status=status, **data)


def linked(who: dict[str, Any], *others: tuple[str, str], at: float = 0) -> Event:
    """An explicit link of a customer with other identifiers, each a (kind, value)."""
    return _statement("customer.linked", who, others, at)


def split(who: dict[str, Any], *others: tuple[str, str], at: float = 0) -> Event:
    """An explicit split of identifiers, each a (kind, value), from a customer."""
    return _statement("customer.split", who, others, at)


def _statement(kind: str, who: dict[str, Any], others: tuple[tuple[str, str], ...], at: float) -> Event:
    return interaction(kind, who, at, identifiers=[{"kind": kind, "value": value} for kind, value in others])
