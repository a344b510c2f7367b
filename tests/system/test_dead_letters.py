"""Three bad events of a hundred: ninety-seven go on, three are kept, repaired by command and sent on once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.house import House, eventually

BAD = (17, 42, 99)


def event(number: int, total: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"o-{number}",
        "source": "till",
        "type": "purchase.completed",
        "time": f"2026-11-20T10:{number % 60:02}:00Z",
        "data": {"customer": {"customer_id": "C-1"}, "order_id": f"o-{number}", "total": total},
    }


def orders(house: House) -> list[str]:
    (profile,) = house.get("/v1/profiles", customer_id="C-1")["profiles"]
    events = house.get(f"/v1/profiles/{profile['profile_id']}/timeline", limit=1000)["events"]
    return sorted(found["id"] for found in events)


@pytest.mark.both_modes
def test_repair_and_replay(build_house: Callable[..., House], tmp_path: Path) -> None:
    house = build_house().start()
    batch = [event(n, "-1.00" if n in BAD else "1.00") for n in range(100)]
    outcome = house.post(batch).json()
    assert (outcome["accepted"], outcome["rejected"]) == (97, 3)
    good = sorted(f"o-{n}" for n in range(100) if n not in BAD)
    eventually(lambda: orders(house) == good)

    def desk(*arguments: str) -> tuple[int, Any]:
        done = house.command("dead-letters", *arguments, "--json")
        return done.returncode, json.loads(done.stdout)

    code, letters = desk("list", "--code", "invalid_event", "--source", "till")
    assert (code, len(letters)) == (0, 3)
    assert desk("counts")[1][0]["open"] == 3
    code, results = desk("replay", "--all")
    assert (code, {row["status"] for row in results}) == (1, {"refused"})
    plain = house.command("dead-letters", "list")
    assert plain.stdout.count("must not be negative") == 3
    file = tmp_path / "corrected.json"
    for letter in letters:
        corrected = {**letter["original"], "data": {**letter["original"]["data"], "total": "1.00"}}
        file.write_text(json.dumps(letter["original"]))
        still = house.command("dead-letters", "repair", letter["id"], str(file))
        assert (still.returncode, "/data/total" in still.stderr) == (1, True)
        file.write_text(json.dumps(corrected))
        assert desk("repair", letter["id"], str(file))[1]["state"] == "repaired"
    assert "repaired" in house.command("dead-letters", "show", letters[0]["id"]).stdout
    code, results = desk("replay", "--source", "till")
    assert (code, [row["status"] for row in results]) == (0, ["replayed"] * 3)
    everything = sorted(f"o-{n}" for n in range(100))
    eventually(lambda: orders(house) == everything)
    assert desk("replay", "--source", "till") == (0, [])
    assert desk("replay", letters[0]["id"])[1][0]["status"] == "replayed"
    house.post([event(n, "1.00") for n in BAD])
    house.post(event(100, "1.00"))
    eventually(lambda: orders(house) == sorted([*everything, "o-100"]))
    (profile,) = house.get("/v1/profiles", customer_id="C-1")["profiles"]
    assert profile["purchases"]["count"] == 101
    assert house.command("dead-letters", "replay").returncode == 2
    assert house.command("dead-letters", "repair", letters[0]["id"], str(tmp_path / "none")).returncode == 2
    assert house.stop() == 0
