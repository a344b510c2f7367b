"""The Kafka log does what every log does, on a real broker."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

from shared.log import Log
from shared.log.kafka import KafkaLog, Plan, open_log, parse
from tests.contract.log_suite import PARTITIONS, LogSuite

pytestmark = pytest.mark.kafka

Opener = Callable[..., KafkaLog]


@pytest.fixture
async def opener(kafka: str) -> AsyncIterator[Opener]:
    """Opens logs on topics of this test alone; all of one test share them."""
    prefix = f"{uuid4().hex[:12]}."
    opened: list[KafkaLog] = []

    def open_(url: str = kafka, partitions: int = PARTITIONS) -> KafkaLog:
        log = open_log(parse(url), prefix, lambda _: Plan(partitions=partitions))
        opened.append(log)
        return log

    yield open_
    for log in opened:
        await log.close()


@pytest.fixture
def log(opener: Opener) -> KafkaLog:
    return opener()


class TestKafkaLog(LogSuite):
    """The suite that every log passes."""


def as_log(log: KafkaLog) -> Log:
    """Fails to type-check when the adapter leaves the protocol."""
    return log
