"""Topic `interactions`: what customers did, canonical and normalised. One struct per type, only what is folded.

Amounts are decimal strings; identifiers are normalised (`customer` holds at least one); unknown fields stay in the
raw event and are not lost by being absent here.
"""

from datetime import datetime

import msgspec

TOPIC = "interactions"
BEGIN = "cartera.import.begun"
END = "cartera.import.ended"
"""The marks around an import; they carry `data.name` and are on every partition."""


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What every interaction carries: who, and what is known of him."""

    customer: dict[str, object] = {}


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a purchase. `quantity` may be a fraction (kilograms)."""

    sku: str | None = None
    name: str | None = None
    category: str | None = None
    quantity: float = 1
    unit_price: str | None = None
    discount: str | None = None
    cost: str | None = None


class Purchase(Payload, frozen=True, kw_only=True):
    """`purchase.completed` and `purchase.refunded`. `total` is what was paid, tax and shipping included."""

    order_id: str
    total: str
    currency: str
    items: tuple[Item, ...] = ()
    discount: str | None = None
    tax: str | None = None
    shipping: str | None = None
    channel: str | None = None
    store_id: str | None = None
    coupon: str | None = None
    payment_method: str | None = None
    reason: str | None = None


class Call(Payload, frozen=True, kw_only=True):
    """`call.completed`."""

    call_id: str | None = None
    direction: str = "inbound"
    status: str = "completed"
    started_at: datetime | None = None
    duration_seconds: float = 0
    wait_seconds: float = 0
    topic: str | None = None
    disposition: str | None = None
    agent_id: str | None = None
    sentiment: float | None = None
    resolved: bool | None = None
    csat: float | None = None
    cost: str | None = None


class Email(Payload, frozen=True, kw_only=True):
    """`email.sent .delivered .opened .clicked .replied .received .bounced .complained .unsubscribed`."""

    message_id: str | None = None
    campaign: str | None = None
    subject: str | None = None
    link_url: str | None = None
    bounce_type: str | None = None
    machine: bool = False
    sentiment: float | None = None


class Chat(Payload, frozen=True, kw_only=True):
    """`chat.started`, `chat.message`, `chat.ended`."""

    conversation_id: str | None = None
    bot_id: str | None = None
    channel: str | None = None
    role: str | None = None
    text: str | None = None
    intent: str | None = None
    sentiment: float | None = None
    resolved: bool | None = None
    handed_over: bool | None = None
    duration_seconds: float = 0
    csat: float | None = None


class Identified(Payload, frozen=True, kw_only=True):
    """`customer.identified`. A trait that is null is a trait taken away."""

    traits: dict[str, object] = {}


class Grouped(Payload, frozen=True, kw_only=True):
    """`customer.grouped`: the customer belongs to a group. `traits` are the group's, never the customer's."""

    group_id: str
    traits: dict[str, object] = {}


class Statement(Payload, frozen=True, kw_only=True):
    """`customer.linked`, `customer.split`: explicit identity evidence, made by a person or a system."""

    identifiers: tuple[dict[str, str], ...] = ()
    reason: str | None = None


class Consent(Payload, frozen=True, kw_only=True):
    """`consent.changed`. `status` is `granted` or `denied`."""

    channel: str
    status: str
    purpose: str = "marketing"
    expires_at: datetime | None = None


class Survey(Payload, frozen=True, kw_only=True):
    """`survey.answered`."""

    survey: str
    score: float | None = None
    reason: str | None = None
    comment: str | None = None


class Interest(Payload, frozen=True, kw_only=True):
    """`interest.shown`."""

    kind: str = "visit"
    sku: str | None = None
    category: str | None = None
    value: str | None = None


class Loyalty(Payload, frozen=True, kw_only=True):
    """`loyalty.adjusted`. `points` is negative when points were spent."""

    points: int = 0
    reason: str | None = None


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a begin or end mark. `send` is the moment at which it was asked that the import start messages.

    History is mute without it; with it, what had not happened longer ago than the reaction window is answered.
    """

    name: str
    send: datetime | None = None


EMAIL_ACTIONS = (
    "sent",
    "delivered",
    "opened",
    "clicked",
    "replied",
    "received",
    "bounced",
    "complained",
    "unsubscribed",
)

PAYLOADS: dict[str, type[Payload]] = {
    "purchase.completed": Purchase,
    "purchase.refunded": Purchase,
    "call.completed": Call,
    **{f"email.{action}": Email for action in EMAIL_ACTIONS},
    "chat.started": Chat,
    "chat.message": Chat,
    "chat.ended": Chat,
    "customer.identified": Identified,
    "customer.grouped": Grouped,
    "customer.linked": Statement,
    "customer.split": Statement,
    "consent.changed": Consent,
    "survey.answered": Survey,
    "interest.shown": Interest,
    "loyalty.adjusted": Loyalty,
}
"""Every event type that is accepted, and the struct its data is read with."""

DECODERS = {kind: msgspec.json.Decoder(payload) for kind, payload in PAYLOADS.items()}
