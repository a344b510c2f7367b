"""Makes hostile requests from a seed: the same seed gives the same requests."""

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

CALL: dict[str, Any] = {
    "type": "track",
    "messageId": "m",
    "userId": "C-17",
    "anonymousId": "d-1",
    "event": "Order Completed",
    "timestamp": "2026-11-20T10:00:00Z",
    "sentAt": "2026-11-20T10:00:01Z",
    "previousId": "old",
    "groupId": "G",
    "mergeProperties": [{"type": "email", "value": "a@example.com"}, {"type": "phone", "value": "+34600000001"}],
    "properties": {"order_id": "o", "total": 5.5, "products": [{"sku": "A", "price": 1, "quantity": 2}], "status": "x"},
    "traits": {"email": "ana@example.com", "phone": "+34600000001", "company": {"name": "Acme"}},
    "context": {"ip": "1.2.3.4", "traits": {"email": "b@example.com"}, "page": {"url": "https://example.com"}},
    "integrations": {"All": True},
    "writeKey": "write-key",
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "shop",
    "type": "purchase.completed",
    "time": "2026-11-20T10:15:00Z",
    "data": {
        "customer": {"customer_id": "C-17", "email": "ana@example.com", "traits": {"name": "Ana"}},
        "order_id": "1",
        "total": "5.00",
        "currency": "EUR",
        "items": [{"sku": "A1", "quantity": 1, "unit_price": "5.00"}],
    },
}
_NAMES = ("Order Completed", "Order Refunded", "Call Completed", "Email Opened", "Message Sent", "Feedback Submitted")
_CALLS = ("track", "identify", "page", "screen", "group", "alias", "merge")
_TYPES = (
    *("purchase.completed", "purchase.refunded", "call.completed", "email.opened", "chat.message", "survey.answered"),
    *("customer.identified", "customer.linked", "customer.split", "customer.grouped", "consent.changed"),
    *("interest.shown", "loyalty.adjusted"),
)
BOMB = gzip.compress(b" " * 100_000_000, 1)


class Raw(str):
    """Text that stands in the JSON as it is."""


_NASTY: tuple[Callable[[random.Random], Any], ...] = (
    lambda r: None,
    lambda r: r.choice((True, False)),
    lambda r: r.choice((0, -1, 10**18, 10**30, -(10**400), 2**63, 0.1, -0.0, 1e308)),
    lambda r: Raw(
        r.choice(("1e400", "-1e999", "NaN", "Infinity", "1" * 5000, "01", "1.", "--1", "+1", "0x10", "1e-400"))
    ),
    lambda r: r.choice(
        ("", " ", "null", "0000", "\x00", "\ud800", "\udfff\ud800", "a" * 300, "x" * 40_000, "\u202e", "٣")
    ),
    lambda r: r.choice(
        ("2026-13-40T99:99:99Z", "0001-01-01", "9999-12-31T23:59:59-14:00", "1795287992", "T", "2026-W01")
    ),
    lambda r: [[]] * r.randint(0, 5),
    lambda r: Raw("[" * (n := r.choice((5, 19, 21, 64, 3_000, 100_000))) + "]" * n),
    lambda r: Raw('{"a":' * (n := r.choice((5, 19, 21, 64, 3_000))) + "1" + "}" * n),
    lambda r: {"": 1, "a/b~c": 2, "\ud800": 3},
    lambda r: {r.choice(("kind", "value", "type", "traits")): r.choice((None, 5, [], {}, "x"))},
    lambda r: [r.choice((None, 5, "x", {}, [{}], {"kind": "email", "value": None}))],
    lambda r: "".join(
        chr(r.choice((r.randint(1, 127), r.randint(128, 0xD7FF), 0x1F600))) for _ in range(r.randint(1, 40))
    ),
)


class Hostile(NamedTuple):
    """One request."""

    path: str
    body: bytes
    headers: Mapping[str, str]


def request(path: str, r: random.Random) -> Hostile:
    """A request to one of the hot paths, wrong in some ways or in none."""
    body = _text(_value(path, r)).encode("utf-8", "surrogatepass")
    if r.random() < 0.15:
        body = _torn(body, r)
    body, encoding = _packed(body, r) if r.random() < 0.3 else (body, {})
    return Hostile(path, body, {**_headers(r), **encoding})


def _value(path: str, r: random.Random) -> Any:
    single = path == "/v1/track"
    count = 1 if single else r.choice((0, 1, 1, 2, 5))
    make = _event if path == "/v1/events" else _call
    made = [_spoilt(make(r), r) for _ in range(count)]
    if path == "/v1/batch":
        return _spoilt(
            {"batch": made, "sentAt": "2026-11-20T10:00:01Z", "context": {"ip": "1"}, "writeKey": "x"}, r, 0.1
        )
    return made[0] if single or (made and r.random() < 0.5) else made


def _call(r: random.Random) -> dict[str, Any]:
    return {**CALL, "type": r.choice(_CALLS), "event": r.choice(_NAMES), "messageId": str(r.random())}


def _event(r: random.Random) -> dict[str, Any]:
    return {**EVENT, "type": r.choice(_TYPES), "id": str(r.random())}


def _spoilt(value: Any, r: random.Random, share: float = 0.3) -> Any:
    for _ in range(3):
        if r.random() < share:
            value = _replaced(value, r)
    return value


def _replaced(value: Any, r: random.Random) -> Any:
    """The value with something nasty in one place, or with one member less or more."""
    if isinstance(value, dict) and value and r.random() < 0.85:
        name = r.choice(list(value))
        if r.random() < 0.1:
            return {other: member for other, member in value.items() if other != name}
        if r.random() < 0.1:
            return {**value, r.choice(("data_base64", "datacontenttype", "time", "zz", "Ä", "receivedat")): _nasty(r)}
        return {**value, name: _replaced(value[name], r)}
    if isinstance(value, list) and value and r.random() < 0.85:
        place = r.randrange(len(value))
        return [*value[:place], _replaced(value[place], r), *value[place + 1 :]]
    return _nasty(r)


def _nasty(r: random.Random) -> Any:
    return r.choice(_NASTY)(r)


def _text(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_text(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)


def _torn(body: bytes, r: random.Random) -> bytes:
    place = r.randint(0, len(body))
    kind = r.randrange(5)
    if kind == 0:
        return body[:place]
    if kind == 1:
        return body[:place] + bytes([r.randrange(256)]) + body[place + 1 :]
    if kind == 2:
        return body[:place] + r.randbytes(r.randint(1, 20)) + body[place:]
    if kind == 3:
        return b"\xef\xbb\xbf" + body
    return r.choice((b"", b" ", b"\x00", b"null", b"[]", b"{}", b"[" * 200_000, b'"', b"\xff" * 50, body + body))


def _packed(body: bytes, r: random.Random) -> tuple[bytes, dict[str, str]]:
    kind = r.randrange(8)
    if kind == 0:
        return BOMB, {"content-encoding": "gzip"}
    if kind == 1:
        return gzip.compress(body, 1)[: r.randint(0, 40)], {"content-encoding": "gzip"}
    if kind == 2:
        return body, {"content-encoding": r.choice(("gzip", "deflate", "br", "zstd", "gzip, gzip", "x", "identity"))}
    if kind == 3:
        return zlib.compress(body), {"content-encoding": "deflate"}
    if kind == 4:
        return gzip.compress(body) + r.randbytes(8), {"content-encoding": "gzip"}
    return gzip.compress(body), {"content-encoding": r.choice(("gzip", "GZIP", "x-gzip"))}


def _headers(r: random.Random) -> dict[str, str]:
    basic = base64.b64encode(r.choice((b"write-key:", b"write-key", b"no:", b":", b"\xff:"))).decode()
    keys = ["Bearer write-key"] * 80 + [f"Basic {basic}", "Basic %", "Bearer", "", "Digest x", "Bearer \xff"]
    kinds = ["application/json"] * 60 + [
        *("text/plain", "", "application/cloudevents+json", "application/cloudevents-batch+json", "application/x"),
        *("application/json; charset=utf-16", "application/cloudevents+xml", "a" * 300, "multipart/form-data"),
    ]
    headers = {"authorization": r.choice(keys), "content-type": r.choice(kinds)}
    if r.random() < 0.1:
        headers |= {"ce-id": r.choice(("1", "%ff", '"a\\"')), "ce-type": "chat.message", "ce-specversion": "1.0"}
    if r.random() < 0.1:
        headers |= {"SentAt": r.choice(("x", "2026-11-20T10:00:01Z", "9" * 200)), "origin": "https://x.example"}
    return headers
