"""A topic that is deleted and created again is refused, by who runs and by who starts; the documented way out works."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.log.kafka import parse
from tests.system.house import House, eventually
from tests.system.test_first_event import purchase

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

CUSTOMERS = 20


@pytest.fixture(scope="module")
def mode() -> str:
    """Nothing here runs embedded."""
    return "production"


def round_of(number: int) -> list[dict[str, Any]]:
    """One purchase of everybody."""
    at = datetime.now(UTC) - timedelta(hours=1)
    return [purchase(f"{number}-{n}", f"C-{n}", at, email=f"c{n}@example.com") for n in range(CUSTOMERS)]


def counts(house: House) -> Counter[int]:
    """How many customers have how many purchases."""
    found = house.get("/v1/profiles", q="example.com", limit=100)["profiles"]
    return Counter(one["purchases"]["count"] for one in found)


async def delete(house: House, topic: str) -> None:
    admin = AIOKafkaAdminClient(**parse(house.environment["CARTERA_LOG_URL"]).connection())
    await admin.start()
    await admin.delete_topics([house.environment["CARTERA_TOPIC_PREFIX"] + topic])
    await admin.close()


def refusal(house: House) -> str:
    """What the health of `profile` says when it refuses."""
    answer = httpx.get(f"{house.url}/health/ready", headers=house.bearer("admin"), timeout=30)
    assert answer.status_code == 503
    found: str = answer.json()["checks"]["profile:consumer"][0]["output"]
    assert "interactions, partition" in found
    assert "`cartera reread`" in found
    return found


def test_it_is_refused_and_read_again(build_house: Callable[..., House]) -> None:
    house = build_house().start(60)
    sold = [round_of(number) for number in range(3)]
    for events in sold:
        assert house.post(events).status_code == 202
    eventually(lambda: counts(house) == {3: CUSTOMERS}, 60)
    asyncio.run(delete(house, "interactions"))
    assert eventually(lambda: house.command("topics").returncode == 0, 60)
    eventually(lambda: refusal(house), 60)
    assert '"consumer_stopped"' in house.printed()
    sold.append(round_of(3))
    eventually(lambda: house.post(sold[-1]).status_code == 202, 30)
    assert house.stop() == 0

    house.start(60)
    eventually(lambda: refusal(house), 60)
    assert counts(house) == {3: CUSTOMERS}
    assert house.stop() == 0

    told = house.command("reread", "--check")
    assert (told.returncode, "profile: interactions, partition" in told.stdout) == (1, True)
    assert house.command("reread").returncode == 0
    assert house.command("reread", "--check").stdout == "nothing is refused\n"
    house.start(60)
    eventually(lambda: counts(house) == {4: CUSTOMERS}, 60)
    for events in sold:  # what was lost with the topic may be sent again by whoever has it still
        assert house.post(events).status_code == 202
    sold.append(round_of(4))
    assert house.post(sold[-1]).status_code == 202
    eventually(lambda: counts(house) == {5: CUSTOMERS}, 60)
    assert httpx.get(f"{house.url}/health/ready", timeout=30).status_code == 200
    assert house.stop() == 0
