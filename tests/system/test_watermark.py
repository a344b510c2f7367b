"""A timer never overtakes the stream: services apart, the profile service held still while purchases come in."""

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.system.house import House, eventually
from tests.system.test_first_event import purchase

SECONDS = 5.0
DEFINITION = {
    "segmentation": "seconds",
    "classes": [
        {"name": "fresh", "when": f"days_since_last_purchase < {SECONDS / 86400!r}"},
        {"name": "stale", "when": "purchases_count >= 1"},
    ],
}


@pytest.mark.both_modes
def test_nobody_who_bought_is_reported_as_lapsed_while_profile_is_held(build_house: Callable[..., House]) -> None:
    profile = build_house(services=("profile",)).start()
    others = build_house(services=("ingest", "segment", "campaign")).start()
    assert others.ask("PUT", "/v1/segmentations/seconds", DEFINITION).status_code == 201
    first = datetime.now(UTC)
    names = [f"W-{n}" for n in range(50)]
    assert others.post([purchase(f"first-{name}", name, first) for name in names]).status_code == 202
    eventually(lambda: len(_changes(others, "fresh")) == 50)
    assert profile.process is not None
    os.kill(profile.process.pid, signal.SIGSTOP)
    try:
        second = first + timedelta(seconds=3)
        time.sleep(max(0.0, (second - datetime.now(UTC)).total_seconds()))
        assert others.post([purchase(f"second-{name}", name, second) for name in names]).status_code == 202
        time.sleep(SECONDS)
        assert _changes(others, "stale") == []
    finally:
        os.kill(profile.process.pid, signal.SIGCONT)
    stale = eventually(lambda: found if len(found := _changes(others, "stale")) >= 50 else [])
    assert len(stale) == 50
    due = second + timedelta(milliseconds=round(SECONDS * 1000))
    for change in stale:
        assert abs(datetime.fromisoformat(change["time"]) - due) <= timedelta(milliseconds=1)
        assert change["data"]["evidence"]["purchases_count"] == 2


def _changes(house: House, to: str) -> list[Any]:
    changes = house.get("/v1/segment-changes", limit=1000)["changes"]
    return [c for c in changes if c["data"]["segmentation"] == "seconds" and c["data"]["to"] == to]
