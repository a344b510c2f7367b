"""The platform on Kafka: services in processes of their own, members of one group that share the work and die."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from shared.log.kafka import open_log, parse
from tests.contract.log_suite import seek_all
from tests.servers.kafka import Cluster, own
from tests.system.house import House, eventually
from tests.system.test_first_event import purchase

pytestmark = pytest.mark.kafka


async def changes_on_the_topic(url: str, prefix: str, enough: int) -> dict[tuple[str, str], list[int]]:
    """The versions of the class changes by customer and segmentation, in the order of the topic, copies dropped."""
    log = open_log(parse(url), prefix)
    consumer = log.consumer("a-subscriber", ["segment-changes"])
    await seek_all(consumer)
    seen: set[str] = set()
    versions: dict[tuple[str, str], list[int]] = defaultdict(list)
    end = sum((await log.ends("segment-changes")).values())
    read = 0
    while read < end:
        for records in (await consumer.poll(500, 2)).values():
            read += len(records)
            for record in records:
                event = json.loads(record.value or b"")
                if event["id"] not in seen:
                    seen.add(event["id"])
                    data = event["data"]
                    versions[data["profile_id"], data["segmentation"]].append(data["version"])
    await log.close()
    assert len(seen) >= enough
    return versions


async def test_workers_of_one_service_share_and_take_over(kafka: str, build_house: Callable[..., House]) -> None:
    prefix = f"{uuid4().hex[:8]}."
    environment = {"CARTERA_LOG_URL": kafka, "CARTERA_TOPIC_PREFIX": prefix}
    entrance = build_house(environment=environment, services=("ingest", "profile")).start()
    classes = build_house(environment=environment, services=("segment", "campaign")).start()
    worker = build_house(environment=environment, services=("profile",)).start()

    def share(house: House) -> int:
        """The number of partitions of `interactions` that the process holds."""
        text = httpx.get(house.url + "/metrics").text
        return len(re.findall(r'^cartera_lag_records\{.*service="profile",topic="interactions"\}', text, re.MULTILINE))

    def customers() -> int:
        found: int = classes.get("/v1/segmentations/status/classes")["total"]
        return found

    def post(first: int, count: int) -> None:
        now = datetime.now(UTC)
        answer = entrance.post([purchase(f"e-{i}", f"C-{i}", now) for i in range(first, first + count)])
        assert answer.status_code == 202, answer.text

    eventually(lambda: share(entrance) == share(worker) == 3, 30)
    post(0, 200)
    eventually(lambda: customers() == 200, 30)
    post(200, 200)
    worker.kill()
    post(400, 100)
    eventually(lambda: share(entrance) == 6, 20)
    eventually(lambda: customers() == 500, 30)
    found = await changes_on_the_topic(kafka, prefix, 500)
    assert all(versions == list(range(1, len(versions) + 1)) for versions in found.values())
    assert len({profile for profile, _ in found}) == 500
    assert [house.stop() for house in (classes, entrance)] == [0, 0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker that may be hurt."""
    with own(tmp_path_factory.mktemp("hurt")) as started:
        yield started


def test_a_broker_that_hangs_shows_within_15_seconds_and_nothing_accepted_is_lost(
    cluster: Cluster, build_house: Callable[..., House]
) -> None:
    house = build_house(environment={"CARTERA_LOG_URL": cluster.url, "CARTERA_TOPIC_PREFIX": "away."}).start()
    now = datetime.now(UTC)
    assert house.post(purchase("e-1", "C-1", now)).status_code == 202
    cluster.pause()
    try:
        started = time.monotonic()
        refused = house.post(purchase("e-2", "C-2", now))
        assert (refused.status_code, refused.headers["retry-after"].isdigit()) == (503, True)
        assert time.monotonic() - started < 15
        eventually(lambda: httpx.get(house.url + "/health/ready", timeout=10).status_code == 503, 15)
        assert httpx.get(house.url + "/health/live").status_code == 200
    finally:
        cluster.resume()
    eventually(lambda: httpx.get(house.url + "/health/ready", timeout=10).status_code == 200, 30)
    eventually(lambda: house.post(purchase("e-3", "C-3", now)).status_code == 202, 30)
    for customer in ("C-1", "C-3"):
        eventually(lambda who=customer: house.get("/v1/profiles", customer_id=who)["profiles"], 30)
    assert house.stop() == 0
