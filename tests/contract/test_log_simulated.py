"""The log of the simulation does what every log does: what holds in a run holds on any of them."""

import random
import time
from collections.abc import AsyncIterator

import pytest

from tests.contract.log_suite import PARTITIONS, LogSuite
from tests.simulation.broker import Broker
from tests.simulation.faults import Calm, Counter, Process
from tests.simulation.log import SimulatedLog


@pytest.fixture
async def log() -> AsyncIterator[SimulatedLog]:
    process = Process("one", Counter(Calm()), random.Random(1), slowest=0.0)
    opened = SimulatedLog(Broker(PARTITIONS, lambda: time.time_ns() // 1_000_000), process, deaf=0.0)
    yield opened
    await opened.close()


class TestSimulatedLog(LogSuite):
    """The suite that every log passes."""
