"""The public pages: unsubscribing without a key."""

from datetime import timedelta
from email import policy as policies
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from shared.events.envelope import Event, encode
from shared.events.interactions import DECODERS
from shared.events.outgoing import Outgoing
from shared.events.profiles import Consent
from shared.events.times import to_ms
from shared.log import Position, Told, TopicPartition
from tests.contract.campaign.house import NOON, House, change_of, files, record_of, said_to_log, web_of


async def link(house: House, **given: Any) -> str:
    """The path of the unsubscribe link in the mail that a customer with this record gets."""
    house.apply(record_of(**given), change_of(time=given.get("time", NOON)))
    house.send()
    mail = BytesParser(policy=policies.default).parsebytes(files(house)[0].read_bytes())
    return str(mail["list-unsubscribe"]).strip("<>").removeprefix("https://e.example")


async def test_unsubscribing(house: House, web: httpx.AsyncClient) -> None:
    path = await link(house)
    page = await web.get(path, headers={"Authorization": ""})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<form" in page.text
    assert await said_to_log(house) == []
    for _ in range(2):
        done = await web.post(path, data={"List-Unsubscribe": "One-Click"}, headers={"Authorization": ""})
        assert done.status_code == 200
        assert "You are unsubscribed" in done.text
        house.now += timedelta(seconds=1)
    first, second = await said_to_log(house)
    assert (first.id, first.fingerprint) == (second.id, second.fingerprint)
    payload: Any = DECODERS["consent.changed"].decode(first.data)
    assert (payload.channel, payload.status, payload.purpose) == ("email", "denied", "marketing")
    assert payload.customer == {"customer_id": "C1"}
    denied = Consent("denied", "marketing", NOON)
    house.apply(record_of(version=2, consents={"email": denied}))
    await web.post(path)
    assert len(await said_to_log(house)) == 2
    again = Consent("granted", "marketing", NOON + timedelta(hours=1))
    house.apply(record_of(version=3, consents={"email": again}))
    await web.post(path)
    assert (await said_to_log(house))[2].id != first.id
    for answer in (await web.get("/u/nonsense"), await web.post(f"{path}x"), await web.post("/u/nonsense")):
        assert (answer.status_code, "text/html" in answer.headers["content-type"]) == (404, True)
    assert len(await said_to_log(house)) == 3


async def test_an_opt_out_is_later_than_the_grant_it_overrides(house: House, web: httpx.AsyncClient) -> None:
    granted = Consent("granted", "marketing", NOON + timedelta(minutes=5))
    await web.post(await link(house, consents={"email": granted}))
    (said,) = await said_to_log(house)
    assert said.time == NOON + timedelta(minutes=5, milliseconds=1)
    assert said.receivedat == NOON


async def test_an_opt_out_is_dated_by_the_clock_of_the_events(engine: Engine, tmp_path: Path) -> None:
    house = House(engine, tmp_path, clock="events")
    latest = NOON + timedelta(days=400)
    place = TopicPartition("interactions", 0)
    noise = encode(Event(specversion="1.0", id="1", source="shop", type="interest.shown", time=latest))
    await house.log.append(
        [Outgoing("interactions", "k", noise)], Told("profile", {place: Position(1, 0, to_ms(latest))})
    )
    async with web_of(house, tmp_path) as web:
        await web.post(await link(house))
        (said,) = (await said_to_log(house))[1:]
    assert said.time == latest


async def test_a_denial_of_another_purpose_is_none_of_marketing(house: House, web: httpx.AsyncClient) -> None:
    path = await link(house)
    house.apply(record_of(version=2, consents={"email": Consent("denied", "research", NOON)}))
    await web.post(path)
    assert len(await said_to_log(house)) == 1
