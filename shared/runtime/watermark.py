"""How far time may go: a timer never overtakes the stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.events.times import EPOCH, from_ms
from shared.log import Log, Position, TopicPartition
from shared.runtime.clock import Clock


async def watermark(
    log: Log, clock: Clock, upstream: Sequence[tuple[str, str]], events_clock: bool = False
) -> datetime:
    """The moment up to which the stages before have read; a stage that has read everything counts as now.

    The order is the argument: now first, then the positions of the stages before, each of which is told only after
    what follows from it has been published. With the events clock, now is the latest event time that they applied.
    """
    now = clock()
    if events_clock:
        now = await latest_event_time(log, upstream)
    mark = now
    for group, topic in upstream:
        told = await log.told(group, topic)
        ends = await log.ends(topic)
        mark = min(mark, _stage(told, ends, now))
    return mark


async def latest_event_time(log: Log, upstream: Sequence[tuple[str, str]]) -> datetime:
    """The events clock: the time of the latest event that the first stage has applied."""
    group, topic = upstream[0]
    told = await log.told(group, topic)
    return max((from_ms(p.event_time) for p in told.values()), default=EPOCH)


@dataclass(frozen=True, slots=True)
class Horizon:
    """A watermark, and where our own topics ended after it was taken: it holds once everything before that is applied.

    It is taken once and then read up to: a new one at every look would never be reached under an unbroken stream.
    """

    mark: datetime
    ends: Mapping[TopicPartition, int]

    def is_reached(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """Whether these positions, of the partitions that are ours, have come as far."""
        return all(position.offset >= self.ends.get(place, 0) for place, position in positions.items())


async def take_horizon(log: Log, mark: datetime, topics: Sequence[str]) -> Horizon:
    """The horizon of a watermark that was taken just before."""
    ends: dict[TopicPartition, int] = {}
    for topic in topics:
        ends.update(await log.ends(topic))
    return Horizon(mark, ends)


def _stage(told: Mapping[TopicPartition, Position], ends: Mapping[TopicPartition, int], now: datetime) -> datetime:
    mark = now
    for partition, end in ends.items():
        if end == 0:
            continue
        position = told.get(partition)
        if position is None:
            return EPOCH
        if position.offset < end:
            mark = min(mark, from_ms(position.appended_at))
    return mark
