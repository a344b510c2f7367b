"""The one door: from a CloudEvent as it was sent to the canonical event, or to all that is wrong with it. Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from services.ingest import contract, normalise
from services.ingest.normalise import LONGEST, Rules
from shared.errors import Fault, InvalidEvent
from shared.events.envelope import Event, EventId, encode, fingerprint, raw
from shared.events.identifiers import Identifier, strength
from shared.events.interactions import PAYLOADS
from shared.events.storable import pointer, unstorable

INVALID_JSON = "invalid_json"
INVALID_EVENT = "invalid_event"
INVALID_ENVELOPE = "invalid_envelope"
UNKNOWN_TYPE = "unknown_type"
TOO_LARGE = "too_large"

_CORE = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "data",
    "data_base64",
    "subject",
    "datacontenttype",
    "dataschema",
)
_OURS = ("receivedat", "fingerprint", "history", "senttime", "violations")
_CAUSE = ("causesource", "causeid", "causetype")
_KNOWN = frozenset((*_CORE, *_OURS, *_CAUSE))
_JSON_TYPE = re.compile(r"\s*[\w.!#$&^+-]+/([\w.!#$&^-]+\+)*json\s*(;.*)?", re.IGNORECASE | re.ASCII)
_EXTENSION = re.compile(r"[a-z0-9]+", re.ASCII)
_extensions = msgspec.json.Encoder()


def accept(
    envelope: object,
    received_at: datetime,
    settings: Mapping[str, Any],
    history: str | None = None,
    clamp: bool = True,
) -> Event:
    """The canonical event. Raises InvalidEvent with every fault, its places as pointers into the CloudEvent.

    `settings` may hold `currency`, `region` (of phone numbers) and `blocked_values`; `history` names the import that
    an event belongs to.
    """
    return accept_bytes(envelope, received_at, settings, history, clamp)[0]


def accept_bytes(
    envelope: object,
    received_at: datetime,
    settings: Mapping[str, Any],
    history: str | None = None,
    clamp: bool = True,
    age: timedelta | None = None,
) -> tuple[Event, bytes]:
    """The canonical event and its bytes for `interactions`, which hold the sender's extension attributes too.

    With an `age` the event happened that long before its arrival, whatever time the sender's clock showed.
    """
    if not isinstance(envelope, Mapping):
        raise InvalidEvent(INVALID_ENVELOPE, (Fault("an event is a JSON object"),))
    unreadable = tuple(unstorable(envelope))
    if unreadable:
        raise InvalidEvent(INVALID_EVENT, unreadable)
    faults, sent_at = _check_attributes(envelope)
    if age is not None:
        sent_at = received_at - age
    data, wrong = _data(envelope)
    faults += wrong
    kind = envelope.get("type")
    if isinstance(kind, str) and kind and kind not in PAYLOADS:
        known = Fault("this type is not known: see the list of types in the documentation", "/type")
        raise InvalidEvent(UNKNOWN_TYPE, (known, *faults))
    content, more = _content(kind, data, settings) if isinstance(kind, str) and kind and not wrong else ({}, ())
    if faults or more:
        raise InvalidEvent(INVALID_ENVELOPE if faults else INVALID_EVENT, (*faults, *more))
    ahead = sent_at if clamp and sent_at is not None and sent_at > received_at else None
    event = _event(envelope, content, data, (received_at, sent_at if ahead is None else None, ahead), history)
    extensions = {name: value for name, value in envelope.items() if name not in _KNOWN and value is not None}
    return event, encode(event)[:-1] + b"," + _extensions.encode(extensions)[1:] if extensions else encode(event)


def _event(
    envelope: Mapping[str, Any],
    content: Mapping[str, Any],
    data: object,
    times: tuple[datetime, datetime | None, datetime | None],
    history: str | None,
) -> Event:
    """The canonical event; `times` are of arrival, as sent, and as sent where that is after the arrival.

    The fingerprint is of the data as they were sent.
    """
    received_at, sent_at, ahead = times
    return Event(
        specversion="1.0",
        id=envelope["id"],
        source=envelope["source"],
        type=envelope["type"],
        time=sent_at or received_at,
        data=raw(content),
        subject=envelope.get("subject"),
        datacontenttype=envelope.get("datacontenttype"),
        dataschema=envelope.get("dataschema"),
        receivedat=received_at,
        senttime=ahead,
        fingerprint=fingerprint(envelope["type"], envelope.get("time"), data),
        history=history,
        causesource=envelope.get("causesource"),
        causeid=envelope.get("causeid"),
        causetype=envelope.get("causetype"),
    )


def key_of(event: Event) -> str:
    """The key of a canonical event on `interactions`: its strongest identifier as `kind:value`."""
    if contract.MODELS[event.type] is contract.IdentityStated:
        stated = _stated_in.decode(event.data)
        found = normalise.identifiers_of(stated.customer)
        return str(min((*found, *(Identifier(**item) for item in stated.identifiers)), key=strength))
    return str(normalise.identifiers_of(_shown_in.decode(event.data).customer)[0])


class _Shown(msgspec.Struct):
    customer: dict[str, Any] = {}


class _Stated(_Shown):
    identifiers: tuple[dict[str, str], ...] = ()


_shown_in = msgspec.json.Decoder(_Shown)
_stated_in = msgspec.json.Decoder(_Stated)


def data_of(envelope: object) -> dict[str, Any]:
    """The data of an accepted event as they were sent."""
    found: dict[str, Any] = _data(envelope)[0] if isinstance(envelope, Mapping) else {}
    return found


def sent_id(envelope: object) -> EventId | None:
    """The id of an event that need not be valid, for the answer to its sender; half characters become `?`."""
    found = envelope.get("id") if isinstance(envelope, Mapping) else None
    if not isinstance(found, str):
        return None
    return EventId(found if found.isascii() else found.encode("utf-8", "replace").decode())


def _check_attributes(envelope: Mapping[str, Any]) -> tuple[tuple[Fault, ...], datetime | None]:
    faults = list(_check_texts(envelope))
    for name in envelope.keys() - _KNOWN:
        faults.extend(_check_extension(name, envelope[name]))
    sent_at = None
    try:
        if envelope.get("time") is not None:
            sent_at = normalise.moment(envelope["time"])
    except normalise.UnreadableError as error:
        faults.append(Fault(str(error), "/time"))
    return tuple(sorted(faults, key=lambda fault: fault.pointer)), sent_at


def _check_texts(envelope: Mapping[str, Any]) -> Iterator[Fault]:
    if envelope.get("specversion") != "1.0":
        yield Fault('specversion must be "1.0"', "/specversion")
    for name in ("id", "source", "type"):
        value = envelope.get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > LONGEST:
            yield Fault(f"{name} must be a text of 1 to {LONGEST} characters", f"/{name}")
    for name in ("subject", "dataschema", "datacontenttype", *_CAUSE):
        value = envelope.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            yield Fault(f"{name} must be a text that is not empty", f"/{name}")


def _check_extension(name: str, value: object) -> Iterator[Fault]:
    if not _EXTENSION.fullmatch(name):
        yield Fault("the name of an attribute has lower-case letters and digits only", pointer((name,)))
    elif value is not None and not isinstance(value, str | int):
        yield Fault("an extension attribute is a text, an integer or a boolean", pointer((name,)))


def _data(envelope: Mapping[str, Any]) -> tuple[Any, tuple[Fault, ...]]:
    kind = envelope.get("datacontenttype")
    if isinstance(kind, str) and kind and not _JSON_TYPE.fullmatch(kind):
        return None, (Fault("data must be JSON: application/json or a media type ending in +json", "/datacontenttype"),)
    encoded = envelope.get("data_base64")
    data = envelope.get("data")
    place = "/data"
    if encoded is not None:
        place = "/data_base64"
        if data is not None:
            return None, (Fault("an event has data or data_base64, not both", place),)
        data = _decoded(encoded)
        if data is msgspec.UNSET:
            return None, (Fault("must be base64 of JSON", place),)
        unreadable = tuple(unstorable(data, ("data",)))
        if unreadable:
            return None, unreadable
    if not isinstance(data, dict):
        return None, (Fault("data must be a JSON object", place),)
    return data, ()


def _decoded(encoded: object) -> Any:
    if not isinstance(encoded, str):
        return msgspec.UNSET
    try:
        return msgspec.json.decode(base64.b64decode(encoded, validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        return msgspec.UNSET


def _content(kind: str, data: dict[str, Any], settings: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Fault, ...]]:
    rules = Rules(settings.get("region"), tuple(settings.get("blocked_values", ())))
    content, faults = contract.validate(kind, data, settings.get("currency", "EUR"))
    if contract.MODELS[kind] is contract.IdentityStated:
        who, more = _stated(kind, data, rules)
    else:
        customer, more = normalise.customer(data.get("customer"), rules)
        who = {"customer": customer}
    return {**who, **content}, (*more, *faults)


def _stated(kind: str, data: dict[str, Any], rules: Rules) -> tuple[dict[str, Any], tuple[Fault, ...]]:
    stated, faults = normalise.statement(data.get("identifiers"), rules)
    who: dict[str, Any] = {}
    known = set(stated)
    if data.get("customer") not in (None, {}):
        who["customer"], more = normalise.customer(data["customer"], rules)
        known.update(normalise.identifiers_of(who["customer"]))
        faults += more
    if not faults and kind == "customer.linked" and len(known) < 2:
        faults = (Fault("a link needs two different identifiers", "/data/identifiers"),)
    who["identifiers"] = [{"kind": item.kind, "value": item.value} for item in stated]
    return who, faults
