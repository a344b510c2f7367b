"""The AsyncAPI 3 document: every topic that others write to or read, with schemas made from the code's own types."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.describing.examples import PURCHASE, published
from services.ingest.cloudevents import MAIN_TYPES
from services.ingest.contract import MODELS
from services.ingest.schemas import schema_of
from shared.events import dead_letters, interactions, messages, profiles, segments

REFERENCE = "#/components/schemas/"
KEYS = {
    interactions.TOPIC: "The strongest identifier as `kind:value`",
    dead_letters.TOPIC: "The id of the dead letter, or the key of the rejected record",
}
DESCRIPTION = (
    "Every message is a CloudEvents 1.0 event in structured JSON mode. "
    "After a crash an identical copy (same id, same bytes) may follow."
)
STATES = ("planned", "sent", "delivered", "clicked", "converted", "refused", "failed", "held")


class Message(NamedTuple):
    """One kind of message: its event types, the schema of its data, and what it means."""

    name: str
    types: Sequence[str]
    data: str
    summary: str


class Channel(NamedTuple):
    """One topic; `action` is seen from Cartera."""

    topic: str
    action: str
    summary: str
    messages: Sequence[Message]
    compacted: bool = False


def document(version: str, prefix: str) -> dict[str, Any]:
    """The whole document for topics that begin with a prefix."""
    channels = _channels()
    kinds = {message.name: message for channel in channels for message in channel.messages}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Cartera",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {_name(channel.topic): _channel(channel, prefix) for channel in channels},
        "operations": {f"{channel.action}{_title(channel.topic)}": _operation(channel) for channel in channels},
        "components": {
            "messages": {name: _message(message) for name, message in sorted(kinds.items())},
            "schemas": _schemas(),
        },
    }


def _channels() -> Sequence[Channel]:
    said = [Message(_title(kind), (kind,), _title(kind) + "Data", _first_line(model)) for kind, model in MODELS.items()]
    by_type = {message.types[0]: message for message in said}
    sources = [
        Channel(
            topic,
            "receive",
            f"Other systems write here. A plain JSON object is read as the data of `{main}`.",
            [by_type[kind] for kind in MODELS if kind.partition(".")[0] == main.partition(".")[0]],
        )
        for topic, main in MAIN_TYPES.items()
    ]
    changed = Message("SegmentChanged", (segments.CHANGED,), "SegmentChanged", "A customer moved between classes.")
    updated = Message("ProfileUpdated", (profiles.UPDATED,), "Profile", "A new version of a customer's record.")
    states = [f"message.{state}" for state in STATES]
    moved = Message("MessageChanged", states, "MessageChanged", "A message reached a state.")
    letter = Message("EventRejected", (dead_letters.REJECTED,), "DeadLetter", "An event that could not be applied.")
    return [
        *sources,
        Channel(interactions.TOPIC, "send", "Everything that was accepted, canonical and normalised.", said),
        Channel(
            profiles.TOPIC,
            "send",
            "The live record of each customer; a null value when he is gone (header `removal` says why).",
            [updated],
            compacted=True,
        ),
        Channel(segments.TOPIC, "send", "One message per class change, in order per customer.", [changed]),
        Channel(messages.TOPIC, "send", "What becomes of every message to a customer.", [moved]),
        Channel(dead_letters.TOPIC, "send", "Rejected events with their reasons and their original bytes.", [letter]),
    ]


def _first_line(model: type) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _channel(channel: Channel, prefix: str) -> dict[str, Any]:
    kafka: dict[str, Any] = {"bindingVersion": "0.5.0"}
    if channel.compacted:
        kafka["topicConfiguration"] = {"cleanup.policy": ["compact"]}
    return {
        "address": prefix + channel.topic,
        "summary": channel.summary,
        "messages": {one.name: {"$ref": f"#/components/messages/{one.name}"} for one in channel.messages},
        "bindings": {"kafka": kafka},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    place = f"#/channels/{_name(channel.topic)}"
    operation: dict[str, Any] = {
        "action": channel.action,
        "channel": {"$ref": place},
        "summary": channel.summary,
        "messages": [{"$ref": f"{place}/messages/{one.name}"} for one in channel.messages],
    }
    if channel.action == "send":
        key = KEYS.get(channel.topic, "The profile_id")
        operation["description"] = f"Key: {key}."
    return operation


def _message(message: Message) -> dict[str, Any]:
    examples = published()
    shown = [examples[kind] for kind in message.types if kind in examples]
    if message.types[0] == PURCHASE["type"]:
        shown = [PURCHASE]
    named = [{"name": one["type"].replace(".", "_"), "payload": one} for one in shown]
    return {
        "name": message.types[0] if len(message.types) == 1 else message.types[0].partition(".")[0],
        "title": message.name,
        "summary": message.summary,
        "contentType": "application/cloudevents+json",
        "headers": {
            "type": "object",
            "properties": {"content-type": {"type": "string", "const": "application/cloudevents+json"}},
        },
        "payload": _envelope(message),
        **({"examples": named} if named else {}),
    }


def _envelope(message: Message) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"type": "string", "const": "1.0"},
            "id": text,
            "source": text,
            "type": {"type": "string", "enum": list(message.types)},
            "time": {"type": "string", "format": "date-time"},
            "subject": {"type": "string"},
            "data": {"$ref": REFERENCE + message.data},
        },
    }


def _schemas() -> dict[str, Any]:
    came_in = {f"{_title(kind)}Data": _inlined(schema_of(kind)) for kind in MODELS}
    structs = (profiles.Profile, segments.SegmentChanged, messages.MessageChanged, dead_letters.DeadLetter)
    _, go_out = msgspec.json.schema_components(structs, ref_template=REFERENCE + "{name}", schema_hook=_anything)
    both: Mapping[str, Any] = {**came_in, **go_out}
    assert len(both) == len(came_in) + len(go_out), "two types have one name"
    return {name: _draft_7(schema) for name, schema in sorted(both.items())}


def _anything(kind: type) -> dict[str, Any]:
    """Values of any JSON type, where the code says object."""
    if kind is not object:
        raise NotImplementedError(kind)
    return {"description": "Any JSON value."}


def _inlined(schema: Mapping[str, Any]) -> Any:
    """A published schema without names of its own: what it refers to stands where it is referred to."""
    definitions = schema.get("$defs", {})

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return plain(definitions[part["$ref"].rpartition("/")[2]])
        return {name: plain(value) for name, value in part.items() if name not in ("$defs", "$schema", "$id")}

    return plain(dict(schema))


def _draft_7(schema: Any) -> Any:
    """Tuples as AsyncAPI's dialect spells them."""
    if isinstance(schema, list | tuple):
        return [_draft_7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _draft_7(part) for name, part in schema.items()}
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    return found


def _title(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("-", ".").replace("_", ".").split("."))


def _name(topic: str) -> str:
    title = _title(topic)
    return title[0].lower() + title[1:]
