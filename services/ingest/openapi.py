"""How the entrance describes itself in the OpenAPI document."""

from typing import Any

from services.ingest.contract import MODELS

_EVENT: dict[str, Any] = {
    "type": "object",
    "title": "CloudEvent",
    "description": "CloudEvents 1.0. What `data` holds depends on `type`; unknown fields and attributes are kept.",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
        "source": {"type": "string", "minLength": 1, "maxLength": 256},
        "type": {"enum": list(MODELS)},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string"},
        "datacontenttype": {"type": "string"},
        "data": {"type": "object"},
    },
    "additionalProperties": True,
}
_EXAMPLE = {
    "specversion": "1.0",
    "id": "1001",
    "source": "shop/madrid",
    "type": "purchase.completed",
    "time": "2026-11-20T10:15:00Z",
    "data": {
        "customer": {"customer_id": "C-17", "email": "ana@example.com"},
        "order_id": "1001",
        "currency": "EUR",
        "total": "49.90",
    },
}
_BATCH = {"type": "array", "maxItems": 2500, "items": _EVENT}

CLOUD_EVENT: dict[str, Any] = {
    "application/cloudevents+json": {"schema": _EVENT, "example": _EXAMPLE},
    "application/json": {"schema": _EVENT},
}
"""The content of a request that holds one event."""

EVENTS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [_EVENT, _BATCH]}, "example": _EXAMPLE},
            "application/cloudevents+json": {"schema": _EVENT, "example": _EXAMPLE},
            "application/cloudevents-batch+json": {"schema": _BATCH, "example": [_EXAMPLE]},
        },
    }
}
"""The request of `POST /v1/events`; in binary mode the attributes are `ce-` headers and the body is `data`."""

_ERRORS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["detail"],
        "properties": {"detail": {"type": "string"}, "pointer": {"type": "string"}},
    },
}
_OUTCOME = {
    "type": "object",
    "required": ["accepted", "rejected", "results"],
    "properties": {
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "id", "status"],
                "properties": {
                    "index": {"type": "integer"},
                    "id": {"type": ["string", "null"]},
                    "status": {"enum": ["accepted", "rejected"]},
                    "code": {"type": "string"},
                    "errors": _ERRORS,
                },
            },
        },
    },
}
_LETTER = {
    "type": "object",
    "required": ["id", "received_at", "source", "code", "errors", "state", "original", "file", "line"],
    "properties": {
        "id": {"type": "string"},
        "received_at": {"type": "string", "format": "date-time"},
        "source": {"type": "string"},
        "code": {"type": "string"},
        "errors": _ERRORS,
        "state": {"enum": ["open", "repaired", "replayed"]},
        "original": {"description": "The JSON as sent, or its text where it was none."},
        "original_base64": {"type": "string"},
        "repaired": {"description": "The corrected event."},
        "type": {"type": ["string", "null"]},
        "service": {"type": "string"},
        "topic": {"type": ["string", "null"]},
        "partition": {"type": ["integer", "null"]},
        "offset": {"type": ["integer", "null"]},
        "file": {"type": ["string", "null"]},
        "line": {"type": ["integer", "null"]},
    },
}
_PAGE = {
    "type": "object",
    "required": ["dead_letters", "next_cursor"],
    "properties": {"dead_letters": {"type": "array", "items": _LETTER}, "next_cursor": {"type": ["string", "null"]}},
}


def _answer(status: int, description: str, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}}}


OUTCOME = _answer(202, "What became of every event, in order", _OUTCOME)
LETTER = _answer(200, "The dead letter", _LETTER)
LETTERS = _answer(200, "A page of dead letters", _PAGE)

_TIME = {"type": "string", "format": "date-time"}
_COUNTS = {
    "type": "object",
    "required": ["total", "counts", "next_cursor"],
    "properties": {
        "total": {"type": "integer"},
        "counts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "source", "count", "open", "repaired", "replayed", "latest_at"],
                "properties": {
                    **{name: {"type": "string"} for name in ("code", "source")},
                    **{name: {"type": "integer"} for name in ("count", "open", "repaired", "replayed")},
                    "latest_at": _TIME,
                },
            },
        },
        "next_cursor": {"type": ["string", "null"]},
    },
}
_REPLAYS = {
    "type": "object",
    "required": ["replayed", "refused", "results", "next_cursor"],
    "properties": {
        "replayed": {"type": "integer"},
        "refused": {"type": "integer"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "status"],
                "properties": {
                    "id": {"type": "string"},
                    "status": {"enum": ["replayed", "refused"]},
                    "code": {"type": "string"},
                    "errors": _ERRORS,
                },
            },
        },
        "next_cursor": {"type": ["string", "null"]},
    },
}

COUNTS = _answer(200, "Counts in order of code and source", _COUNTS)
REPLAYS = _answer(200, "What became of every letter of this page", _REPLAYS)
