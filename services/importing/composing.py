"""From the drafts of one group to the events they make. Pure.

The rows of an order are one purchase. Its total is what its rows say, or what its items add up to; what the rows say
is the order's amount on each, or each line's own, as the rows of the whole file show.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from services.importing.drafting import Draft
from services.importing.mapping import Plan
from shared.events.envelope import derived_id
from shared.events.money import to_minor, to_text

LARGEST_ORDER = 5_000
"""Rows of one order that are kept in memory; an order of more is refused."""


class Composed(NamedTuple):
    """An event as it would be posted; `rows` are the positions of its drafts in the group."""

    envelope: dict[str, Any]
    rows: Sequence[int]
    refusal: str | None = None


def compose(drafts: Sequence[Draft], source: str, plan: Plan, total_of: str) -> Iterator[Composed]:
    """The events of drafts that share a group, in the order of their rows. `total_of` is order or line."""
    named = [index for index, draft in enumerate(drafts) if draft.named and plan.kind == "purchases"]
    if named:
        for rows in _orders(drafts, named):
            yield _purchase([drafts[index] for index in rows], rows, source, plan, total_of)
    number = 0
    for index, draft in enumerate(drafts):
        if draft.envelope is not None:
            yield Composed(draft.envelope, (index,))
        elif index not in named:
            name = draft.group if draft.named or not number else f"{draft.group}-{number + 1}"
            number += 0 if draft.named else 1
            yield _single(draft, index, name, source, plan)


def _orders(drafts: Sequence[Draft], named: Sequence[int]) -> Iterator[list[int]]:
    """The rows of each customer's order; rows without a customer belong to the only one there is."""
    by_customer: dict[str, list[int]] = {}
    for index in named:
        by_customer.setdefault(drafts[index].who, []).append(index)
    nameless = by_customer.get("", [])
    if nameless and len(by_customer) == 2:
        del by_customer[""]
        (rows,) = by_customer.values()
        rows[:] = sorted((*rows, *nameless))
    yield from by_customer.values()


def _single(draft: Draft, index: int, name: str, source: str, plan: Plan) -> Composed:
    data = dict(draft.data)
    if plan.kind == "purchases":
        if draft.item:
            data["items"] = [draft.item]
        data.setdefault("order_id", name)
        return _with_total([draft], (index,), _envelope(draft, name, source, data), plan, "order")
    return Composed(_envelope(draft, name, source, data), (index,))


def _purchase(drafts: list[Draft], rows: Sequence[int], source: str, plan: Plan, total_of: str) -> Composed:
    data: dict[str, Any] = {}
    for draft in reversed(drafts):
        customer = {**_object(data.get("customer")), **_object(draft.data.get("customer"))}
        data.update(draft.data)
        data["customer"] = customer
    items = [item for draft in drafts for item in _items(draft)]
    if items:
        data["items"] = items
    first = next((draft for draft in drafts if draft.time is not None), drafts[0])
    envelope = _envelope(first, drafts[0].group, source, data)
    if len(drafts) > LARGEST_ORDER:
        return Composed(envelope, rows, f"an order of more than {LARGEST_ORDER} rows")
    return _with_total(drafts, rows, envelope, plan, total_of)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(draft: Draft) -> list[Any]:
    listed = draft.data.get("items")
    return [*(listed if isinstance(listed, list) else ()), *((draft.item,) if draft.item else ())]


def _envelope(draft: Draft, name: str, source: str, data: dict[str, Any]) -> dict[str, Any]:
    envelope: dict[str, Any] = {"specversion": "1.0", "id": name, "source": source, "type": draft.type}
    if draft.time is not None:
        envelope["time"] = draft.time
    envelope["data"] = data
    return envelope


def _with_total(
    drafts: Sequence[Draft], rows: Sequence[int], envelope: dict[str, Any], plan: Plan, total_of: str
) -> Composed:
    data = envelope["data"]
    said = [draft.total for draft in drafts if draft.total is not None]
    if said:
        data["total"] = said[0]
        if len(set(said)) > 1:
            if total_of == "order":
                return Composed(envelope, rows, f"rows of one order say different totals: {', '.join(said[:3])}")
            data["total"] = _sum(said) or said[0]
    elif data.get("items") and "total" not in data:
        total = _of_items(data, plan)
        if total is not None:
            data["total"] = total
    if total_of == "line" and len(said) > 1 and len(set(said)) == 1:
        data["total"] = _sum(said) or said[0]
    if plan.negative == "refund" and str(data.get("total", "")).startswith("-"):
        _turn(envelope)
    return Composed(envelope, rows)


def _sum(amounts: Sequence[Any]) -> str | None:
    try:
        return str(sum((Decimal(str(amount)) for amount in amounts), Decimal(0)))
    except InvalidOperation:
        return None


def _of_items(data: dict[str, Any], plan: Plan) -> str | None:
    """What the items add up to, less the order's discount, plus its tax and shipping; None when that is not known."""
    currency = str(data.get("currency") or plan.currency).upper()
    try:
        total = Decimal(0)
        for item in data["items"]:
            total += Decimal(str(item["unit_price"])) * Decimal(str(item.get("quantity", 1)))
            total -= Decimal(str(item.get("discount", 0)))
        total += Decimal(str(data.get("tax", 0))) + Decimal(str(data.get("shipping", 0)))
        total -= Decimal(str(data.get("discount", 0)))
        return to_text(to_minor(total, currency), currency)
    except (InvalidOperation, KeyError, TypeError, AttributeError):
        return None


def _turn(envelope: dict[str, Any]) -> None:
    """A purchase of less than nothing becomes a refund of as much; its items keep their signs turned."""
    data = envelope["data"]
    envelope["type"] = "purchase.refunded"
    envelope["id"] = derived_id(f"{envelope['source']}\n{envelope['id']}", "refund")
    data["total"] = str(data["total"]).removeprefix("-")
    for item in data.get("items", ()):
        if isinstance(item, dict) and str(item.get("quantity", "")).startswith("-"):
            item["quantity"] = str(item["quantity"]).removeprefix("-")
