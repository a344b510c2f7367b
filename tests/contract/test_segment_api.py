"""The interfaces of Segment and RudderStack by their wire: paths, keys, encodings, times, codes, browsers."""

import base64
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from services.ingest.compatible import skew
from services.ingest.compatible.answers import PREFLIGHT_SECONDS
from services.ingest.compatible.browser import GIF
from services.ingest.compatible.routes import BATCHES, SINGLES
from services.ingest.pressure import Pressure
from services.ingest.service import SERVICE
from shared.errors import Unavailable
from shared.runtime.web import Problem
from tests.conftest import Opener
from tests.contract.test_ingest_api import NOW, PROBLEM, House, opened
from tests.fuzz.hostile import BOMB

KEY = {"authorization": "Basic " + base64.b64encode(b"write-key:").decode()}
SOURCE = "segment/fixed-write"


def track(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "track", "messageId": f"m-{number}", "userId": "C-17", "event": "Dreamt", **more}


class Tracked:
    """The entrance, seen by a tracking library."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**KEY, "content-type": "application/json", **headers}
        return await self.house.client.post(path, content=content, headers=sent)

    async def batch(self, *events: object, **envelope: object) -> httpx.Response:
        return await self.post("/v1/batch", {"batch": events, **envelope})

    async def events(self) -> list[dict[str, Any]]:
        return [json.loads(record.value or b"") for record in await self.house.topic("interactions")]

    async def only(self) -> dict[str, Any]:
        (event,) = await self.events()
        return event


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


@pytest.fixture
async def tracked(engine: Engine, tmp_path: Path) -> AsyncIterator[Tracked]:
    async with opened(engine, tmp_path, {}) as house:
        yield Tracked(house)


def rejections(answer: httpx.Response) -> list[tuple[int, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    return [(one["index"], one["code"]) for one in answer.json().get("rejected", ())]


async def test_every_batch_path(tracked: Tracked) -> None:
    for number, path in enumerate(BATCHES):
        answer = await tracked.post(path, {"batch": [track(number)]})
        assert (answer.status_code, answer.json()) == (200, {"success": True}), path
    assert len(await tracked.events()) == len(BATCHES) == 4


async def test_every_single_path_implies_its_type(tracked: Tracked) -> None:
    meant = {
        **dict.fromkeys(("track", "page", "screen"), "interest.shown"),
        **dict.fromkeys(("alias", "merge"), "customer.linked"),
        "identify": "customer.identified",
        "group": "customer.grouped",
    }
    merged = [{"type": "email", "value": "a@example.com"}, {"type": "anonymousId", "value": "d"}]
    more = {"previousId": "old", "groupId": "G-1", "mergeProperties": merged}
    for path in SINGLES:
        answer = await tracked.post(path, {**track(), **more, "type": "nonsense", "messageId": path})
        assert (answer.status_code, answer.json()) == (200, {"success": True}), path
    found = {event["id"]: event["type"] for event in await tracked.events()}
    assert found == {path: meant[kind] for path, kind in SINGLES.items()}
    assert len(found) == 13


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json;charset=UTF-8", "", "image/png"]
)
async def test_any_content_type_is_json(tracked: Tracked, kind: str) -> None:
    assert (await tracked.post("/v1/t", track(), **{"content-type": kind})).status_code == 200
    assert (await tracked.only())["id"] == "m-1"


def _bare(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:20]) + gzip.compress(body[20:])),
        ("deflate", zlib.compress),
        ("deflate", _bare),
        ("GZIP", gzip.compress),
        ("identity", bytes),
    ],
)
async def test_packed_bodies(tracked: Tracked, encoding: str, pack: Any) -> None:
    body = pack(json.dumps({"batch": [track()]}).encode())
    answer = await tracked.post("/v1/batch", body, **{"content-encoding": encoding})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert (await tracked.only())["data"]["event"] == "Dreamt"


async def test_forms_of_the_key(tracked: Tracked) -> None:
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    good = (
        {"authorization": "Bearer write-key"},
        {"authorization": basic("write-key:")},
        {"authorization": basic("write-key")},
    )
    for headers in good:
        assert (await tracked.post("/v1/track", track(), **headers)).status_code == 200
    stated = {**track(), "writeKey": "write-key"}
    for headers in ({"authorization": ""}, {"authorization": basic(":")}):
        assert (await tracked.post("/v1/track", stated, **headers)).status_code == 200
        batch = {"batch": [track()], "writeKey": "write-key"}
        assert (await tracked.post("/v1/batch", batch, **headers)).status_code == 200
    beacon = await tracked.post("/beacon/v1/batch?writeKey=write-key", {"batch": [track()]}, authorization="")
    assert beacon.status_code == 200
    assert {event["source"] for event in await tracked.events()} == {SOURCE}


@pytest.mark.parametrize(
    ("headers", "stated", "code"),
    [
        ({"authorization": ""}, None, "missing_write_key"),
        ({"authorization": ""}, "wrong", "invalid_write_key"),
        ({"authorization": ""}, "ключ\ud800", "invalid_write_key"),
        ({"authorization": ""}, 5, "missing_write_key"),
        ({"authorization": "Bearer wrong"}, "write-key", "invalid_write_key"),
        ({"authorization": "Basic %%%"}, None, "invalid_write_key"),
    ],
)
async def test_without_a_key_that_opens(tracked: Tracked, headers: dict[str, str], stated: object, code: str) -> None:
    for path, body in (("/v1/track", track()), ("/v1/batch", {"batch": [track()]})):
        answer = await tracked.post(path, {**body, "writeKey": stated} if stated else body, **headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.json()["message"]
        assert answer.headers["content-type"] == PROBLEM
    assert await tracked.events() == []
    unread = await tracked.post("/v1/batch", b"{", authorization="")
    assert (unread.status_code, unread.json()["code"]) == (401, "missing_write_key")
    assert await tracked.house.letters() == []


async def test_a_key_that_may_only_read(tracked: Tracked) -> None:
    keys = tracked.house.keys
    text = keys.create("read").text
    answer = await tracked.post("/v1/track", track(), authorization=f"Bearer {text}")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_the_write_key_is_kept_nowhere(tracked: Tracked) -> None:
    wrong = {**track(event=""), "writeKey": "write-key"}
    assert rejections(await tracked.post("/v1/track", wrong)) == [(0, "missing_event")]
    assert rejections(await tracked.post("/v1/track", {**track(), "writeKey": "write-key"})) == []
    (letter,) = await tracked.house.letters()
    assert letter["original"] == track(event="")
    for name in ("interactions", "dead-letters"):
        assert all(b"write-key" not in (record.value or b"") for record in await tracked.house.topic(name))


async def test_every_fault_of_an_event_has_its_code_and_is_kept(tracked: Tracked) -> None:
    wrong: list[tuple[str, str, object]] = [
        ("invalid_type", "/type", {**track(), "type": "dream"}),
        ("invalid_type", "/type", {**track(), "type": None}),
        ("invalid_type", "/type", 5),
        ("invalid_object", "/context", track(context=[])),
        ("invalid_object", "/properties", track(properties="x")),
        ("invalid_id", "/userId", track(userId=1.5)),
        ("invalid_id", "/anonymousId", track(anonymousId=["x"])),
        ("no_user_anon_id", "/userId", track(userId=None)),
        ("no_user_anon_id", "/userId", track(userId="  ", anonymousId="")),
        ("no_user_anon_id", "/userId", track(userId="null")),
        ("missing_event", "/event", track(event="  ")),
        ("missing_event", "/event", track(event=None)),
        ("missing_group_id", "/groupId", {**track(), "type": "group"}),
        ("missing_previous_id", "/previousId", {**track(), "type": "alias"}),
        ("invalid_text", "/properties/a", track(properties={"a": "\x00"})),
        ("invalid_text", "/properties/a", track(properties={"a": "\ud800"})),
        ("invalid_text", "/messageId", track(messageId="\ud800")),
        ("event_too_large", "", track(properties={"a": "x" * 33_000})),
        (
            "schema_violation",
            "/properties/total",
            track(event="Order Completed", properties={"order_id": 1, "total": -3}),
        ),
        ("schema_violation", "/properties/order_id", track(event="Order Completed", properties={"total": 3})),
    ]
    answer = await tracked.batch(track(0), *(event for _, _, event in wrong))
    assert rejections(answer) == [(index, code) for index, (code, _, _) in enumerate(wrong, start=1)]
    seen = [one["errors"][0]["pointer"] for one in answer.json()["rejected"]]
    assert seen == [place for _, place, _ in wrong]
    assert [event["id"] for event in await tracked.events()] == ["m-0"]
    letters = await tracked.house.letters()
    assert {letter["source"] for letter in letters} == {SOURCE}
    assert sorted(letter["code"] for letter in letters) == sorted(code for code, _, _ in wrong)
    assert track(event="  ") in [letter["original"] for letter in letters]


async def test_a_rejected_event_is_named(tracked: Tracked) -> None:
    answer = await tracked.batch(track(1), track(2, userId=None), track(3))
    assert answer.json()["rejected"][0] | {"errors": []} == {
        "index": 1,
        "messageId": "m-2",
        "code": "no_user_anon_id",
        "errors": [],
    }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (b"null", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b'{"batch": NaN}', 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"batch":' + b'{"a":' * 100_000, 400, "invalid_json"),
        (b"{}", 400, "invalid_batch"),
        (b'{"batch": {}}', 400, "invalid_batch"),
        (b'{"batch": null}', 400, "invalid_batch"),
        (json.dumps({"batch": [1] * 2501}).encode(), 400, "batch_too_long"),
        (b'{"batch": ["\\ud800"' + b",1" * 2500 + b"]}", 400, "batch_too_long"),
    ],
)
async def test_bodies_that_cannot_be_read(tracked: Tracked, body: bytes, status: int, code: str) -> None:
    answer = await tracked.post("/v1/batch", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]
    (letter,) = await tracked.house.letters()
    assert (letter["source"], letter["code"]) == (SOURCE, code)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "code"),
    [
        ("gzip", b"no", 400, "invalid_gzip"),
        ("gzip", gzip.compress(b"{}")[:-4], 400, "invalid_gzip"),
        ("gzip", gzip.compress(b"{}") + b"more", 400, "invalid_gzip"),
        ("deflate", b"no", 400, "invalid_gzip"),
        ("gzip", gzip.compress(b" " * (4 * 1024 * 1024 + 1)), 413, "payload_too_large"),
        ("gzip", gzip.compress(b" " * 4_000_000) + gzip.compress(b" " * 4_000_000), 413, "payload_too_large"),
        ("br", b"", 415, "unsupported_encoding"),
        ("identity", b" " * (4 * 1024 * 1024 + 1), 413, "too_large"),
    ],
)
async def test_bodies_that_cannot_be_unpacked(
    tracked: Tracked, encoding: str, body: bytes, status: int, code: str
) -> None:
    answer = await tracked.post("/v1/batch", body, **{"content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == PROBLEM


async def test_a_bomb_is_not_inflated(tracked: Tracked) -> None:
    tracemalloc.start()
    answer = await tracked.post("/v1/batch", BOMB, **{"content-encoding": "gzip"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 24 * 1024 * 1024, "of 100 MB"


async def test_a_whole_batch(tracked: Tracked) -> None:
    answer = await tracked.batch(*(track(number) for number in range(2500)))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert len(await tracked.events()) == 2500
    assert (await tracked.batch()).json() == {"success": True}


async def test_null_is_absent_and_numbers_are_ids(tracked: Tracked) -> None:
    event = track(userId=17, anonymousId=None, context=None, properties=None, timestamp=None, integrations=None)
    assert rejections(await tracked.batch(event, context=None, sentAt=None)) == []
    found = await tracked.only()
    assert found["data"]["customer"] == {"customer_id": "17"}
    assert found["time"] == "2026-11-20T10:15:03Z"


async def test_what_the_envelope_says_holds_for_events_that_say_nothing(tracked: Tracked) -> None:
    own = track(2, context={"ip": "5", "traits": {"email": "b@example.com"}}, integrations={"All": False})
    shared = {"ip": "1", "locale": "es", "traits": {"email": "a@example.com"}}
    await tracked.batch(track(1), own, context=shared, integrations={"All": True, "X": True})
    first, second = (event["data"] for event in await tracked.events())
    assert (first["context"], first["integrations"]) == (shared, {"All": True, "X": True})
    assert (second["context"]["ip"], second["context"]["locale"]) == ("5", "es")
    assert second["integrations"] == {"All": False, "X": True}
    assert (first["customer"]["email"], second["customer"]["email"]) == ("a@example.com", "b@example.com")


@pytest.mark.parametrize(
    ("sent", "event", "time"),
    [
        # The sender's clock is three days ahead; the event is two minutes old.
        ("2026-11-23T10:00:00Z", {"timestamp": "2026-11-23T09:58:00Z"}, "2026-11-20T10:13:03Z"),
        ("2026-11-23T10:00:00Z", {"originalTimestamp": "2026-11-23T09:58:00.500Z"}, "2026-11-20T10:13:03.500Z"),
        # A caller's own time goes before the one that the library took.
        (
            "2026-11-20T10:15:03Z",
            {"timestamp": "2024-01-01T00:00:00Z", "originalTimestamp": "2026-11-20T10:15:02Z"},
            "2024-01-01T00:00:00Z",
        ),
        # A time of sending in the event itself goes before that of the envelope.
        (
            "2026-11-20T10:15:03Z",
            {"timestamp": "2026-11-01T00:00:00Z", "sentAt": "2026-11-01T00:01:00Z"},
            "2026-11-20T10:14:03Z",
        ),
        (None, {"timestamp": "2026-11-20T08:00:00"}, "2026-11-20T08:00:00Z"),
        (None, {"timestamp": "2026-11-20T08:00:00.123456+02:00"}, "2026-11-20T06:00:00.123Z"),
        (None, {"timestamp": "2026-11-20"}, "2026-11-20T00:00:00Z"),
        (None, {"timestamp": "yesterday"}, "2026-11-20T10:15:03Z"),
        (None, {"timestamp": 1795287992}, "2026-11-20T10:15:03Z"),
        (None, {"timestamp": "1795287992"}, "2026-11-20T10:15:03Z"),
        (None, {"timestamp": "0001-01-01T00:00:00+14:00"}, "2026-11-20T10:15:03Z"),
        # Sent before it happened: it happens on arrival.
        ("2026-11-20T09:00:00Z", {"timestamp": "2026-11-20T11:00:00Z"}, "2026-11-20T10:15:03Z"),
        ("never", {"timestamp": "2026-11-20T09:00:00Z"}, "2026-11-20T09:00:00Z"),
    ],
)
async def test_times(tracked: Tracked, sent: str | None, event: dict[str, Any], time: str) -> None:
    await tracked.batch(track(1, **event), track(2, **event, properties={"not": "plain 🛍"}), sentAt=sent)
    for found in await tracked.events():
        assert datetime.fromisoformat(found["time"]) == datetime.fromisoformat(time)
        assert found["receivedat"] == "2026-11-20T10:15:03Z"


def test_nothing_happens_after_it_was_sent() -> None:
    sent_at = NOW - timedelta(hours=1)
    assert skew.age(NOW, sent_at) == timedelta(0)
    assert skew.age(NOW - timedelta(days=40_000), NOW) is None
    assert skew.age(None, NOW) is skew.age(NOW, None) is None


async def test_the_time_of_sending_may_stand_in_a_header(tracked: Tracked) -> None:
    event = track(originalTimestamp="2026-11-23T09:58:00Z")
    await tracked.post("/v1/track", event, **{"SentAt": "2026-11-23T10:00:00Z"})
    assert (await tracked.only())["time"] == "2026-11-20T10:13:03Z"


async def test_sent_again_it_is_the_same_event(tracked: Tracked) -> None:
    """A library sends again with a later `sentAt`; the content is judged before the time is corrected."""
    event = track(timestamp="2026-11-20T10:00:00Z")
    await tracked.batch(event, sentAt="2026-11-20T10:00:01Z")
    await tracked.batch({**event, "sentAt": "2026-11-20T10:00:31Z"}, sentAt="2026-11-20T10:00:31Z")
    await tracked.batch({**event, "event": "Woke"}, sentAt="2026-11-20T10:00:01Z")
    first, second, other = await tracked.events()
    assert (first["source"], first["id"], first["fingerprint"]) == (
        second["source"],
        second["id"],
        second["fingerprint"],
    )
    assert first["time"] != second["time"]
    assert other["fingerprint"] != first["fingerprint"]


async def test_ids(tracked: Tracked) -> None:
    long = "x" * 300
    again = {"x-request-id": "0123456789abcdef0123456789abcdef"}
    nameless = track(messageId=None)
    await tracked.batch(track(messageId=7), track(messageId=long), track(messageId=long + "y"))
    for headers in (again, again, {}):
        await tracked.post("/v1/batch", {"batch": [nameless, {**nameless, "messageId": " "}]}, **headers)
    ids = [event["id"] for event in await tracked.events()]
    assert ids[0] == "7"
    assert len(set(ids[1:3])) == 2
    assert ids[3:5] == ids[5:7]
    assert len(set(ids[3:])) == 4


async def test_identify(tracked: Tracked) -> None:
    traits = {
        "email": "Ana@Example.com",
        "phone": "+34 600 000 001",
        "firstName": "Ana",
        "last_name": "García",
        "lastName": "other",
        "title": "CTO",
        "birthday": None,
        "company": {"name": "Acme", "employee_count": 12, "industry": "tea"},
        "level": 3,
    }
    await tracked.post("/v1/identify", {"userId": "C-17", "anonymousId": "d-1", "traits": traits})
    await tracked.post("/v1/i", {"userId": "C-17", "traits": None, "context": {"traits": {"email": "b@example.com"}}})
    both = {"userId": "C-17", "traits": {"plan": "x"}, "context": {"traits": {"phone": "+34600000002", "a": 1}}}
    await tracked.post("/v1/i", both)
    first, second, third = (event["data"] for event in await tracked.events())
    assert first["customer"] == {
        "customer_id": "C-17",
        "device_id": "d-1",
        "email": "ana@example.com",
        "phone": "+34600000001",
    }
    assert first["traits"] == {
        "email": "Ana@Example.com",
        "phone": "+34 600 000 001",
        "first_name": "Ana",
        "last_name": "García",
        "job_title": "CTO",
        "birth_date": None,
        "company": "Acme",
        "company_size": 12,
        "company_industry": "tea",
        "level": 3,
    }
    assert (second["customer"]["email"], second["traits"]) == ("b@example.com", {"email": "b@example.com"})
    assert (third["customer"]["phone"], third["traits"]) == ("+34600000002", {"plan": "x"})


async def test_traits_that_are_no_text_are_no_identifiers(tracked: Tracked) -> None:
    assert (
        rejections(await tracked.post("/v1/identify", {"userId": "C", "traits": {"email": ["x"], "phone": {}}})) == []
    )
    found = (await tracked.only())["data"]
    assert (found["customer"], found["traits"]) == ({"customer_id": "C"}, {"email": ["x"], "phone": {}})


async def test_group_traits_belong_to_the_group(tracked: Tracked) -> None:
    traits = {"name": "Acme", "email": "office@example.com"}
    await tracked.post("/v1/group", {"userId": "C-17", "groupId": "G-1", "traits": traits})
    found = await tracked.only()
    assert found["type"] == "customer.grouped"
    assert found["data"] == {"customer": {"customer_id": "C-17"}, "group_id": "G-1", "traits": traits}


async def test_alias_links_the_former_id_whichever_it_was(tracked: Tracked) -> None:
    await tracked.post("/v1/alias", {"userId": "C-17", "previousId": "old"})
    await tracked.post("/v1/alias", {"userId": "C-17", "anonymousId": "d-1", "previousId": "d-1"})
    first, second = (event["data"] for event in await tracked.events())
    assert first["identifiers"] == [
        {"kind": "customer_id", "value": "old"},
        {"kind": "device_id", "value": "old"},
    ]
    assert first["customer"] == second["customer"] == {"customer_id": "C-17"}
    assert second["identifiers"] == [{"kind": "device_id", "value": "d-1"}]


async def test_page_and_screen(tracked: Tracked) -> None:
    await tracked.post("/v1/page", track(1, name="Home", category="Docs", properties={"url": "https://example.com/"}))
    await tracked.post("/v1/screen", track(2, event=None, properties={"path": "/x", "category": ["odd"]}))
    first, second = (event["data"] for event in await tracked.events())
    assert (first["kind"], first["value"], first["category"], first["name"]) == ("page_view", "Home", "Docs", "Home")
    assert first["properties"] == {"url": "https://example.com/"}
    assert (second["kind"], second["value"], second.get("category")) == ("page_view", "/x", None)
    assert [one["field"] for one in second["violations"]] == ["/category"]
    assert second["properties"]["category"] == ["odd"]


async def test_a_name_that_is_not_known_is_interest_with_its_name(tracked: Tracked) -> None:
    await tracked.batch(track(properties={"a": [1, {"b": 2}]}, channel="server", _metadata={"x": 1}))
    found = await tracked.only()
    assert found["type"] == "interest.shown"
    assert found["data"] == {
        "customer": {"customer_id": "C-17"},
        "event": "Dreamt",
        "properties": {"a": [1, {"b": 2}]},
        "other": {"channel": "server", "_metadata": {"x": 1}},
    }


async def test_an_optional_property_that_does_not_fit_spoils_nothing(tracked: Tracked) -> None:
    properties = {"call_id": "c", "duration": "long", "sentiment": "sad", "direction": "INBOUND"}
    assert rejections(await tracked.batch(track(event="Call Completed", properties=properties))) == []
    found = (await tracked.only())["data"]
    assert (found["call_id"], found["direction"]) == ("c", "inbound")
    assert not {"duration_seconds", "sentiment"} & found.keys()
    assert {one["field"] for one in found["violations"]} == {"/properties/duration", "/properties/sentiment"}
    assert found["properties"] == properties


async def test_a_letter_can_be_repaired(tracked: Tracked) -> None:
    await tracked.batch(track(1, event="Order Completed", properties={"order_id": "o", "total": "many"}))
    (letter,) = await tracked.house.letters()
    path = f"/v1/dead-letters/{letter['id']}"
    refused = await tracked.house.client.post(f"{path}/replay")
    assert (refused.status_code, refused.json()["code"]) == (422, "schema_violation")
    repaired = {
        "specversion": "1.0",
        "id": "m-1",
        "source": SOURCE,
        "type": "purchase.completed",
        "data": {"customer": {"customer_id": "C-17"}, "order_id": "o", "total": "5"},
    }
    assert (await tracked.house.client.put(path, json=repaired)).status_code == 200
    assert (await tracked.house.client.post(f"{path}/replay")).status_code == 200
    assert (await tracked.only())["data"]["total"] == "5"


async def test_a_letter_is_replayed_with_names_that_are_known_now(engine: Engine, tmp_path: Path) -> None:
    event = track(1, event="Order Completed", properties={"order": "o", "sum": "5"})
    async with opened(engine, tmp_path, {}) as house:
        assert rejections(await Tracked(house).batch(event)) == [(0, "schema_violation")]
    more = tmp_path / "more.yaml"
    more.write_text(
        "events:\n- {name: order  completed, type: purchase.completed, fields: {order_id: order, total: sum}}"
    )
    async with opened(engine, tmp_path, {"mapping_file": more}) as house:
        (letter,) = await house.letters()
        assert (await house.client.post(f"/v1/dead-letters/{letter['id']}/replay")).status_code == 200
        found = await Tracked(house).only()
        assert (found["id"], found["source"], found["data"]["total"]) == ("m-1", SOURCE, "5")


ORIGIN = {"origin": "https://shop.example"}


async def test_browsers_may_send_from_anywhere(tracked: Tracked) -> None:
    asked = {
        **ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,sentat",
    }
    for path in (*BATCHES, *SINGLES, "/v1/projects/k/settings"):
        answer = await tracked.house.client.options(path, headers={**asked, "authorization": ""})
        assert answer.status_code == 204, path
        assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
        assert answer.headers["access-control-allow-headers"] == "authorization,sentat"
        assert answer.headers["access-control-max-age"] == str(PREFLIGHT_SECONDS)
        assert "POST" in answer.headers["access-control-allow-methods"]
    for body, status in ((track(), 200), (b"{", 400)):
        answer = await tracked.post("/v1/t", body, **ORIGIN)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ORIGIN["origin"])
        assert answer.headers["vary"] == "Origin"
    refused = await tracked.post("/v1/t", track(), **ORIGIN, authorization="Bearer no")
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN["origin"])
    assert "access-control-allow-origin" not in (await tracked.post("/v1/t", track())).headers


async def test_settings_of_the_browser_library(tracked: Tracked) -> None:
    answer = await tracked.house.client.get("/v1/projects/write-key/settings", headers={**ORIGIN, "authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert answer.json() == {
        "integrations": {"Segment.io": {"apiKey": "write-key", "apiHost": "test/v1", "protocol": "http"}},
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
    }


async def test_pixels_always_show_the_picture(tracked: Tracked) -> None:
    packed = base64.urlsafe_b64encode(json.dumps({**track(1), "writeKey": "write-key"}).encode()).decode().rstrip("=")
    good = (
        f"/v1/pixel/track?data={packed}",
        "/v1/pixel/track?writeKey=write-key&userId=C-17&messageId=m-2&event=Seen&properties.a=5",
        "/v1/pixel/page?writeKey=write-key&anonymousId=d-1&messageId=m-3&name=Home",
        "/pixel/v1/track?writeKey=write-key&anonymousId=d-1&messageId=m-4&event=Seen",
        "/pixel/v1/page?writeKey=write-key&anonymousId=d-1&messageId=m-5&name=Home",
    )
    bad = (
        "/v1/pixel/track?data=%25",
        "/v1/pixel/track",
        "/v1/pixel/track?data=bnVsbA",
        "/pixel/v1/page?writeKey=no&userId=C",
    )
    for path in (*good, *bad):
        answer = await tracked.house.client.get(path, headers={"authorization": ""})
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/gif", GIF), path
    found = {event["id"]: event["data"] for event in await tracked.events()}
    assert found.keys() == {"m-1", "m-2", "m-3", "m-4", "m-5"}
    assert (found["m-2"]["event"], found["m-2"]["properties"]) == ("Seen", {"a": "5"})
    assert found["m-3"]["value"] == "Home"


async def test_a_log_that_is_away(tracked: Tracked) -> None:
    await tracked.house.log.close()
    answer = await tracked.post("/v1/batch", {"batch": [track()]}, **ORIGIN)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["access-control-expose-headers"].startswith("Retry-After")


async def test_a_key_that_sends_too_much(engine: Engine, tmp_path: Path) -> None:
    async with opened(engine, tmp_path, {"rate_limit": 50.0}) as house:
        tracked = Tracked(house)
        assert (await tracked.batch(*(track(n) for n in range(200)))).status_code == 200
        for answer in (await tracked.batch(track()), await tracked.post("/v1/events", [], **KEY)):
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 4
        other = {"authorization": "Bearer admin-key"}
        assert (await tracked.post("/v1/track", track(), **other)).status_code == 200
        assert len(await tracked.events()) == 201


def test_a_rate_is_paid_for_by_time() -> None:
    now = 100.0
    pressure = Pressure(10, lambda: now)
    for _ in range(10):
        pressure.admit("key", 1)
    with pytest.raises(Problem) as refused:
        pressure.admit("key", 1)
    assert (refused.value.headers or {})["Retry-After"] == "1"
    now += 0.1
    pressure.admit("key", 3_000)
    with pytest.raises(Problem) as long:
        pressure.admit("key", 1)
    assert (long.value.headers or {})["Retry-After"] == "300"
    now += 300.0
    pressure.admit("key", 1)
    Pressure(None).admit("key", 10**9)


def test_bytes_that_wait_are_bounded() -> None:
    pressure = Pressure(None)
    with pressure.room(40 * 1024 * 1024):
        with pytest.raises(Unavailable) as refused, pressure.room(30 * 1024 * 1024):
            pass
        assert refused.value.retry_after == 1
        with pressure.room(20 * 1024 * 1024):
            pass
    with pressure.room(60 * 1024 * 1024):
        pass


async def test_openapi_shows_the_paths(tracked: Tracked) -> None:
    document = (await tracked.house.client.get("/openapi.json")).json()
    for path in ("/v1/events", "/v1/batch", "/v1/import", *(p for p in SINGLES if len(p) > 5)):
        entry = document["paths"][path]["post"]
        assert entry["security"] == [{"bearer": []}, {"basic": []}], path
        assert entry["requestBody"]["required"]
    assert "200" in document["paths"]["/v1/batch"]["post"]["responses"]


def test_now_is_what_the_times_above_suppose() -> None:
    assert datetime(2026, 11, 20, 10, 15, 3, tzinfo=UTC) == NOW
    assert NOW - timedelta(seconds=120) == datetime(2026, 11, 20, 10, 13, 3, tzinfo=UTC)
