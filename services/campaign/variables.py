"""What templates see: the customer, the trigger, the campaign, and the way out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from services.campaign.model import Customer, Message, View
from shared.events.times import rfc3339


class Links(NamedTuple):
    """The addresses of this message's own pages; there is no way out of what is no marketing."""

    unsubscribe: str | None = None
    surveys: Mapping[str, str] = {}


def variables(message: Message, customer: Customer, links: Links, now: datetime) -> Mapping[str, Any]:
    """The variables of one message; a trait never hides an identifier or a summary."""
    return {
        "customer": _customer(customer),
        "event": message.event,
        "campaign": {"name": message.campaign, "step": message.step + 1},
        "recommendations": [],
        "unsubscribe_url": links.unsubscribe,
        "survey_urls": links.surveys,
        "now": rfc3339(now),
    }


def _customer(customer: Customer) -> dict[str, Any]:
    view = customer.view
    if view is None:
        return {"profile_id": customer.profile_id}
    shown: dict[str, Any] = dict(view.traits)
    for known in reversed(view.identifiers):
        shown[known.kind] = known.value
    name = view.traits.get("name")
    if isinstance(name, str) and name.strip():
        shown.setdefault("first_name", name.split()[0])
    shown["traits"] = view.traits
    shown["profile_id"] = view.profile_id
    shown["classes"] = {name: standing.name for name, standing in customer.classes.items()}
    shown["purchases"] = _purchases(view)
    return shown


def _purchases(view: View) -> dict[str, Any]:
    purchases = view.purchases
    return {
        "count": purchases.count,
        "revenue": purchases.revenue,
        "average_order_value": purchases.average_order_value,
        "first_at": None if purchases.first_at is None else rfc3339(purchases.first_at),
        "last_at": None if purchases.last_at is None else rfc3339(purchases.last_at),
    }
