"""The lag of every partition that is held here, as it is when somebody looks."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.profile.service import SERVICE
from shared.events.outgoing import Outgoing
from shared.log import Position, TopicPartition
from shared.log.sqlite import open_log
from shared.runtime.measure import Lag
from shared.telemetry import Metrics


class Held:
    """A loop that has applied so much of its partitions."""

    def __init__(self, offsets: Mapping[int, int]) -> None:
        self.service = SERVICE
        self.offsets = offsets

    def positions(self) -> Mapping[TopicPartition, Position]:
        return {TopicPartition("interactions", part): Position(at, 0, 0) for part, at in self.offsets.items()}


def shown(metrics: Metrics) -> dict[str, float]:
    (family,) = (f for f in metrics.registry.collect() if f.name == "cartera_lag_records")
    return {sample.labels["partition"]: sample.value for sample in family.samples}


async def test_lag_is_shown_per_partition_and_only_for_those_held(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db", 3, clock=lambda: 0)
    await log.append([Outgoing("interactions", "", b"mark")] * 4)
    metrics = Metrics("0")
    lag = Lag(metrics, log, asyncio.get_running_loop())
    await asyncio.to_thread(lag.look, [Held({0: 4, 1: 1, 2: 0})])
    assert shown(metrics) == {"0": 0, "1": 3, "2": 4}
    await asyncio.to_thread(lag.look, [Held({1: 2})])
    assert shown(metrics) == {"1": 2}
    await log.close()
    await asyncio.to_thread(lag.look, [Held({1: 2})])
    assert shown(metrics) == {"1": pytest.approx(float("nan"), nan_ok=True)}


def test_gauges_are_set_when_the_metrics_are_read() -> None:
    metrics = Metrics("0")
    metrics.on_scrape(lambda: metrics.lag.labels("profile", "interactions", "5").set(7))
    assert b'cartera_lag_records{partition="5",service="profile",topic="interactions"} 7.0' in metrics.text()
