"""What all tests share."""

import os
from collections.abc import Iterator

import pytest

from tests.servers.kafka import NoBroker, running


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Kafka broker; without one the test is skipped, and in CI failed."""
    try:
        with running(tmp_path_factory.mktemp("kafka")) as url:
            yield url
    except NoBroker as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; or set CARTERA_TEST_KAFKA")
        pytest.skip(f"{reason}; or set CARTERA_TEST_KAFKA")
