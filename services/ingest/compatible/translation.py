"""From one event of a Segment or RudderStack library to the CloudEvent that it means, or to what is wrong. Pure."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from services.ingest.cloudevents import Sent
from services.ingest.compatible import skew
from services.ingest.compatible.meaning import Meant, meant
from services.ingest.compatible.posted import Item, Posted, read_single
from services.ingest.compatible.refusal import refusal, without
from services.ingest.compatible.vocabulary import Vocabulary
from services.ingest.normalise import LONGEST
from shared.errors import Fault, InvalidEvent
from shared.events.envelope import derived_id
from shared.events.times import rfc3339

LARGEST_EVENT = 32 * 1024
"""Bytes of one event as it was sent."""

TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias", "merge"})

PREFIX = "segment/"
"""Begins the source of every event that came this way; the id of the key follows."""

_OBJECTS = ("context", "integrations", "properties", "traits")
_IDS = ("userId", "anonymousId", "groupId", "previousId")
_TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
_KNOWN = frozenset(("type", "messageId", "event", "name", "category", "mergeProperties", *_OBJECTS, *_IDS, *_TIMES))
_NEEDED = {"group": ("groupId", "missing_group_id"), "alias": ("previousId", "missing_previous_id")}


class Post(NamedTuple):
    """What the events of one request have in common. `cause` names the request: ids that are missing come from it."""

    source: str
    cause: str
    vocabulary: Vocabulary
    sent_at: object = None
    kind: str | None = None


def translated(posted: Posted, post: Post) -> Sequence[Sent]:
    """Every event of a request as the door takes it, in order."""
    return tuple(translate(item, posted, post, index) for index, item in enumerate(posted.items))


def reread(original: bytes, post: Post) -> Sent:
    """One event from its bytes alone, as when it was kept as a dead letter. Raises InvalidEvent."""
    posted = read_single(original)
    return translate(posted.items[0], posted, post)


def translate(item: Item, posted: Posted, post: Post, index: int = 0) -> Sent:
    """One event as the door takes it; what is wrong with it stands in its `error`."""
    event = item.value
    kind = post.kind or (event.get("type") if isinstance(event, dict) else None)
    known = {"source": post.source, "type": kind if isinstance(kind, str) else None}
    try:
        whole = _checked(event, kind, len(item.original))
    except InvalidEvent as error:
        named = event.get("messageId") if isinstance(event, dict) else None
        return Sent(item.original, {**known, "id": named}, error)
    context = {**posted.context, **(whole.get("context") or {})}
    integrations = {**posted.integrations, **(whole.get("integrations") or {})}
    told = meant(whole, str(kind), context, post.vocabulary)
    if integrations:
        told.data["integrations"] = integrations
    more = {name: value for name, value in whole.items() if name not in _KNOWN and value is not None}
    if more:
        told.data["other"] = more
    return _sent(item.original, whole, told, posted, post, index)


def _sent(original: bytes, event: Mapping[str, Any], told: Meant, posted: Posted, post: Post, index: int) -> Sent:
    happened_at = skew.moment(event.get("timestamp")) or skew.moment(event.get("originalTimestamp"))
    sent_at = skew.moment(event.get("sentAt")) or skew.moment(posted.sent_at) or skew.moment(post.sent_at)
    envelope = {
        "specversion": "1.0",
        "id": _id(event.get("messageId"), post, index),
        "source": post.source,
        "type": told.type,
        "time": None if happened_at is None else rfc3339(happened_at),
        "data": told.data,
    }
    age = skew.age(happened_at, sent_at)
    return Sent(original, envelope, None, age, partial(_again, original, envelope, age, told))


def _again(original: bytes, envelope: dict[str, Any], age: Any, told: Meant, error: InvalidEvent) -> Sent:
    return Sent(original, {**envelope, "data": without(told, error)}, None, age, partial(_no_more, told))


def _no_more(told: Meant, error: InvalidEvent) -> Sent:
    raise refusal(told, error)


def _id(sent: object, post: Post, index: int) -> str:
    text = str(sent).strip() if isinstance(sent, str | int) and not isinstance(sent, bool) else ""
    if not text:
        return derived_id(post.cause, index)
    return text if len(text) <= LONGEST else derived_id(text.encode("utf-8", "replace").decode(), 0)


def _checked(event: object, kind: object, size: int) -> dict[str, Any]:
    """The event with its ids as text. Raises InvalidEvent with the codes that these libraries' users know."""
    if not isinstance(event, dict) or not isinstance(kind, str) or kind not in TYPES:
        raise _fault("invalid_type", f"type must be one of {', '.join(sorted(TYPES))}", "/type")
    if size > LARGEST_EVENT:
        raise _fault("event_too_large", f"an event may have at most {LARGEST_EVENT} bytes")
    _check_objects(event)
    whole = {**event, **_ids(event)}
    if kind != "merge":
        _check_call(whole, kind)
    return whole


def _check_objects(event: Mapping[str, Any]) -> None:
    for name in _OBJECTS:
        if not isinstance(event.get(name), dict | None):
            raise _fault("invalid_object", f"{name} must be an object", f"/{name}")


def _check_call(whole: Mapping[str, Any], kind: str) -> None:
    if not whole["userId"] and not whole["anonymousId"]:
        raise _fault("no_user_anon_id", "an event needs a userId or an anonymousId", "/userId")
    if kind == "track" and not (isinstance(whole.get("event"), str) and whole["event"].strip()):
        raise _fault("missing_event", "a track call needs the name of an event", "/event")
    name, code = _NEEDED.get(kind, ("", ""))
    if name and not whole[name]:
        raise _fault(code, f"{kind} needs a {name}", f"/{name}")


def _ids(event: Mapping[str, Any]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _IDS:
        value = event.get(name)
        if isinstance(value, bool | float | dict | list):
            raise _fault("invalid_id", f"{name} must be a text or a whole number", f"/{name}")
        found[name] = (str(value).strip() or None) if value is not None else None
    return found


def _fault(code: str, detail: str, place: str = "") -> InvalidEvent:
    return InvalidEvent(code, (Fault(detail, place),))
