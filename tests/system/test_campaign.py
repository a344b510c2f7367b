"""From a purchase to a mail, from the mail back into the record and the ledger, and the way out: over HTTP alone."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.system.house import House, eventually

WHO = {"customer_id": "C-1", "email": "ana@example.com"}
CAMPAIGN = {
    "campaign": "hello",
    "on": {"segmentation": "status", "to": "active"},
    "audience": "revenue_365d >= 50 and not churned_for_price",
    "goal": {"event": "purchase.completed", "within": "30d"},
    "steps": [{"template": "hello"}],
}
TEMPLATE = {
    "template": "hello",
    "email": {
        "subject": "Hello {{ customer.traits.name }}",
        "text": "{{ survey_urls.nps }} {{ unsubscribe_url }}",
        "html": '<a href="https://shop.example/sale">Sale</a>',
    },
}


def event(kind: str, at: datetime, who: dict[str, str], **data: Any) -> dict[str, Any]:
    name = f"{kind}/{at.isoformat()}/{who['customer_id']}"
    moment = at.isoformat()
    return {
        "specversion": "1.0",
        "id": name,
        "source": "shop",
        "type": kind,
        "time": moment,
        "data": {"customer": who, **data},
    }


def purchase(at: datetime, who: dict[str, str], total: str) -> dict[str, Any]:
    return event("purchase.completed", at, who, order_id=at.isoformat(), total=total, currency="EUR")


def message(house: House, state: str) -> dict[str, Any]:
    found: dict[str, Any] = house.get("/v1/messages", campaign="hello", state=state)["messages"][0]
    return found


@pytest.mark.both_modes
@pytest.mark.parametrize("clock", ["system", "events"])
def test_a_message_and_what_comes_back_of_it(build_house: Callable[..., House], clock: str) -> None:
    house = build_house(clock, environment={"CARTERA_CLOCK": clock}).start()
    start = datetime(2020, 3, 2, 12, tzinfo=UTC) if clock == "events" else datetime.now(UTC) - timedelta(minutes=2)
    assert house.ask("PUT", "/v1/settings", {"quiet_hours": None, "consent": "opt_in"}).status_code == 200
    assert house.ask("PUT", "/v1/templates/hello", TEMPLATE).status_code == 201
    assert house.ask("PUT", "/v1/campaigns/hello", CAMPAIGN).status_code == 201
    poor = {"customer_id": "C-2", "email": "bob@example.com"}
    for who, total in ((WHO, "60.00"), (poor, "20.00")):
        house.post(event("customer.identified", start, who, traits={"name": "Ana"}))
        house.post(event("consent.changed", start + timedelta(seconds=1), who, channel="email", status="granted"))
        house.post(purchase(start + timedelta(seconds=2), who, total))
    # with the clock of the events time goes on with an event only
    house.post(purchase(start + timedelta(seconds=5), {"customer_id": "C-3"}, "1.00"))
    sent = eventually(lambda: message(house, "sent"))
    assert eventually(lambda: message(house, "refused"))["reason"] == "not_in_audience"

    mail = (house.folder / "outbox" / f"{sent['id']}.eml").read_text("utf-8")
    assert "Subject: Hello Ana" in mail
    link, survey, way_out = (re.findall(rf"{house.url}(/{kind}/[\w-]+)", mail)[0] for kind in "csu")
    assert httpx.get(house.url + link).headers["location"] == "https://shop.example/sale"
    eventually(lambda: message(house, "clicked")["id"] == sent["id"])
    assert httpx.post(house.url + survey, data={"score": "9"}).status_code == 200
    later = start + timedelta(seconds=60) if clock == "events" else datetime.now(UTC)
    house.post(purchase(later, WHO, "10.00"))
    eventually(lambda: message(house, "converted")["id"] == sent["id"])

    assert httpx.get(house.url + way_out).status_code == 200
    assert httpx.post(house.url + way_out, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    record = eventually(lambda: denied(house))
    # the shipped welcome was sent as well
    assert (record["emails"]["sent"], record["emails"]["clicked"]) == (2, 1)
    assert record["satisfaction"]["last"] == {"nps": 9.0}
    report = house.get("/v1/campaigns/hello/report")
    assert {name: report[name] for name in ("sent", "clicked", "converted")} == {
        "sent": 1,
        "clicked": 1,
        "converted": 1,
    }
    kinds = [one["state"] for one in house.get(f"/v1/messages/{sent['id']}")["history"]]
    assert kinds == ["planned", "sending", "sent", "clicked", "converted"]


def denied(house: House) -> Any:
    record = house.get("/v1/profiles", email=WHO["email"])["profiles"][0]
    return record if record["consents"]["email"]["status"] == "denied" else None
