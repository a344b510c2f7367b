"""A shop's webhook on the running platform: set up by REST, signed by its sender, on the timeline of the customer."""

import json
from collections.abc import Callable

import httpx
import pytest

from tests.contract.webhook_senders import document, sample, signed
from tests.system.house import House, eventually


@pytest.mark.both_modes
def test_a_paid_order_reaches_the_timeline(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    assert house.ask("PUT", "/v1/sources/shop", document("shopify")).status_code == 201
    recorded = sample("shopify-order-paid")
    body = json.dumps(recorded["payload"]).encode()
    url = f"{house.url}/v1/sources/shop/events"
    headers = {"content-type": "application/json", **recorded["headers"], **signed("shopify", body, url, 0)}
    assert httpx.post(url, content=body + b" ", headers=headers).status_code == 401
    for _ in range(2):
        answer = httpx.post(url, content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "rejected": 0, "ignored": 0})

    def bought() -> str:
        (profile,) = house.get("/v1/profiles", email="ana@example.com")["profiles"]
        events = house.get(f"/v1/profiles/{profile['profile_id']}/timeline")["events"]
        assert [(event["source"], event["id"]) for event in events] == [("shop", "order/450789469")]
        count: str = profile["purchases"]["revenue"]["EUR"]
        return count

    assert eventually(bought) == "160.87"  # 199.65 less tax and shipping
    assert 'cartera_webhooks_total{outcome="refused",source="shop"} 1.0' in httpx.get(f"{house.url}/metrics").text
    assert house.get("/health/ready")["checks"]["ingest:quarantine"][0]["status"] == "pass"
    assert house.stop() == 0
