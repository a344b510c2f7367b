"""The brokers of a run: topics, groups and what they were told, in memory. They lose nothing that they acknowledged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.events.outgoing import Outgoing
from shared.log import Position, Record, TopicPartition
from shared.log.sqlite import partition_of

Learn = Callable[[frozenset[int]], None]
"""Tells a member which partition numbers are its own from now on."""


@dataclass(slots=True)
class Group:
    """Who shares the partitions: by number, so that equal numbers of all topics are one member's."""

    partitions: int
    members: dict[str, Learn] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    told: dict[TopicPartition, Position] = field(default_factory=dict)

    def join(self, name: str, learn: Learn) -> None:
        """A new member; everything is shared out anew."""
        self.members[name] = learn
        self.share(sorted(self.members), always=name)

    def leave(self, name: str) -> None:
        """A member stopped, or was not heard of for too long."""
        if self.members.pop(name, None) is not None:
            self.share(sorted(self.members))

    def share(self, order: Sequence[str], always: str = "") -> None:
        """Share out among the members in this order; whoever gains or loses something is told, and one `always`."""
        former = dict(self.owners)
        self.owners = {part: order[part % len(order)] for part in range(self.partitions)} if order else {}
        for name, learn in sorted(self.members.items(), key=lambda one: one[0]):
            mine = frozenset(part for part, owner in self.owners.items() if owner == name)
            if name == always or mine != {part for part, owner in former.items() if owner == name}:
                learn(mine)

    def may_tell(self, name: str, part: int) -> bool:
        """Whether what a process says of a partition counts: as its owner, or as anybody while there are no members."""
        return not self.members or self.owners.get(part) == name


class Broker:
    """All topics have the same number of partitions. `clock` gives milliseconds since 1970."""

    def __init__(self, partitions: int, clock: Callable[[], int]) -> None:
        self.partitions = partitions
        self._clock = clock
        self._records: dict[TopicPartition, list[Record]] = {}
        self._groups: dict[str, Group] = {}
        self._bells: dict[object, Callable[[], None]] = {}

    def group(self, name: str) -> Group:
        """The group of a name."""
        return self._groups.setdefault(name, Group(self.partitions))

    def append(self, records: Sequence[Outgoing]) -> None:
        """Append in order; key "" goes to every partition."""
        now = self._clock()
        for topic, key, value, headers in records:
            parts = (partition_of(key, self.partitions),) if key else range(self.partitions)
            for part in parts:
                found = self.records(TopicPartition(topic, part))
                found.append(Record(topic, part, len(found), now, key or None, value, headers))
        for ring in list(self._bells.values()):
            ring()

    def records(self, place: TopicPartition) -> list[Record]:
        """Everything of a partition."""
        return self._records.setdefault(place, [])

    def places(self, topic: str) -> list[TopicPartition]:
        """All partitions of a topic."""
        return [TopicPartition(topic, part) for part in range(self.partitions)]

    def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """Where each partition ends."""
        return {place: len(self.records(place)) for place in self.places(topic)}

    def values(self, topic: str) -> set[bytes | None]:
        """The values of all records of a topic."""
        return {record.value for place in self.places(topic) for record in self.records(place)}

    def subscribe(self, who: object, ring: Callable[[], None]) -> None:
        """Ring whenever something was appended."""
        self._bells[who] = ring

    def unsubscribe(self, who: object) -> None:
        """No longer."""
        self._bells.pop(who, None)
