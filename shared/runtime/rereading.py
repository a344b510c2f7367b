"""The way out of a refused log: a partition that is not the one that was read is read again from its beginning.

What was applied stays applied, and what comes a second time is known by its id; so this needs no other repair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select, update

from shared.database import position, transaction
from shared.log import Log, Position, TopicPartition
from shared.runtime.guards import LogChanged, verify
from shared.runtime.processor import Claim


@dataclass(frozen=True, slots=True)
class Refusal:
    """A partition that a service refuses, the offset up to which it had read it, and why."""

    partition: TopicPartition
    offset: int
    reason: str


async def refusals(log: Log, engine: Engine, topics: Sequence[str]) -> Sequence[Refusal]:
    """The partitions of these topics that the service with this database refuses at its next claim."""
    with engine.connect() as connection:
        columns = (position.c.topic, position.c.part, position.c.next_offset, position.c.last_fp)
        where = position.c.topic.in_(topics)
        rows = connection.execute(select(*columns).where(where).order_by(position.c.topic, position.c.part)).all()
    found = []
    for topic, part, offset, last_fp in rows:
        held = Claim(TopicPartition(topic, part), 0, Position(offset, 0, 0))
        try:
            await verify(log, held, last_fp)
        except LogChanged as change:
            found.append(Refusal(held.partition, offset, str(change)))
    return found


def read_again(engine: Engine, refused: Sequence[Refusal]) -> None:
    """Put them back to their beginning; the claims of whoever holds them are void."""
    with transaction(engine) as connection:
        for topic, part in (one.partition for one in refused):
            connection.execute(
                update(position)
                .where((position.c.topic == topic) & (position.c.part == part))
                .values(next_offset=0, appended_at=0, event_time=0, last_fp=None)
            )
