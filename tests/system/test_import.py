"""`cartera import` from outside: with the platform and without, killed, a second time, mute and asked to send."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.system.house import House, cartera, eventually
from tests.system.state import rows

ROWS = int(os.environ.get("IMPORT_ROWS", "20000"))
"""`make import-test` runs this module with a million."""

HEADER = "customer_id,email,order_id,time,sku,quantity,unit_price\n"
CENTS = 250


def orders(path: Path, count: int) -> None:
    """So many rows, each an order of `CENTS`, two of three rows far from the other rows of their customer."""
    chance = random.Random(7)
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    with path.open("w") as out:
        out.write(HEADER)
        for number in range(count):
            at = begin + timedelta(minutes=chance.randrange(200_000))
            who = chance.randrange(max(count // 20, 1))
            out.write(f"C-{who},c{who}@example.com,o-{number},{at:%Y-%m-%dT%H:%M:%SZ},S-{number % 97},1,2.50\n")


def start_import(*arguments: str, folder: Path) -> "subprocess.Popen[bytes]":
    """The command as a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARTERA_")}
    return subprocess.Popen(
        [sys.executable, "-m", "services", "import", *arguments],
        env={**inherited, "CARTERA_DATA_DIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def appended(folder: Path) -> int:
    """How many records of imports the log holds."""
    if not (folder / "log.db").exists():
        return 0
    with sqlite3.connect(f"file:{folder / 'log.db'}?mode=ro", uri=True) as connection:
        query = "SELECT coalesce(max(next), 0) FROM position WHERE consumers LIKE 'import-%'"
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # the file is being made
            return 0


def kill_after(process: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> None:
    """kill -9 as soon as something is reached; the process must not have been done before."""
    while process.poll() is None and not reached():
        time.sleep(0.001)
    assert process.poll() is None
    process.kill()
    process.wait(10)


def imported(house: House, *arguments: str) -> dict[str, Any]:
    """The summary of an import that must succeed."""
    done = house.command("import", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def purchases(folder: Path) -> tuple[int, int]:
    """How many purchases all records count, and their revenue in cents."""
    records = [json.loads(body) for (body,) in rows(folder, "profile", "SELECT record FROM profile")]
    revenue = sum(round(100 * float(one["purchases"]["revenue"].get("EUR", 0))) for one in records)
    return sum(one["purchases"]["count"] for one in records), revenue


def test_killed_three_times_every_row_counts_once(build_house: Callable[..., House], tmp_path: Path) -> None:
    house, file = build_house(), tmp_path / "orders.csv"
    orders(file, ROWS)
    command = (str(file), "--as", "purchases")
    kill_after(start_import(*command, folder=house.folder), lambda: any((house.folder / "imports").glob("*.db")))
    for part in (0.01, 0.4):
        kill_after(start_import(*command, folder=house.folder), lambda p=part: appended(house.folder) > p * ROWS)
    assert 0 < appended(house.folder) < ROWS
    done = imported(house, *command)
    assert (done["rows"], done["events"], done["rejected"]) == (ROWS, ROWS, 0)
    assert 0 < done["appended"] < ROWS
    assert imported(house, *command)["appended"] == 0
    assert [path.suffix for path in (house.folder / "imports").iterdir()] == [".json"]
    house.start()
    eventually(lambda: purchases(house.folder)[0] == ROWS, 60 + ROWS / 500)
    assert purchases(house.folder) == (ROWS, ROWS * CENTS)
    assert house.get("/v1/messages", limit=1)["messages"] == []
    customers = len(rows(house.folder, "profile", "SELECT profile_id FROM profile"))
    eventually(lambda: house.get("/v1/segmentations/status/classes")["total"] == customers, 60 + ROWS / 500)
    assert house.stop() == 0


@pytest.mark.both_modes
def test_while_the_platform_runs_with_bad_rows_and_again(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    command = (str(ROOT / "examples/orders.csv"), "--as", "purchases", "--map", str(ROOT / "examples/orders-map.yaml"))
    assert imported(house, *command, "--dry-run")["appended"] == 0
    done = imported(house, *command)
    assert (done["rows"], done["events"], done["rejected"]) == (5, 3, 1)
    assert done["reasons"][0]["line"] == 5

    def ana() -> dict[str, Any]:
        found: dict[str, Any] = house.get("/v1/profiles", email="ana@example.com")["profiles"][0]
        return found

    assert eventually(ana)["purchases"]["revenue"] == {"EUR": "62.70"}
    assert ana()["purchases"]["first_at"] == "2026-03-24T09:15:00Z"
    bruno = house.get("/v1/profiles", customer_id="C-18")["profiles"][0]
    assert (bruno["purchases"]["count"], bruno["purchases"]["revenue"]) == (2, {"EUR": "2074.90"})
    (letter,) = eventually(lambda: house.get("/v1/dead-letters")["dead_letters"])
    assert (letter["file"], letter["line"], letter["code"]) == ("orders.csv", 5, "invalid_event")
    event = letter["original"]
    event["data"]["items"][0]["quantity"] = 1
    event["data"]["total"] = "12.50"
    assert house.ask("PUT", f"/v1/dead-letters/{letter['id']}", event).status_code == 200
    assert house.ask("POST", f"/v1/dead-letters/{letter['id']}/replay").status_code < 300
    eventually(lambda: house.get("/v1/profiles", customer_id="C-19")["profiles"])
    guessed = imported(house, str(ROOT / "examples/orders.csv"), "--as", "purchases")
    assert {one["field"]: one["how"] for one in guessed["mapping"]}["order_id"] == "guess"
    assert guessed["events"] == 3
    assert house.stop() == 0


@pytest.mark.both_modes
def test_history_is_mute_unless_it_is_asked_to_send(build_house: Callable[..., House], tmp_path: Path) -> None:
    house = build_house().start()
    mute, send = tmp_path / "mute.csv", tmp_path / "send.csv"
    at = datetime.now(UTC) - timedelta(minutes=5)
    for file, who in ((mute, "A"), (send, "B")):
        recent = f"{who}-1,{who}1@example.com,{who}1,{at:%Y-%m-%dT%H:%M:%SZ},S,1,9.90\n"
        old = f"{who}-2,{who}2@example.com,{who}2,2026-01-01T00:00:00Z,S,1,9.90\n"
        file.write_text(HEADER + old + recent)
    imported(house, str(mute), "--as", "purchases")
    eventually(lambda: house.get("/v1/profiles", customer_id="A-1")["profiles"])
    imported(house, str(send), "--as", "purchases", "--send")
    eventually(lambda: house.get("/v1/profiles", customer_id="B-1")["profiles"])

    def messages(who: str) -> list[dict[str, Any]]:
        (record,) = house.get("/v1/profiles", customer_id=who)["profiles"]
        found: list[dict[str, Any]] = house.get("/v1/messages", profile_id=record["profile_id"])["messages"]
        return found

    # some hundred days are closed one after the other, by all partitions together
    assert eventually(lambda: messages("B-1"), 120)
    assert "too_late" not in {one["reason"] for one in messages("B-1")}
    assert messages("A-1") == []
    for old in ("A-2", "B-2"):  # time made them inactive long ago, which was told after the end of the import
        assert {one["state"] for one in messages(old)} <= {"planned", "refused"}
        assert {one["reason"] for one in messages(old)} <= {None, "too_late"}
    assert house.stop() == 0


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text(HEADER)
    wrong = [
        ("import", str(file), "--as", "orders"),
        ("import", str(tmp_path / "none.csv"), "--as", "calls"),
        ("import", str(file), "--as", "purchases", "--map", str(tmp_path / "none.yaml")),
    ]
    for arguments in wrong:
        done = cartera(*arguments, folder=tmp_path / "data")
        assert (done.returncode, done.stderr.count("\n"), done.stderr[:9]) == (2, 1, "cartera: "), done.stderr
    file.write_text(HEADER + "C-1,,o-1,never,S,1,1\n")
    assert cartera("import", str(file), "--as", "purchases", folder=tmp_path / "data").returncode == 1
