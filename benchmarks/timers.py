"""How late a class change by time alone is published: a thousand customers, each due at a moment of his own."""

import asyncio
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared.events.times import to_ms
from shared.log import TopicPartition
from shared.log.sqlite import open_log
from tests.system.house import House
from tests.system.test_first_event import purchase

CUSTOMERS = 1000
SPREAD_MS = 5
DAYS = 0.0001
DEFINITION = {
    "segmentation": "seconds",
    "classes": [
        {"name": "fresh", "when": f"days_since_last_purchase < {DAYS}"},
        {"name": "stale", "when": "purchases_count >= 1"},
    ],
}


def measure() -> dict[str, Any]:
    """Milliseconds from the due moment to the append on `segment-changes`, and how far `occurred_at` is off (ms)."""
    with tempfile.TemporaryDirectory() as place:
        house = House(Path(place) / "data").start()
        try:
            assert house.ask("PUT", "/v1/segmentations/seconds", DEFINITION).status_code == 201
            begun = datetime.now(UTC)
            times = {f"T-{n}": begun - timedelta(milliseconds=SPREAD_MS * n) for n in range(CUSTOMERS)}
            house.post([purchase(f"t-{name}", name, at) for name, at in times.items()])
            time.sleep(DAYS * 86400 + 3)
        finally:
            assert house.stop() == 0
        told = asyncio.run(_told(house.folder / "log.db"))
    off = [abs(occurred - to_ms(times[name]) - round(DAYS * 86_400_000)) for name, occurred, _ in told]
    late = [appended - occurred for _, occurred, appended in told]
    return {
        "customers": len(told),
        "occurred_at_off_ms": max(off),
        "published_after_ms": {"median": statistics.median(late), "max": max(late)},
    }


async def _told(path: Path) -> list[tuple[str, int, int]]:
    """Customer, due moment and append moment (ms) of every change to `stale` on the topic."""
    log = open_log(path, clock=lambda: 0)
    place = TopicPartition("segment-changes", 0)
    end = (await log.ends("segment-changes"))[place]
    found = []
    for offset in range(end):
        record = await log.read(place, offset)
        change = json.loads(record.value)["data"] if record is not None and record.value else {}
        if change.get("to") == "stale" and change["customer"]["customer_id"].startswith("T-"):
            occurred = to_ms(datetime.fromisoformat(change["occurred_at"]))
            found.append((change["customer"]["customer_id"], occurred, record.timestamp))
    await log.close()
    return found
