"""What the door accepts, what it refuses with which pointers, and that both are the same in every spelling."""

import base64
import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.acceptance import accept, accept_bytes, key_of, sent_id
from services.ingest.contract import MODELS
from shared.errors import InvalidEvent
from shared.events.envelope import Event, decode, fingerprint
from shared.events.interactions import DECODERS, PAYLOADS

NOW = datetime(2026, 11, 20, 10, 15, 3, tzinfo=UTC)


def purchase(**changes: Any) -> dict[str, Any]:
    """A good purchase; names with a point change its data."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "1001",
        "source": "shop/madrid",
        "type": "purchase.completed",
        "time": "2026-11-20T10:15:00Z",
        "data": {
            "customer": {"customer_id": "C-17", "email": " Ana@Example.com ", "phone": "+34 600 000 001"},
            "order_id": "1001",
            "currency": "EUR",
            "total": "49.90",
            "items": [{"sku": "A1", "quantity": 1, "unit_price": "49.90"}],
        },
    }
    for name, value in changes.items():
        place = event if name in event or not name.startswith("data_") else event["data"]
        place[name.removeprefix("data_") if place is not event else name] = value
    return event


def of(kind: str, data: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "s", "type": kind, "data": data, **attributes}


def refused(envelope: object, **options: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        accept(envelope, NOW, {}, **options)
    return caught.value


def pointers(envelope: object) -> list[str]:
    return [fault.pointer for fault in refused(envelope).faults]


def content(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(event.data)
    return found


def test_a_purchase_in_canonical_form() -> None:
    event, value = accept_bytes(purchase(traceparent="00-ab", sequence=7), NOW, {})
    assert json.loads(value) == {
        "specversion": "1.0",
        "id": "1001",
        "source": "shop/madrid",
        "type": "purchase.completed",
        "time": "2026-11-20T10:15:00Z",
        "data": {
            "customer": {"customer_id": "C-17", "email": "ana@example.com", "phone": "+34600000001"},
            "order_id": "1001",
            "currency": "EUR",
            "items": [{"sku": "A1", "quantity": 1, "unit_price": "49.90"}],
            "total": "49.90",
        },
        "receivedat": "2026-11-20T10:15:03Z",
        "fingerprint": fingerprint("purchase.completed", "2026-11-20T10:15:00Z", purchase()["data"]),
        "traceparent": "00-ab",
        "sequence": 7,
    }
    assert decode(value) == event
    assert key_of(event) == "customer_id:C-17"
    assert accept_bytes(purchase(traceparent="00-ab", sequence=7), NOW, {})[1] == value


def test_the_vocabulary_reads_every_field_of_the_contract() -> None:
    assert MODELS.keys() == PAYLOADS.keys()
    for kind, model in MODELS.items():
        assert set(PAYLOADS[kind].__struct_fields__) <= set(model.model_fields), kind


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("total", 49.9, "49.9"),
        ("total", 50, "50"),
        ("total", 50.0, "50.0"),
        ("total", "1e2", "100"),
        ("total", 19.990000000000002, "19.99"),
        ("total", "-0", "0"),
        ("total", " 7.5 ", "7.5"),
        ("order_id", 1001, "1001"),
        ("currency", "usd", "USD"),
        ("channel", "WEB", "web"),
        ("discount", "-1.50", "-1.50"),
    ],
)
def test_spellings_that_senders_use(field: str, sent: object, kept: object) -> None:
    assert content(accept(purchase(**{f"data_{field}": sent}), NOW, {}))[field] == kept


@pytest.mark.parametrize(
    "sent",
    [-1, "-0.01", "49,90", "1_000", "€5", "", "NaN", "Infinity", "1e400", 1e15, 10**20, True, None, [], {}, "٤"],
)
def test_a_total_that_is_none(sent: object) -> None:
    assert pointers(purchase(data_total=sent)) == ["/data/total"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none(number: float) -> None:
    assert pointers(purchase(data_total=number)) == ["/data/total"]
    assert pointers(purchase(data_extra={"a": [number]})) == ["/data/extra/a/0"]


def test_all_faults_are_told_with_their_places() -> None:
    event = purchase(id="", time="2026-11-20T10:15:00")
    event["data"] = {
        "customer": {},
        "total": -1,
        "channel": "fax",
        "items": [{"quantity": "many"}, {"unit_price": "x"}, {"sku": "fine"}],
    }
    error = refused(event)
    assert error.code == "invalid_envelope"
    assert {fault.pointer for fault in error.faults} == {
        "/id",
        "/time",
        "/data/customer",
        "/data/order_id",
        "/data/total",
        "/data/channel",
        "/data/items/0/quantity",
        "/data/items/1/unit_price",
    }
    assert len(error.faults) == 8
    assert all(fault.detail for fault in error.faults)


@pytest.mark.parametrize(
    ("kind", "data", "pointer"),
    [
        ("call.completed", {"sentiment": 1.1}, "/data/sentiment"),
        ("call.completed", {"csat": 0}, "/data/csat"),
        ("call.completed", {"csat": 6}, "/data/csat"),
        ("call.completed", {"direction": "up"}, "/data/direction"),
        ("call.completed", {"status": "late"}, "/data/status"),
        ("call.completed", {"duration_seconds": -1}, "/data/duration_seconds"),
        ("call.completed", {"started_at": "2026-11-20"}, "/data/started_at"),
        ("call.completed", {"started_at": 1763633700}, "/data/started_at"),
        ("email.bounced", {"bounce_type": "rubber"}, "/data/bounce_type"),
        ("email.opened", {"machine": "perhaps"}, "/data/machine"),
        ("chat.ended", {"sentiment": -2}, "/data/sentiment"),
        ("customer.identified", {"traits": []}, "/data/traits"),
        ("consent.changed", {"channel": "email", "status": "maybe"}, "/data/status"),
        ("consent.changed", {"status": "denied"}, "/data/channel"),
        ("survey.answered", {"survey": "nps", "score": 11}, "/data/score"),
        ("survey.answered", {"survey": "csat", "score": 0}, "/data/score"),
        ("survey.answered", {"survey": "mood", "score": 1}, "/data/survey"),
        ("interest.shown", {"kind": "yawn"}, "/data/kind"),
        ("loyalty.adjusted", {"points": 1.5}, "/data/points"),
        ("loyalty.adjusted", {}, "/data/points"),
        ("purchase.refunded", {"order_id": "1"}, "/data/total"),
        ("purchase.refunded", {"order_id": "1", "items": [{"quantity": 1}]}, "/data/items/0/unit_price"),
        ("purchase.refunded", {"order_id": "1", "items": [{"unit_price": "-1"}]}, "/data/items"),
    ],
)
def test_data_that_is_wrong(kind: str, data: dict[str, Any], pointer: str) -> None:
    error = refused(of(kind, {"customer": {"customer_id": "C"}, **data}))
    assert (error.code, [fault.pointer for fault in error.faults]) == ("invalid_event", [pointer])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", None),
        ("id", ""),
        ("id", "  "),
        ("id", 7),
        ("id", "x" * 257),
        ("source", ""),
        ("specversion", "0.3"),
        ("type", ""),
        ("time", "yesterday"),
        ("time", "2026-11-20T10:15:00"),
        ("time", "0001-01-01T00:00:00Z"),
        ("time", "2026-02-30T10:15:00Z"),
        ("time", 1763633700),
        ("subject", 5),
        ("datacontenttype", "text/xml"),
        ("causeid", 5),
        ("traceParent", "x"),
        ("my-ext", "x"),
        ("ext", {"a": 1}),
        ("ext", 1.5),
    ],
)
def test_an_envelope_that_is_wrong(name: str, value: object) -> None:
    error = refused({**purchase(), name: value})
    assert (error.code, [fault.pointer for fault in error.faults]) == ("invalid_envelope", [f"/{name}"])


@pytest.mark.parametrize("envelope", [None, [], "x", 7, True])
def test_what_is_no_event_at_all(envelope: object) -> None:
    assert refused(envelope).code == "invalid_envelope"
    assert sent_id(envelope) is None


def test_an_unknown_type() -> None:
    error = refused(purchase(type="purchase.dreamt"))
    assert (error.code, error.faults[0].pointer) == ("unknown_type", "/type")


def test_an_event_of_nobody() -> None:
    without = purchase()
    del without["data"]["customer"]
    assert pointers(without) == ["/data/customer"]
    assert pointers(purchase(data_customer={"email": "", "customer_id": None})) == ["/data/customer"]
    blocked = purchase(data_customer={"customer_id": "NULL", "email": "noreply@shop.example", "phone": "0000000"})
    assert pointers(blocked) == [
        "/data/customer",
        "/data/customer/customer_id",
        "/data/customer/email",
        "/data/customer/phone",
    ]


@pytest.mark.parametrize("missing", ["no", None, [], 5])
def test_data_is_an_object(missing: object) -> None:
    assert pointers({**purchase(), "data": missing}) == ["/data"]


def test_text_that_no_store_keeps() -> None:
    assert pointers(purchase(data_note="a\x00b")) == ["/data/note"]
    assert pointers(purchase(data_note={"x/y": ["\ud800"]})) == ["/data/note/x~1y/0"]
    assert pointers({**purchase(), "id": "a\x00"}) == ["/id"]
    assert pointers(purchase(data_note={"a\x00": 1})) == ["/data/note"]
    assert content(accept(purchase(data_note="\\u0000 🫖"), NOW, {}))["note"] == "\\u0000 🫖"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth() -> None:
    assert content(accept(purchase(data_deep=nested(19)), NOW, {}))["deep"] == nested(19)
    assert pointers(purchase(data_deep=nested(20))) == ["/data/deep" + "/0" * 19]
    assert refused(purchase(data_deep=nested(500))).code == "invalid_event"


def test_times() -> None:
    sent = accept(purchase(time="2026-11-20T12:15:00.123987+02:00"), NOW, {})
    assert sent.time == datetime(2026, 11, 20, 10, 15, 0, 123000, tzinfo=UTC)
    ahead = purchase(time="2026-12-20T10:15:00Z")
    later = datetime(2026, 12, 20, 10, 15, tzinfo=UTC)
    corrected, value = accept_bytes(ahead, NOW, {})
    assert (corrected.time, corrected.senttime) == (NOW, later)
    assert json.loads(value)["senttime"] == "2026-12-20T10:15:00Z"
    a_little = accept(purchase(time=(NOW + timedelta(seconds=1)).isoformat()), NOW, {})
    assert (a_little.time, a_little.senttime) == (NOW, NOW + timedelta(seconds=1))
    kept = accept(ahead, NOW, {}, clamp=False)
    assert (kept.time, kept.senttime, accept(purchase(), NOW, {}).senttime) == (later, None, None)
    assert accept(ahead, NOW, {}).fingerprint == accept(ahead, NOW + timedelta(days=90), {}).fingerprint
    without = purchase()
    del without["time"]
    assert accept(without, NOW, {}).time == NOW
    assert accept(without, NOW, {}).fingerprint == accept(without, NOW + timedelta(hours=1), {}).fingerprint


def test_data_in_base64() -> None:
    event = purchase()
    packed = {k: v for k, v in event.items() if k != "data"}
    packed["data_base64"] = base64.b64encode(json.dumps(event["data"]).encode()).decode()
    assert accept_bytes(packed, NOW, {}) == accept_bytes(event, NOW, {})
    assert pointers({**packed, "data": {}}) == ["/data_base64"]
    assert pointers({**packed, "data_base64": "e30"}) == ["/data_base64"]
    assert pointers({**packed, "data_base64": base64.b64encode(b"{").decode()}) == ["/data_base64"]
    assert pointers({**packed, "data_base64": base64.b64encode(b'{"a":"\\u0000"}').decode()}) == ["/data/a"]


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.shop+json; charset=utf-8", "text/json"])
def test_json_media_types(kind: str) -> None:
    assert accept(purchase(datacontenttype=kind), NOW, {}).datacontenttype == kind


def test_what_is_ours_is_not_taken_from_a_sender() -> None:
    event = accept(
        purchase(receivedat="2020-01-01T00:00:00Z", fingerprint="f", history="old", senttime="2020-01-01T00:00:00Z"),
        NOW,
        {},
    )
    assert (event.receivedat, event.history, event.senttime) == (NOW, None, None)
    assert event.fingerprint == accept(purchase(), NOW, {}).fingerprint
    assert accept(purchase(), NOW, {}, history="import-1").history == "import-1"


def test_the_fingerprint_is_of_the_content_as_json() -> None:
    sent = purchase(data_total=49.90)
    mark = accept(sent, NOW, {}).fingerprint
    turned = dict(reversed(list(sent.items())))
    turned["data"] = dict(reversed(list(sent["data"].items())))
    assert accept(turned, NOW, {}).fingerprint == mark
    assert accept({**sent, "subject": "x", "ext": "y"}, NOW, {}).fingerprint == mark
    whole = purchase(data_total=50)
    assert accept(whole, NOW, {}).fingerprint == accept(purchase(data_total=50.0), NOW, {}).fingerprint
    for other in (purchase(data_total="49.90"), {**sent, "time": "2026-11-20T10:15:01Z"}, purchase(data_total=49.91)):
        assert accept(other, NOW, {}).fingerprint != mark


def test_unknown_fields_stay_and_null_is_absent() -> None:
    event = purchase(data_mood={"a": None}, data_coupon=None)
    event["data"]["items"][0]["colour"] = "red"
    event["data"]["customer"]["shoe_size"] = 41
    kept = content(accept(event, NOW, {}))
    assert kept["mood"] == {"a": None}
    assert "coupon" not in kept
    assert kept["items"][0]["colour"] == "red"
    assert kept["customer"]["shoe_size"] == 41


def test_company_settings() -> None:
    event = purchase()
    del event["data"]["currency"]
    event["data"]["customer"]["phone"] = "600 000 001"
    kept = content(accept(event, NOW, {"currency": "USD", "region": "ES"}))
    assert (kept["currency"], kept["customer"]["phone"]) == ("USD", "+34600000001")
    only = purchase(data_customer={"customer_id": "till-3"})
    assert content(accept(only, NOW, {}))["customer"]["customer_id"] == "till-3"
    with pytest.raises(InvalidEvent):
        accept(only, NOW, {"blocked_values": ["till-*"]})


def test_a_refund_adds_up_its_items() -> None:
    items = [{"quantity": 0.5, "unit_price": "10.01", "discount": "1"}, {"unit_price": 2}]
    data = {"customer": {"email": "a@b.example"}, "order_id": 1, "items": items, "currency": "EUR"}
    assert content(accept(of("purchase.refunded", data), NOW, {}))["total"] == "6.00"
    assert content(accept(of("purchase.refunded", {**data, "currency": "JPY"}), NOW, {}))["total"] == "6"


def test_identity_statements() -> None:
    two = [{"kind": "email", "value": "ANA@b.example"}, {"kind": "customer_id", "value": 17}]
    event = accept(of("customer.linked", {"identifiers": two}), NOW, {})
    assert key_of(event) == "customer_id:17"
    assert content(event)["identifiers"][0] == {"kind": "email", "value": "ana@b.example"}
    with_customer = {"customer": {"loyalty_card": "9"}, "identifiers": two[:1]}
    assert key_of(accept(of("customer.linked", with_customer), NOW, {})) == "loyalty_card:9"
    assert key_of(accept(of("customer.split", {"identifiers": two[:1]}), NOW, {})) == "email:ana@b.example"
    assert pointers(of("customer.linked", {"identifiers": two[:1]})) == ["/data/identifiers"]
    assert pointers(of("customer.linked", {"identifiers": [two[0], two[0]]})) == ["/data/identifiers"]
    assert pointers(of("customer.split", {"identifiers": []})) == ["/data/identifiers"]
    assert pointers(of("customer.split", {})) == ["/data/identifiers"]
    wrong = [{"kind": "shoe", "value": "1"}, {"kind": "email", "value": "x"}, 5, {"kind": "phone"}]
    assert pointers(of("customer.split", {"identifiers": wrong})) == [
        "/data/identifiers/0/kind",
        "/data/identifiers/1/value",
        "/data/identifiers/2/kind",
        "/data/identifiers/3/value",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for model in MODELS.values() for name in model.model_fields} | {"extra"})
DATA = st.dictionaries(
    st.sampled_from(FIELDS), JSON | st.sampled_from(["1", "2026-11-20T10:15:00Z", "email"]), max_size=8
)
ATTRIBUTES = st.sampled_from(["id", "source", "type", "time", "subject", "data", "data_base64", "datacontenttype", "x"])


def survives(envelope: object) -> None:
    """Accepted or refused, nothing else; what is accepted is read by everybody behind the door."""
    try:
        event, value = accept_bytes(envelope, NOW, {})
    except InvalidEvent:
        return
    assert decode(value) == event
    assert ":" in key_of(event)
    DECODERS[event.type].decode(event.data)


@settings(max_examples=200, deadline=None)
@given(JSON | st.dictionaries(ATTRIBUTES, JSON, max_size=8))
def test_anything_is_accepted_or_refused(envelope: object) -> None:
    survives(envelope)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(MODELS)), DATA, st.booleans())
def test_any_data_is_accepted_or_refused(kind: str, data: dict[str, Any], named: bool) -> None:
    if named:
        data = {**data, "customer": {"customer_id": "C-1"}}
    survives(of(kind, data))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["total", "items", "customer", "currency", "note"]), JSON)
def test_acceptance_changes_nothing_it_was_given_and_is_stable(field: str, value: Any) -> None:
    sent = purchase(**{f"data_{field}": value})
    before = copy.deepcopy(sent)
    try:
        event, bytes_ = accept_bytes(sent, NOW, {})
    except InvalidEvent:
        return
    assert repr(sent) == repr(before)
    again = accept(msgspec.json.decode(bytes_), NOW, {})
    assert content(again) == content(event)
