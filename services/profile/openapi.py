"""How the profile service describes its answers in the OpenAPI document: from the very types that are answered."""

from typing import Any

import msgspec

from services.profile.proposals import Proposal
from services.profile.queries import Link
from services.profile.receipts import Receipt
from shared.events.profiles import Known, Profile

_CURSOR = {"type": ["string", "null"], "description": "Gives the next page; null at the end."}
_EVENT = {
    "type": "object",
    "title": "CloudEvent",
    "description": "As it was accepted, with `receivedat`.",
    "required": ["specversion", "id", "source", "type", "time", "data", "receivedat"],
    "additionalProperties": True,
}
_STATED = {
    "type": "object",
    "description": "The event that the statement became; it is applied within moments.",
    "required": ["source", "id"],
    "properties": {"source": {"type": "string"}, "id": {"type": "string"}},
}

Described = dict[int | str, dict[str, Any]]


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON Schema of a type, whole: an OpenAPI document resolves no references into its parts."""
    (schema,), parts = msgspec.json.schema_components([kind], ref_template="{name}", schema_hook=_anything)
    whole: dict[str, Any] = _inlined(schema, parts)
    return whole


def _anything(kind: type) -> dict[str, Any]:
    """Values of traits and scores: whatever JSON can hold."""
    if kind is object:
        return {"description": "Any JSON value."}
    raise NotImplementedError


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"]], parts)
    return {name: _inlined(item, parts) for name, item in schema.items()}


def _answer(status: int, description: str, schema: dict[str, Any]) -> Described:
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}}}


def _page(name: str, items: dict[str, Any]) -> dict[str, Any]:
    properties = {name: {"type": "array", "items": items}, "next_cursor": _CURSOR}
    return {"type": "object", "required": [name, "next_cursor"], "properties": properties}


_PROFILE = schema_of(Profile)
_SHOWN = {**schema_of(Known), "required": ["kind", "value", "first_seen_at", "shared"]}
_EVIDENCE = {
    "type": "object",
    "required": ["identifiers", "links"],
    "properties": {
        "identifiers": {"type": "array", "items": _SHOWN},
        "links": {"type": "array", "items": schema_of(Link)},
        "next_cursor": _CURSOR,
    },
}
_EXPORT = {
    "type": "object",
    "required": ["exported_at", "profile", "evidence", "events", "elsewhere"],
    "properties": {
        "exported_at": {"type": "string", "format": "date-time"},
        "profile": _PROFILE,
        "evidence": _EVIDENCE,
        "events": {"type": "array", "items": _EVENT},
        "elsewhere": {"type": "array", "items": {"type": "string"}, "description": "Paths of what others keep."},
    },
}

PROFILE = _answer(200, "The record", _PROFILE)
PROFILES = _answer(200, "A page of records", _page("profiles", _PROFILE))
TIMELINE = _answer(200, "A page of events, newest first", _page("events", _EVENT))
EVIDENCE = _answer(200, "The evidence", _EVIDENCE)
STATED = _answer(202, "The statement is in the log", _STATED)
EXPORT = _answer(200, "All that the profile service keeps", _EXPORT)
ERASING = _answer(202, "The receipt", schema_of(Receipt))
RECEIPT = _answer(200, "The receipt", schema_of(Receipt))
PROPOSALS = _answer(200, "A page of proposals", _page("merge_proposals", schema_of(Proposal)))
