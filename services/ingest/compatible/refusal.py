"""An event that the door refused: read again without fields that do not fit, or refused in its sender's terms. Pure."""

from typing import Any

import msgspec

from services.ingest.compatible.meaning import Meant
from shared.errors import Fault, InvalidEvent

NO_ID = "no_user_anon_id"
INVALID_TEXT = "invalid_text"
VIOLATION = "schema_violation"

_PLACES = {
    "/id": "/messageId",
    "/data/customer/customer_id": "/userId",
    "/data/customer/device_id": "/anonymousId",
    "/data/customer/email": "/traits/email",
    "/data/customer/phone": "/traits/phone",
}


def without(told: Meant, error: InvalidEvent) -> dict[str, Any]:
    """The data without the optional fields that were at fault; they are listed in `violations`.

    The sender's own properties stay as they are. Raises InvalidEvent when more than such fields is wrong.
    """
    spoilt = {_field(fault.pointer) for fault in error.faults}
    if not spoilt <= told.optional:
        raise refusal(told, error)
    kept = {name: value for name, value in told.data.items() if name not in spoilt}
    listed = [{"field": _seen(told, fault).pointer, "detail": fault.detail} for fault in error.faults]
    return {**kept, "violations": listed}


def refusal(told: Meant, error: InvalidEvent) -> InvalidEvent:
    """The error as the sender knows it: its code, and its places in the event as it was sent."""
    return InvalidEvent(_code(told, error), tuple(_seen(told, fault) for fault in error.faults))


def _field(pointer: str) -> str:
    parts = pointer.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "data" else ""


def _code(told: Meant, error: InvalidEvent) -> str:
    if not _is_storable(told.data) or any(fault.pointer == "/id" for fault in error.faults):
        return INVALID_TEXT
    if any(fault.pointer == "/data/customer" for fault in error.faults):
        return NO_ID
    return VIOLATION


def _is_storable(value: object) -> bool:
    try:
        return b"\\u0000" not in msgspec.json.encode(value)
    except (UnicodeEncodeError, RecursionError):
        return False


def _seen(told: Meant, fault: Fault) -> Fault:
    """The fault with its place in the event as it was sent."""
    if fault.pointer in _PLACES:
        return Fault(fault.detail, _PLACES[fault.pointer])
    field = _field(fault.pointer)
    if field in told.origins:
        return Fault(fault.detail, told.origins[field] + _items_left(told, fault.pointer, field))
    return Fault(fault.detail, "/userId" if fault.pointer == "/data/customer" else fault.pointer.removeprefix("/data"))


def _items_left(told: Meant, pointer: str, field: str) -> str:
    """The number of the item that is at fault, where a list was translated."""
    inside = pointer.removeprefix(f"/data/{field}").split("/")
    return f"/{inside[1]}" if len(inside) > 1 and isinstance(told.data.get(field), list) else ""
