"""One stay in a group: the library's consumer, what it was given, and what it was told to commit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition as Place
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError

from shared.log import Position, Record, TopicPartition
from shared.log.kafka.keys import key_text
from shared.log.kafka.positions import metadata
from shared.log.kafka.reading import Backlog

LEAVE_SECONDS = 5.0
"""For which a member may take its leave before it is cut off."""


class Membership:
    """Keeps the library's positions equal to those of the backlog, whatever the group does.

    The library gives records out before it has told of a new assignment, starts each at the committed offset, and
    swallows what goes wrong while it tells. So nothing is taken between the two calls of a change, every partition is
    sought in the second, and a failure in it voids the whole stay.
    """

    def __init__(self, backlog: Backlog, name: Callable[[str], str], changed: Callable[[], None]) -> None:
        self.consumer: Any = None
        self.mine: frozenset[TopicPartition] = frozenset()
        self.failed = False
        self._backlog = backlog
        self._name = name
        self._changed = changed
        self._places: dict[Place, TopicPartition] = {}
        self._settled = False
        self._running: set[TopicPartition] = set()
        self._told: dict[TopicPartition, Position] = {}
        self._untold = False
        self._missed: set[TopicPartition] = set()

    def take_missed(self) -> frozenset[TopicPartition]:
        """The partitions that were lost since this was asked last, whether or not they came back: each is told once."""
        missed, self._missed = frozenset(self._missed), set()
        return missed

    def place(self, name: Place) -> TopicPartition:
        """The short name of a partition."""
        return self._places[name]

    def on_partitions_revoked(self, revoked: Sequence[Place]) -> None:
        """The group is about to change: until it has, nothing that comes is ours for sure."""
        self._settled = False

    def on_partitions_assigned(self, assigned: Sequence[Place]) -> None:
        """The group has changed: go on where we were in what stayed, wait for a seek in what is new."""
        try:
            self._assign(assigned)
        except Exception:
            self.failed = True
            raise
        finally:
            self._changed()

    def seek(self, place: TopicPartition, offset: int | None) -> None:
        """Fetch from an offset, or go on fetching with None."""
        if place in self.mine:
            with suppress(IllegalStateError):  # revoked a moment ago: sought again if it comes back
                if offset is not None:
                    self.consumer.seek(self._full(place), offset)
                self.regulate()

    def regulate(self) -> None:
        """Let the library fetch exactly those partitions that were sought and of which not enough waits."""
        sought = self._backlog.sought()
        wanted = {place for place in self.mine if place in sought and not self._backlog.is_full(place)}
        with suppress(IllegalStateError):
            for place in wanted - self._running:
                self.consumer.resume(self._full(place))
            for place in self._running - wanted:
                self.consumer.pause(self._full(place))
            self._running = wanted

    def hungry(self) -> bool:
        """Whether a fetch makes sense: something is wanted, or the group has still to give us something."""
        return bool(self._running) or not self._settled

    def take(self, found: Mapping[Place, Sequence[Any]]) -> bool:
        """Take in what was fetched; whether there was anything."""
        if not self._settled:
            return False
        for name, records in found.items():
            place = self._places.get(name)
            if place is not None:
                self._backlog.add(place, _records(place, records))
        self.regulate()
        return bool(found)

    async def position(self, place: TopicPartition) -> int:
        """The offset that the library would fetch next."""
        return int(await self.consumer.position(self._full(place)))

    async def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit now, or as soon as the group has settled when it is changing."""
        self._told.update(positions)
        offsets = {self._full(place): (told.offset, metadata(told)) for place, told in positions.items()}
        with suppress(CommitFailedError, IllegalStateError):  # the group is changing: all is told after it
            await self.consumer.commit(offsets)

    async def commit_again(self) -> None:
        """Commit what a change of the group has kept us from committing."""
        if self._untold and self._settled:
            self._untold = False
            await self.commit({place: told for place, told in self._told.items() if place in self.mine})

    async def leave(self) -> None:
        """Leave the group, within a few seconds."""
        self._settled = False
        task = asyncio.create_task(self.consumer.stop())
        done, _ = await asyncio.wait((task,), timeout=LEAVE_SECONDS)
        if not done:
            task.cancel()
            await asyncio.wait((task,))
            await self.consumer._client.close()

    def _assign(self, assigned: Sequence[Place]) -> None:
        self._places = {name: TopicPartition(self._short(name.topic), name.partition) for name in assigned}
        mine = frozenset(self._places.values())
        lost = self.mine - mine
        self._backlog.forget(lost)
        self._missed |= lost
        self._told = {place: told for place, told in self._told.items() if place in mine}
        self._untold = bool(self._told)
        self.mine = mine
        sought = self._backlog.sought()
        for name, place in self._places.items():
            self.consumer.seek(name, self._backlog.fetched_to(place) if place in sought else 0)
        self._running = set(mine)
        self.regulate()
        self._settled = True

    def _short(self, topic: str) -> str:
        return topic.removeprefix(self._name(""))

    def _full(self, place: TopicPartition) -> Place:
        return Place(self._name(place.topic), place.partition)


# Registered rather than inherited: the library has no types.
ConsumerRebalanceListener.register(Membership)


def _records(place: TopicPartition, found: Sequence[Any]) -> list[Record]:
    """The same records in our words. Written for speed: this is most of what reading costs."""
    topic, part = place
    return [
        Record(
            topic,
            part,
            one.offset,
            one.timestamp,
            key_text(one.key),
            one.value,
            one.headers,
        )
        for one in found
    ]
