"""Topic `erasures`: who was erased, told by digests only, and what each store has removed of him."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from shared.events.envelope import Event, derived_id, raw
from shared.events.identifiers import KINDS, PRIORITY, Identifier
from shared.events.outgoing import Outgoing, say

TOPIC = "erasures"
REQUESTED = "customer.erasure.requested"
"""On `interactions`: erase a customer. It cannot come in from outside."""
ERASED = "customer.erased"
"""The record is gone: whoever holds something of the customer removes it."""
REMOVED = "customer.data.removed"
"""A store has removed what it held."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `customer.erasure.requested` and `customer.erased`. `names` are digests of his identifiers."""

    erasure_id: str
    profile_id: str
    names: tuple[str, ...] = ()


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `customer.data.removed`: how many rows or records of each kind were removed or blackened."""

    erasure_id: str
    store: str
    removed: dict[str, int]


_ALIASES = {"userId": "customer_id", "previousId": "customer_id", "anonymousId": "device_id"}
_PART = frozenset(("webhook", "headers", "body", "customers"))
_WORD = re.compile(r"[^\s\"',;:{}\[\]<>()=&|]+")

erasure_in = msgspec.json.Decoder(Erasure)
removed_in = msgspec.json.Decoder(Removed)


def digest_of(name: Identifier) -> str:
    """An identifier as the list of the erased keeps it: 128 bits that tell whether a name is on it, not what it is."""
    return hashlib.blake2b(str(name).encode(), digest_size=16, person=b"cartera-erased").hexdigest()


def confirm(store: str, about: Erasure, removed: Mapping[str, int], at: datetime) -> Outgoing:
    """What a store tells when it has removed what it held of one profile id."""
    content = Removed(erasure_id=about.erasure_id, store=store, removed=dict(removed))
    event = Event(
        specversion="1.0",
        id=derived_id(f"{about.erasure_id}/{about.profile_id}", store),
        source=f"cartera/{store}",
        type=REMOVED,
        time=at,
        data=raw(content),
    )
    return say(TOPIC, about.erasure_id, event)


def mentions(original: bytes, names: Collection[str]) -> bool:
    """Whether bytes that somebody sent name one of the erased, wherever in them: `names` are digests.

    JSON is searched by the names of its members. Anything else by its words, and what a webhook brought by every value
    in it, because each system has its own names: which may be too much, never too little.
    """
    try:
        value = msgspec.json.decode(original)
        found = _named_in_part(value) if _is_part(value) else _named_in(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        found = _words_of(original.decode("utf-8", "replace"))
    return any(digest_of(name) in names for name in found)


def _named_in(value: Any) -> Iterator[Identifier]:
    if isinstance(value, list):
        for item in value:
            yield from _named_in(item)
    elif isinstance(value, dict):
        if value.get("kind") in PRIORITY and isinstance(value.get("value"), str | int):
            yield Identifier(value["kind"], _spelled(value["kind"], value["value"]))
        for member, item in value.items():
            kind = _ALIASES.get(member, member)
            if kind in PRIORITY and isinstance(item, str | int):
                yield Identifier(kind, _spelled(kind, item))
            else:
                yield from _named_in(item)


def _is_part(value: Any) -> bool:
    """Whether this is the part of a webhook's delivery that a dead letter keeps."""
    return isinstance(value, dict) and {"webhook", "body"} <= value.keys() <= _PART


def _named_in_part(part: Mapping[str, Any]) -> Iterator[Identifier]:
    yield from _named_in(part.get("customers", []))
    for value in _values_in(part["body"]):
        for text in {value, *value.split()}:
            yield from (Identifier(kind, _spelled(kind, text)) for kind in KINDS)


def _values_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _values_in(item)
    elif value is not None:
        yield str(value)


def _words_of(text: str) -> Iterator[Identifier]:
    for word in _WORD.findall(text):
        yield from (Identifier(kind, _spelled(kind, word)) for kind in KINDS)


def _spelled(kind: str, value: str | int) -> str:
    text = unicodedata.normalize("NFKC" if kind in ("email", "phone") else "NFC", str(value)).strip()
    if kind == "email":
        return text.lower()
    return "+" + "".join(filter(str.isdecimal, text)).removeprefix("00") if kind == "phone" else text
