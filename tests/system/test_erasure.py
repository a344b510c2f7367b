"""Erased means gone from every store, topic and log, and staying gone (law L9), looked at from outside."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cramjam
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.system.house import House, eventually

WHO = {"customer_id": "CANARY-4711", "email": "canary@erased.example", "phone": "+34600999888"}
CANARIES = ("CANARY-4711", "canary@erased.example", "600999888", "Canarina")


def event(number: int, who: dict[str, str], kind: str = "purchase.completed", **data: Any) -> dict[str, Any]:
    content = {"order_id": f"o{number}", "total": "20.00", "currency": "EUR"} if kind == "purchase.completed" else {}
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "shop",
        "type": kind,
        "time": f"2026-01-01T10:{number:02d}:00Z",
        "data": {"customer": who, **content, **data},
    }


def texts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the data folder as it lies there, and every blob of every database, inflated."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield file.name, file.read_bytes()
        if file.suffix == ".db":
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                for name in names:
                    for row in connection.execute(f'SELECT * FROM "{name}"'):
                        for value in row:
                            yield f"{file.name}/{name}", inflated(value)


def inflated(value: object) -> bytes:
    if isinstance(value, bytes) and value.startswith(b"\x28\xb5\x2f\xfd"):
        return bytes(cramjam.zstd.decompress(value))
    return value if isinstance(value, bytes) else str(value).encode()


def rows_of(url: str) -> Iterator[tuple[str, bytes]]:
    """Every value of every table of a PostgreSQL database, inflated."""
    with psycopg.connect(url) as server:
        query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname <> ALL(%s)"
        for schema, table in server.execute(query, [["pg_catalog", "information_schema"]]).fetchall():
            for row in server.execute(SQL("SELECT * FROM {}").format(Identifier(schema, table))):
                for value in row:
                    yield f"{schema}/{table}", inflated(value)


def places(found: Iterable[tuple[str, bytes]]) -> set[str]:
    return {place for place, text in found if any(canary.encode() in text for canary in CANARIES)}


def places_of(house: House) -> set[str]:
    """Where something of the erased customer lies: `file/table`, or `schema/table`."""
    url = house.environment.get("CARTERA_DATABASE_URL")
    return places(texts(house.folder)) | (places(rows_of(url)) if url else set())


def customer(house: House, **name: str) -> Any:
    return house.get("/v1/profiles", **name)["profiles"]


@pytest.mark.parametrize(
    ("mode", "partitions"),
    [
        ("embedded", "1"),
        ("embedded", "3"),
        pytest.param("production", "as planned", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ],
    indirect=["mode"],
    scope="module",
)
def test_erased_means_gone_and_staying_gone(build_house: Callable[..., House], partitions: str, mode: str) -> None:
    house = build_house(environment={"CARTERA_PARTITIONS": partitions} if partitions.isdigit() else {}).start()
    house.post(event(6, {"customer_id": "B-1", "email": WHO["email"]}))
    (holder,) = eventually(lambda: customer(house, email=WHO["email"]))  # until older evidence gives it to another
    eventually(lambda: house.get(f"/v1/profiles/{holder['profile_id']}/classes")["classes"])
    alone = [event(n, WHO) for n in range(3)]
    sent = [
        *alone,
        event(4, WHO, "customer.identified", traits={"name": "Canarina"}),
        event(5, WHO, "consent.changed", channel="email", status="granted"),
        event(7, {"customer_id": "B-2"}),
        event(8, WHO, total="-1"),
    ]
    house.post(sent)
    eventually(lambda: customer(house, customer_id="B-2"))
    (known,) = eventually(lambda: customer(house, customer_id=WHO["customer_id"]))
    path = f"/v1/profiles/{known['profile_id']}"
    eventually(lambda: house.get(f"{path}/classes")["classes"])
    export = house.get(f"{path}/export")
    assert {one["id"] for one in export["events"]} == {"e0", "e1", "e2", "e4", "e5"}
    assert export["profile"]["traits"] == {"name": "Canarina"}
    found = {place.partition("/")[0].removesuffix(".db") for place in places_of(house)}
    assert {"profile", "segment", "ingest"} | ({"log"} if mode == "embedded" else set()) <= found

    assert house.ask("DELETE", path, key="write").status_code == 403
    answer = house.ask("DELETE", path)
    assert answer.status_code == 202, answer.text
    receipt = eventually(lambda: _complete(house, answer.json()["erasure_id"]), 30)
    removed = {one["store"]: one["removed"] for one in receipt["stores"]}
    assert removed["profile"] == {"identifiers": 3, "events": 5, "mentions": 1}
    assert removed["ingest"] == {"dead_letters": 1}
    assert removed["segment"]["change"] > 0
    assert removed["segment"]["mentions"] > 0
    # records on Kafka cannot be rewritten: its topics forget by retention and compaction
    assert removed["log"].get("interactions", 0) >= 6 or mode == "production"
    assert house.ask("GET", path).status_code == 404
    if url := house.environment.get("CARTERA_DATABASE_URL"):
        eventually(lambda: not places(rows_of(url)), 15)
    leaving = [
        one for one in house.get("/v1/segment-changes", limit=1000)["changes"] if one["data"]["cause"] == "erasure"
    ]
    assert leaving
    assert {one["data"]["profile_id"] for one in leaving} == {known["profile_id"]}
    assert all((one["data"]["to"], one["data"].get("customer", {})) == (None, {}) for one in leaving)
    (other,) = customer(house, customer_id="B-1")
    assert other["purchases"]["count"] == 1
    assert [one["kind"] for one in other["identifiers"]] == ["customer_id"]
    house.stop()
    assert places_of(house) == set()

    house.start()
    again = [{**one, "id": f"again-{one['id']}"} for one in alone]
    house.post([*alone, *again, event(9, {"customer_id": "B-3"})])
    eventually(lambda: customer(house, customer_id="B-3"))
    assert customer(house, email=WHO["email"]) == []
    house.post({**event(10, WHO), "time": None})
    (anew,) = eventually(lambda: customer(house, email=WHO["email"]))
    assert anew["purchases"]["count"] == 1
    assert anew["profile_id"] != known["profile_id"]
    assert house.ask("GET", path).status_code == 404
    eventually(lambda: house.get(f"/v1/profiles/{anew['profile_id']}/classes")["classes"])
    assert json.dumps(house.get("/health/ready")).count('"fail"') == 0


def _complete(house: House, erasure_id: str) -> Any:
    receipt = house.get(f"/v1/erasures/{erasure_id}")
    assert receipt["state"] == "complete", json.dumps(receipt)
    return receipt


@pytest.mark.both_modes
def test_export_and_erasure_from_the_command_line(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    house.post([event(1, WHO), event(2, {"customer_id": "B-2"})])
    eventually(lambda: customer(house, customer_id="B-2"))
    (known,) = eventually(lambda: customer(house, email=WHO["email"]))
    eventually(lambda: house.get(f"/v1/profiles/{known['profile_id']}/classes")["classes"])
    by_email = ("--email", WHO["email"])
    kept = json.loads(house.command("export", *by_email).stdout)
    assert kept.keys() == {"exported_at", "profile", "evidence", "events", "classes", "class_changes", "messages"}
    assert (kept["profile"]["profile_id"], len(kept["events"])) == (known["profile_id"], 1)
    assert {one["data"]["segmentation"] for one in kept["class_changes"]} == kept["classes"].keys()
    for wrong in ((), (*by_email, "--customer-id", "x")):
        refused = house.command("erase", *wrong)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert house.command("erase", "--customer-id", "nobody").returncode == 1
    done = house.command("erase", *by_email, "--json")
    receipt = json.loads(done.stdout)
    assert (done.returncode, receipt["state"]) == (0, "complete")
    assert {one["store"] for one in receipt["stores"]} == {"profile", "ingest", "segment", "campaign", "log"}
    shown = house.command("erase", "--customer-id", "B-2")
    assert (shown.returncode, "complete" in shown.stdout, "1 events" in shown.stdout) == (0, True, True)
    assert house.get("/v1/profiles")["profiles"] == []
