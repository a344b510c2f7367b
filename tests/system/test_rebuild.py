"""`cartera rebuild`: from the log alone comes the same state; what differs is told, and mended while nobody looks."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.system.house import House, eventually

CUSTOMERS, EACH = 9, 20


def filled(house: House) -> None:
    """Customers with purchases, two of whom are merged, one told to have a consent, one erased."""
    for who in range(CUSTOMERS):
        customer = {"customer_id": f"C-{who}", "email": f"c{who}@example.com"}
        events = [
            {
                "specversion": "1.0",
                "id": f"{who}-{number}",
                "source": "test",
                "type": "purchase.completed",
                "data": {"customer": customer, "order_id": f"{who}-{number}", "total": 5},
            }
            for number in range(EACH)
        ]
        assert house.post(events).status_code == 202

    def profiles() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = house.get("/v1/profiles", q="example.com", limit=100)["profiles"]
        return found

    eventually(lambda: sum(one["purchases"]["count"] for one in profiles()) == CUSTOMERS * EACH)
    one, other, third, last = (profile["profile_id"] for profile in profiles()[:4])
    assert house.ask("POST", "/v1/profiles/merge", {"profile_ids": [one, other], "reason": "same"}).status_code < 300
    assert house.ask("PUT", f"/v1/profiles/{third}/consents/email", {"status": "granted"}).status_code < 300
    assert house.ask("DELETE", f"/v1/profiles/{last}").status_code == 202
    eventually(lambda: len(profiles()) == CUSTOMERS - 2)
    eventually(lambda: house.get("/v1/segmentations/status/classes")["total"] == CUSTOMERS - 2)


def rebuilt(house: House, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = house.command("rebuild", *arguments, "--json")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout or "{}")


@pytest.mark.both_modes
def test_from_the_log_comes_the_same_state(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    filled(house)
    for service in ("profile", "segment", "campaign"):
        found = eventually(lambda name=service: done if (done := rebuilt(house, name, "--check"))[0] == 0 else None)
        assert found[1]["differences"] == 0
        assert found[1]["records"] > 0
    assert house.command("rebuild", "segment").returncode == 2
    assert house.stop() == 0


def test_what_differs_is_told_and_mended(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    filled(house)
    running = house.command("rebuild", "profile")
    assert (running.returncode, running.stderr) == (
        2,
        "cartera: profile.db is in use: stop the platform, then rebuild\n",
    )
    assert house.stop() == 0
    before = sorted(path.name for path in house.folder.iterdir())
    with closing(sqlite3.connect(house.folder / "profile.db")) as connection, connection:
        connection.execute("DELETE FROM event WHERE seq = 5")
        connection.execute("UPDATE profile SET record = replace(record, '\"count\":20', '\"count\":21')")
        connection.execute("UPDATE identifier SET profile_id = 'nobody' WHERE value = 'c1@example.com'")
    code, found = rebuilt(house, "profile", "--check")
    assert code == 1
    assert {one["part"] for one in found["first"]} == {"event", "profile", "identifier"}
    assert rebuilt(house, "profile")[1]["swapped"]
    assert rebuilt(house, "profile", "--check") == (0, {**found, "differences": 0, "first": []})
    assert {name for name in before if "-" not in name} == {p.name for p in house.folder.iterdir() if "-" not in p.name}
    house.start()
    event = {"specversion": "1.0", "id": "after", "source": "test", "type": "interest.shown"}
    house.post({**event, "data": {"customer": {"customer_id": "C-new"}}})
    eventually(lambda: house.get("/v1/profiles", customer_id="C-new")["profiles"])
    assert house.stop() == 0


def test_what_was_told_is_held_against_what_is_kept(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    filled(house)
    assert house.stop() == 0
    with closing(sqlite3.connect(house.folder / "segment.db")) as connection, connection:
        connection.execute("UPDATE membership SET class = 'current' WHERE segmentation = 'status' AND class = 'active'")
    code, found = rebuilt(house, "segment", "--check")
    assert code == 1
    assert found["differences"] >= 1
    assert {one["part"] for one in found["first"]} == {"membership"}
    assert (found["first"][0]["live"], found["first"][0]["rebuilt"]) == ("current", "active")
