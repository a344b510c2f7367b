"""Dead letters as a product: counted, chosen by filters, repaired, replayed in sets, gone when their time is over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.ingest import letters, store
from services.ingest.service import SERVICE, build
from shared.database import transaction
from shared.errors import Fault, InvalidEvent
from shared.events.dead_letters import TOPIC
from shared.log import Record
from shared.runtime.loop import Loop
from shared.runtime.naming import dead_letter
from shared.runtime.process import Process
from shared.runtime.service import Timers, Watermark
from shared.telemetry import Metrics
from tests.conftest import Opener
from tests.contract.entrance_house import NOW, House, opened, purchase

WRONG = InvalidEvent("invalid_event", (Fault("must not be negative", "/data/total"),))


@pytest.fixture
async def house(database: Opener, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database(SERVICE), tmp_path, {}) as found:
        yield found


def keep(house: House, seconds: float, source: str = "shop", **envelope: Any) -> str:
    """Keep one letter that arrived so many seconds after NOW; its event is good, as after a mended rule."""
    number = int(seconds * 1000)
    event = {**purchase(number), "source": source, **envelope}
    original = str(event).replace("'", '"').encode()
    letter = letters.reject(original, event, WRONG, NOW + timedelta(seconds=seconds), 0)
    with transaction(house.context.engine) as connection:
        store.keep(connection, [letter])
    return letter.id


async def replay(house: House, **query: str) -> dict[str, Any]:
    answer = await house.client.post("/v1/dead-letters/replay", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_counts_by_reason_and_source(house: House) -> None:
    await house.post([purchase(1, total=-1), purchase(2, total=-1), {**purchase(3), "type": "dream"}])
    await house.post({**purchase(4, total=-1), "source": "till"})
    (one,) = await house.letters(source="till")
    await house.client.put(f"/v1/dead-letters/{one['id']}", json={**purchase(4), "source": "till"})
    answer = (await house.client.get("/v1/dead-letters/counts")).json()
    row = {"count": 1, "open": 0, "repaired": 0, "replayed": 0, "latest_at": "2026-11-20T10:15:03Z"}
    assert answer["counts"] == [
        {**row, "code": "invalid_event", "source": "shop", "count": 2, "open": 2},
        {**row, "code": "invalid_event", "source": "till", "repaired": 1},
        {**row, "code": "unknown_type", "source": "shop", "open": 1},
    ]
    assert (answer["total"], answer["next_cursor"]) == (4, None)
    chosen = (await house.client.get("/v1/dead-letters/counts", params={"source": "till"})).json()
    assert [row["source"] for row in chosen["counts"]] == ["till"]


async def test_counts_are_paged_without_gap(house: House) -> None:
    for number in range(5):
        keep(house, number, source=f"s{number}")
    seen: list[str] = []
    query = {"limit": "2"}
    for size in (2, 2, 1):
        page = (await house.client.get("/v1/dead-letters/counts", params=query)).json()
        assert (len(page["counts"]), page["total"]) == (size, 5)
        seen += [row["source"] for row in page["counts"]]
        query["cursor"] = page["next_cursor"]
    assert (seen, page["next_cursor"]) == (["s0", "s1", "s2", "s3", "s4"], None)


async def test_every_filter_chooses(house: House) -> None:
    await house.post([purchase(1, total=-1), {**purchase(2), "type": "dream"}])
    later = keep(house, 60, source="till")

    async def ids(**query: str) -> set[str]:
        return {letter["id"] for letter in await house.letters(**query)}

    assert len(await ids()) == 3
    assert await ids(source="till") == {later}
    assert len(await ids(code="unknown_type")) == len(await ids(type="dream")) == 1
    assert await ids(**{"from": "2026-11-20T10:16:03Z"}) == {later}
    assert len(await ids(to="2026-11-20T11:16:03+01:00")) == 2
    assert await ids(state="replayed") == set()
    assert (await house.client.get("/v1/dead-letters", params={"from": "yesterday"})).status_code == 400
    assert (await house.client.get("/v1/dead-letters", params={"since": "2026-11-20T10:16:03Z"})).status_code == 400


async def test_what_matches_is_replayed_oldest_first_page_by_page_and_once(house: House) -> None:
    names = [keep(house, seconds) for seconds in (3, 1, 2)]
    keep(house, 4, source="till")
    first = await replay(house, source="shop", limit="2")
    assert [row["id"] for row in first["results"]] == [names[1], names[2]]
    assert (first["replayed"], first["refused"]) == (2, 0)
    rest = await replay(house, source="shop", limit="2", cursor=first["next_cursor"])
    assert ([row["id"] for row in rest["results"]], rest["next_cursor"]) == ([names[0]], None)
    sent = [record.value for record in await house.topic("interactions")]
    assert len(sent) == 3
    again = await replay(house, source="shop")
    assert again == {"replayed": 0, "refused": 0, "results": [], "next_cursor": None}
    assert [record.value for record in await house.topic("interactions")] == sent
    assert {letter["id"] for letter in await house.letters(state="replayed")} == set(names)


async def test_what_is_still_wrong_stays_as_it_was_and_holds_nobody_up(house: House) -> None:
    await house.post([purchase(1, total=-1), purchase(2, total=-2), purchase(3, total=-3)])
    before = {letter["original"]["id"]: letter for letter in await house.letters()}
    await house.client.put(f"/v1/dead-letters/{before['2']['id']}", json=purchase(2, total=2))
    outcome = await replay(house)
    assert (outcome["replayed"], outcome["refused"]) == (1, 2)
    refused = [row for row in outcome["results"] if row["status"] == "refused"]
    assert {row["id"] for row in refused} == {before["1"]["id"], before["3"]["id"]}
    assert refused[0]["code"] == "invalid_event"
    assert refused[0]["errors"] == [{"detail": "must not be negative", "pointer": "/data/total"}]
    after = {letter["original"]["id"]: letter for letter in await house.letters()}
    assert (after["1"], after["3"]) == (before["1"], before["3"])
    assert len(await house.topic("interactions")) == 1


async def test_a_replay_that_is_not_durable_closes_nothing(house: House) -> None:
    name = keep(house, 1)
    await house.log.close()
    answer = await house.client.post("/v1/dead-letters/replay")
    assert answer.status_code == 503
    assert [letter["state"] for letter in await house.letters()] == ["open"]
    assert (await house.client.post(f"/v1/dead-letters/{name}/replay")).status_code == 503


async def test_who_may_do_what(house: House) -> None:
    write = {"authorization": "Bearer write-key"}
    assert (await house.client.post("/v1/dead-letters/replay", headers=write)).status_code == 403
    assert (await house.client.get("/v1/dead-letters/counts", headers=write)).status_code == 403
    assert (await house.client.get("/v1/dead-letters/counts", headers={"authorization": ""})).status_code == 401


def arrived(value: bytes, **headers: bytes) -> str:
    """The source of the letter that a rejected record becomes."""
    record = Record("purchases", 0, 7, 0, None, value, tuple(headers.items()))
    said = dead_letter(build({}), record, WRONG)
    return letters.read(said.value or b"").source


def test_a_letter_from_a_topic_names_its_sender() -> None:
    assert arrived(b'{"specversion":"1.0","source":"till","type":"x"}') == "till"
    assert arrived(b'{"order_id":"1"}', ce_source=b"pos", ce_id=b"1", ce_specversion=b"1.0") == "pos"
    assert arrived(b'{"order_id":"1","source":"web"}') == "topic/purchases"
    assert arrived(b"{") == "topic/purchases"


def timers(**settings: Any) -> Timers:
    found = build(settings).timers
    assert found is not None
    return found


async def test_letters_go_when_their_hour_is_over_in_bounded_steps(house: House) -> None:
    kept = timers(dead_letter_retention=timedelta(days=30))
    with transaction(house.context.engine) as connection:
        assert kept.next_due(connection, [0, 1]) is None
    for number in range(5):
        keep(house, number)
    younger = keep(house, 3600)
    due = NOW.replace(hour=11, minute=0, second=0) + timedelta(days=30)

    def at(moment: Any) -> tuple[object, int]:
        with transaction(house.context.engine) as connection:
            outcome = kept.due(connection, Watermark(live=moment), 3)
            return outcome, store.total(connection, store.Filter())

    with transaction(house.context.engine) as connection:
        assert kept.next_due(connection, [0, 1]) == due
    with transaction(house.context.engine) as connection:
        assert kept.next_due(connection, [1]) is None
        assert kept.due(connection, Watermark(live=due, partition=1), 3) is None
        assert kept.overdue(connection, due - timedelta(milliseconds=1)) == 0
        assert kept.overdue(connection, due) == 5
    assert at(due - timedelta(milliseconds=1)) == (None, 6)
    assert [at(due), at(due), at(due)] == [((), 3), ((), 1), (None, 1)]
    assert [letter["id"] for letter in await house.letters()] == [younger]


def test_without_a_retention_nothing_goes() -> None:
    assert build({}).timers is None
    assert build({"dead_letter_retention": timedelta(days=1), "clock": "events"}).timers is None


async def test_the_loop_deletes_what_is_over_and_rests(house: House) -> None:
    keep(house, 0)
    keep(house, 7200)
    service = build({"dead_letter_retention": timedelta(days=30)})
    process = Process(
        log=house.log, clock=lambda: NOW + timedelta(days=30, hours=1), metrics=Metrics("test"), owner="test"
    )
    loop = Loop(service, house.context.engine, process)
    running = asyncio.create_task(loop.run())
    for _ in range(200):
        await asyncio.sleep(0.02)
        if len(await house.letters()) == 1:
            break
    assert [letter["received_at"] for letter in await house.letters()] == ["2026-11-20T12:15:03Z"]
    loop.stop()
    await running
    assert await house.topic(TOPIC) == []
