"""What the runtime tells the metrics: about a batch, and how much of each partition is still to be applied."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from shared.errors import Unavailable
from shared.events.messages import TOPIC as MESSAGES
from shared.events.outgoing import Outgoing
from shared.events.segments import CHANGED
from shared.events.segments import TOPIC as CHANGES
from shared.events.times import EPOCH
from shared.log import Log, Position, TopicPartition
from shared.runtime.processor import Applied
from shared.runtime.service import Service
from shared.telemetry import Metrics


def batch(metrics: Metrics, service: Service, applied: Applied, seconds: float, now: datetime) -> None:
    """Count what a batch did: events by type and outcome, dead letters by code, duration, age of its events."""
    kinds: Counter[str] = Counter()
    stage = metrics.stage.labels(service.name)
    for event in applied.events:
        kind, received = service.describe(event)
        kinds[kind] += 1
        if received is not None:
            stage.observe(max(0.0, (now - received).total_seconds()))
    for kind, count in kinds.items():
        metrics.handled(service.name, kind, "applied", count)
    if applied.duplicates:
        metrics.handled(service.name, "", "duplicate", applied.duplicates)
    for error in applied.rejected:
        metrics.handled(service.name, "", "rejected")
        metrics.dead_letters.labels(service.name, error.code).inc()
    metrics.batch.labels(service.name).observe(seconds)


class Reader(Protocol):
    """A loop, as far as its lag is concerned."""

    service: Service

    def positions(self) -> Mapping[TopicPartition, Position]:
        """How far it has applied each partition that it holds."""


class _Told(msgspec.Struct):
    """Of what is told, the parts by which it is counted."""

    segmentation: str = ""
    cause: str = ""
    channel: str | None = None


class _Event(msgspec.Struct):
    type: str
    data: _Told


_events = msgspec.json.Decoder(_Event)


def told(metrics: Metrics, said: Iterable[Outgoing]) -> None:
    """Count what was published: class changes by segmentation and cause, messages by channel and state."""
    changes: Counter[tuple[str, str]] = Counter()
    messages: Counter[tuple[str, str]] = Counter()
    for record in said:
        if record.value is None or record.topic not in (CHANGES, MESSAGES):
            continue
        event = _events.decode(record.value)
        if event.type == CHANGED:
            changes[event.data.segmentation, event.data.cause] += 1
        elif record.topic == MESSAGES:
            messages[event.data.channel or "none", event.type.removeprefix("message.")] += 1
    for (segmentation, cause), count in changes.items():
        metrics.class_changes.labels(segmentation, cause).inc(count)
    for (channel, state), count in messages.items():
        metrics.messages.labels(channel, state).inc(count)


def fired(metrics: Metrics, due: datetime | None, now: datetime) -> None:
    """How late timers fired; work that only waited for its turn has no moment at which it was due."""
    if due is not None and due > EPOCH:
        metrics.timers_late.observe(max(0.0, (now - due).total_seconds()))


class Lag:
    """How many records of each partition that is held here are appended but not applied; looked at when scraped."""

    def __init__(self, metrics: Metrics, log: Log, running: asyncio.AbstractEventLoop) -> None:
        self._gauge = metrics.lag
        self._log = log
        self._running = running

    def look(self, loops: Iterable[Reader]) -> None:
        """Set the gauge from a thread other than the event loop's; NaN while the log does not answer.

        A partition that went to another process no longer stands here, so that the sum over all processes is true.
        """
        held = {loop.service.name: loop.positions() for loop in loops}
        ends = self._ends(sorted({place.topic for positions in held.values() for place in positions}))
        self._gauge.clear()
        for name, positions in held.items():
            for place, position in positions.items():
                lag = float("nan") if ends is None else max(0, ends.get(place, 0) - position.offset)
                self._gauge.labels(name, place.topic, str(place.partition)).set(lag)

    def _ends(self, topics: Iterable[str]) -> Mapping[TopicPartition, int] | None:
        async def ask() -> dict[TopicPartition, int]:
            found: dict[TopicPartition, int] = {}
            for topic in topics:
                found.update(await self._log.ends(topic))
            return found

        try:
            return asyncio.run_coroutine_threadsafe(ask(), self._running).result(2)
        except (Unavailable, TimeoutError):
            return None
