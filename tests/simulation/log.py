"""The log as one process of a run sees it: slow, sometimes without an answer, and gone with the process."""

import asyncio
from collections.abc import Mapping, Sequence

from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Position, Record, Told, TopicPartition
from tests.simulation.broker import Broker
from tests.simulation.faults import Process, When

NO_ANSWER = "the log gives no answer"

HEARD_AFTER = 1.0
"""Seconds after which a member has heard of a change of its group, at the latest."""

LATEST = 3.0
"""Seconds after which arrives what was sent without an answer, at the latest."""


class SimulatedConsumer:
    """A member that hears of changes of the group behind its back, while it polls or works."""

    def __init__(self, log: "SimulatedLog", group: str, topics: Sequence[str]) -> None:
        self._log = log
        self._process = log.process
        self._group = log.broker.group(group)
        self._topics = tuple(topics)
        self._joined = False
        self._closed = False
        self._mine: frozenset[TopicPartition] = frozenset()
        self._missed: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._paused: frozenset[TopicPartition] = frozenset()
        self._news = asyncio.Event()
        self._woken = False
        self._turn = 0
        self._hears_at = 0.0

    async def assignment(self) -> frozenset[TopicPartition]:
        """What is ours; a partition that was lost in between is left out once."""
        self._process.check()
        await self._join()
        missed, self._missed = self._missed, set()
        return self._mine - missed

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from here."""
        if partition in self._mine:
            self._next[partition] = offset

    def pause(self, partitions: frozenset[TopicPartition]) -> None:
        """Exactly these."""
        self._paused = partitions

    async def poll(self, max_records: int, timeout: float) -> Mapping[TopicPartition, Sequence[Record]]:
        """What there is, else what comes in time; ends early when the group has changed."""
        await self._join()
        await self._process.step()
        self._log.suffer("poll")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not (found := self._take(max_records)) and not self._woken and (left := deadline - loop.time()) > 0:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                break
            self._process.check()
        self._woken = False
        return found

    def wake(self) -> None:
        """End a waiting poll."""
        self._woken = True
        self._news.set()

    async def close(self) -> None:
        """Leave the group; the dead are only missed."""
        self._closed = True
        self._log.broker.unsubscribe(self)
        if not self._process.dead:
            self._group.leave(self._process.name)
        self._mine = frozenset()
        self.wake()

    async def _join(self) -> None:
        if not self._joined and not self._closed:
            await self._process.step()
            self._log.suffer("join")
            self._joined = True
            self._log.broker.subscribe(self, self._ring)
            self._group.join(self._process.name, self._hear)

    def _ring(self) -> None:
        self._news.set()

    def _hear(self, parts: frozenset[int]) -> None:
        loop = asyncio.get_running_loop()
        soon = max(loop.time() + self._process.chance.random() * self._log.deaf, self._process.frozen_until)
        self._hears_at = max(soon, self._hears_at + 1e-6)
        loop.call_at(self._hears_at, self._change, parts)

    def _change(self, parts: frozenset[int]) -> None:
        if self._closed:
            return
        mine = frozenset(TopicPartition(topic, part) for topic in self._topics for part in parts)
        for lost in self._mine - mine:
            self._next.pop(lost, None)
            self._missed.add(lost)
        self._mine = mine
        self.wake()

    def _take(self, most: int) -> dict[TopicPartition, list[Record]]:
        self._turn += 1
        ready = sorted(
            place
            for place, offset in self._next.items()
            if place in self._mine and place not in self._paused and offset < len(self._log.broker.records(place))
        )
        found: dict[TopicPartition, list[Record]] = {}
        first = self._turn % len(ready) if ready else 0
        for number, place in enumerate([*ready[first:], *ready[:first]]):
            share = -(-most // (len(ready) - number))
            offset = self._next[place]
            if given := self._log.broker.records(place)[offset : offset + share]:
                found[place] = given
                self._next[place] = offset + len(given)
                most -= len(given)
        return found


class SimulatedLog:
    """What the protocol of logs asks for."""

    def __init__(self, broker: Broker, process: Process, deaf: float = HEARD_AFTER) -> None:
        self.broker = broker
        self.process = process
        self.deaf = deaf
        self._late: list[Sequence[Outgoing]] = []
        self._closed = False

    async def append(self, records: Sequence[Outgoing], at: Told | None = None) -> None:
        """In order of the calls. Without an answer it may lie there, or come to lie there, all the same."""
        await self._ask("append")
        self._arrive()
        if records:
            action = self.process.decide("append", "after")
            if action == "late":
                self._late.append(records)
                loop = asyncio.get_running_loop()
                loop.call_later(self.process.chance.random() * LATEST, self._arrive)
                raise Unavailable(NO_ANSWER)
            self.broker.append(records)
            self.process.suffer(action, Unavailable(NO_ANSWER))
        if at is not None:
            await self.tell(at)

    async def append_everywhere(self, topic: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        """A mark."""
        await self.append([Outgoing(topic, "", value, headers)])

    def consumer(self, group: str, topics: Sequence[str]) -> SimulatedConsumer:
        """A new member."""
        return SimulatedConsumer(self, group, topics)

    async def partitions(self, topic: str) -> int:
        """The same for all."""
        self.process.check()
        return self.broker.partitions

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """As they are now."""
        await self._ask("ends")
        return self.broker.ends(topic)

    async def beginnings(self, topic: str) -> Mapping[TopicPartition, int]:
        """Nothing is ever taken away."""
        await self._ask("beginnings")
        return dict.fromkeys(self.broker.places(topic), 0)

    async def read(self, partition: TopicPartition, offset: int) -> Record | None:
        """One record."""
        await self._ask("read")
        records = self.broker.records(partition)
        return records[offset] if 0 <= offset < len(records) else None

    async def tell(self, told: Told) -> None:
        """What one says who has lost a partition counts for nothing."""
        await self._ask("tell")
        group = self.broker.group(told.group)
        for place, position in told.positions.items():
            if group.may_tell(self.process.name, place.partition):
                group.told[place] = position
        self.suffer("tell", "after")

    async def told(self, group: str, topic: str) -> Mapping[TopicPartition, Position]:
        """What the group said last."""
        await self._ask("told")
        return {place: position for place, position in self.broker.group(group).told.items() if place.topic == topic}

    async def ping(self) -> None:
        """Asks."""
        await self._ask("ping")

    async def close(self) -> None:
        """Once is enough."""
        self._closed = True

    def _arrive(self) -> None:
        """What is on its way is there, in its order."""
        for records in self._late:
            self.broker.append(records)
        self._late.clear()

    async def _ask(self, what: str) -> None:
        if self._closed:
            raise Unavailable("the log is closed")
        await self.process.step()
        self.suffer(what)

    def suffer(self, what: str, when: When = "before") -> None:
        """A place at which something may go wrong. Raises Died and Unavailable."""
        self.process.suffer(self.process.decide(what, when), Unavailable(NO_ANSWER))
