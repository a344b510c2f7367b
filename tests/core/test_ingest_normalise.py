"""Identifiers have one form each, and are the same when normalised twice."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.ingest.normalise import (
    Rules,
    UnreadableError,
    customer,
    identifier,
    identifiers_of,
    moment,
)
from shared.events.identifiers import KINDS
from shared.events.storable import pointer

NONE = Rules()
SPAIN = Rules("ES")


@pytest.mark.parametrize(
    ("kind", "sent", "kept"),
    [
        ("email", " Ana@Example.COM ", "ana@example.com"),
        ("email", "\uff41na@example.com", "ana@example.com"),
        ("email", "josé+teas@exämple.es", "josé+teas@exämple.es"),
        ("phone", "+34 600 000 001", "+34600000001"),
        ("phone", "0034-600-000-001", "+34600000001"),
        ("phone", "+44 (0)20 7946 0958", "+442079460958"),
        ("phone", "tel:+34600000001", "+34600000001"),
        ("customer_id", "  C-17 ", "C-17"),
        ("customer_id", 17, "17"),
        ("customer_id", 17.0, "17"),
        ("customer_id", "Jose\u0301", "José"),
        ("customer_id", "10", "10"),
        ("device_id", "aB", "aB"),
    ],
)
def test_one_form(kind: str, sent: object, kept: str) -> None:
    assert identifier(kind, sent, NONE) == kept


def test_a_region_reads_national_numbers() -> None:
    assert identifier("phone", "600 000 001", SPAIN) == "+34600000001"
    with pytest.raises(UnreadableError, match="country code"):
        identifier("phone", "600 000 001", NONE)


@pytest.mark.parametrize(
    "value",
    [
        *("null", "NULL", " None", "undefined", "Anonymous", "guest", "[object Object]", "n/a", "   ", "-1"),
        *("0", "0000000", "00000000-0000-0000-0000-000000000000"),
        *("test@test.com", "no-reply@shop.example", "NoReply@shop.example"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_name_nobody(kind: str, value: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        identifier(kind, value, NONE)
    assert caught.value.nobody


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "ana"),
        ("email", "ana@example"),
        ("email", "ana@ex ample.com"),
        ("email", "Ana <ana@example.com>"),
        ("email", "a@b@example.com"),
        ("email", "a\u200bna@example.com"),
        ("email", "ana@example..com"),
        ("phone", "+34"),
        ("phone", "call me"),
        ("phone", "+34 600 000 001 002 003"),
    ],
)
def test_values_that_cannot_be_read(kind: str, value: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        identifier(kind, value, NONE)
    assert caught.value.doubtful
    kept, faults = customer({"customer_id": "C-1", kind: value, "traits": {"name": "Ana"}}, NONE)
    assert not faults
    assert kept == {"customer_id": "C-1", "traits": {"name": "Ana", f"{kind}_unverified": value}}
    _, faults = customer({kind: value}, NONE)
    assert [fault.pointer for fault in faults] == ["/data/customer", f"/data/customer/{kind}"]


def test_a_blocked_value_is_dropped_when_another_remains() -> None:
    assert customer({"email": "noreply@x.example", "device_id": "d"}, NONE) == ({"device_id": "d"}, ())


@pytest.mark.parametrize("value", [True, [], {}, 1.5, "x" * 257, 10**300])
def test_values_that_are_never_an_identifier(value: object) -> None:
    _, faults = customer({"customer_id": value, "email": "ana@example.com"}, NONE)
    assert [fault.pointer for fault in faults] == ["/data/customer/customer_id"]


def test_traits_are_an_object() -> None:
    _, faults = customer({"customer_id": "C", "traits": "tall"}, NONE)
    assert [fault.pointer for fault in faults] == ["/data/customer/traits"]


def test_identifiers_come_strongest_first() -> None:
    shown = {"device_id": "d", "email": "e@x.example", "customer_id": "c"}
    assert [item.kind for item in identifiers_of(shown)] == ["customer_id", "email", "device_id"]


VALUES = (
    st.text(max_size=20)
    | st.emails()
    | st.from_regex(r"\+[1-9][0-9 ()-]{5,16}", fullmatch=True)
    | st.text("a\u0130\u0131\u1e9eßÅ\u0301\u0307\u00a0\u2003ǰﬃ①½@.", max_size=12)
)


@settings(max_examples=200, deadline=None)
@example("phone", "+270000000")
@given(st.sampled_from(KINDS), VALUES)
def test_normalising_twice_changes_nothing(kind: str, value: str) -> None:
    try:
        once = identifier(kind, value, NONE)
    except UnreadableError:
        assume(False)
        return
    assert identifier(kind, once, NONE) == once


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([*KINDS, "traits", "more"]), VALUES | st.integers() | st.none(), max_size=5))
def test_a_customer_normalised_twice(value: dict[str, str | int | None]) -> None:
    once, faults = customer(value, SPAIN)
    if not faults:
        assert customer(once, SPAIN) == (once, ())


def test_moments() -> None:
    expected = datetime(2026, 11, 20, 9, 15, 0, 500000, tzinfo=UTC)
    for text in ("2026-11-20T10:15:00.5+01:00", "2026-11-20t09:15:00.500z", "2026-11-20 09:15:00.5Z"):
        assert moment(text) == expected
    for wrong in (
        "2026-11-20T10:15Z",
        "2026-13-20T10:15:00Z",
        "20261120T101500Z",
        "",
        None,
        5,
        "9999-12-31T23:59:59-09:00",
    ):
        with pytest.raises(UnreadableError):
            moment(wrong)


def test_pointers_are_escaped() -> None:
    assert pointer(("items", 0, "a/b~c")) == "/items/0/a~1b~0c"
