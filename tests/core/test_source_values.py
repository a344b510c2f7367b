"""The value language of mappings and the signature schemes, against known answers."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.ingest.sources.conversions import CONVERSIONS
from services.ingest.sources.document import Source, read_document
from services.ingest.sources.kinds import kinds
from services.ingest.sources.mapping import compiled_rules, events_of
from services.ingest.sources.signature import Delivery, Hmac, Standard, Twilio, verified
from services.ingest.sources.values import MappingError, Scope, compiled, condition
from shared.errors import InvalidEvent
from shared.events.erasures import digest_of, mentions
from shared.events.identifiers import Identifier

PAYLOAD: dict[str, Any] = {
    "a": {"b": 1, "none": None, "empty": "", "no": False, "zero": 0},
    "list": [{"n": 1, "amount": "1.10"}, {"n": 2, "amount": 2}, {"n": 3}],
    "cents": 4990,
    "currency": "kwd",
    "at": 1795169700,
    "ms": "1795169700250",
    "date": "Fri, 20 Nov 2026 11:15:00 +0100",
    "phone": "34600000001",
    "$odd": {"x-y": "z"},
}


def value(spec: Any, part: Any = None) -> Any:
    return compiled(spec, ())(Scope(PAYLOAD, PAYLOAD if part is None else part))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("$.a.b", 1),
        ("$.a.none", None),
        ("$.a.empty", None),
        ("$.a.no", False),
        ("$.a.zero", 0),
        ("$.nowhere.at.all", None),
        ("$['$odd']['x-y']", "z"),
        ("$.list[?@.n > 1].n", 2),
        ("plain", "plain"),
        (7, 7),
        (True, True),
        (["$.nowhere", "$.a.empty", "$.a.b", "$.cents"], 1),
        (["$.nowhere"], None),
        ({"join": ["x", "$.a.b"]}, "x/1"),
        ({"join": ["x", "$.a.b"], "with": ":"}, "x:1"),
        ({"join": ["x", "$.nowhere"]}, None),
        ({"path": "$.cents", "as": "minor_units", "currency": "$.currency"}, "4.990"),
        ({"path": "$.cents", "as": "minor_units", "currency": "EUR"}, "49.90"),
        ({"path": "$.cents", "less": "$.a.b", "as": "minor_units", "currency": "JPY"}, "4989"),
        ({"path": "$.cents", "less": "$.nowhere", "as": "number"}, 4990),
        ({"path": "$.nowhere", "as": "minor_units", "currency": "$.nowhere"}, None),
        ({"sum": "$.list[*].amount"}, "3.10"),
        ({"sum": "$.nowhere[*]"}, None),
        ({"path": "$.at", "as": "seconds"}, "2026-11-20T10:15:00Z"),
        ({"path": "$.ms", "as": "milliseconds"}, "2026-11-20T10:15:00.250Z"),
        ({"path": "$.date", "as": "rfc2822"}, "2026-11-20T10:15:00Z"),
        ({"path": "$.phone", "as": "phone"}, "+34600000001"),
        ({"path": "$.currency", "as": "upper"}, "KWD"),
        ({"path": "$.a.b", "as": "text"}, "1"),
        ({"path": "$.a.b", "words": {"1": "one"}}, "one"),
        ({"path": "$.a.b", "words": {"2": "two"}}, None),
        ({"path": "$.a.b", "words": {"2": "two"}, "else": "many"}, "many"),
        ({"path": "$.nowhere", "words": {"2": "two"}, "else": "many"}, None),
        (
            {"each": "$.list[*]", "fields": {"x.n": "@.n", "top": "$.a.b"}},
            [{"x": {"n": n}, "top": 1} for n in (1, 2, 3)],
        ),
        ({"each": "$.nowhere[*]", "fields": {"n": "@.n"}}, None),
    ],
)
def test_a_value(spec: Any, expected: Any) -> None:
    found = value(spec)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (None, ()),
        ("$.a[", ()),
        ("@.a b", ()),
        ([1, "$.["], (1,)),
        ({}, ()),
        ({"path": "$.a", "colour": 1}, ("colour",)),
        ({"path": "$.a", "as": "dollars"}, ("as",)),
        ({"path": "$.a", "as": "minor_units"}, ("currency",)),
        ({"path": "$.a", "words": []}, ("words",)),
        ({"join": "x"}, ("join",)),
        ({"join": ["x"], "by": "/"}, ("by",)),
        ({"sum": "a.b"}, ("sum",)),
        ({"each": "$.a", "fields": {}}, ("fields",)),
        ({"each": "$.a", "fields": {"n": {"path": "$.["}}}, ("fields", "n", "path")),
    ],
)
def test_a_value_that_cannot_be_read_says_where(spec: Any, place: tuple[Any, ...]) -> None:
    with pytest.raises(MappingError) as caught:
        compiled(spec, ())
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@.a.b == 1", True),
        ("$.a.b == 1", True),
        ("$.a.b == 1 && @.cents > 5000", False),
        ("@.currency == '$'", False),
        ("@.a.none", True),
        ("!@.nowhere", True),
        ("match(@.currency, 'k.d')", True),
        ("@.list[?@.n == 3]", True),
        ("@.list[?@.n == 4]", False),
    ],
)
def test_a_condition(text: str, expected: bool) -> None:
    assert condition(text, (), True)(Scope(PAYLOAD, PAYLOAD)) is expected


@pytest.mark.parametrize(("text", "whole"), [("$.a == 1", False), ("@.list[?@.n == $.a.b]", True), ("@.a ==", True)])
def test_a_condition_that_cannot_be_read(text: str, whole: bool) -> None:
    with pytest.raises(MappingError):
        condition(text, (), whole)


RULE: dict[str, Any] = {"type": "call.completed", "id": "$.a.b", "fields": {"call_id": "$.a.b"}}


@pytest.mark.parametrize(
    ("mapping", "place"),
    [
        ({}, ()),
        ([], ()),
        ([5], (0,)),
        ([RULE, {"type": "call.completed"}], (1,)),
        ([{**RULE, "type": "dream"}], (0, "type")),
        ([{**RULE, "colour": 1}], (0, "colour")),
        ([{**RULE, "headers": []}], (0, "headers")),
        ([{**RULE, "when": "@.["}], (0, "when")),
        ([{**RULE, "each": "a"}], (0, "each")),
        ([{**RULE, "fields": []}], (0, "fields")),
        ([{**RULE, "time": {"path": "$.a", "as": "noon"}}], (0, "time", "as")),
    ],
)
def test_a_mapping_that_cannot_be_read_says_where(mapping: Any, place: tuple[Any, ...]) -> None:
    with pytest.raises(MappingError) as caught:
        compiled_rules(mapping)
    assert caught.value.place == place


def mapped(rule: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    return events_in(compiled_rules([rule]), "erp", headers or {}, PAYLOAD)


def events_in(*arguments: Any) -> list[dict[str, Any]]:
    """The events of a payload; raises why there is none."""
    found: list[dict[str, Any]] = []
    for one in events_of(*arguments):
        if isinstance(one, InvalidEvent):
            raise one
        found.append(one)
    return found


def test_a_rule_makes_an_event_and_skips_what_has_no_type() -> None:
    assert mapped({**RULE, "time": {"path": "$.at", "as": "seconds"}}) == [
        {
            "specversion": "1.0",
            "id": "1",
            "source": "erp",
            "type": "call.completed",
            "time": "2026-11-20T10:15:00Z",
            "data": {"call_id": 1},
        }
    ]
    assert mapped({**RULE, "type": {"path": "$.currency", "words": {"eur": "call.completed"}}}) == []
    assert mapped({**RULE, "when": "@.a.b == 2"}) == []
    assert mapped({**RULE, "headers": {"X-Topic": "calls"}}) == []
    assert len(mapped({**RULE, "headers": {"X-Topic": "calls"}}, {"x-topic": "calls"})) == 1
    each = mapped({**RULE, "each": "$.list[*]", "when": "@.n != 2", "id": "@.n"})
    assert [event["id"] for event in each] == ["1", "3"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"id": "$.nowhere"}, "/id"),
        ({"id": "$.list"}, "/id"),
        ({"id": "$.a.no"}, "/id"),
        ({"time": {"path": "$.currency", "as": "seconds"}}, "/time"),
        ({"fields": {"duration_seconds": {"path": "$.currency", "as": "number"}}}, "/data/duration_seconds"),
        ({"fields": {"customer.phone": {"path": "$.currency", "as": "phone"}}}, "/data/customer/phone"),
        ({"fields": {"a": 1, "a.b": 2}}, "/data/a/b"),
        ({"fields": {"total": {"path": "$.ms", "as": "rfc2822"}}}, "/data/total"),
    ],
)
def test_a_payload_that_does_not_fit_says_for_what(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        mapped({**RULE, **change})
    assert (caught.value.code, [fault.pointer for fault in caught.value.faults]) == ("unmapped", [place])


def test_a_payload_holds_no_more_events_than_a_request() -> None:
    rules = compiled_rules([{**RULE, "each": "$.many[*]", "id": "@"}])
    assert len(events_of(rules, "erp", {}, {"many": list(range(2500))})) == 2500
    with pytest.raises(InvalidEvent):
        events_of(rules, "erp", {}, {"many": list(range(2501))})


NOW = datetime.fromtimestamp(1614265330, UTC)


def test_the_published_example_of_standard_webhooks() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    delivery = Delivery("", headers, b'{"test": 2432232314}')
    assert verified(Standard(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", delivery, NOW)
    assert not verified(Standard(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", delivery, NOW)


def test_the_published_example_of_twilio() -> None:
    body = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    assert verified(Twilio(), "12345", Delivery(url, headers, body), NOW)
    assert not verified(Twilio(), "12345", Delivery(url, headers, body[:-1]), NOW)


@pytest.mark.parametrize(
    ("scheme", "signature"),
    [
        # The examples of RFC 4231 (case 2) and RFC 2202 (case 2): key "Jefe".
        (Hmac(header="X-Sig"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (Hmac(header="X-Sig"), "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843"),
        (Hmac(header="x-sig", prefix="sha1=", algorithm="sha1"), "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (Hmac(header="x-sig", encoding="base64"), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="),
    ],
)
def test_the_published_examples_of_hmac(scheme: Hmac, signature: str) -> None:
    body = b"what do ya want for nothing?"
    assert verified(scheme, "Jefe", Delivery("", {"x-sig": signature}, body), NOW)
    assert not verified(scheme, "Jefe", Delivery("", {"x-sig": signature}, body + b"?"), NOW)
    assert not verified(scheme, "Jefe", Delivery("", {}, body), NOW)


PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8")


def test_the_example_on_the_page_works() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    source = Source(read_document("desk", json.loads(example), None))
    ticket = {"id": 7, "closed_at": 1795169700, "cc": ["ana@example.com"], "rating": "good", "comment": "Thank you"}
    (event,) = events_in(source.rules, "desk", {}, {"event": "ticket.closed", "ticket": ticket})
    assert (event["id"], event["time"]) == ("ticket/7", "2026-11-20T10:15:00Z")
    customer = {"email": "ana@example.com"}
    assert event["data"] == {"customer": customer, "survey": "csat", "score": 5, "comment": "Thank you"}


def test_the_page_lists_every_kind_and_conversion() -> None:
    assert set(re.findall(r"^\| `([a-z]+)` \| (?:topics|field|fields|`|voice|signed|all)", PAGE, re.MULTILINE)) >= set(
        kinds()
    )
    assert all(f"`{name}`" in PAGE for name in (*CONVERSIONS, "minor_units"))


PART = {"webhook": "pbx", "headers": {}, "body": [["From", "+34 600 000 001"], ["Text", "from Ana <ana@example.com>"]]}


@pytest.mark.parametrize(
    ("part", "name", "found"),
    [
        (PART, Identifier("phone", "+34600000001"), True),
        (PART, Identifier("phone", "+34600000002"), False),
        (PART, Identifier("loyalty_card", "+34 600 000 001"), True),
        ({**PART, "body": {"a": {"Mail": " Ana@Example.com "}}}, Identifier("email", "ana@example.com"), True),
        ({**PART, "body": {"a": [{"wa": 34600000001}]}}, Identifier("phone", "+34600000001"), True),
        ({**PART, "body": {}, "customers": [{"chat_handle": "x:1"}]}, Identifier("chat_handle", "x:1"), True),
        (
            {"webhook": "pbx", "body": {"Mail": "ana@example.com"}, "more": 1},
            Identifier("email", "ana@example.com"),
            False,
        ),
    ],
)
def test_a_kept_part_is_searched_by_its_values(part: dict[str, Any], name: Identifier, found: bool) -> None:
    assert mentions(json.dumps(part).encode(), {digest_of(name)}) is found
