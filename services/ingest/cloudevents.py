"""The wire forms of CloudEvents: HTTP (structured, batched, binary) and records of the source topics. Pure."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

import msgspec

from services.ingest.acceptance import INVALID_JSON
from shared.errors import Fault, InvalidEvent
from shared.log import Record

MAIN_TYPES = {
    "purchases": "purchase.completed",
    "calls": "call.completed",
    "emails": "email.received",
    "chats": "chat.message",
}
"""The source topics, and the type of a plain JSON value on each."""

_NATURAL_KEYS = {"purchases": "order_id", "calls": "call_id", "emails": "message_id"}
MARK = b"\xef\xbb\xbf"
"""The byte order mark that some senders put before their JSON."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_items = msgspec.json.Decoder(list[msgspec.Raw])


def _number(text: str) -> int | float:
    """A number in the one spelling that equal numbers share: 5.0 is 5."""
    value = float(text)
    return int(value) if value.is_integer() else value


_values = msgspec.json.Decoder(float_hook=_number)
_encoder = msgspec.json.Encoder()


class MediaTypeError(ValueError):
    """A body in a media type that is not taken here."""


class Sent(NamedTuple):
    """One event as it was sent: its bytes, and its value as a structured CloudEvent or why it is none.

    `age` is how long before its sending it happened, by the sender's own clock; the time of the event then counts
    back from its arrival. `again` gives a second reading of an event that was refused, or raises InvalidEvent.
    """

    original: bytes
    envelope: object
    error: InvalidEvent | None = None
    age: timedelta | None = None
    again: Callable[[InvalidEvent], "Sent"] | None = None


class Posted(NamedTuple):
    """The events of one request. `single` says that it was not an array."""

    events: Sequence[Sent]
    single: bool


def read_json(value: bytes) -> Any:
    """The JSON value of bytes. Raises InvalidEvent `invalid_json`."""
    try:
        return _values.decode(value.removeprefix(MARK))
    except RecursionError as error:
        raise InvalidEvent(INVALID_JSON, (Fault("the JSON is nested too deep"),)) from error
    except UnicodeDecodeError as error:
        raise InvalidEvent(INVALID_JSON, (Fault("the text is not UTF-8"),)) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidEvent(INVALID_JSON, (Fault(str(error)),)) from error


def read_loosely(value: bytes) -> Any:
    """The JSON value of bytes, halves of surrogate pairs and huge numbers included. Raises InvalidEvent."""
    try:
        return json.loads(value.removeprefix(MARK).decode(), parse_float=_number, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise InvalidEvent(INVALID_JSON, (Fault("the text is not UTF-8"),)) from error
    except RecursionError as error:
        raise InvalidEvent(INVALID_JSON, (Fault("the JSON is nested too deep"),)) from error
    except ValueError as error:
        raise InvalidEvent(INVALID_JSON, (Fault(str(error)),)) from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def written(value: object) -> bytes:
    """The bytes of what `read_loosely` has read. Raises InvalidEvent."""
    try:
        return json.dumps(value).encode()
    except RecursionError as error:
        raise InvalidEvent(INVALID_JSON, (Fault("the JSON is nested too deep"),)) from error


def read_http(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Posted:
    """The events of a request. Raises MediaTypeError, and InvalidEvent `invalid_json` when the body is no JSON."""
    named = {name.decode("latin-1").lower(): value for name, value in headers}
    content_type = named.get("content-type", b"").decode("latin-1")
    media = _media_type(content_type)
    if media.startswith("application/cloudevents-batch"):
        _only_json(media, "application/cloudevents-batch")
        return Posted(_array(body), False)
    if media.startswith("application/cloudevents"):
        _only_json(media, "application/cloudevents")
        return Posted((_sent(body),), True)
    if any(name in named for name in ("ce-specversion", "ce-id", "ce-type")):
        return Posted((_binary(_attributes(named), content_type, body),), True)
    if media not in ("", "application/json"):
        raise MediaTypeError(media)
    if body.removeprefix(MARK).lstrip()[:1] == b"[":
        return Posted(_array(body), False)
    return Posted((_sent(body),), True)


def _media_type(content_type: str) -> str:
    media, _, parameters = content_type.partition(";")
    found = re.search(r"charset\s*=\s*\"?([\w-]+)", parameters, re.IGNORECASE)
    if found and found[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise MediaTypeError(content_type)
    return media.strip().lower()


def _only_json(media: str, prefix: str) -> None:
    if media.removeprefix(prefix) not in ("", "+json"):
        raise MediaTypeError(media)


def _sent(body: bytes) -> Sent:
    return Sent(body, read_json(body))


def _array(body: bytes) -> tuple[Sent, ...]:
    try:
        found = _items.decode(body.removeprefix(MARK))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _array_loosely(body)
    return tuple(_item(bytes(item)) for item in found)


def _array_loosely(body: bytes) -> tuple[Sent, ...]:
    """The same where the fast decoder gives up: because of one character in one event the others need not go."""
    found = read_loosely(body)
    if not isinstance(found, list):
        raise InvalidEvent(INVALID_JSON, (Fault("a batch is a JSON array"),))
    return tuple(Sent(written(item), item) for item in found)


def _item(value: bytes) -> Sent:
    try:
        return Sent(value, decoded(value))
    except InvalidEvent as error:
        return Sent(value, None, error)


def decoded(value: bytes) -> Any:
    """The JSON value of one event of several, read loosely where it must be. Raises InvalidEvent."""
    try:
        return _values.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return read_loosely(value)


def _attributes(headers: Mapping[str, bytes]) -> dict[str, str]:
    return {
        name[3:]: _header_text(value)
        for name, value in headers.items()
        if name.startswith("ce-") and name not in ("ce-data", "ce-datacontenttype")
    }


def _header_text(value: bytes) -> str:
    text = value.strip()
    if len(text) > 1 and text[:1] == text[-1:] == b'"':
        text = _ESCAPED.sub(r"\1", text[1:-1].decode("latin-1")).encode("latin-1")
    plain = unquote_to_bytes(text)
    try:
        return plain.decode()
    except UnicodeDecodeError:
        return plain.decode("latin-1")


def _binary(attributes: Mapping[str, str], content_type: str, body: bytes) -> Sent:
    envelope: dict[str, Any] = dict(attributes)
    if content_type:
        envelope["datacontenttype"] = content_type
    if not body:
        return Sent(_encoder.encode(envelope), envelope)
    try:
        data = read_json(body)
    except InvalidEvent as error:
        envelope["data_base64"] = base64.b64encode(body).decode()
        if "json" not in content_type.lower() and content_type:
            return Sent(_encoder.encode(envelope), envelope)
        faults = tuple(Fault(fault.detail, "/data") for fault in error.faults)
        return Sent(_encoder.encode(envelope), envelope, InvalidEvent(INVALID_JSON, faults))
    envelope["data"] = data
    return Sent(_encoder.encode({**envelope, "data": msgspec.Raw(body.removeprefix(MARK))}), envelope)


def read_record(record: Record) -> object:
    """The CloudEvent of a record of a source topic: structured, binary, or plain JSON. Raises InvalidEvent."""
    value = record.value or b""
    headers = _headers(record)
    if _is_structured(headers):
        return read_json(value)
    if _is_binary(headers):
        sent = _binary_record(headers, value)
        if sent.error is not None:
            raise sent.error
        return sent.envelope
    data = read_json(value)
    if isinstance(data, dict) and "specversion" in data:
        return data
    if not isinstance(data, dict):
        raise InvalidEvent(INVALID_JSON, (Fault("a record is a JSON object"),))
    return _plain_record(record.topic, value, data)


def sender_of(record: Record) -> str:
    """The source of a record that need not be a good event, as far as it can be read, else its topic."""
    try:
        envelope = read_record(record)
    except InvalidEvent:
        envelope = None
    named = envelope.get("source") if isinstance(envelope, dict) else None
    return named[:256] if isinstance(named, str) and named else f"topic/{record.topic}"


def without_headers(record: Record) -> bytes:
    """The bytes of a record of a source topic; in binary mode as a structured CloudEvent, which needs no headers."""
    headers = _headers(record)
    if _is_structured(headers) or not _is_binary(headers):
        return record.value or b""
    return _binary_record(headers, record.value or b"").original


def _headers(record: Record) -> dict[str, bytes]:
    return {name.lower(): value or b"" for name, value in record.headers}


def _is_structured(headers: Mapping[str, bytes]) -> bool:
    return headers.get("content-type", b"").strip().lower().startswith(b"application/cloudevents")


def _is_binary(headers: Mapping[str, bytes]) -> bool:
    return any(name in headers for name in ("ce_specversion", "ce_id", "ce_type"))


def _binary_record(headers: Mapping[str, bytes], value: bytes) -> Sent:
    attributes = {
        name[3:]: text.decode("utf-8", "replace")
        for name, text in headers.items()
        if name.startswith("ce_") and name not in ("ce_data", "ce_datacontenttype")
    }
    return _binary(attributes, headers.get("content-type", b"").decode("latin-1"), value)


def _plain_record(topic: str, value: bytes, data: dict[str, Any]) -> dict[str, Any]:
    natural = data.get(_NATURAL_KEYS.get(topic, ""))
    if isinstance(natural, bool) or not isinstance(natural, str | int) or natural == "":
        natural = hashlib.blake2b(value, digest_size=16).hexdigest()
    sent_at = data.get("time")
    return {
        "specversion": "1.0",
        "id": str(natural),
        "source": f"topic/{topic}",
        "type": MAIN_TYPES[topic],
        "time": sent_at if sent_at is not None else data.get("occurred_at"),
        "data": data,
    }
