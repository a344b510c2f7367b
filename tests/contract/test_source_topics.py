"""The source topics through the real loop: every mode of the same event, modes of taking, quarantine and release."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.ingest.quarantine import LEAST, MOST_SOURCES, WINDOW_MS, Watch
from services.ingest.service import build
from services.ingest.sources import store as sources
from shared.database import transaction
from shared.events.outgoing import Outgoing
from shared.events.times import to_ms
from shared.runtime import guards
from shared.runtime.loop import Loop
from shared.runtime.process import Process
from shared.telemetry import Metrics
from tests.contract.entrance_house import NOW, House, on_sqlite, purchase

JSON = (("content-type", b"application/json"),)
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with on_sqlite(tmp_path, {}) as found:
        yield found


@asynccontextmanager
async def reading(house: House, metrics: Metrics | None = None) -> AsyncIterator[Loop]:
    """The entrance's loop while inside."""
    process = Process(log=house.log, clock=lambda: NOW, metrics=metrics or Metrics("test"), owner="test")
    loop = Loop(build({}), house.context.engine, process)
    running = asyncio.create_task(loop.run())
    yield loop
    loop.stop()
    await running


async def until(look: Callable[[], Any], patience: float = 10) -> Any:
    for _ in range(int(patience / 0.02)):
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


async def put(house: House, topic: str, *values: Any, headers: Sequence[tuple[str, bytes]] = ()) -> None:
    encoded = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    await house.log.append([Outgoing(topic, "k", value, tuple(headers)) for value in encoded])


def binary(event: Mapping[str, Any]) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """An event in Kafka's binary mode."""
    attributes = {name: value for name, value in event.items() if name != "data"}
    headers = tuple((f"ce_{name}", str(value).encode()) for name, value in attributes.items())
    return json.dumps(event["data"]).encode(), (*headers, *JSON)


async def interactions(house: House, count: int) -> list[dict[str, Any]]:
    async def look() -> list[dict[str, Any]]:
        found = [json.loads(record.value or b"") for record in await house.topic("interactions")]
        return found if len(found) >= count else []

    found: list[dict[str, Any]] = await until(look)
    return found


async def test_every_mode_is_the_same_event_and_applied_once(house: House) -> None:
    event = purchase(7)
    await put(house, "purchases", event, headers=STRUCTURED)
    await put(house, "purchases", event)  # a CloudEvent without its header
    value, headers = binary(event)
    await put(house, "purchases", value, headers=headers)
    await put(house, "purchases", {**event, "id": "8"})
    async with reading(house):
        found = await interactions(house, 2)
        await asyncio.sleep(0.2)
        assert len(await house.topic("interactions")) == 2
    assert [one["id"] for one in found] == ["7", "8"]
    assert found[0]["data"] == found[1]["data"]
    assert await house.letters() == []


PLAIN: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("purchases", {"order_id": "o-1", "total": "5.00"}, "purchase.completed", "o-1"),
    ("calls", {"call_id": 77, "duration_seconds": 60}, "call.completed", "77"),
    ("emails", {"message_id": "m-1", "subject": "Hello"}, "email.received", "m-1"),
    ("chats", {"conversation_id": "v-1", "text": "Hello"}, "chat.message", None),
    ("calls", {"direction": "inbound"}, "call.completed", None),
]


@pytest.mark.parametrize(("topic", "data", "kind", "name"), PLAIN)
async def test_plain_json_is_the_main_type_of_its_topic(
    house: House, topic: str, data: dict[str, Any], kind: str, name: str | None
) -> None:
    data = {"customer": {"email": "ana@example.com"}, **data}
    await put(house, topic, {**data, "time": "2026-11-20T09:00:00Z"})
    await put(house, topic, {**data, "occurred_at": "2026-11-20T08:00:00Z", "note": "2"})
    await put(house, topic, {**data, "note": "3"}, headers=JSON)
    async with reading(house):
        found = await interactions(house, 3)
    assert {one["type"] for one in found} == {kind}
    assert {one["source"] for one in found} == {f"topic/{topic}"}
    times = [one["time"] for one in found]
    assert times == ["2026-11-20T09:00:00Z", "2026-11-20T08:00:00Z", "2026-11-20T10:15:03Z"]  # the last: the record's
    if name is not None:
        assert {one["id"] for one in found} == {name}
    else:
        assert len({one["id"] for one in found}) == 3
        assert all(len(one["id"]) == 32 for one in found)


async def test_other_types_travel_on_any_source_topic(house: House) -> None:
    refund = {**purchase(1), "type": "purchase.refunded"}
    chat = {**purchase(2), "type": "chat.ended", "data": {"customer": {"chat_handle": "x"}}}
    await put(house, "purchases", refund, headers=STRUCTURED)
    await put(house, "chats", chat, headers=STRUCTURED)
    async with reading(house):
        found = await interactions(house, 2)
    assert {one["type"] for one in found} == {"purchase.refunded", "chat.ended"}


async def test_what_is_wrong_is_kept_with_its_place_in_the_topic(house: House) -> None:
    value, headers = binary({**purchase(1, total=-1), "source": "pos"})
    await put(house, "purchases", b"{")
    await put(house, "purchases", {**purchase(2), "source": "till", "type": "dream"}, headers=STRUCTURED)
    await put(house, "purchases", value, headers=headers)
    async with reading(house):
        await until(lambda: _letters(house, 3))
    kept = {letter["source"]: letter for letter in await house.letters()}
    assert {source: letter["code"] for source, letter in kept.items()} == {
        "topic/purchases": "invalid_json",
        "till": "unknown_type",
        "pos": "invalid_event",
    }
    assert {(letter["topic"], letter["offset"]) for letter in kept.values()} == {("purchases", n) for n in range(3)}


async def _letters(house: House, count: int, **query: str) -> list[dict[str, Any]]:
    found = await house.letters(limit=1000, **query)
    return found if len(found) >= count else []


async def test_strict_and_lenient_sources_on_a_topic(house: House) -> None:
    await house.client.put("/v1/sources/shop", json={"kind": "events", "mode": "strict"})
    await house.client.put("/v1/sources/topic/purchases", json={"kind": "events", "mode": "lenient"})
    await put(house, "purchases", purchase(1, currency="eur"), purchase(2), headers=STRUCTURED)
    await put(house, "purchases", {**purchase(3)["data"], "currency": "eur"})
    async with reading(house):
        found = await interactions(house, 2)
        (letter,) = await until(lambda: _letters(house, 1))
        assert [one.get("violations") for one in found] == [None, "/data/currency"]
        assert (letter["code"], letter["source"]) == ("schema_violation", "shop")
        await house.client.put("/v1/sources/shop", json={"kind": "events", "mode": "lenient"})
        await put(house, "purchases", purchase(1, currency="eur"), headers=STRUCTURED)
        found = await interactions(house, 3)  # what was refused may come again
        assert found[2]["violations"] == "/data/currency"


def mad(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{**purchase(n, total=-1), "source": "mad"} for n in range(start, start + count)]


async def test_a_mad_source_is_kept_out_until_it_is_released(house: House) -> None:
    metrics = Metrics("test")
    await put(house, "purchases", *mad(LEAST), headers=STRUCTURED)
    async with reading(house, metrics):
        await until(lambda: _letters(house, LEAST))
        await put(house, "purchases", {**purchase(1001), "source": "mad"}, purchase(1002), headers=STRUCTURED)
        (good,) = await interactions(house, 1)
        assert good["source"] == "shop"
        (letter,) = await until(lambda: _letters(house, 1, code="quarantined"))
        assert (letter["source"], letter["original"]["id"]) == ("mad", "1001")
        (row,) = (await house.client.get("/v1/sources")).json()["sources"]
        assert row["quarantine"] == {"since": "2026-11-20T10:15:03Z", "accepted": 0, "rejected": LEAST}
        (check,) = _checks(house)
        assert (check.status, check.value, "mad" in (check.output or "")) == ("warn", 1, True)
        assert b'cartera_dead_letters_total{code="quarantined",service="ingest"} 1.0' in metrics.text()
        replayed = await house.client.post("/v1/dead-letters/replay", params={"code": "quarantined"})
        assert replayed.json()["replayed"] == 1
        assert (await house.client.post("/v1/sources/mad/release")).status_code == 200
        assert (await house.client.post("/v1/sources/mad/release")).status_code == 404
        assert _checks(house)[0].status == "pass"
        await put(house, "purchases", {**purchase(1003), "source": "mad"}, headers=STRUCTURED)
        found = await interactions(house, 3)
        assert [one["id"] for one in found] == ["1002", "1001", "1003"]


def _checks(house: House) -> list[Any]:
    service = build({})
    assert service.checks is not None
    return [check() for check in service.checks(house.context).values()]


async def test_a_quarantined_flood_stops_no_consumer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set aside is not wrong: the limit on rejections in a row does not count it."""
    monkeypatch.setattr(guards, "DEAD_LETTER_LIMIT", 50)
    with transaction(house.context.engine) as connection:
        sources.confine(connection, [sources.Quarantine("mad", NOW, 0, 200)])
    good = [{**purchase(n), "source": "mad"} for n in range(100)]
    await put(house, "purchases", *good, headers=STRUCTURED)
    async with reading(house) as loop:
        await until(lambda: _letters(house, 100))
        await put(house, "purchases", purchase(5000), headers=STRUCTURED)
        assert (await interactions(house, 1))[0]["id"] == "5000"
        assert loop.failure is None


AT = to_ms(NOW)


def watched(*events: tuple[bool, int], source: str = "s") -> list[str]:
    watch = Watch()
    for accepted, at in events:
        watch.count(source, accepted, at)
    return [one.source for one in watch.take()]


def test_when_a_source_counts_as_mad() -> None:
    bad, good = (False, AT), (True, AT)
    assert watched(*[bad] * (LEAST - 1)) == []
    assert watched(*[bad] * LEAST) == ["s"]
    half = LEAST // 2
    assert watched(*[good] * half, *[bad] * half) == []
    assert watched(*[good] * half, *[bad] * (half + 1)) == ["s"]
    assert watched(*[bad] * half, (False, AT + WINDOW_MS), *[bad] * (half - 1)) == []
    assert watched(*[bad] * half, *[(False, AT + WINDOW_MS - 1)] * half) == ["s"]


def test_a_window_begins_anew_after_a_quarantine_and_memory_is_bounded() -> None:
    watch = Watch()
    for _ in range(LEAST):
        watch.count("s", False, AT)
    (one,) = watch.take()
    assert (one.accepted, one.rejected) == (0, LEAST)
    watch.count("s", False, AT)
    assert watch.take() == []
    for number in range(MOST_SOURCES):
        watch.count(f"other-{number}", True, AT)
    for _ in range(LEAST - 1):
        watch.count("s", False, AT)
    assert watch.take() == []
