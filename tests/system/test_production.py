"""Production as it is meant: Kafka, PostgreSQL, each service a process of its own, some of them twice."""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.log.kafka import open_log, parse
from tests.contract.log_suite import seek_all
from tests.system.house import House, eventually
from tests.system.test_first_event import purchase

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

CUSTOMERS = 120
ROUND = timedelta(seconds=1)
READS = {"profile": "interactions", "segment": "profiles"}
"""Of each service that runs twice, the topic whose partitions are counted."""
PARTITIONS = 6
Build = Callable[..., House]


@pytest.fixture(scope="module")
def mode() -> str:
    """Nothing here runs embedded."""
    return "production"


async def on_the_topic(house: House, topic: str) -> list[dict[str, Any]]:
    """What a subscriber finds on a topic, in order, copies and deletions dropped."""
    log = open_log(parse(house.environment["CARTERA_LOG_URL"]), house.environment["CARTERA_TOPIC_PREFIX"])
    consumer = log.consumer("a-subscriber", [topic])
    await seek_all(consumer)
    seen: dict[str, dict[str, Any]] = {}
    end = sum((await log.ends(topic)).values())
    read = 0
    while read < end:
        for records in (await consumer.poll(500, 2)).values():
            read += len(records)
            for event in (json.loads(record.value) for record in records if record.value):
                seen.setdefault(event["id"], event)
    await log.close()
    return list(seen.values())


def started(houses: Sequence[House]) -> None:
    """All at once, on a database without tables and a log without topics."""
    with ThreadPoolExecutor(len(houses)) as pool:
        list(pool.map(lambda house: house.start(120), houses))


def share(house: House) -> int:
    """The number of partitions that a process of `profile` or `segment` holds."""
    (service,) = house.services
    found = rf'^cartera_lag_records\{{.*service="{service}",topic="{READS[service]}"\}}'
    return len(re.findall(found, httpx.get(house.url + "/metrics", timeout=30).text, re.MULTILINE))


class Shop:
    """Everybody buys once a round, each a second after his last purchase."""

    def __init__(self, entrance: House) -> None:
        self.entrance = entrance
        self.rounds = 0
        self._begin = datetime.now(UTC) - timedelta(hours=1)

    def sell(self, rounds: int) -> None:
        for _ in range(rounds):
            at = self._begin + self.rounds * ROUND
            who = [(f"{self.rounds}-{n}", f"C-{n}") for n in range(CUSTOMERS)]
            answer = self.entrance.post([purchase(i, name, at, email=f"{name}@example.com") for i, name in who])
            assert answer.status_code == 202, answer.text
            self.rounds += 1


async def test_each_service_is_its_own_process_and_some_run_twice(build_house: Build) -> None:
    names = ("ingest", "profile", "segment", "campaign", "profile", "segment")
    houses = [build_house(f"{name}{n}", services=(name,)) for n, name in enumerate(names)]
    started(houses)
    entrance, profile, segment, campaign, leaving, dying = houses
    for one, other in ((profile, leaving), (segment, dying)):
        eventually(lambda a=one, b=other: share(a) == share(b) == PARTITIONS / 2, 60)
    shop = Shop(entrance)
    shop.sell(3)
    eventually(lambda: segment.get("/v1/segmentations/status/classes")["total"] == CUSTOMERS, 60)
    shop.sell(1)
    began = time.monotonic()
    assert leaving.stop() == 0
    eventually(lambda: share(profile) == PARTITIONS, 15 - (time.monotonic() - began))
    shop.sell(1)
    dying.kill()
    shop.sell(2)
    eventually(lambda: share(segment) == PARTITIONS, 20)
    shop.sell(1)

    def counts() -> Counter[int]:
        found = profile.get("/v1/profiles", q="example.com", limit=1000)["profiles"]
        return Counter(one["purchases"]["count"] for one in found)

    eventually(lambda: counts() == {shop.rounds: CUSTOMERS}, 60)
    eventually(lambda: share_of_active(segment) == CUSTOMERS, 60)
    await in_order(entrance)
    messages = eventually(lambda: welcomed(campaign), 60)
    assert set(Counter(one["profile_id"] for one in messages).values()) == {1}
    assert [house.stop() for house in (entrance, profile, segment, campaign)] == [0] * 4
    assert not [house for house in houses if "Traceback" in house.printed()]


def share_of_active(segment: House) -> int:
    """How many customers have bought often enough to be `current` or `active` by now."""
    classes = segment.get("/v1/segmentations/status/classes")["classes"]
    return sum(one["count"] for one in classes if one["class"] in ("current", "active"))


def welcomed(campaign: House) -> list[Any]:
    """The messages of the welcome, when everybody has one."""
    found: list[Any] = campaign.get("/v1/messages", campaign="welcome", limit=1000)["messages"]
    return found if len(found) >= CUSTOMERS else []


async def in_order(house: House) -> None:
    """Nobody was applied out of order: his records only grow, his class changes have no gap and form a chain."""
    versions: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for event in await on_the_topic(house, "profiles"):
        record = event["data"]
        bought = record["purchases"]
        versions[record["profile_id"]].append((record["version"], bought["count"], bought["last_at"]))
    assert len(versions) == CUSTOMERS
    for grown in versions.values():
        assert grown == sorted(grown)
        assert [count for _, count, _ in grown] == sorted({count for _, count, _ in grown})
    changes: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for event in await on_the_topic(house, "segment-changes"):
        data = event["data"]
        changes[data["profile_id"], data["segmentation"]].append((data["version"], data["from"], data["to"]))
    assert len({profile for profile, _ in changes}) == CUSTOMERS
    for chain in changes.values():
        assert [version for version, _, _ in chain] == list(range(1, len(chain) + 1))
        assert [came for _, came, _ in chain] == [None, *(to for _, _, to in chain[:-1])]
