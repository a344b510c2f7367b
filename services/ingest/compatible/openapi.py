"""How the tracking paths describe themselves in the OpenAPI document."""

from typing import Any

from shared.runtime.web import SECURITY

_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_CALL: dict[str, Any] = {
    "type": "object",
    "title": "TrackingCall",
    "description": "One call of a tracking library. A userId or an anonymousId is needed; unknown fields are kept.",
    "properties": {
        "type": {"enum": ["track", "identify", "page", "screen", "group", "alias", "merge"]},
        "messageId": {**_TEXT, "description": "Names the event for good: sent again it is applied once."},
        "userId": {**_TEXT, "description": "Our customer_id."},
        "anonymousId": {**_TEXT, "description": "Our device_id."},
        "timestamp": {**_TEXT, "format": "date-time"},
        "sentAt": {**_TEXT, "format": "date-time", "description": "Corrects the sender's clock."},
        "event": {**_TEXT, "description": "Name of a track call, such as Order Completed."},
        "properties": _OBJECT,
        "traits": _OBJECT,
        "context": _OBJECT,
        "integrations": _OBJECT,
        "name": _TEXT,
        "category": _TEXT,
        "groupId": _TEXT,
        "previousId": _TEXT,
        "writeKey": {**_TEXT, "description": "The key, for senders that cannot set a header."},
    },
    "additionalProperties": True,
}
_EXAMPLE = {
    "type": "track",
    "messageId": "ord-7781-completed",
    "userId": "C-17",
    "event": "Order Completed",
    "timestamp": "2026-11-21T09:15:00.000Z",
    "properties": {"order_id": "7781", "total": 101.03, "tax": 16.13, "shipping": 4.9, "currency": "EUR"},
}
_MANY = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "maxItems": 2500, "items": _CALL},
        "sentAt": {"type": "string", "format": "date-time"},
        "context": _OBJECT,
        "integrations": _OBJECT,
        "writeKey": _TEXT,
    },
}


def _body(schema: dict[str, Any], example: object) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": example}, "text/plain": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}, **SECURITY}


BATCH = _body(_MANY, {"batch": [_EXAMPLE], "sentAt": "2026-11-21T09:15:01.000Z"})
SINGLE = _body(_CALL, {name: value for name, value in _EXAMPLE.items() if name != "type"})

_REJECTED = {
    "type": "array",
    "description": "Present when some were rejected; each is kept as a dead letter.",
    "items": {
        "type": "object",
        "required": ["index", "messageId", "code"],
        "properties": {
            "index": {"type": "integer"},
            "messageId": {"type": ["string", "null"]},
            "code": _TEXT,
            "errors": {"type": "array", "items": _OBJECT},
        },
    },
}
TAKEN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Taken",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["success"],
                    "properties": {"success": {"const": True}, "rejected": _REJECTED},
                }
            }
        },
    }
}
