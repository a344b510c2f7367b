"""The log: topics of partitions of records. Two adapters, `sqlite` and `kafka`, one contract suite."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from shared.events.outgoing import Outgoing


class TopicPartition(NamedTuple):
    """One partition of one topic (topic names carry no prefix here)."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One record as read. `timestamp` is the milliseconds at which it was appended."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Position(NamedTuple):
    """How far a group has read a partition, told only after what follows from it has been published.

    `offset` is the next to read; `appended_at` the append time (ms) of the last record applied, `event_time` the
    latest event time (ms) among those applied.
    """

    offset: int
    appended_at: int
    event_time: int


class Consumer(Protocol):
    """One member of a group. Only the runtime's loop calls it, from one task."""

    async def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are this member's at this moment.

        One that was lost since the last call is left out once, even if it has come back: whoever held it may have been
        replaced in between, and must claim and seek it anew.
        """

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """The next poll reads this partition from here."""

    def pause(self, partitions: frozenset[TopicPartition]) -> None:
        """Poll returns nothing of exactly these partitions (and of no earlier paused ones) until told otherwise."""

    async def poll(self, max_records: int, timeout: float) -> Mapping[TopicPartition, Sequence[Record]]:
        """Up to `max_records` in offset order per partition, waiting at most `timeout` seconds when there are none."""

    def wake(self) -> None:
        """End a waiting poll at once."""

    async def close(self) -> None:
        """Leave the group."""


class Log(Protocol):
    """A log. Every method raises `shared.errors.Unavailable` when the log does not answer."""

    async def append(self, records: Sequence[Outgoing], at: "Told | None" = None) -> None:
        """Append durably, in order per key; returns after the acknowledgement. `at` is told with it or after."""

    async def append_everywhere(self, topic: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        """Append one record without a key to every partition of a topic: a mark."""

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """A new member of a group."""

    async def partitions(self, topic: str) -> int:
        """The number of partitions of a topic."""

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """The offset after the last record, per partition."""

    async def beginnings(self, topic: str) -> Mapping[TopicPartition, int]:
        """The oldest offset still there, per partition."""

    async def read(self, partition: TopicPartition, offset: int) -> Record | None:
        """The record at an offset, None when it is gone."""

    async def tell(self, told: "Told") -> None:
        """Publish how far a group is (never a source of truth: that is the group's own database)."""

    async def told(self, group: str, topic: str) -> Mapping[TopicPartition, Position]:
        """How far a group said it is; partitions of which it has said nothing are absent."""

    async def ping(self) -> None:
        """Raise Unavailable unless the log answers."""

    async def close(self) -> None:
        """Release everything."""


BLACKENED = "blackened"
"""Header of a record that was rewritten because what it said was to be erased."""


def is_blackened(record: Record) -> bool:
    """Whether a record was rewritten; one without a value says nothing any more and is passed over."""
    return any(name == BLACKENED for name, _ in record.headers)


@runtime_checkable
class Rewritable(Protocol):
    """A log whose records can be rewritten where they lie. One that cannot forgets by compaction and retention."""

    async def blacken(self, change: Callable[[Record], Record]) -> Mapping[str, int]:
        """Put what `change` makes of a record in its place, at the same offset; the number of changes by topic.

        What it gives back unchanged stays; a changed record gets the header `blackened`. Nothing of the former text
        stays in the file.
        """


class Told(NamedTuple):
    """What a group says of its positions."""

    group: str
    positions: Mapping[TopicPartition, Position]
