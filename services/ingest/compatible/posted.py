"""What stands in a request: the events of a batch with their own bytes, or the one event that is the body. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.ingest.acceptance import INVALID_JSON
from services.ingest.cloudevents import MARK, decoded, read_loosely, written
from shared.errors import Fault, InvalidEvent

MOST_EVENTS = 2_500
"""Events in one batch."""

INVALID_BATCH = "invalid_batch"
BATCH_TOO_LONG = "batch_too_long"
SECRET = "writeKey"


class Item(NamedTuple):
    """One event: its bytes, freed of a write key, and its JSON value."""

    original: bytes
    value: object


class Posted(NamedTuple):
    """A request: what all its events share, and the events."""

    items: Sequence[Item]
    write_key: str | None = None
    sent_at: object = None
    context: Mapping[str, Any] = {}
    integrations: Mapping[str, Any] = {}


class _Batch(msgspec.Struct, rename="camel"):
    batch: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    sent_at: Any = None
    write_key: Any = None
    context: Any = None
    integrations: Any = None


_batch = msgspec.json.Decoder(_Batch)
_items = msgspec.json.Decoder(list[msgspec.Raw])


def read_batch(body: bytes) -> Posted:
    """The events of `{"batch": […]}`. Raises InvalidEvent `invalid_json`, `invalid_batch`, `batch_too_long`."""
    try:
        found = _batch.decode(body.removeprefix(MARK))
        raw = found.batch if isinstance(found.batch, msgspec.Raw) else b"null"
        items = _items.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _read_batch_loosely(body)
    _check_count(len(items))
    posted = (_item(bytes(item), None) for item in items)
    return Posted(
        tuple(posted), _text(found.write_key), found.sent_at, _object(found.context), _object(found.integrations)
    )


def _read_batch_loosely(body: bytes) -> Posted:
    """The same where the fast decoder gives up: because of one character in one event the others need not go."""
    found = _mapping(read_loosely(body))
    items = found.get("batch")
    if not isinstance(items, list):
        raise InvalidEvent(INVALID_BATCH, (Fault("batch must be an array of events", "/batch"),))
    _check_count(len(items))
    return Posted(
        tuple(_item(written(item), item) for item in items),
        _text(found.get(SECRET)),
        found.get("sentAt"),
        _object(found.get("context")),
        _object(found.get("integrations")),
    )


def read_single(body: bytes) -> Posted:
    """The event that is the body. Raises InvalidEvent `invalid_json`."""
    item = _item(body, None)
    key = _mapping(read_loosely(body)).get(SECRET) if SECRET.encode() in body else None
    _mapping(item.value)
    return Posted((item,), _text(key))


def _item(original: bytes, value: object) -> Item:
    if value is None:
        value = decoded(original.removeprefix(MARK))
    if isinstance(value, dict) and SECRET in value:
        value = {name: member for name, member in value.items() if name != SECRET}
        original = written(value)
    return Item(original, value)


def _check_count(count: int) -> None:
    if count > MOST_EVENTS:
        fault = Fault(f"a request may hold at most {MOST_EVENTS} events", "/batch")
        raise InvalidEvent(BATCH_TOO_LONG, (fault,))


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEvent(INVALID_JSON, (Fault("the body must be a JSON object"),))
    return value


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
