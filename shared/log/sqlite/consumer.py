"""A member of a group. In one process it has all partitions of its topics; the group's own database fences others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from shared.log import Record, TopicPartition
from shared.log.sqlite.file import Wanted
from shared.log.sqlite.news import Bell, News, Watcher

Fetch = Callable[[Sequence[Wanted]], Awaitable[Mapping[TopicPartition, list[Record]]]]
"""Reads records from the file."""


class SqliteConsumer:
    """Reads from where it was told to; a partition that was never sought gives nothing.

    Whole batches are decoded once and what a poll leaves of them waits here for the next one. A wake without a waiting
    poll ends the next one that would wait. Positions move only with records that are handed over, so a cancelled poll
    loses none.
    """

    def __init__(
        self,
        topics: Callable[[], Awaitable[frozenset[TopicPartition]]],
        fetch: Fetch,
        refresh: Callable[[], Awaitable[None]],
        news: News,
        watcher: Watcher,
    ) -> None:
        self._topics = topics
        self._fetch = fetch
        self._refresh = refresh
        self._news = news
        self._watcher = watcher
        self._bell = Bell()
        self._woken = False
        self._mine: frozenset[TopicPartition] | None = None
        self._next: dict[TopicPartition, int] = {}
        self._ahead: dict[TopicPartition, list[Record]] = {}
        self._paused: frozenset[TopicPartition] = frozenset()
        self._turn = 0
        news.subscribe(self._bell)

    async def assignment(self) -> frozenset[TopicPartition]:
        """All partitions of its topics, which are created where they do not exist."""
        if self._mine is None:
            self._mine = await self._topics()
        return self._mine

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """The next poll reads this partition from here; what was read ahead of it is forgotten."""
        if self._next.get(partition) != offset:
            self._ahead.pop(partition, None)
            self._next[partition] = offset

    def pause(self, partitions: frozenset[TopicPartition]) -> None:
        """Exactly these are paused from now on."""
        self._paused = partitions

    async def poll(self, max_records: int, timeout: float) -> Mapping[TopicPartition, Sequence[Record]]:
        """Up to `max_records`, shared fairly among the partitions that have some; another one is first each time."""
        await self.assignment()
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        if not self._ready():
            await self._refresh()
        while not (found := await self._take(max_records)) and not self._woken and (left := deadline - clock()) > 0:
            with self._watcher.watching():
                await self._bell.wait(left)
        self._woken = False
        return found

    def wake(self) -> None:
        """End a waiting poll at once; from any thread."""
        self._woken = True
        self._bell.ring()

    async def close(self) -> None:
        """Hear no more news and keep nothing."""
        self._news.unsubscribe(self._bell)
        self._mine = frozenset()
        self._next.clear()
        self._ahead.clear()
        self.wake()

    def _ready(self) -> Sequence[TopicPartition]:
        places = [p for p, offset in self._next.items() if p not in self._paused and offset < self._news.end(p)]
        mine = self._mine or frozenset()
        return sorted(place for place in places if place in mine)

    async def _take(self, max_records: int) -> Mapping[TopicPartition, list[Record]]:
        if not (ready := self._ready()):
            return {}
        self._turn += 1
        first = self._turn % len(ready)
        turns = [*ready[first:], *ready[:first]][:max_records]
        enough = -(-max_records // len(turns))
        wanted = [(p, self._next[p], enough) for p in turns if not self._ahead.get(p)]
        if wanted:
            self._ahead.update(await self._fetch(wanted))
        return self._deal(turns, max_records)

    def _deal(self, turns: Sequence[TopicPartition], max_records: int) -> Mapping[TopicPartition, list[Record]]:
        dealt: dict[TopicPartition, list[Record]] = {}
        left = max_records
        # Those who have least come first: what they leave of their share goes to the others.
        for turn, place in enumerate(sorted(turns, key=lambda p: len(self._ahead.get(p, ())))):
            ahead = self._ahead.get(place, [])
            share = -(-left // (len(turns) - turn))
            if given := ahead[:share]:
                self._ahead[place] = ahead[share:]
                self._next[place] = given[-1].offset + 1
                dealt[place] = given
                left -= len(given)
        return dealt
