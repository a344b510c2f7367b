"""Webhooks of real systems: each recorded payload becomes exactly these events; only who knows the secret is heard."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.ingest import store
from services.ingest.schemas import violations
from shared.database import transaction
from shared.events.erasures import digest_of
from shared.events.identifiers import Identifier
from tests.contract import webhook_senders as senders
from tests.contract.entrance_house import NOW, House, on_sqlite
from tests.contract.webhook_senders import SAMPLES, document, sample, signed

AT = int(NOW.timestamp())
KINDS = ("messenger", "postmark", "sendgrid", "shopify", "stripe", "twilio", "whatsapp")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with on_sqlite(tmp_path, {"public_url": "https://hooks.example.com"}) as found:
        yield found


async def set_up(house: House, kind: str, /, **more: Any) -> None:
    answer = await house.client.put(f"/v1/sources/my-{kind}", json=document(kind, **more))
    assert answer.status_code == 201, answer.text


def url(kind: str) -> str:
    return f"https://hooks.example.com/v1/sources/my-{kind}/events"


async def deliver(house: House, kind: str, body: bytes, **headers: str) -> httpx.Response:
    """A delivery without a key; `headers` are added to a right signature or replace it."""
    media = "application/x-www-form-urlencoded" if kind == "twilio" else "application/json"
    own = {name.lower(): value for name, value in (*signed(kind, body, url(kind), AT).items(), *headers.items())}
    full = {"content-type": media, "authorization": "", **own}
    full = {name: value for name, value in full.items() if value != "-"}
    return await house.client.post(f"/v1/sources/my-{kind}/events", content=body, headers=full)


async def events(house: House) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in await house.topic("interactions")]


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_recorded_payload_becomes_exactly_these_events(house: House, name: str) -> None:
    kind, recorded = name.split("-", maxsplit=1)[0], sample(name)
    await set_up(house, kind, mode="strict")
    body = senders.body_of(kind, recorded["payload"])
    answer = await deliver(house, kind, body, **recorded["headers"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["rejected"] == 0, await house.letters()
    assert answer.json()["accepted"] == len(recorded["events"])
    found = await events(house)
    shown = [
        {"id": event["id"], "type": event["type"], "time": event["time"], "data": event["data"]} for event in found
    ]
    expected = [{**event, "time": event["time"] or "2026-11-20T10:15:03Z"} for event in recorded["events"]]
    assert shown == expected
    assert {event["source"] for event in found} <= {f"my-{kind}"}
    assert all(violations(event["type"], event["data"]) == () for event in recorded["events"])
    if not recorded["events"]:
        assert answer.json()["ignored"] == 1


def test_every_vendor_has_a_recorded_payload() -> None:
    assert {name.split("-")[0] for name in SAMPLES} == set(KINDS)


def first(kind: str) -> tuple[bytes, dict[str, str]]:
    name = next(name for name in SAMPLES if name.startswith(kind) and sample(name)["events"])
    return senders.body_of(kind, sample(name)["payload"]), sample(name)["headers"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_delivery_that_comes_again_is_the_same_events(house: House, kind: str) -> None:
    await set_up(house, kind)
    body, headers = first(kind)
    for _ in range(2):
        assert (await deliver(house, kind, body, **headers)).status_code == 200
    found = await events(house)
    once = found[: len(found) // 2]
    assert [(event["id"], event["fingerprint"]) for event in once] == [
        (event["id"], event["fingerprint"]) for event in found[len(once) :]
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_only_who_knows_the_secret_is_heard(house: House, kind: str) -> None:
    await set_up(house, kind)
    body, headers = first(kind)
    (name, *_) = right = signed(kind, body, url(kind), AT)
    wrong_secret = signed(kind, body, url(kind), AT, key="another secret") if kind != "sendgrid" else {name: "MAo="}
    attempts = [
        wrong_secret,
        {name: "-"},
        {name: ""},
        {name: right[name][:-1]},
        {name: right[name] + "0"},
    ]
    for attempt in attempts:
        answer = await deliver(house, kind, body, **headers, **attempt)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature"), attempt
    if kind != "postmark":  # who sends the secret itself signs no body
        assert (await deliver(house, kind, body + b" ", **headers, **right)).status_code == 401
    assert await events(house) == await house.letters() == []
    metrics = house.context.metrics.text().decode()
    counted = len(attempts) + (kind != "postmark")
    assert f'cartera_webhooks_total{{outcome="refused",source="my-{kind}"}} {counted}.0' in metrics
    assert (await deliver(house, kind, body, **headers)).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(-300, 200), (300, 200), (-301, 401), (301, 401)])
@pytest.mark.parametrize("kind", ["stripe", "standard"])
async def test_a_signed_time_is_at_most_five_minutes_away(house: House, kind: str, seconds: int, status: int) -> None:
    if kind == "stripe":
        await set_up(house, kind)
    else:
        rule = {"type": "call.completed", "id": "$.id", "fields": {"customer.phone": "$.phone"}}
        await set_up(house, kind, kind="generic", mapping=[rule])
    body = b'{"id":"1","phone":"+34600000001"}' if kind == "standard" else first(kind)[0]
    headers = signed(kind, body, url(kind), AT + seconds)
    assert (await deliver(house, kind, body, **headers)).status_code == status


async def test_twilio_signs_the_whole_address(house: House) -> None:
    await set_up(house, "twilio")
    body, _ = first("twilio")
    headers = {
        **signed("twilio", body, url("twilio") + "?shop=1", AT),
        "content-type": "application/x-www-form-urlencoded",
    }
    for query, status in (("?shop=1", 200), ("?shop=2", 401), ("", 401)):
        answer = await house.client.post(f"/v1/sources/my-twilio/events{query}", content=body, headers=headers)
        assert answer.status_code == status


async def test_postmark_may_send_the_secret_in_a_header(house: House) -> None:
    await set_up(house, "postmark")
    body, _ = first("postmark")
    for text, status in ((senders.secret("postmark"), 200), ("no", 401)):
        headers = {"authorization": "", "x-webhook-secret": text}
        assert (await deliver(house, "postmark", body, **headers)).status_code == status


@pytest.mark.parametrize("kind", ["whatsapp", "messenger"])
async def test_the_challenge_of_meta(house: House, kind: str) -> None:
    await set_up(house, kind)
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": senders.TOKEN}
    answer = await house.client.get(f"/v1/sources/my-{kind}/events", params=query, headers={"authorization": ""})
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    wrong = await house.client.get(f"/v1/sources/my-{kind}/events", params={**query, "hub.verify_token": "x"})
    assert wrong.status_code == 403
    await set_up(house, "stripe")
    assert (await house.client.get("/v1/sources/my-stripe/events", params=query)).status_code == 405


async def test_one_bad_event_of_an_array_holds_up_no_other(house: House) -> None:
    await set_up(house, "sendgrid")
    items = sample("sendgrid-events")["payload"][:4]
    items[2] = {**items[2], "email": "nobody"}
    items[3] = {**items[3], "timestamp": "soon"}
    answer = await deliver(house, "sendgrid", senders.body_of("sendgrid", items))
    assert answer.json() == {"accepted": 1, "rejected": 2, "ignored": 1}
    letters = {letter["code"]: letter for letter in await house.letters(source="my-sendgrid")}
    assert letters["invalid_event"]["errors"][0]["pointer"] == "/data/customer"
    assert letters["unmapped"]["errors"] == [
        {"detail": "what the payload has for this is no number", "pointer": "/time"}
    ]
    assert letters["unmapped"]["original"] == {"webhook": "my-sendgrid", "headers": {}, "body": [items[3]]}
    assert letters["invalid_event"]["original"]["customers"] == [{"email": "nobody"}]


async def test_one_bad_event_of_a_whole_holds_up_no_other(house: House) -> None:
    await set_up(house, "whatsapp")
    payload = sample("whatsapp-messages")["payload"]
    first, second, third = payload["entry"][0]["changes"][0]["value"]["messages"]
    first["timestamp"] = "soon"
    second["timestamp"] = "99999999999"  # the year 5138
    answer = await deliver(house, "whatsapp", senders.body_of("whatsapp", payload))
    assert answer.json() == {"accepted": 1, "rejected": 1, "ignored": 0}
    assert [event["id"] for event in await events(house)] == [third["id"]]
    (letter,) = await house.letters()
    assert letter["code"] == "unmapped"
    assert [fault["pointer"] for fault in letter["errors"]] == ["/time", "/time"]
    assert letter["original"]["body"] == payload
    replayed = await house.client.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert replayed.status_code == 422
    assert len(await events(house)) == 1


async def test_a_letter_is_mapped_again_when_the_mapping_is_mended(house: House) -> None:
    rule = {"type": "call.completed", "id": "$.id", "fields": {"customer.phone": "$.telephone", "call_id": "$.id"}}
    await set_up(house, "standard", kind="generic", mapping=[{**rule, "headers": {"X-Kind": "call"}}])
    body = b'{"id": "7", "phone": "+34600000001"}'
    answer = await deliver(house, "standard", body, **{"X-Kind": "call"})
    assert answer.json() == {"accepted": 0, "rejected": 1, "ignored": 0}
    (letter,) = await house.letters()
    assert letter["original"]["headers"] == {"x-kind": "call"}
    replay = f"/v1/dead-letters/{letter['id']}/replay"
    assert (await house.client.post(replay)).json()["code"] == "invalid_event"
    mended = {**rule, "headers": {"x-kind": "call"}, "fields": {"customer.phone": "$.phone", "call_id": "$.id"}}
    put = await house.client.put("/v1/sources/my-standard", json={"kind": "generic", "mapping": [mended]})
    assert put.status_code == 200, put.text
    for _ in range(2):
        assert (await house.client.post(replay)).json()["state"] == "replayed"
    (event,) = await events(house)
    assert (event["id"], event["source"], event["receivedat"]) == ("7", "my-standard", "2026-11-20T10:15:03Z")


async def test_a_body_that_is_no_json_is_told_and_kept(house: House) -> None:
    await set_up(house, "stripe")
    answer = await deliver(house, "stripe", b"{")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert [letter["source"] for letter in await house.letters(code="invalid_json")] == ["my-stripe"]


async def test_a_log_that_is_away_lets_the_sender_try_again(house: House) -> None:
    await set_up(house, "stripe")
    await house.log.close()
    answer = await deliver(house, "stripe", first("stripe")[0])
    assert answer.status_code == 503
    assert await house.letters() == []


async def test_there_is_no_door_without_a_document(house: House) -> None:
    assert (await deliver(house, "stripe", b"{}")).status_code == 404
    await house.client.put("/v1/sources/my-stripe", json={"kind": "events"})
    assert (await deliver(house, "stripe", b"{}")).status_code == 404


NAMES = [
    ("twilio", "phone", "+34600000001", {"Timestamp": "soon"}),
    ("shopify", "email", "ana@example.com", {"total_price": "-1"}),
    ("stripe", "email", "ana@example.com", {"id": None}),
    ("messenger", "chat_handle", "messenger:6254910000000001", {}),
]


@pytest.mark.parametrize(("kind", "identifier", "value", "change"), NAMES)
async def test_a_kept_part_is_found_when_its_customer_is_erased(
    house: House, kind: str, identifier: str, value: str, change: dict[str, Any]
) -> None:
    """Vendors have their own names for members, and a form has none at all."""
    await set_up(house, kind, mode="strict")
    name = next(name for name in SAMPLES if name.startswith(kind) and sample(name)["events"])
    payload = {**sample(name)["payload"], **change}
    if kind == "messenger":
        payload["entry"][0]["messaging"][0]["message"]["text"] = "x" * 20_001
    answer = await deliver(house, kind, senders.body_of(kind, payload), **sample(name)["headers"])
    assert answer.json()["rejected"] == 1, answer.text
    with transaction(house.context.engine) as connection:
        assert store.forget(connection, {digest_of(Identifier(identifier, "somebody else"))}) == 0
        assert store.forget(connection, {digest_of(Identifier(identifier, value))}) == 1
    assert await house.letters() == []


async def test_a_posted_event_cannot_pass_for_a_delivery(house: House) -> None:
    """Whoever may post could write what a kept part looks like; nobody's signature stands behind it."""
    rule = {"type": "call.completed", "id": "$.id", "fields": {"customer.phone": "$.phone"}}
    await set_up(house, "standard", kind="generic", mapping=[rule])
    forged = {"webhook": "my-standard", "headers": {}, "body": {"id": "1", "phone": "+34600000001"}}
    assert (await house.post(forged)).status_code == 422
    (letter,) = await house.letters()
    replayed = await house.client.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert (replayed.status_code, replayed.json()["code"]) == (422, "invalid_envelope")
    assert await events(house) == []
