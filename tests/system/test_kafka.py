"""The platform on Kafka: services in processes of their own, members of one group that share the work and die."""

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from shared.log.kafka import open_log, parse
from tests.contract.log_suite import seek_all
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
        text = house.get_text("/metrics")
        return text.count('cartera_lag_records{partition="') and text.count('service="profile",topic="interactions"')

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
