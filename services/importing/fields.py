"""The fields that a column may become, and what kind of value each holds. Pure.

A target is written as in the data of an event: `order_id`, `customer.email`, `items.sku`, `traits.name`; `data.NAME`
is a field that nobody knows yet.
"""

import re

from services.importing.names import FIELDS
from shared.events.identifiers import KINDS as IDENTIFIER_KINDS
from shared.events.interactions import PAYLOADS, Item

MAIN_TYPES = {
    "purchases": "purchase.completed",
    "calls": "call.completed",
    "emails": "email.received",
    "chats": "chat.message",
    "customers": "customer.identified",
}
"""What a row is when nothing says its type."""

NATURAL_KEYS = {"purchases": "order_id", "calls": "call_id"}
"""The field that names an event of a kind; other rows are named by a hash of what they hold."""

WHOLE = ("customer", "items", "traits")
"""Fields that JSON and Parquet may hold whole."""

MOMENTS = frozenset(("time", "started_at", "expires_at"))
NUMBERS = frozenset(
    (
        *("total", "discount", "tax", "shipping", "cost", "sentiment", "csat"),
        *("items.quantity", "items.unit_price", "items.discount", "items.cost"),
    )
)
MONEY = frozenset(("total", "discount", "tax", "shipping", "cost", "items.unit_price", "items.discount", "items.cost"))
DURATIONS = frozenset(("duration_seconds", "wait_seconds"))
FLAGS = frozenset(("resolved", "handed_over", "machine", "traits.contract_active"))
WORDS = frozenset(("type", "status", "direction", "bounce_type", "channel"))

_ITEM = frozenset(Item.__struct_fields__)
_FREE = re.compile(r"(traits|data|items)\.[^\s.]{1,256}")


def targets(kind: str) -> tuple[str, ...]:
    """All known targets of a kind of file, as they are written in a map."""
    own = [name for name in PAYLOADS[MAIN_TYPES[kind]].__struct_fields__ if name not in WHOLE]
    items = [f"items.{name}" for name in Item.__struct_fields__] if kind == "purchases" else []
    identifiers = [f"customer.{name}" for name in IDENTIFIER_KINDS]
    return tuple(dict.fromkeys((*identifiers, "time", "type", *own, *items, *FIELDS[kind])))


def resolve(kind: str, name: str) -> str | None:
    """The target that a name in a map means: identifiers and fields of items may be named without their place."""
    if name in IDENTIFIER_KINDS:
        return f"customer.{name}"
    known = targets(kind)
    if name in known:
        return name
    if kind == "purchases" and name in _ITEM:
        return f"items.{name}"
    prefix, _, rest = name.partition(".")
    if prefix == "customer" and rest.startswith("traits."):
        return resolve(kind, rest)
    return name if _FREE.fullmatch(name) and (prefix != "items" or kind == "purchases") else None


def unknown(kind: str, column: str, with_items: bool) -> str:
    """Where a column goes that nothing is known of: traits of customers, else a field of the item or of the event."""
    if kind == "customers":
        return f"traits.{column}"
    return f"items.{column}" if with_items else f"data.{column}"
