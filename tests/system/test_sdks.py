"""The real libraries of Segment and RudderStack against the running platform, and what each does when it is refused."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rudderstack.analytics.client as rudder
import segment.analytics.client as segment

from shared.runtime.web.problems import Problem
from tests.system.gate import Gate, gates
from tests.system.house import House, eventually

FOLDER = Path(__file__).parent / "sdk"
CUSTOMERS = 12
RETRIES = 2
LONG_AGO = datetime(2024, 2, 29, 12, 30, 0, 500_000, UTC)
TIMES = timedelta(seconds=20)
"""How far the correction of clocks may move a time on a machine that is busy."""

Call = tuple[str, dict[str, Any]]
Sending = Callable[[Sequence[tuple[str, str, Sequence[Call]]]], list[list[str]]]


def calls_of(customer: str) -> list[Call]:
    """One call of every kind for one customer, in the field names of the Node libraries."""
    who = {"userId": customer, "anonymousId": f"{customer}-device"}
    order = {"order_id": f"{customer}-order", "total": 12.5, "tax": 2.5, "currency": "EUR"}
    return [
        ("identify", {**who, "traits": {"email": f"{customer}@example.com", "firstName": "Zoë 🛍"}}),
        ("track", {**who, "event": "Order Completed", "properties": order, "timestamp": LONG_AGO.isoformat()}),
        ("track", {**who, "event": "Dreamt", "properties": {"of": [1, {"é": None}]}}),
        ("page", {**who, "name": "Home", "properties": {"url": "https://example.com/"}}),
        ("screen", {**who, "name": "Start", "properties": {}}),
        ("group", {**who, "groupId": "G-1", "traits": {"name": "Acme"}}),
        ("alias", {"userId": customer, "previousId": f"{customer}-before"}),
    ]


def _python(client: Any, calls: Sequence[Call]) -> None:
    """Calls by the Python libraries' own names."""
    for verb, call in calls:
        given = {_snake(name): value for name, value in call.items()}
        if "timestamp" in given:
            given["timestamp"] = datetime.fromisoformat(given["timestamp"])
        assert getattr(client, verb)(**given)[0], "the library took it into its queue"
    client.flush()
    client.shutdown()


def _snake(name: str) -> str:
    return {"userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id", "previousId": "previous_id"}.get(
        name, name
    )


def _send_python(module: Any, **more: Any) -> Sending:
    def send(tasks: Sequence[tuple[str, str, Sequence[Call]]]) -> list[list[str]]:
        errors: list[list[str]] = [[] for _ in tasks]
        for number, (host, key, calls) in enumerate(tasks):

            def note(error: Exception, _: object, into: list[str] = errors[number]) -> None:
                into.append(str(error))

            client = module.Client(key, host=host, max_retries=RETRIES, on_error=note, upload_interval=0.1, **more)
            _python(client, calls)
        return errors

    return send


def _send_node(library: str) -> Sending:
    def send(tasks: Sequence[tuple[str, str, Sequence[Call]]]) -> list[list[str]]:
        told = [
            {"library": library, "host": host, "key": key, "calls": calls, "retries": RETRIES}
            for host, key, calls in tasks
        ]
        done = subprocess.run(
            ["node", "send.mjs"],
            input=json.dumps(told),
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        answers: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
        return answers

    return send


SENDING: dict[str, Sending] = {
    "segment-python": _send_python(segment),
    "segment-python-gzip": _send_python(segment, gzip=True),
    "rudder-python": _send_python(rudder),
    "rudder-python-plain": _send_python(rudder, gzip=False),
    "segment-node": _send_node("segment"),
    "rudder-node": _send_node("rudder"),
}


def _need_node() -> None:
    """The Node libraries in the versions of the lock file, installed once. Skips where that cannot be."""
    stamp = FOLDER / "node_modules" / ".package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= (FOLDER / "package-lock.json").stat().st_mtime:
        return
    reason = "node and npm are not installed"
    if shutil.which("node") and shutil.which("npm"):
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode == 0:
            return
        reason = f"npm ci failed: {done.stderr.strip()[-300:]}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(f"the Node libraries: {reason}")


@pytest.fixture(params=SENDING)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name.endswith("node"):
        _need_node()
    return name


def test_every_event_of_every_library_arrives_once(house: House, library: str) -> None:
    names = [f"{library}-{number}" for number in range(CUSTOMERS)]
    calls = [call for name in names for call in calls_of(name)]
    began = datetime.now(UTC)
    errors = SENDING[library]([(house.url, house.key("write"), calls)])
    assert errors == [[]]
    for name in names:
        eventually(partial(_is_complete, house, name, began))
    assert house.get("/v1/dead-letters")["dead_letters"] == []


def _found(house: House, customer: str) -> Any:
    return house.get("/v1/profiles", customer_id=customer)["profiles"]


def _is_complete(house: House, name: str, began: datetime) -> bool:
    (record,) = house.get("/v1/profiles", customer_id=name)["profiles"]
    events = house.get(f"/v1/profiles/{record['profile_id']}/timeline")["events"]
    kinds = sorted(event["type"] for event in events)
    assert kinds == sorted(
        ["customer.identified", "purchase.completed", *["interest.shown"] * 3, "customer.grouped", "customer.linked"]
    )
    assert len({event["id"] for event in events}) == len(events)
    identifiers = {(known["kind"], known["value"]) for known in record["identifiers"]}
    assert {
        ("customer_id", name),
        ("device_id", f"{name}-device"),
        ("device_id", f"{name}-before"),
        ("email", f"{name}@example.com"),
    } <= identifiers
    assert record["traits"]["first_name"] == "Zoë 🛍"
    assert (record["purchases"]["count"], record["purchases"]["revenue"]) == (1, {"EUR": "10.00"})
    _check_times(events, began)
    return True


def _check_times(events: list[dict[str, Any]], began: datetime) -> None:
    for event in events:
        happened = datetime.fromisoformat(event["time"])
        wanted = LONG_AGO if event["type"] == "purchase.completed" else began
        assert abs(happened - wanted) < TIMES, event
    dreamt = next(event["data"] for event in events if event["data"].get("event") == "Dreamt")
    assert dreamt["properties"] == {"of": [1, {"é": None}]}


def refusal(status: int, code: str, **headers: str) -> Problem:
    return Problem(
        status, code, "refused by the gate", headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


PERMANENT = [
    refusal(400, "invalid_json"),
    refusal(401, "invalid_write_key"),
    refusal(403, "source_disabled"),
    refusal(413, "payload_too_large"),
    refusal(415, "unsupported_encoding"),
]
PASSING = [refusal(429, "rate_limited", Retry_After="1"), refusal(503, "unavailable", Retry_After="1")]


def test_what_is_refused_for_good_is_not_sent_again(house: House, library: str) -> None:
    with gates(house.url, [[problem] for problem in PERMANENT]) as opened:
        errors = SENDING[library](_one_each(house, library, opened, "for-good"))
        time.sleep(0.2)
        assert {problem.status_code: len(gate.seen) for problem, gate in zip(PERMANENT, opened, strict=True)} == {
            problem.status_code: 1 for problem in PERMANENT
        }
    assert all(errors), "each library tells its user"


def test_what_passes_is_sent_again_once_and_counted_once(house: House, library: str) -> None:
    with gates(house.url, [[problem] for problem in PASSING]) as opened:
        SENDING[library](_one_each(house, library, opened, "passing"))
        eventually(lambda: all(len(gate.seen) == 2 for gate in opened))
        for problem, gate in zip(PASSING, opened, strict=True):
            assert [seen.status for seen in gate.seen] == [problem.status_code, 200]
    for number in range(len(PASSING)):
        found = eventually(partial(_found, house, f"{library}-passing-{number}"))
        assert found[0]["purchases"]["count"] == 1


def test_an_answer_that_is_lost_doubles_nothing(house: House, library: str) -> None:
    """The platform has taken the events, but the library is told 503: it sends them again with the same ids."""
    name = f"{library}-lost"
    calls = calls_of(name)[1:3]
    with gates(house.url, [[]]) as (gate,):
        SENDING[library]([(gate.url, house.key("write"), calls)])
        for seen in list(gate.seen):
            again = {"Content-Encoding": "gzip"} if seen.body[:2] == b"\x1f\x8b" else {}
            house.send_raw(seen.path, seen.body, again)
    profile = eventually(lambda: house.get("/v1/profiles", customer_id=name)["profiles"])[0]
    time.sleep(0.5)
    events = house.get(f"/v1/profiles/{profile['profile_id']}/timeline")["events"]
    assert sorted(event["type"] for event in events) == ["interest.shown", "purchase.completed"]
    assert house.get("/v1/profiles", customer_id=name)["profiles"][0]["purchases"]["count"] == 1


def _one_each(
    house: House, library: str, opened: Sequence[Gate], purpose: str
) -> list[tuple[str, str, Sequence[Call]]]:
    key = house.key("write")
    return [(gate.url, key, calls_of(f"{library}-{purpose}-{number}")[1:2]) for number, gate in enumerate(opened)]
