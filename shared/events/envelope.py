"""The CloudEvents 1.0 envelope in which everything travels, in structured JSON mode, and how ids are derived."""

import hashlib
import uuid
from datetime import datetime
from typing import Any, NewType

import msgspec

EventId = NewType("EventId", str)
ProfileId = NewType("ProfileId", str)

HOUSE = uuid.UUID("6f2f8a0e-3a55-5d0c-9a6e-0d3c3f1c8a11")
"""The namespace of every id that this house derives. Changing it renames everything: never."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One CloudEvent. `data` stays raw JSON until somebody who knows its type decodes it.

    Extensions of ours: `receivedat` (arrival at our door), `fingerprint` (of the content as it was sent),
    `senttime` (the time as it was sent, where it was after the arrival and `time` therefore is the arrival),
    `history` (name of the open import it belongs to; such an event keeps its own time and is mute), and on
    derived events the cause (`causesource`, `causeid`, `causetype`, and `causemessage`, the message it names).
    """

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    data: msgspec.Raw = msgspec.Raw(b"null")
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    receivedat: datetime | None = None
    fingerprint: str | None = None
    history: str | None = None
    senttime: datetime | None = None
    causesource: str | None = None
    causeid: str | None = None
    causetype: str | None = None
    causemessage: str | None = None


_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder(decimal_format="string")


def decode(value: bytes) -> Event:
    """Read a structured CloudEvent of ours; unknown attributes are ignored. Raises msgspec.DecodeError."""
    return _decoder.decode(value)


def encode(event: Event) -> bytes:
    """The bytes of a structured CloudEvent; equal events have equal bytes."""
    return _encoder.encode(event)


def raw(data: Any) -> msgspec.Raw:
    """Any value as the raw JSON that an Event carries."""
    return msgspec.Raw(_encoder.encode(data))


def derived_id(cause: str, position: str | int) -> str:
    """The UUIDv5 of (cause, position): processing a cause twice gives what follows from it the same names."""
    return str(uuid.uuid5(HOUSE, f"{cause}/{position}"))


def event_key(event: Event) -> str:
    """What identifies an event for good, as one string: its source and its id."""
    return f"{event.source}\n{event.id}"


def canonical(value: Any) -> Any:
    """A JSON value in the one spelling that equal values share: whole floats are integers, keys sort on encoding."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def fingerprint(kind: str, time: str | None, data: Any) -> str:
    """A 128-bit digest of an event's content as it was sent (type, time, data as JSON values), in hex.

    Two events with one source and id are the same event exactly when this is equal too.
    """
    content = _encoder.encode(canonical([kind, time, data]))
    return hashlib.blake2b(content, digest_size=16).hexdigest()
