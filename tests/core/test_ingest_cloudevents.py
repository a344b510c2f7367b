"""Every wire form of one event is one event; the CloudEvents SDK is the independent writer."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.acceptance import accept, accept_bytes
from services.ingest.cloudevents import MediaTypeError, Posted, read_http, read_record
from shared.errors import InvalidEvent
from shared.log import Record

NOW = datetime(2026, 11, 20, 10, 15, 3, tzinfo=UTC)
DATA: dict[str, Any] = {
    "customer": {"email": "ana@example.com"},
    "order_id": "1 001",
    "total": 49.90,
    "note": "té 🫖 100%",
}
BODY = json.dumps(DATA, ensure_ascii=False).encode()
ATTRIBUTES: dict[str, Any] = {
    "specversion": "1.0",
    "id": "order 1001/é%",
    "source": "shop/madrid",
    "type": "purchase.completed",
    "time": "2026-11-20T10:15:00+00:00",
    "subject": 'the "kettle"',
    "shopname": "tienda ñ",
}
EVENT = {**ATTRIBUTES, "data": DATA}


def sdk_event() -> CloudEvent:
    attributes = {**ATTRIBUTES, "time": NOW.replace(second=0), "datacontenttype": "application/json"}
    return CloudEvent(attributes, BODY)


def raw_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def posted(headers: dict[str, str], body: bytes) -> Posted:
    return read_http(raw_headers(headers), body)


def record(topic: str, value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    return Record(topic, 0, 7, 1763633703000, "k", value, headers)


def mark(envelope: object) -> tuple[str, str, str | None]:
    event = accept(envelope, NOW, {})
    return event.id, event.source, event.fingerprint


def sdk_time(envelope: object) -> Any:
    """The SDK writes times in its own spelling; time is compared as it was sent."""
    assert isinstance(envelope, dict)
    return {**envelope, "time": ATTRIBUTES["time"]}


def test_binary_http() -> None:
    message = http.to_binary_event(sdk_event())
    sent = posted(dict(message.headers), message.body)
    (one,) = sent.events
    assert sent.single
    assert mark(sdk_time(one.envelope)) == mark(EVENT)
    assert json.loads(one.original) == one.envelope
    event, value = accept_bytes(one.envelope, NOW, {})
    assert (event.subject, json.loads(value)["shopname"]) == (ATTRIBUTES["subject"], ATTRIBUTES["shopname"])


def test_structured_http() -> None:
    message = http.to_structured_event(sdk_event())
    (one,) = posted(dict(message.headers), message.body).events
    assert mark(sdk_time(one.envelope)) == mark(EVENT)


def test_binary_and_structured_kafka() -> None:
    for write in (kafka.to_binary_event, kafka.to_structured_event):
        message = write(sdk_event())
        assert message.value is not None
        found = read_record(record("purchases", message.value, tuple(message.headers.items())))
        assert mark(sdk_time(found)) == mark(EVENT)


def test_batches() -> None:
    body = json.dumps([EVENT, EVENT, 5]).encode()
    for kind in ("application/cloudevents-batch+json; charset=UTF-8", "application/json", ""):
        sent = posted({"content-type": kind} if kind else {}, body)
        assert not sent.single
        assert [one.envelope for one in sent.events] == [EVENT, EVENT, 5]
        assert json.loads(sent.events[0].original) == EVENT
    assert posted({"content-type": "application/json"}, b" []").events == ()
    with pytest.raises(InvalidEvent, match="array"):
        posted({"content-type": "application/cloudevents-batch+json"}, json.dumps(EVENT).encode())


def test_the_content_type_decides() -> None:
    body = json.dumps(EVENT).encode()
    mixed = {"content-type": "Application/CloudEvents+JSON", "ce-id": "other", "ce-specversion": "1.0"}
    assert posted(mixed, body).events[0].envelope == EVENT
    bom = b"\xef\xbb\xbf" + body
    assert posted({"content-type": "application/json"}, bom).events[0].envelope == EVENT


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/cloudevents+avro",
        "application/json; charset=utf-16",
    ],
)
def test_media_types_that_are_not_taken(kind: str) -> None:
    with pytest.raises(MediaTypeError):
        posted({"content-type": kind}, b"{}")


def test_header_values() -> None:
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "a%20b%E2%82%AC",
        "ce-source": '"quoted \\"source\\""',
        "ce-type": "purchase.completed",
    }
    (one,) = posted(headers, BODY).events
    assert isinstance(one.envelope, dict)
    assert (one.envelope["id"], one.envelope["source"]) == ("a b€", 'quoted "source"')


def test_a_binary_body_that_is_no_json_can_be_repaired_later() -> None:
    headers = {"content-type": "application/json", "ce-specversion": "1.0", "ce-id": "1", "ce-type": "call.completed"}
    (one,) = posted(headers, b'{"customer": ').events
    assert one.error is not None
    assert (one.error.code, one.error.faults[0].pointer) == ("invalid_json", "/data")
    kept = json.loads(one.original)
    assert (kept["id"], kept["data_base64"]) == ("1", "eyJjdXN0b21lciI6IA==")
    (other,) = posted({**headers, "ce-source": "s", "content-type": "application/xml"}, b"<a/>").events
    with pytest.raises(InvalidEvent) as caught:
        accept(other.envelope, NOW, {})
    assert [fault.pointer for fault in caught.value.faults] == ["/datacontenttype"]


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b"NaN", b'["\\ud800"', b"[" * 100_000, b'{"a":1}x'])
def test_bodies_that_are_no_json(body: bytes) -> None:
    for kind in ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json"):
        with pytest.raises(InvalidEvent) as caught:
            posted({"content-type": kind}, body)
        assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("topic", "key", "kind"),
    [
        ("purchases", "order_id", "purchase.completed"),
        ("calls", "call_id", "call.completed"),
        ("emails", "message_id", "email.received"),
    ],
)
def test_plain_records_have_natural_keys(topic: str, key: str, kind: str) -> None:
    data = {"customer": {"email": "ana@example.com"}, key: 77, "order_id": "77", "total": 1}
    found = read_record(record(topic, json.dumps(data).encode()))
    event = accept(found, NOW, {})
    assert (event.id, event.source, event.type, event.time) == ("77", f"topic/{topic}", kind, NOW)
    later = accept(
        read_record(record(topic, json.dumps({**data, "occurred_at": "2026-01-02T03:04:05Z"}).encode())), NOW, {}
    )
    assert later.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_plain_records_without_a_key_are_named_by_their_bytes() -> None:
    values = [b'{"customer":{"chat_handle":"h"},"text":"a"}', b'{"customer":{"chat_handle":"h"},"text":"b"}']
    found = [accept(read_record(record("chats", value)), NOW, {}) for value in (*values, values[0])]
    assert found[0].type == "chat.message"
    assert found[0].id == found[2].id != found[1].id
    unnamed = accept(read_record(record("calls", b'{"customer":{"chat_handle":"h"}}')), NOW, {})
    assert len(unnamed.id) == 32


def test_records_that_are_structured_without_saying_so() -> None:
    assert read_record(record("calls", json.dumps(EVENT).encode())) == EVENT


@pytest.mark.parametrize("value", [None, b"", b"{", b"[1]", b"5"])
def test_records_that_are_nothing(value: bytes | None) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_record(record("purchases", value))
    assert caught.value.code == "invalid_json"


HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "ce-id", "ce-type", "ce-time", "ce-data", "ce-x", "ce_id", "ce_type", "CE_x"]),
    st.sampled_from(["application/json", "application/cloudevents+json", "", "%", "%ff", '"', "a", '"\\']),
    max_size=4,
)
VALUES = st.binary(max_size=30) | st.sampled_from([BODY, json.dumps(EVENT).encode(), b"[{}]", b'[{"id":1},2]'])


@settings(max_examples=200, deadline=None)
@given(HEADERS, VALUES)
def test_no_bytes_break_the_reading(headers: dict[str, str], value: bytes) -> None:
    with contextlib.suppress(InvalidEvent, MediaTypeError):
        for one in posted(headers, value).events:
            if one.error is None:
                accept(one.envelope, NOW, {})
    with contextlib.suppress(InvalidEvent):
        accept(read_record(record("emails", value, tuple((k, v.encode()) for k, v in headers.items()))), NOW, {})
