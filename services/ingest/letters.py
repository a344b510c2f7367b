"""Dead letters: how they are made, how they travel on their topic, and how they are shown. Pure."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.ingest.cloudevents import MAIN_TYPES, without_headers
from services.ingest.model import Letter
from shared.errors import Fault, InvalidEvent
from shared.events.dead_letters import REJECTED, TOPIC, DeadLetter
from shared.events.envelope import Event, decode, derived_id, raw
from shared.events.outgoing import Outgoing, say
from shared.events.times import rfc3339, to_ms
from shared.log import Record

LARGEST_ON_TOPIC = 512 * 1024
"""Bytes of an original that fit on a topic once they are base64; a larger one is kept in the database only."""

_decoder = msgspec.json.Decoder(DeadLetter)


def reject(original: bytes, envelope: object, error: InvalidEvent, received_at: datetime, position: int) -> Letter:
    """The letter of an event that came by REST; `position` tells equal events of one moment apart."""
    source = text_of(envelope, "source") or "rest"
    digest = hashlib.blake2b(original, digest_size=16).hexdigest()
    return Letter(
        id=derived_id(f"{source}\n{digest}", f"{to_ms(received_at)}/{position}"),
        received_at=received_at,
        source=source,
        code=error.code,
        errors=errors_of(error),
        original=original,
        type=text_of(envelope, "type"),
    )


def text_of(envelope: object, name: str) -> str | None:
    """An attribute of something that need not be an event, as far as it can be kept: no NUL, no half characters."""
    found = envelope.get(name) if isinstance(envelope, Mapping) else None
    return _storable(found) or None if isinstance(found, str) else None


def _storable(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:256]


def errors_of(error: InvalidEvent) -> tuple[dict[str, str], ...]:
    """The faults of an event as its sender sees them."""
    return tuple({"detail": fault.detail, "pointer": fault.pointer} for fault in error.faults)


def announce(letter: Letter) -> Outgoing:
    """A letter as a record of the topic `dead-letters`."""
    content = DeadLetter(
        id=letter.id,
        source=letter.source,
        code=letter.code,
        errors=letter.errors,
        original_base64=base64.b64encode(letter.original).decode(),
        service=letter.service,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        file=letter.file,
        line=letter.line,
    )
    event = Event(
        specversion="1.0",
        id=letter.id,
        source=f"cartera/{letter.service}",
        type=REJECTED,
        time=letter.received_at,
        data=raw(content),
    )
    return say(TOPIC, letter.id, event)


def announced(letter: Letter) -> tuple[Outgoing, ...]:
    """The records that tell of a letter: none of one that is too large for a topic."""
    return (announce(letter),) if len(letter.original) <= LARGEST_ON_TOPIC else ()


def read(value: bytes) -> Letter:
    """A letter from a record of the topic `dead-letters`. Raises InvalidEvent."""
    try:
        event = decode(value)
        content = _decoder.decode(event.data)
        original = _original(content)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise InvalidEvent("invalid_event", (Fault(f"this is no dead letter: {error}"),)) from error
    envelope = _json(original)
    named = text_of(envelope, "source") if isinstance(envelope, Mapping) and "specversion" in envelope else None
    return Letter(
        id=content.id,
        received_at=event.time,
        source=named or _storable(content.source),
        code=_storable(content.code),
        errors=content.errors,
        original=original,
        type=text_of(envelope, "type"),
        service=content.service,
        topic=content.topic,
        partition=content.partition,
        offset=content.offset,
        file=None if content.file is None else _storable(content.file),
        line=content.line,
    )


def _original(content: DeadLetter) -> bytes:
    value = base64.b64decode(content.original_base64, validate=True)
    if content.topic not in MAIN_TYPES:
        return value
    headers = tuple((name, base64.b64decode(text, validate=True)) for name, text in content.headers)
    return without_headers(Record(content.topic, content.partition or 0, content.offset or 0, 0, None, value, headers))


def shown(letter: Letter) -> dict[str, Any]:
    """A letter as the REST interface shows it: the JSON as sent, or its text and base64 where it was none."""
    body: dict[str, Any] = {
        "id": letter.id,
        "received_at": rfc3339(letter.received_at),
        "source": letter.source,
        "code": letter.code,
        "errors": letter.errors,
        "state": letter.state,
        "original": msgspec.Raw(letter.original),
        "file": letter.file,
        "line": letter.line,
        "type": letter.type,
        "service": letter.service,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
    }
    if _json(letter.original) is msgspec.UNSET:
        body["original"] = letter.original.decode("utf-8", "replace")
        body["original_base64"] = base64.b64encode(letter.original).decode()
    if letter.repaired is not None:
        body["repaired"] = msgspec.Raw(letter.repaired)
    return body


def _json(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return msgspec.UNSET
