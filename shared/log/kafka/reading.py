"""What a member has fetched and not yet handed over, and from where each partition goes on."""

from collections.abc import Collection, Mapping, Sequence

from shared.log import Record, TopicPartition

LARGEST = 4_000
"""Records of one partition that wait here at most before no more are fetched of it."""


class Backlog:
    """Positions move only with records that are handed over.

    What was handed over last is kept, so that going back a little, as reading in step does, needs no broker.
    """

    def __init__(self) -> None:
        self._next: dict[TopicPartition, int] = {}
        self._ahead: dict[TopicPartition, list[Record]] = {}
        self._behind: dict[TopicPartition, list[Record]] = {}
        self._turn = 0

    def sought(self) -> Collection[TopicPartition]:
        """The partitions that have a position."""
        return self._next.keys()

    def position(self, place: TopicPartition) -> int:
        """The offset of the next record to hand over."""
        return self._next[place]

    def fetched_to(self, place: TopicPartition) -> int:
        """The offset from which to fetch."""
        ahead = self._ahead.get(place)
        return ahead[-1].offset + 1 if ahead else self._next[place]

    def is_full(self, place: TopicPartition) -> bool:
        """Whether enough of a partition waits."""
        return len(self._ahead.get(place, ())) >= LARGEST

    def seek(self, place: TopicPartition, offset: int) -> bool:
        """Go on from an offset; whether this needs no fetching from another place than before."""
        near = [*self._behind.pop(place, ()), *self._ahead.get(place, ())]
        known = place in self._next and (self._next[place] == offset or (bool(near) and near[0].offset <= offset))
        known = known and offset <= self.fetched_to(place)
        self._ahead[place] = [record for record in near if record.offset >= offset] if known else []
        self._next[place] = offset
        return known

    def forget(self, gone: Collection[TopicPartition]) -> None:
        """Drop partitions that are no longer ours."""
        for place in gone:
            for known in (self._next, self._ahead, self._behind):
                known.pop(place, None)

    def drop_fetched(self) -> None:
        """Keep the positions only: everything is fetched again."""
        self._ahead.clear()
        self._behind.clear()

    def add(self, place: TopicPartition, records: Sequence[Record]) -> None:
        """Take in what was fetched; what lies before the place to fetch from is known already."""
        if place in self._next and records:
            start = self.fetched_to(place)
            fresh = records if records[0].offset >= start else [one for one in records if one.offset >= start]
            self._ahead.setdefault(place, []).extend(fresh)

    def deal(self, places: Collection[TopicPartition], most: int) -> Mapping[TopicPartition, list[Record]]:
        """Hand over up to `most` records, shared fairly among the places; another one is first each time."""
        ready = sorted(place for place in places if self._ahead.get(place))
        if not ready:
            return {}
        self._turn += 1
        first = self._turn % len(ready)
        turns = [*ready[first:], *ready[:first]][:most]
        dealt: dict[TopicPartition, list[Record]] = {}
        # Those who have least come first: what they leave of their share goes to the others.
        for turn, place in enumerate(sorted(turns, key=lambda one: len(self._ahead[one]))):
            ahead, share = self._ahead[place], -(-most // (len(turns) - turn))
            if given := ahead[:share]:
                self._ahead[place] = ahead[share:]
                self._behind[place] = given
                self._next[place] = given[-1].offset + 1
                dealt[place] = given
                most -= len(given)
        return dealt
