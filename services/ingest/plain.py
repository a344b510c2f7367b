"""The short way for plain events: those that need no correction at all. Pure.

Most events are spelt as they should be. For them a look at their bytes and one strict function per field do what the
documented contract does in five times the time. Whatever is not plain is left to `acceptance`, which also finds the
words for what is wrong; a property test holds that the two never differ.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from pydantic_core import PydanticCustomError

from services.ingest import normalise
from services.ingest.model import Accepted
from services.ingest.normalise import LONGEST, Rules, UnreadableError
from services.ingest.plain_fields import FIELDS, REQUIRED, OddError
from shared.events.envelope import Event, encode
from shared.events.identifiers import KINDS
from shared.events.storable import DEEPEST

MOST_OPENINGS = DEEPEST - 3
"""Brackets in the bytes of an event that cannot be nested too deep, not even when it is translated."""

_PLAIN = frozenset({"specversion", "id", "source", "type", "time", "data", "datacontenttype"})
_ODD_TEXT = (b"\\u0000", b"\\ud", b"\\uD")
_LARGEST = 10**100
_sorted = msgspec.json.Encoder(decimal_format="string", order="sorted")
_encoder = msgspec.json.Encoder()


def accepted(
    original: bytes,
    envelope: object,
    received_at: datetime,
    settings: Mapping[str, Any],
    age: timedelta | None = None,
) -> Accepted | None:
    """The accepted event, exactly as `acceptance` would have it; None when it must be looked at there.

    `original` are the bytes that all values of `envelope` come from; it holds no whole number as a float.
    """
    if not isinstance(envelope, dict) or not envelope.keys() <= _PLAIN or not _is_plain(original):
        return None
    try:
        return _accepted(envelope, received_at, settings, age)
    except (OddError, UnreadableError, PydanticCustomError, KeyError, TypeError):
        return None


def _is_plain(original: bytes) -> bool:
    """No text that cannot be kept, nothing nested too deep."""
    return (
        not any(odd in original for odd in _ODD_TEXT) and original.count(b"{") + original.count(b"[") <= MOST_OPENINGS
    )


def _accepted(
    envelope: Mapping[str, Any], received_at: datetime, settings: Mapping[str, Any], age: timedelta | None
) -> Accepted:
    kind, data = envelope["type"], envelope["data"]
    if envelope["specversion"] != "1.0" or envelope.get("datacontenttype") not in (None, "application/json"):
        raise OddError
    _check_numbers(data)
    time = envelope.get("time")
    sent_at = None if time is None else normalise.moment(time)
    moment = (sent_at or received_at) if age is None else received_at - age
    if moment > received_at and settings.get("clock", "system") == "system":
        raise OddError
    customer, faults = normalise.customer(data["customer"], _rules(settings))
    if faults:
        raise OddError
    event = Event(
        specversion="1.0",
        id=_name(envelope["id"]),
        source=_name(envelope["source"]),
        type=kind,
        time=moment,
        data=msgspec.Raw(_encoder.encode({"customer": customer, **_content(kind, data, settings)})),
        datacontenttype=envelope.get("datacontenttype"),
        receivedat=received_at,
        fingerprint=blake2b(_sorted.encode([kind, time, data]), digest_size=16).hexdigest(),
    )
    strongest = next(name for name in KINDS if name in customer)
    return Accepted(event, encode(event), f"{strongest}:{customer[strongest]}", data)


def _content(kind: str, data: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in the order of the contract, then all others in the order in which they were sent."""
    fields = FIELDS[kind]
    content: dict[str, Any] = {}
    for name, clean in fields.items():
        value = data.get(name)
        if value is not None:
            content[name] = clean(value)
    for name, value in data.items():
        if name not in fields and name != "customer":
            content[name] = value
    if not REQUIRED[kind] <= content.keys():
        raise OddError
    if "order_id" in fields:
        content.setdefault("currency", settings.get("currency", "EUR"))
    return content


def _check_numbers(value: Any) -> None:
    """What cannot be kept as a number, wherever it stands."""
    for one in value.values() if type(value) is dict else value:
        kind = type(one)
        if kind is dict or kind is list:
            _check_numbers(one)
        elif (kind is int or kind is float) and not -_LARGEST < one < _LARGEST:
            raise OddError


def _name(value: object) -> str:
    if type(value) is str and 0 < len(value) <= LONGEST and not value.isspace():
        return value
    raise OddError


def _rules(settings: Mapping[str, Any]) -> Rules:
    return Rules(settings.get("region"), tuple(settings.get("blocked_values", ())))
