"""Each service in several processes on Kafka and PostgreSQL ends as the embedded platform does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.postgres import Schemas
from tests.system.house import House
from tests.system.replicas import distributed
from tests.system.state import compare
from tests.system.test_resume import finish, prepare

HOUSEHOLDS = 25
"""`python -m tests.system.replicas` runs all of them, with one and with three replicas."""


@pytest.mark.kafka
@pytest.mark.postgres
def test_two_replicas_of_each_service_end_as_the_embedded_platform(
    kafka: str, postgres: Schemas, build_house: Callable[..., House], tmp_path: Path
) -> None:
    house = build_house(sample=True)
    prepare(house.folder, HOUSEHOLDS)
    done = finish(house.start())
    upto = min(done, distributed(tmp_path / "apart", (kafka, postgres), 2, HOUSEHOLDS))
    assert compare(house.folder, postgres.url, upto) == []
