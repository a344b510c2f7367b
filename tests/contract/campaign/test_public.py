"""The public pages: unsubscribing without a key."""

from datetime import timedelta
from email import policy as policies
from email.parser import BytesParser
from typing import Any

import httpx

from shared.events.interactions import DECODERS
from shared.events.profiles import Consent
from tests.contract.campaign.house import NOON, House, change_of, files, opt_outs, record_of


async def test_unsubscribing(house: House, web: httpx.AsyncClient) -> None:
    house.apply(record_of(), change_of())
    house.send()
    mail = BytesParser(policy=policies.default).parsebytes(files(house)[0].read_bytes())
    path = mail["list-unsubscribe"].strip("<>").removeprefix("https://e.example")
    page = await web.get(path, headers={"Authorization": ""})
    assert page.status_code == 200
    assert await opt_outs(house) == []
    for _ in range(2):
        done = await web.post(path, data={"List-Unsubscribe": "One-Click"}, headers={"Authorization": ""})
        assert done.status_code == 200
        house.now += timedelta(seconds=1)
    first, second = await opt_outs(house)
    assert (first.id, first.fingerprint) == (second.id, second.fingerprint)
    payload: Any = DECODERS["consent.changed"].decode(first.data)
    assert (payload.channel, payload.status, payload.purpose) == ("email", "denied", "marketing")
    assert payload.customer == {"customer_id": "C1", "email": "c1@example.com"}
    denied = Consent("denied", "marketing", NOON)
    house.apply(record_of(version=2, consents={"email": denied}))
    await web.post(path)
    assert len(await opt_outs(house)) == 2
    again = Consent("granted", "marketing", NOON + timedelta(hours=1))
    house.apply(record_of(version=3, consents={"email": again}))
    await web.post(path)
    assert (await opt_outs(house))[2].id != first.id
    assert (await web.post("/u/nonsense")).status_code == 200
