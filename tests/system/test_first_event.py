"""The first minute of a new user: an event in, a customer, a class, a why; what is wrong comes back with a reason."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.system.house import House, eventually

pytestmark = pytest.mark.both_modes


def purchase(number: str, customer: str, at: datetime, total: str = "49.90", **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": number,
        "source": "shop/madrid",
        "type": "purchase.completed",
        "time": at.isoformat(),
        "data": {"customer": {"customer_id": customer, **more}, "order_id": number, "currency": "EUR", "total": total},
    }


def now() -> datetime:
    return datetime.now(UTC)


def test_an_event_is_in_record_timeline_and_class_within_a_second(house: House) -> None:
    started = time.monotonic()
    answer = house.post(purchase("1001", "C-17", now(), email="ana@example.com", phone="+34600000001"))
    assert answer.status_code == 202
    assert answer.json()["results"] == [{"index": 0, "id": "1001", "status": "accepted"}]
    record = eventually(lambda: house.get("/v1/profiles", email="ANA@example.com")["profiles"])[0]
    classes = eventually(lambda: house.get(f"/v1/profiles/{record['profile_id']}/classes")["classes"])
    assert time.monotonic() - started < 5, "live, it takes some tens of milliseconds"
    assert record["purchases"]["count"] == 1
    assert record["purchases"]["revenue"] == {"EUR": "49.90"}
    assert classes["status"]["class"] == "active"
    assert "purchases_count" in classes["status"]["explanation"]["text"]
    timeline = house.get(f"/v1/profiles/{record['profile_id']}/timeline")["events"]
    assert [event["id"] for event in timeline] == ["1001"]
    assert timeline[0]["data"]["order_id"] == "1001"
    history = house.get(f"/v1/profiles/{record['profile_id']}/classes/history")["changes"]
    first = next(change["data"] for change in history if change["data"]["segmentation"] == "status")
    assert (first["from"], first["to"], first["version"], first["cause"]) == (None, "active", 1, "event")
    assert first["cause_event"] == {"source": "shop/madrid", "id": "1001", "type": "purchase.completed"}


def test_the_same_event_again_counts_once_and_another_content_counts(house: House) -> None:
    event = purchase("2001", "C-twice", now())
    for _ in range(3):
        assert house.post(event).status_code == 202
    other = {**event, "data": {**event["data"], "total": "10.00"}}
    assert house.post([event, other]).status_code == 202
    record = eventually(lambda: [p for p in _find(house, "C-twice") if p["purchases"]["count"] == 2])[0]
    assert record["purchases"]["revenue"] == {"EUR": "59.90"}
    time.sleep(0.5)
    assert _find(house, "C-twice")[0]["purchases"]["count"] == 2


def _find(house: House, customer: str) -> list[Any]:
    found: list[Any] = house.get("/v1/profiles", customer_id=customer)["profiles"]
    return found


def test_a_malformed_event_answers_with_its_error_and_lies_in_the_dead_letters(house: House) -> None:
    good, bad = purchase("3001", "C-good", now()), purchase("3002", "C-bad", now(), total="many")
    answer = house.post([good, bad])
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (1, 1)
    assert body["results"][1]["errors"][0]["pointer"] == "/data/total"
    letters = eventually(lambda: house.get("/v1/dead-letters")["dead_letters"])
    letter = next(one for one in letters if one["source"] == "shop/madrid")
    assert letter["original"] == bad
    assert letter["state"] == "open"
    refused = house.post(purchase("3003", "C-bad", now(), total="none"))
    assert refused.status_code == 422
    assert refused.headers["content-type"].startswith("application/problem+json")


def test_nobody_gets_in_without_a_key_and_the_write_key_reads_nothing(house: House) -> None:
    assert httpx.get(house.url + "/v1/profiles?q=a").status_code == 401
    assert httpx.post(house.url + "/v1/events", json={}).status_code == 401
    assert httpx.get(house.url + "/v1/profiles?q=a", headers=house.bearer("write")).status_code == 403
    wrong = {"Authorization": f"Bearer {house.key('write')[:-1]}x"}
    assert httpx.post(house.url + "/v1/events", json={}, headers=wrong).status_code == 401


def test_time_alone_changes_classes_each_at_its_own_moment(house: House) -> None:
    definition = {
        "segmentation": "seconds",
        "classes": [
            {"name": "fresh", "when": "days_since_last_purchase < 0.00004"},
            {"name": "stale", "when": "purchases_count >= 1"},
        ],
    }
    assert house.ask("PUT", "/v1/segmentations/seconds", definition).status_code == 201
    begun = now()
    events = [purchase(f"s{n}", f"S-{n}", begun + timedelta(milliseconds=n)) for n in range(-1000, 0)]
    assert house.post(events).status_code == 202
    changes = eventually(lambda: _stale(house, 1000), 30)
    assert len(changes) == 1000
    dues = {change["data"]["customer"]["customer_id"]: change["time"] for change in changes}
    for event in events:
        due = datetime.fromisoformat(event["time"]) + timedelta(milliseconds=3456)
        told = datetime.fromisoformat(dues[event["data"]["customer"]["customer_id"]])
        assert abs(told - due.replace(microsecond=due.microsecond // 1000 * 1000)) < timedelta(microseconds=1)


def _stale(house: House, wanted: int) -> list[Any]:
    found, cursor = [], None
    while True:
        page = house.get("/v1/segment-changes", limit=1000, **({"after": cursor} if cursor else {}))
        found += [c for c in page["changes"] if _is_stale(c["data"])]
        if len(page["changes"]) < 1000:
            break
        cursor = page["next_cursor"]
    assert len(found) >= wanted
    assert all(change["data"]["cause"] == "time" for change in found)
    return found


def _is_stale(change: Any) -> bool:
    named = change["customer"]["customer_id"].startswith("S-")
    return change["segmentation"] == "seconds" and change["to"] == "stale" and named


def test_health_and_metrics_tell_the_truth(house: House) -> None:
    ready = house.get("/health/ready")
    assert ready["status"] == "pass"
    assert {"log:reachable", "profile:database", "segment:consumer"} <= set(ready["checks"])
    eventually(lambda: "cartera_timers_due 0.0" in httpx.get(house.url + "/metrics").text)
    metrics = httpx.get(house.url + "/metrics").text
    assert 'cartera_events_total{outcome="applied",service="profile",type="purchase.completed"}' in metrics
    assert "cartera_lag_records" in metrics
    assert re.search(r'cartera_class_changes_total\{cause="time",segmentation="seconds"\} 1\d\d\d', metrics)
    assert re.search(r'cartera_messages_total\{channel="\w+",state="\w+"\} \d', metrics)
    assert re.search(r"cartera_timers_late_seconds_count [1-9]", metrics)
    assert json.dumps("ana@example.com") not in house.printed()
