"""One golden example of every message that we publish, as values of the types that are published."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.events import dead_letters, messages, profiles, segments
from shared.events.envelope import Event, derived_id, encode, raw

AT = datetime(2026, 5, 25, 9, 15, tzinfo=UTC)
PROFILE = "0d6c7e0a-7c1c-5d59-9c3c-3a3c6f6f0001"
CUSTOMER = {"customer_id": "C-17", "email": "ana@example.com"}

PURCHASE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1001",
    "source": "shop/madrid",
    "type": "purchase.completed",
    "time": "2025-11-26T09:15:00Z",
    "data": {
        "customer": CUSTOMER,
        "order_id": "1001",
        "currency": "EUR",
        "total": "49.90",
        "items": [{"sku": "A1", "name": "Kettle", "category": "Kitchen", "quantity": 1, "unit_price": "49.90"}],
    },
}
"""What a shop sends."""


def _purchases() -> profiles.Purchases:
    first = AT - timedelta(days=180)
    return profiles.Purchases(
        count=1,
        revenue={"EUR": "49.90"},
        average_order_value={"EUR": "49.90"},
        first_at=first,
        last_at=first,
        days=(profiles.Day(first.date().isoformat(), 1, {"EUR": 4990}),),
    )


def _record() -> profiles.Profile:
    first = AT - timedelta(days=180)
    return profiles.Profile(
        profile_id=PROFILE,
        version=3,
        identifiers=tuple(profiles.Known(kind, value, first) for kind, value in CUSTOMER.items()),
        traits={"name": "Ana", "language": "es"},
        consents={"email": profiles.Consent("granted", "marketing", first)},
        first_seen_at=first,
        last_seen_at=first,
        purchases=_purchases(),
    )


def _change() -> segments.SegmentChanged:
    return segments.SegmentChanged(
        profile_id=PROFILE,
        segmentation="status",
        from_="active",
        to="inactive",
        version=2,
        cause="time",
        occurred_at=AT,
        definition_version=1,
        profile_version=3,
        evidence={"days_since_last_purchase": 180, "purchases_count": 1},
        customer=CUSTOMER,
    )


def _message(state: str) -> messages.MessageChanged:
    return messages.MessageChanged(
        message_id=derived_id(PROFILE, "example"),
        campaign="win-back",
        step=0,
        profile_id=PROFILE,
        channel="email",
        occasion=f"status/{PROFILE}/2",
        reason="no_consent" if state == "refused" else None,
        planned_at=AT,
        sent_at=AT if state == "sent" else None,
    )


def _letter() -> dead_letters.DeadLetter:
    return dead_letters.DeadLetter(
        id=derived_id("shop/madrid", "example"),
        source="shop/madrid",
        code="invalid_event",
        errors=({"detail": "must be an amount: a decimal string or a number", "pointer": "/data/total"},),
        original_base64="eyJzcGVjdmVyc2lvbiI6ICIxLjAifQ==",
    )


def _event(source: str, kind: str, data: Any, subject: str | None = None) -> dict[str, Any]:
    event = Event(
        specversion="1.0",
        id=derived_id(source, kind),
        source=source,
        type=kind,
        time=AT,
        data=raw(data),
        subject=subject,
    )
    found: dict[str, Any] = msgspec.json.decode(encode(event))
    return found


def published() -> dict[str, dict[str, Any]]:
    """By event type, as it stands on its topic."""
    found = {
        profiles.UPDATED: _event("cartera/profile", profiles.UPDATED, _record(), PROFILE),
        segments.CHANGED: _event("cartera/segment", segments.CHANGED, _change(), PROFILE),
        dead_letters.REJECTED: _event("cartera/ingest", dead_letters.REJECTED, _letter()),
    }
    for state in ("planned", "sent", "refused"):
        kind = f"message.{state}"
        found[kind] = _event("cartera/campaign", kind, _message(state), PROFILE)
    return found
