"""How long it takes until a posted purchase stands in the customer's class, over HTTP, on an idle platform."""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.system.house import House
from tests.system.test_first_event import purchase

POSTS = 200


def measure() -> dict[str, Any]:
    """Milliseconds from the post to the class change on the feed: median, 95th and 99th percentile."""
    with tempfile.TemporaryDirectory() as place:
        house = House(Path(place) / "data").start()
        try:
            took = _measure(house)
        finally:
            house.end()
    cuts = statistics.quantiles(took, n=100)
    return {
        "posts": POSTS,
        "median_ms": round(statistics.median(took), 1),
        "p95_ms": round(cuts[94], 1),
        "p99_ms": round(cuts[98], 1),
    }


def _measure(house: House) -> list[float]:
    took = []
    with httpx.Client(base_url=house.url, headers=house.bearer("admin")) as client:
        cursor = client.get("/v1/segment-changes").json()["next_cursor"]
        for number in range(POSTS):
            started = time.perf_counter()
            client.post("/v1/events", json=purchase(f"b-{number}", f"B-{number}", datetime.now(UTC)))
            while True:
                page = client.get("/v1/segment-changes", params={"after": cursor}).json()
                cursor = page["next_cursor"]
                if page["changes"]:
                    break
            took.append((time.perf_counter() - started) * 1000)
    return took
