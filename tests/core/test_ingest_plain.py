"""The short way for plain events never says anything else than the documented contract, and most events take it."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import plain
from services.ingest.cloudevents import decoded, read_http, read_json
from services.ingest.contract import MODELS
from services.ingest.judging import judge
from services.ingest.model import Accepted
from services.ingest.plain_fields import FIELDS
from shared.errors import InvalidEvent
from tests.core.test_ingest_docs import examples
from tests.fuzz.hostile import request

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EDGES = (
    *(
        "",
        " ",
        " x",
        "x ",
        "x",
        "X",
        "é",
        "e\u0301",
        "\x1cx",
        "\u00a0x",
        "x" * 256,
        "x" * 257,
        "null",
        "true",
        "1",
        "5.0",
    ),
    *("49.90", " 49.90", "1e3", "-1", "0", "1000000000000000", "0.0000001", "EUR", "eur", "ÄÖÜ", "Web", "web", "store"),
    *("inbound", "INBOUND", "completed", "hard", "granted", "nps", "cart", "2026-11-20T10:15:00Z", "2026-11-20"),
    *(
        "2026-11-20T10:15:00.1234+02:00",
        "2027-11-20T10:15:00Z",
        "\u0000",
        "\ud800",
        "\U0001f600",
        "a: 5e3",
        "a, 1.0, b",
    ),
    *(
        0,
        1,
        -1,
        5,
        7,
        1.5,
        1.0,
        -0.0,
        0.1,
        1e15,
        1e16,
        10**15,
        2**53 + 1,
        10**20,
        1e101,
        10**101,
        1e-7,
        True,
        False,
        None,
    ),
    *(
        [],
        {},
        [1],
        [{}],
        {"a": None},
        [{"sku": 1, "quantity": 2.0, "unit_price": 5, "x": None}],
        [{"name": None, "y": 1.50}],
    ),
    *([{"quantity": 0.25, "unit_price": "98.00"}], [{"sku": " "}], [None], {"kind": "email", "value": "a@example.com"}),
)
values = st.sampled_from(EDGES)
deep = st.recursive(
    values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abé"), inner, max_size=2)
)
customers = st.fixed_dictionaries(
    {}, optional={name: values for name in ("customer_id", "email", "phone", "device_id", "traits", "other")}
).map(lambda found: {"device_id": "d-1", **found})


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event of any type whose fields hold values at the edge of what fits, most of them fitting."""
    kind = draw(st.sampled_from(sorted(MODELS)))
    names = sorted(set(MODELS[kind].model_fields) - {"customer"})
    data = draw(st.dictionaries(st.sampled_from([*names, "unknown", "identifiers"]), values, max_size=4))
    if draw(st.booleans()):
        data["unknown"] = draw(deep)
    fitting = {"order_id": "o", "total": "5.00", "points": 5, "channel": "web", "status": "granted", "group_id": "G"}
    needed = {
        name: fitting[name]
        for name, field in MODELS[kind].model_fields.items()
        if field.is_required() and name in fitting
    }
    if kind == "call.completed":
        needed = {}
    envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": kind, "time": "2026-11-20T10:15:00Z"}
    spoilt = draw(
        st.dictionaries(
            st.sampled_from(["id", "source", "time", "datacontenttype", "subject", "zz"]), values, max_size=1
        )
    )
    return {**envelope, **spoilt, "data": {"customer": draw(customers), **needed, **data}}


def judged(original: bytes, envelope: object, given: dict[str, Any], age: timedelta | None) -> Accepted | None:
    """What the documented contract says; None for a refusal."""
    try:
        return judge(envelope, NOW, given, age)
    except InvalidEvent:
        return None


def agree(original: bytes, given: dict[str, Any], age: timedelta | None = None) -> bool:
    """Whether the event was plain; if so both ways give the same bytes."""
    envelope = decoded(original)
    short = plain.accepted(original, envelope, NOW, given, age)
    if short is not None:
        assert short == judged(original, envelope, given, age)
    return short is not None


@settings(max_examples=600, deadline=None)
@given(
    events(),
    st.sampled_from(({}, {"clock": "events"}, {"currency": "USD", "region": "ES", "blocked_values": ["x*"]})),
    st.sampled_from((None, timedelta(0), timedelta(days=400))),
    st.booleans(),
)
def test_both_ways_agree(event: dict[str, Any], given: dict[str, Any], age: timedelta | None, escaped: bool) -> None:
    try:
        original = json.dumps(event, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        original = json.dumps(event).encode()
    agree(original, given, age)


@pytest.mark.parametrize("seed", range(20))
def test_both_ways_agree_on_hostile_requests(seed: int) -> None:

    for number in range(25):
        made = request("/v1/events", random.Random(f"plain/{seed}/{number}"))
        try:
            posted = read_http([(b"content-type", b"application/json")], made.body)
        except InvalidEvent:
            continue
        for sent in posted.events:
            short = plain.accepted(sent.original, sent.envelope, NOW, {}) if sent.error is None else None
            if short is not None:
                assert short == judged(sent.original, sent.envelope, {}, None)


@pytest.mark.parametrize("text", ["1e400", "-1e101", "1" + "0" * 100])
@pytest.mark.parametrize("around", ['{"a":%s}', "[%s]", "[1,[%s] ]", "%s"])
@pytest.mark.parametrize("where", ["data", "customer"])
def test_a_number_that_cannot_be_kept_is_not_plain(text: str, around: str, where: str) -> None:
    (event,) = [one for one in examples() if one["id"] == "visit-5/3"]
    place = event["data"] if where == "data" else event["data"]["customer"]
    place["traits"] = "HERE"
    assert not agree(json.dumps(event).replace('"HERE"', around % text).encode(), {})


@pytest.mark.parametrize(
    ("text", "other"), [("5e3", "5000"), ("1.0", "1"), ("-2.50e1", "-25"), ("1e22", "1" + "0" * 22)]
)
def test_equal_numbers_have_equal_bytes(text: str, other: str) -> None:
    (event,) = [one for one in examples() if one["id"] == "visit-5/3"]
    event["data"]["x"] = {"y": ["HERE"]}
    found = [json.dumps(event).replace('"HERE"', spelling).encode() for spelling in (text, other)]
    assert all(agree(original, {}) for original in found)
    first, second = (plain.accepted(original, read_json(original), NOW, {}) for original in found)
    assert first == second


@pytest.mark.parametrize("depth", range(10, 26))
@pytest.mark.parametrize("where", ["data", "customer"])
def test_what_is_nested_too_deep_is_not_plain(depth: int, where: str) -> None:
    (event,) = [one for one in examples() if one["id"] == "visit-5/3"]
    place = event["data"] if where == "data" else event["data"]["customer"]
    place["x"] = json.loads("[" * depth + "]" * depth)
    assert agree(json.dumps(event).encode(), {}) == (depth < 15)


def test_most_events_are_plain() -> None:
    taken = [agree(json.dumps(example).encode(), {}) for example in examples() if example["type"] in FIELDS]
    assert sum(taken) > 0.7 * len(taken)
    assert set(MODELS) - set(FIELDS) == {"survey.answered", "customer.linked", "customer.split"}
