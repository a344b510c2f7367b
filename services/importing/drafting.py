"""From a row to the draft of an event: its values under their targets, in the spelling of the contract. Pure.

A value that cannot be read stays as it was written: the acceptance of events then says what is wrong with it.
"""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from services.importing import fields, moments, numbers
from services.importing.map_file import Column
from services.importing.mapping import Plan
from services.importing.row import Row
from shared.events.identifiers import KINDS as IDENTIFIER_KINDS

_encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")

_YES = frozenset(
    [
        "1",
        "true",
        "t",
        "yes",
        "y",
        "x",
        "on",
        "ja",
        "j",
        "si",
        "sí",
        "s",
        "oui",
        "o",
        "vrai",
        "verdadero",
        "wahr",
        "vero",
        "sim",
        "waar",
    ]
)
_NO = frozenset(
    ["0", "false", "f", "no", "n", "off", "nein", "non", "faux", "falso", "falsch", "não", "nao", "nee", "onwaar"]
)
_ABSENT = frozenset(("", "NULL", "\\N"))
_WORDS = {
    "status": {"answered": "completed", "noanswer": "no_answer", "no answer": "no_answer", "no-answer": "no_answer"},
    "direction": {"in": "inbound", "incoming": "inbound", "out": "outbound", "outgoing": "outbound"},
    "channel": {"online": "web", "website": "web", "in-store": "store", "pos": "store", "mobile app": "app"},
}


class Draft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The draft of an event, or of one item of a purchase.

    `group` is what rows share that make one event: the natural key (`named`), else the hash of the row, of which equal
    rows are told apart by their number. `total` is the amount of the row, which only all rows of an order explain.
    """

    group: str
    named: bool
    who: str
    type: str
    data: dict[str, Any]
    time: Any = None
    total: str | None = None
    item: dict[str, Any] = {}
    envelope: dict[str, Any] | None = None


class Drafting:
    """Drafts the rows of one import by its plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._natural = fields.NATURAL_KEYS.get(plan.kind)

    def draft(self, row: Row) -> Draft:
        """The draft of a row."""
        digest = hashlib.blake2b(_encoder.encode(row.values), digest_size=16).hexdigest()
        if "specversion" in row.values:
            kind = str(row.values.get("type", ""))
            return Draft(group=digest, named=False, who="", type=kind, data={}, envelope=dict(row.values))
        found: dict[str, Any] = {}
        for target, value in self._plan.constants.items():
            _put(found, target, value)
        for column in self._plan.columns:
            value = self._value(column, row.values)
            if value is not None:
                self._note_currency(found, column.target, value)
                _put(found, column.target, self._read(column, value))
        return self._assembled(found, digest)

    def _assembled(self, found: dict[str, Any], digest: str) -> Draft:
        plan = self._plan
        main = fields.MAIN_TYPES[plan.kind]
        kind = str(found.pop("type", None) or main)
        kind = kind if "." in kind else f"{main.partition('.')[0]}.{kind}"
        time = found.pop("time", None)
        extra = found.pop("data", {})
        customer = found.setdefault("customer", {})
        if plan.kind != "customers" and isinstance(customer, dict) and "traits" in found:
            customer["traits"] = {**customer.get("traits", {}), **found.pop("traits")}
        item: dict[str, Any] = {}
        total: str | None = None
        natural = found.get(self._natural) if self._natural and kind == main else None
        if plan.kind == "purchases":
            item, total = _item_of(found, kind == main)
        return Draft(
            group=digest if natural is None else str(natural),
            named=natural is not None,
            who=_who(customer),
            type=kind,
            time=time,
            data={**extra, **found},
            total=total,
            item=item,
        )

    def _value(self, column: Column, values: Mapping[str, Any]) -> Any:
        """The value of a column, None when it is absent; several columns are joined by a space."""
        if len(column.columns) == 1:
            value = values.get(column.columns[0])
            if isinstance(value, str):
                value = value.strip()
                return None if value in _ABSENT else value
            return value
        parts = [str(part).strip() for name in column.columns if (part := values.get(name)) not in (None, "")]
        return " ".join(parts) or None

    def _note_currency(self, found: dict[str, Any], target: str, value: Any) -> None:
        """An amount that names its currency says it for the event, where no column does."""
        if target in fields.MONEY and isinstance(value, str) and not self._plan.has("currency"):
            named = numbers.currency_in(value, self._plan.currency)
            if named is not None:
                found["currency"] = named

    def _read(self, column: Column, value: Any) -> Any:
        target, kind = column.target, column.type
        if target in fields.MOMENTS:
            return moments.moment(value, self._plan.calendar)
        if kind == "date" or target == "traits.birth_date":
            return _day(value, self._plan.calendar)
        if not isinstance(value, str) or kind == "text":
            return _plain(value)
        if target in fields.NUMBERS or kind == "number":
            known = numbers.may_be_read(value, self._plan.currency)
            read = numbers.number(value, self._plan.decimal) if known else value
            return _json_number(read) if kind == "number" else read
        if target in fields.DURATIONS:
            return numbers.seconds(value, self._plan.decimal)
        if target in fields.FLAGS or kind == "boolean":
            return _flag(value)
        return _WORDS.get(target, {}).get(value.lower(), value) if target in fields.WORDS else value


def _put(found: dict[str, Any], target: str, value: Any) -> None:
    place, _, name = target.partition(".")
    if not name:
        if target in fields.WHOLE and isinstance(value, dict):
            _merge(found, target, value)
        else:
            found[target] = value
        return
    _merge(found, place, {name: value})


def _merge(found: dict[str, Any], place: str, more: Mapping[str, Any]) -> None:
    held = found.get(place)
    found[place] = {**held, **more} if isinstance(held, dict) else dict(more)


def _item_of(found: dict[str, Any], may_be_item: bool) -> tuple[dict[str, Any], str | None]:
    """Take the item of a row and its amount out of what was found; items that stand there whole stay."""
    items = found.get("items")
    item = found.pop("items") if isinstance(items, dict) else {}
    total = found.get("total")
    if may_be_item and isinstance(total, str | int | float | Decimal) and not isinstance(total, bool):
        return item, str(found.pop("total"))
    return item, None


def _who(customer: Any) -> str:
    """The strongest identifier of a row as it is written, empty when there is none: rows of one order share it."""
    if not isinstance(customer, dict):
        return ""
    return next((f"{kind}:{customer[kind]}" for kind in IDENTIFIER_KINDS if customer.get(kind)), "")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return moments.moment(value, moments.Calendar())
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _day(value: Any, calendar: moments.Calendar) -> Any:
    """A date without its time, as it is in its own calendar."""
    read = moments.moment(value, calendar._replace(zone="UTC"))
    return read[:10] if isinstance(read, str) and read != value else _plain(value)


def _json_number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _flag(text: str) -> Any:
    word = text.lower()
    return True if word in _YES else False if word in _NO else text
