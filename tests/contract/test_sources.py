"""Documents of sources: put, shown without their secrets, refused with a place; and how strictly events are taken."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.ingest.service import SERVICE
from tests.conftest import Opener
from tests.contract import webhook_senders as senders
from tests.contract.entrance_house import House, opened, purchase
from tests.contract.webhook_senders import document

RULE = {"type": "call.completed", "id": "$.id", "fields": {"customer.phone": "$.phone"}}


@pytest.fixture
async def house(database: Opener, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database(SERVICE), tmp_path, {}) as found:
        yield found


async def test_a_source_is_put_shown_replaced_and_removed(house: House) -> None:
    put = await house.client.put("/v1/sources/shop", json=document("shopify"))
    shown = {
        "name": "shop",
        "kind": "shopify",
        "mode": "lenient",
        "secret_set": True,
        "path": "/v1/sources/shop/events",
    }
    assert (put.status_code, put.json()) == (201, shown)
    assert (await house.client.get("/v1/sources/shop")).json() == shown
    replaced = await house.client.put("/v1/sources/shop", json={"kind": "shopify", "mode": "strict"})
    assert (replaced.status_code, replaced.json()) == (200, {**shown, "mode": "strict"})
    await house.client.put("/v1/sources/shop%2Fmadrid", json={"kind": "events"})
    listed = (await house.client.get("/v1/sources")).json()
    assert [row["name"] for row in listed["sources"]] == ["shop", "shop/madrid"]
    assert senders.secret("shopify") not in json.dumps(listed)
    page = (await house.client.get("/v1/sources", params={"limit": "1"})).json()
    rest = (await house.client.get("/v1/sources", params={"cursor": page["next_cursor"]})).json()
    assert ([row["name"] for row in rest["sources"]], rest["next_cursor"]) == (["shop/madrid"], None)
    assert (await house.client.delete("/v1/sources/shop/madrid")).status_code == 204
    assert (await house.client.delete("/v1/sources/shop/madrid")).status_code == 404
    assert (await house.client.get("/v1/sources/shop/madrid")).status_code == 404


async def test_a_secret_is_never_shown_and_stays_until_it_is_replaced(house: House) -> None:
    await house.client.put("/v1/sources/wa", json=document("whatsapp"))
    answer = await house.client.put("/v1/sources/wa", json={"kind": "whatsapp"})
    assert answer.json()["secret_set"] is answer.json()["verify_token_set"] is True
    assert senders.secret("whatsapp") not in answer.text
    assert senders.TOKEN not in answer.text
    other = await house.client.put("/v1/sources/wa", json={"kind": "shopify"})
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/secret")


WRONG: list[tuple[str, Any, str]] = [
    ("shop", [], ""),
    ("shop", {}, ""),
    ("shop", {"kind": "fax"}, "/kind"),
    ("shop", {"kind": "shopify"}, "/secret"),
    ("shop", {"kind": "shopify", "secret": "s", "name": "other"}, "/name"),
    ("shop", {"kind": "shopify", "secret": "s", "colour": "red"}, ""),
    ("shop", {"kind": "shopify", "secret": 5}, "/secret"),
    ("shop", {"kind": "shopify", "secret": "s", "mode": "harsh"}, "/mode"),
    ("shop", {"kind": "shopify", "secret": "s", "format": "form"}, "/format"),
    ("a/b", {"kind": "shopify", "secret": "s"}, "/name"),
    ("shop", {"kind": "sendgrid", "secret": "s"}, "/secret"),
    ("shop", {"kind": "generic", "secret": "c2VjcmV0"}, "/mapping"),
    ("shop", {"kind": "generic", "secret": "not base64!", "mapping": [RULE]}, "/secret"),
    ("shop", {"kind": "generic", "secret": "s", "signature": {"scheme": "hmac"}, "mapping": [RULE]}, "/signature"),
    ("shop", {"kind": "events", "secret": "s"}, "/secret"),
    ("x" * 257, {"kind": "events"}, "/name"),
]


@pytest.mark.parametrize(("name", "body", "place"), WRONG)
async def test_a_wrong_document_is_refused_with_its_place(house: House, name: str, body: Any, place: str) -> None:
    answer = await house.client.put(f"/v1/sources/{name}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_source")
    assert answer.json()["errors"][0]["pointer"] == place
    assert (await house.client.get("/v1/sources")).json()["sources"] == []


async def test_a_wrong_mapping_is_refused_with_its_place(house: House) -> None:
    mapping = [RULE, {**RULE, "fields": {"customer.email": {"path": "$.mail["}}}]
    body = {"kind": "generic", "secret": "c2VjcmV0", "mapping": mapping}
    answer = await house.client.put("/v1/sources/erp", json=body)
    assert answer.json()["errors"][0]["pointer"] == "/mapping/1/fields/customer.email/path"


async def test_who_may_see_and_change_sources(house: House) -> None:
    write, none = {"authorization": "Bearer write-key"}, {"authorization": ""}
    for headers, status in ((write, 403), (none, 401)):
        assert (await house.client.get("/v1/sources", headers=headers)).status_code == status
        assert (await house.client.put("/v1/sources/a", json={}, headers=headers)).status_code == status
        assert (await house.client.delete("/v1/sources/a", headers=headers)).status_code == status
        assert (await house.client.post("/v1/sources/a/release", headers=headers)).status_code == status
    for path in ("/v1/schemas", "/v1/schemas/purchase.completed"):
        assert (await house.client.get(path, headers=none)).status_code == 401
        assert (await house.client.get(path, headers=write)).status_code == 200


async def test_lenient_marks_and_strict_rejects_what_goes_against_the_schema(house: House) -> None:
    lax = purchase(1, total=" 5 ", currency="eur", colour="red")
    assert (await house.post(lax)).status_code == 202
    await house.client.put("/v1/sources/shop", json={"kind": "events", "mode": "lenient"})
    assert (await house.post(lax)).status_code == 202
    await house.client.put("/v1/sources/shop", json={"kind": "events", "mode": "strict"})
    answer = await house.post([lax, purchase(2, colour="red"), {**lax, "source": "other"}])
    outcome = answer.json()
    assert (outcome["accepted"], outcome["rejected"]) == (2, 1)
    assert outcome["results"][0]["code"] == "schema_violation"
    assert [fault["pointer"] for fault in outcome["results"][0]["errors"]] == ["/data/currency", "/data/total"]
    before, marked, *_ = [json.loads(record.value or b"") for record in await house.topic("interactions")]
    assert marked == {**before, "violations": "/data/currency /data/total"}
    assert marked["data"]["colour"] == "red"
    (letter,) = await house.letters()
    path = f"/v1/dead-letters/{letter['id']}"
    assert (await house.client.post(f"{path}/replay")).json()["code"] == "schema_violation"
    assert (await house.client.put(path, json=lax)).status_code == 422
    await house.client.delete("/v1/sources/shop")
    assert (await house.client.post(f"{path}/replay")).json()["state"] == "replayed"


async def test_the_schemas_are_published(house: House) -> None:
    listed = (await house.client.get("/v1/schemas")).json()
    assert listed["schemas"][0] == {
        "type": "purchase.completed",
        "version": 1,
        "id": "urn:cartera:schema:purchase.completed:1",
        "path": "/v1/schemas/purchase.completed",
    }
    answer = await house.client.get("/v1/schemas/call.completed")
    assert answer.headers["content-type"] == "application/schema+json"
    file = Path(__file__).parents[2] / "docs/schemas/call.completed/1.json"
    assert answer.json() == json.loads(file.read_text("utf-8"))
    assert (await house.client.get("/v1/schemas/dream")).status_code == 404
