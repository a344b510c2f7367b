"""The documented contract: what `data` of every accepted type holds. Extra fields are allowed and kept."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema

from services.ingest.fields import (
    Amount,
    BounceType,
    CallStatus,
    ConsentStatus,
    Currency,
    Direction,
    Duration,
    Flag,
    Free,
    InterestKind,
    Moment,
    Money,
    Name,
    Number,
    Points,
    SalesChannel,
    Score,
    Sentiment,
    SurveyKind,
    Text,
    Word,
)
from shared.errors import Fault
from shared.events.identifiers import KINDS
from shared.events.interactions import EMAIL_ACTIONS
from shared.events.money import to_minor, to_text
from shared.events.storable import pointer

_CUSTOMER = {
    "type": "object",
    "description": "At least one identifier; traits are optional.",
    "properties": {**{kind: {"type": "string", "maxLength": 256} for kind in KINDS}, "traits": {"type": "object"}},
    "anyOf": [{"required": [kind]} for kind in KINDS],
}
_IDENTIFIERS = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {"kind": {"enum": list(KINDS)}, "value": {"type": "string", "maxLength": 256}},
        "required": ["kind", "value"],
    },
}


class Part(BaseModel):
    """Anything in an event: unknown fields stay, numbers are taken where text is wanted."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, frozen=True)


class Payload(Part):
    """What every event carries. Identifiers are normalised apart: one that is unusable need not spoil the event."""

    customer: Annotated[Any, WithJsonSchema(_CUSTOMER)] = None


class Item(Part):
    """One line of a purchase; `quantity` may be a fraction (kilograms)."""

    sku: Name | None = None
    name: Text | None = None
    category: Name | None = None
    quantity: Number | None = None
    unit_price: Money | None = None
    discount: Money | None = None
    cost: Money | None = None


class Bought(Payload):
    """What purchases and refunds share."""

    order_id: Name
    currency: Currency | None = None
    items: list[Item] | None = None
    discount: Money | None = None
    tax: Amount | None = None
    shipping: Amount | None = None
    channel: SalesChannel | None = None
    store_id: Name | None = None
    coupon: Name | None = None
    payment_method: Name | None = None
    reason: Text | None = None


class PurchaseCompleted(Bought):
    """`total` is what was paid, tax and shipping included."""

    total: Amount


class PurchaseRefunded(Bought):
    """`total` is what was paid back, a positive amount; without it the items are summed."""

    total: Amount | None = None


class CallCompleted(Payload):
    """A phone call, also one that nobody took."""

    call_id: Name | None = None
    direction: Direction | None = None
    status: CallStatus | None = None
    started_at: Moment | None = None
    duration_seconds: Duration | None = None
    wait_seconds: Duration | None = None
    topic: Name | None = None
    disposition: Name | None = None
    agent_id: Name | None = None
    sentiment: Sentiment | None = None
    resolved: Flag | None = None
    csat: Score | None = None
    cost: Money | None = None


class EmailHappened(Payload):
    """One thing that happened to one e-mail; `machine` marks an opening or a click that no person made."""

    message_id: Name | None = None
    campaign: Name | None = None
    subject: Text | None = None
    link_url: Text | None = None
    bounce_type: BounceType | None = None
    machine: Flag | None = None
    sentiment: Sentiment | None = None


class ChatHappened(Payload):
    """A conversation with a robot or a person: its start, a message, its end."""

    conversation_id: Name | None = None
    bot_id: Name | None = None
    channel: Word | None = None
    role: Word | None = None
    text: Text | None = None
    intent: Name | None = None
    sentiment: Sentiment | None = None
    resolved: Flag | None = None
    handed_over: Flag | None = None
    duration_seconds: Duration | None = None
    csat: Score | None = None


class CustomerIdentified(Payload):
    """What is known of a customer; a trait that is null is taken away."""

    traits: Free | None = None


class CustomerGrouped(Payload):
    """The customer belongs to a group (a company, a household); `traits` are the group's, never the customer's."""

    group_id: Name
    traits: Free | None = None


class IdentityStated(Payload):
    """An explicit statement that identifiers belong together (`customer.linked`) or do not (`customer.split`)."""

    identifiers: Annotated[Any, WithJsonSchema(_IDENTIFIERS)] = None
    reason: Text | None = None


class ConsentChanged(Payload):
    """What a customer allows on a channel for a purpose."""

    channel: Word
    status: ConsentStatus
    purpose: Word | None = None
    expires_at: Moment | None = None


class SurveyAnswered(Payload):
    """An answer; `score` is 0 to 10 for nps, 1 to 5 for csat, 1 to 7 for ces."""

    survey: SurveyKind
    score: Number | None = None
    reason: Text | None = None
    comment: Text | None = None


class InterestShown(Payload):
    """Interest short of buying; `value` is an amount or a text, such as what was searched for."""

    kind: InterestKind | None = None
    sku: Name | None = None
    category: Name | None = None
    value: Text | None = None


class LoyaltyAdjusted(Payload):
    """Points given (positive) or spent (negative)."""

    points: Points
    reason: Text | None = None


MODELS: dict[str, type[Payload]] = {
    "purchase.completed": PurchaseCompleted,
    "purchase.refunded": PurchaseRefunded,
    "call.completed": CallCompleted,
    **{f"email.{action}": EmailHappened for action in EMAIL_ACTIONS},
    "chat.started": ChatHappened,
    "chat.message": ChatHappened,
    "chat.ended": ChatHappened,
    "customer.identified": CustomerIdentified,
    "customer.grouped": CustomerGrouped,
    "customer.linked": IdentityStated,
    "customer.split": IdentityStated,
    "consent.changed": ConsentChanged,
    "survey.answered": SurveyAnswered,
    "interest.shown": InterestShown,
    "loyalty.adjusted": LoyaltyAdjusted,
}
"""Every accepted type and the model of its data; the published JSON Schemas come from these."""

_SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}


def validate(kind: str, data: dict[str, Any], currency: str) -> tuple[dict[str, Any], tuple[Fault, ...]]:
    """The data in canonical form without `customer` and `identifiers`, and everything that is wrong with it."""
    try:
        model = MODELS[kind].model_validate(data)
    except ValidationError as error:
        return {}, tuple(
            Fault(item["msg"], "/data" + pointer(item["loc"]))
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
    content = _content(model)
    if isinstance(model, Bought):
        return content, _complete_purchase(model, content, currency)
    if isinstance(model, SurveyAnswered):
        return content, _scale(model)
    return content, ()


def _content(model: Part) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in model.__dict__.items():
        if value is not None and name not in ("customer", "identifiers"):
            content[name] = _json_value(value)
    content.update(model.model_extra or {})
    return content


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # what was sent as 1 stays 1
    if isinstance(value, list):
        return [_content(item) for item in value]
    return value


def _complete_purchase(model: Bought, content: dict[str, Any], currency: str) -> tuple[Fault, ...]:
    unit = content.setdefault("currency", currency)
    if "total" in content:
        return ()
    if not model.items:
        return (Fault("a refund needs a total or items", "/data/total"),)
    faults = tuple(
        Fault("a refund without a total needs the price of every item", f"/data/items/{index}/unit_price")
        for index, item in enumerate(model.items)
        if item.unit_price is None
    )
    total = sum((_line(item) for item in model.items), Decimal(0))
    if total < 0:
        faults += (Fault("the items add up to less than nothing", "/data/items"),)
    if not faults:
        content["total"] = to_text(to_minor(total, unit), unit)
    return faults


def _line(item: Item) -> Decimal:
    quantity = Decimal(1) if item.quantity is None else Decimal(repr(item.quantity))
    return Decimal(item.unit_price or 0) * quantity - Decimal(item.discount or 0)


def _scale(model: SurveyAnswered) -> tuple[Fault, ...]:
    low, high = _SCALES.get(model.survey, (float("-inf"), float("inf")))
    if model.score is None or low <= model.score <= high:
        return ()
    return (Fault(f"a {model.survey} score is between {low} and {high}", "/data/score"),)
