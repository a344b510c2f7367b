"""Topic `erasures`: who was erased, told by digests only, and what each store has removed of him."""

import hashlib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from shared.events.envelope import Event, derived_id, raw
from shared.events.identifiers import PRIORITY, Identifier
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


def mentions(value: Any, names: Collection[str]) -> bool:
    """Whether a JSON value that somebody sent names one of the erased, wherever in it: `names` are digests."""
    return any(digest_of(found) in names for found in _named_in(value))


def _named_in(value: Any) -> Iterator[Identifier]:
    if isinstance(value, list):
        for item in value:
            yield from _named_in(item)
    elif isinstance(value, dict):
        if value.get("kind") in PRIORITY and isinstance(value.get("value"), str | int):
            yield Identifier(value["kind"], _spelled(value["kind"], value["value"]))
        for name, item in value.items():
            if name in PRIORITY and isinstance(item, str | int):
                yield Identifier(name, _spelled(name, item))
            else:
                yield from _named_in(item)


def _spelled(kind: str, value: str | int) -> str:
    text = unicodedata.normalize("NFKC" if kind in ("email", "phone") else "NFC", str(value)).strip()
    if kind == "email":
        return text.lower()
    return "+" + "".join(filter(str.isdecimal, text)).removeprefix("00") if kind == "phone" else text
