"""The entrance by REST, on the real log and the real database."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import Engine

from services.ingest import letters, store
from services.ingest.appender import Appender
from services.ingest.service import SERVICE
from shared.database import transaction
from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.events.times import to_ms
from shared.log import Record, TopicPartition
from shared.log.sqlite import SqliteLog
from shared.runtime.naming import dead_letter
from tests.conftest import Opener
from tests.contract.entrance_house import JSON, NOW, House, opened, purchase

PROBLEM = "application/problem+json"


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


@pytest.fixture
async def house(engine: Engine, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(engine, tmp_path, {}) as found:
        yield found


async def test_one_event(house: House) -> None:
    answer = await house.post(purchase())
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "rejected": 0,
        "results": [{"index": 0, "id": "1", "status": "accepted"}],
    }
    (record,) = await house.topic("interactions")
    assert record.key == "customer_id:C-17"
    assert dict(record.headers)["content-type"] == b"application/cloudevents+json"
    event = json.loads(record.value or b"")
    assert (event["id"], event["receivedat"]) == ("1", "2026-11-20T10:15:03Z")
    assert await house.letters() == []


async def test_a_mixed_batch_is_told_in_order_and_kept(house: House) -> None:
    body = [purchase(1), purchase(2, total=-3), 5, {**purchase(3), "type": "dream"}, purchase(4)]
    answer = await house.post(body)
    outcome = answer.json()
    assert (answer.status_code, outcome["accepted"], outcome["rejected"]) == (202, 2, 3)
    assert [line["index"] for line in outcome["results"]] == [0, 1, 2, 3, 4]
    assert [line["id"] for line in outcome["results"]] == ["1", "2", None, "3", "4"]
    assert outcome["results"][1] == {
        "index": 1,
        "id": "2",
        "status": "rejected",
        "code": "invalid_event",
        "errors": [{"detail": "must not be negative", "pointer": "/data/total"}],
    }
    assert outcome["results"][3]["code"] == "unknown_type"
    assert len(await house.topic("interactions")) == 2
    assert len(await house.topic("dead-letters")) == 3
    kept = {letter["code"]: letter for letter in await house.letters()}
    assert kept.keys() == {"invalid_event", "invalid_envelope", "unknown_type"}
    letter = kept["invalid_event"]
    assert letter["original"] == purchase(2, total=-3)
    assert (letter["source"], letter["state"], letter["received_at"]) == ("shop", "open", "2026-11-20T10:15:03Z")
    assert letter["errors"] == outcome["results"][1]["errors"]
    assert (letter["file"], letter["line"]) == (None, None)
    assert (await house.client.get(f"/v1/dead-letters/{letter['id']}")).json() == letter


async def test_what_comes_by_rest_is_counted(house: House) -> None:
    await house.post([purchase(1), purchase(2), purchase(3, total=-3), {**purchase(4), "type": "dream"}])
    await house.post(b"{")
    shown = house.context.metrics.text().decode()
    for line in (
        'cartera_events_total{outcome="accepted",service="ingest",type="purchase.completed"} 2.0',
        'cartera_events_total{outcome="rejected",service="ingest",type="purchase.completed"} 1.0',
        'cartera_events_total{outcome="rejected",service="ingest",type="other"} 2.0',
        'cartera_dead_letters_total{code="invalid_event",service="ingest"} 1.0',
        'cartera_dead_letters_total{code="unknown_type",service="ingest"} 1.0',
        'cartera_dead_letters_total{code="invalid_json",service="ingest"} 1.0',
    ):
        assert line in shown


async def test_nothing_accepted_is_a_problem_with_the_same_lines(house: House) -> None:
    answer = await house.post([purchase(1, total=None), purchase(2, total=None)])
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert (body["code"], body["accepted"], body["rejected"], len(body["results"])) == ("invalid_event", 0, 2, 2)
    assert body["message"]
    single = (await house.post(purchase(1, customer={}))).json()
    assert [fault["pointer"] for fault in single["errors"]] == ["/data/customer"]
    assert single["results"][0]["errors"] == single["errors"]


@pytest.mark.parametrize("bad", ['"\\ud800"', "1e400", "9" * 400])
async def test_one_value_that_cannot_be_kept_spoils_no_other_event(house: House, bad: str) -> None:
    body = json.dumps([purchase(1), purchase(2, note="HERE"), purchase(3)]).replace('"HERE"', bad).encode()
    outcome = (await house.post(body)).json()
    assert [line["status"] for line in outcome["results"]] == ["accepted", "rejected", "accepted"]
    assert outcome["results"][1]["errors"][0]["pointer"] == "/data/note"


async def test_an_empty_array(house: House) -> None:
    answer = await house.post([])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "rejected": 0, "results": []})


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b'[{"a":1},'])
async def test_a_body_that_is_no_json(house: House, body: bytes) -> None:
    answer = await house.post(body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    (letter,) = await house.letters(code="invalid_json")
    assert letter["original"] == body.decode("utf-8", "replace")
    assert letter["original_base64"] is not None


async def test_every_mode_says_the_same(house: House) -> None:
    event = purchase()
    batch = await house.post([event], **{"content-type": "application/cloudevents-batch+json"})
    structured = await house.post(event, **{"content-type": "application/cloudevents+json; charset=utf-8"})
    attributes = {key: value for key, value in event.items() if key != "data"} | {"time": NOW.replace(second=0)}
    message = http.to_binary_event(CloudEvent(attributes, json.dumps(event["data"]).encode()))
    binary = await house.client.post("/v1/events", content=message.body, headers={**message.headers, **JSON})
    packed = await house.client.post(
        "/v1/events", content=gzip.compress(json.dumps(event).encode()), headers={**JSON, "content-encoding": "gzip"}
    )
    assert [answer.status_code for answer in (batch, structured, binary, packed)] == [202] * 4
    found = [json.loads(record.value or b"") for record in await house.topic("interactions")]
    assert len(found) == 4
    assert len({event["fingerprint"] for event in found}) == 1


async def test_limits(house: House) -> None:
    large = await house.post(purchase(note="x" * (32 * 1024)))
    assert (large.status_code, large.json()["code"], large.json()["results"][0]["code"]) == (
        413,
        "too_large",
        "too_large",
    )
    part = await house.post([purchase(1, note="x" * (32 * 1024)), purchase(2)])
    assert (part.status_code, part.json()["rejected"]) == (202, 1)
    many = await house.post([purchase(n) for n in range(2501)])
    assert (many.status_code, many.json()["code"]) == (413, "too_many_events")
    bomb = await house.post(gzip.compress(b" " * (4 * 1024 * 1024 + 1)), **{"content-encoding": "gzip"})
    assert (bomb.status_code, bomb.json()["code"]) == (413, "too_large")
    for encoding, body, status in (("gzip", b"no", 400), ("gzip", gzip.compress(b"[]")[:-4], 400), ("br", b"", 415)):
        assert (await house.post(body, **{"content-encoding": encoding})).status_code == status
    assert (await house.post(b"<a/>", **{"content-type": "text/xml"})).status_code == 415
    full = await house.post([purchase(n) for n in range(2500)])
    assert (full.status_code, full.json()["accepted"]) == (202, 2500)


async def test_keys(house: House) -> None:
    for path, method in (("/v1/events", "POST"), ("/v1/dead-letters", "GET"), ("/v1/dead-letters/x/replay", "POST")):
        assert (await house.client.request(method, path, headers={"authorization": ""})).status_code == 401
    write = {"authorization": "Bearer write-key"}
    assert (await house.post(purchase(), **write)).status_code == 202
    assert (await house.client.get("/v1/dead-letters", headers=write)).status_code == 403
    assert (await house.client.put("/v1/dead-letters/x", headers=write, json={})).status_code == 403


async def test_repair_and_replay(house: House) -> None:
    await house.post(purchase(1, total="-3"))
    (letter,) = await house.letters()
    path = f"/v1/dead-letters/{letter['id']}"
    still = await house.client.put(path, json=purchase(1, total="-4"))
    assert (still.status_code, still.json()["errors"][0]["pointer"]) == (422, "/data/total")
    assert (await house.client.put(path, content=b"{", headers=JSON)).status_code == 400
    assert (await house.client.put(path, json=[purchase(1)])).status_code == 422
    assert (await house.client.post(f"{path}/replay")).status_code == 422
    assert (await house.client.get(path)).json() == letter
    repaired = await house.client.put(path, json=purchase(1, total="3"))
    assert (repaired.status_code, repaired.json()["state"]) == (200, "repaired")
    assert repaired.json()["repaired"]["data"]["total"] == "3"
    assert repaired.json()["original"] == letter["original"]
    assert await house.topic("interactions") == []
    for _ in range(2):
        replayed = await house.client.post(f"{path}/replay")
        assert (replayed.status_code, replayed.json()["state"]) == (200, "replayed")
    (record,) = await house.topic("interactions")
    assert json.loads(record.value or b"")["data"]["total"] == "3"
    assert (await house.client.put(path, json=purchase(1))).status_code == 409
    assert [x["state"] for x in await house.letters(state="replayed")] == ["replayed"]


async def test_letters_that_are_not_there(house: House) -> None:
    assert (await house.client.get("/v1/dead-letters/none")).status_code == 404
    assert (await house.client.put("/v1/dead-letters/none", json=purchase())).status_code == 404
    assert (await house.client.post("/v1/dead-letters/none/replay")).status_code == 404


async def test_paging(house: House) -> None:
    await house.post([purchase(n, total=-1) for n in range(7)])
    seen: list[str] = []
    query: dict[str, str] = {"limit": "3"}
    for size in (3, 3, 1):
        page = (await house.client.get("/v1/dead-letters", params=query)).json()
        assert len(page["dead_letters"]) == size
        seen.extend(letter["id"] for letter in page["dead_letters"])
        query["cursor"] = page["next_cursor"]
    assert page["next_cursor"] is None
    assert len(set(seen)) == 7


@pytest.mark.parametrize(
    "query", ["cursor=x", "state=lost", "limit=0", "since=2026-01-01T00:00:00", "until=x", "foo=1"]
)
async def test_a_list_asked_for_unclearly_is_refused(house: House, query: str) -> None:
    answer = await house.client.get(f"/v1/dead-letters?{query}")
    assert answer.status_code == 400
    assert [error["parameter"] for error in answer.json()["errors"]] == [query.partition("=")[0]]


async def test_a_record_with_its_headers_is_replayed_from_the_log(house: House) -> None:
    """A binary record has its type and id in its headers only; the log still has them."""
    value = json.dumps(purchase()["data"]).encode()
    headers = {"ce_id": b"7", "ce_source": b"till", "ce_type": b"purchase.completed", "ce_specversion": b"1.0"}
    await house.log.append([Outgoing("purchases", "k", value, tuple(headers.items()))])
    letter = letters.reject(value, None, _refusal(), NOW, 0)
    placed = {f: getattr(letter, f) for f in letter.__struct_fields__} | {
        "topic": "purchases",
        "partition": 0,
        "offset": 0,
    }
    with transaction(house.context.engine) as connection:
        store.keep(connection, [type(letter)(**placed)])
    answer = await house.client.post(f"/v1/dead-letters/{letter.id}/replay")
    assert answer.status_code == 200, answer.text
    (record,) = await house.topic("interactions")
    assert json.loads(record.value or b"")["source"] == "till"


async def test_a_binary_record_that_the_log_no_longer_has_is_repaired_and_replayed(house: House) -> None:
    value = json.dumps({**purchase()["data"], "total": "-5"}).encode()
    headers = {"ce_id": b"7", "ce_source": b"till", "ce_type": b"purchase.completed", "ce_specversion": b"1.0"}
    record = Record(
        "purchases", 0, 99, to_ms(NOW), "k", value, (*headers.items(), ("ce_comment", "caf\u00e9".encode()))
    )
    said = dead_letter(SERVICE, record, _refusal())
    letter = SERVICE.decode(Record("dead-letters", 0, 0, 0, said.key, said.value))
    with transaction(house.context.engine) as connection:
        store.keep(connection, [letter])
    (shown,) = await house.letters(type="purchase.completed")
    assert (shown["original"]["id"], shown["original"]["comment"]) == ("7", "caf\u00e9")
    path = f"/v1/dead-letters/{shown['id']}"
    assert (await house.client.post(f"{path}/replay")).json()["errors"][0]["pointer"] == "/data/total"
    corrected = {**shown["original"], "data": {**shown["original"]["data"], "total": "5"}}
    assert (await house.client.put(path, json=corrected)).status_code == 200
    assert (await house.client.post(f"{path}/replay")).status_code == 200
    (replayed,) = await house.topic("interactions")
    event = json.loads(replayed.value or b"")
    assert (event["id"], event["source"], event["data"]["total"]) == ("7", "till", "5")


def test_a_structured_record_is_kept_as_it_came() -> None:
    structured = (("content-type", b"application/cloudevents+json"), ("ce_id", b"x"))
    for headers in (structured, ()):
        said = dead_letter(SERVICE, Record("purchases", 0, 9, 1, "k", b" {}", headers), _refusal())
        assert SERVICE.decode(Record("dead-letters", 0, 0, 0, said.key, said.value)).original == b" {}"


def _refusal() -> Any:
    try:
        SERVICE.decode(Record("purchases", 0, 0, 0, None, b"{}"))
    except Exception as error:
        return error
    raise AssertionError("an empty purchase was accepted")


async def test_under_the_clock_of_events_nothing_is_in_the_future(engine: Engine, tmp_path: Path) -> None:
    async with opened(engine, tmp_path, {"clock": "events"}) as house:
        await house.post({**purchase(), "time": "2027-01-01T00:00:00Z"})
        (record,) = await house.topic("interactions")
        assert json.loads(record.value or b"")["time"] == "2027-01-01T00:00:00Z"


async def test_a_log_that_is_away_is_told_and_nothing_is_kept(engine: Engine, tmp_path: Path) -> None:
    async with opened(engine, tmp_path, {}) as house:
        await house.log.close()
        answer = await house.post([purchase(1), purchase(2, total=-1)])
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert await house.letters() == []


class CountingLog(SqliteLog):
    """The SQLite log that counts its appends and can be told to be away, or to answer nobody until told to."""

    appends: list[int]
    away: bool
    answers: asyncio.Event

    async def append(self, records: Sequence[Outgoing], at: Any = None) -> None:
        self.appends.append(len(records))
        await self.answers.wait()
        if self.away:
            raise Unavailable("the log is away")
        await super().append(records, at)


@pytest.fixture
async def counting(tmp_path: Path) -> AsyncIterator[CountingLog]:
    log = CountingLog(tmp_path / "log.db", 1, lambda: 0)
    log.appends, log.away, log.answers = [], False, asyncio.Event()
    log.answers.set()
    yield log
    await log.close()


def records(name: str, count: int) -> list[Outgoing]:
    return [Outgoing("interactions", name, f"{name}{n}".encode()) for n in range(count)]


async def test_concurrent_requests_share_an_append(counting: CountingLog) -> None:
    appender = Appender(counting)
    await asyncio.gather(*(appender.append(records(f"r{n}", 3)) for n in range(50)))
    assert sum(counting.appends) == 150
    assert len(counting.appends) <= 3
    found = [await counting.read(TopicPartition("interactions", 0), n) for n in range(150)]
    mine = [record.value for record in found if record is not None and record.key == "r7"]
    assert mine == [b"r70", b"r71", b"r72"]
    await appender.append([])
    assert sum(counting.appends) == 150


async def test_an_error_reaches_everybody_and_the_next_append_works(counting: CountingLog) -> None:
    appender = Appender(counting)
    counting.away = True
    outcomes = await asyncio.gather(*(appender.append(records("r", 1)) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
    counting.away = False
    await appender.append(records("r", 1))
    assert await counting.read(TopicPartition("interactions", 0), 0) is not None


async def test_a_log_that_hangs_keeps_nobody_waiting_and_what_was_refused_in_the_queue_is_not_written(
    counting: CountingLog,
) -> None:
    appender = Appender(counting, patience=0.2)
    counting.answers.clear()
    handed_over = asyncio.create_task(appender.append(records("handed-over", 1)))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await appender.append(records("queued", 3))
    assert time.monotonic() - started < 1
    with pytest.raises(Unavailable):
        await handed_over
    counting.answers.set()
    await appender.append(records("next", 2))
    assert counting.appends == [1, 2]


async def test_a_request_that_goes_away_disturbs_nobody(counting: CountingLog) -> None:
    appender = Appender(counting)
    gone = asyncio.create_task(appender.append(records("gone", 1)))
    stays = asyncio.create_task(appender.append(records("stays", 1)))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert gone.cancelled() or gone.done()
