"""The outbox: what a batch says, kept in its transaction and published after it, then taken away.

Published, then deleted, never the reverse: a crash in between publishes an identical copy, and the reader's inbox
drops it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import cramjam
import msgspec
from sqlalchemy import Connection, Engine, delete, insert, select

from shared.database import outbox, transaction
from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Log, Position, Told, TopicPartition

Positions = Mapping[TopicPartition, Position]


class _Page(msgspec.Struct, array_like=True):
    records: list[Outgoing]
    positions: list[tuple[TopicPartition, Position]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Page)


def put(connection: Connection, part: int, records: Sequence[Outgoing], positions: Positions) -> int:
    """Keep what a batch of a partition says; the number of the row."""
    body = bytes(cramjam.zstd.compress(_encoder.encode(_Page(list(records), list(positions.items()))), level=1))
    result = connection.execute(insert(outbox).values(part=part, body=body))
    return int(result.inserted_primary_key[0]) if result.inserted_primary_key else 0


def take_away(connection: Connection, part: int, upto: int) -> None:
    """Delete the rows of a partition up to a number: they are published."""
    connection.execute(delete(outbox).where((outbox.c.seq <= upto) & (outbox.c.part == part)))


def read_page(body: bytes) -> tuple[Sequence[Outgoing], Positions]:
    """What a row of the outbox holds: the records of a batch and the positions to tell with them."""
    page = _decoder.decode(bytes(cramjam.zstd.decompress(body)))
    return page.records, dict(page.positions)


class Publisher:
    """Publishes what the committed batches of one service said, and knows which rows of the outbox may go away."""

    def __init__(self, engine: Engine, log: Log, group: str) -> None:
        self._engine = engine
        self._log = log
        self._group = group
        self._published: dict[int, int] = {}

    async def publish(self, part: int, said: Sequence[Outgoing], told: Positions, seq: int) -> None:
        """Publish what a batch of a partition said and tell how far it is; until then nothing of it goes away."""
        self._published.pop(part, None)
        at = Told(self._group, told)
        if said:
            await self._log.append(said, at)
            self._published[part] = seq
        elif told:
            await self._log.tell(at)

    def upto(self, part: int) -> int:
        """The row up to which everything of a partition is published; 0 when there is none to take away."""
        return self._published.get(part, 0)

    def leave(self, part: int) -> None:
        """Take away what is published of a partition, so that its next owner does not publish it again."""
        upto = self._published.get(part, 0)
        if upto:
            with transaction(self._engine) as connection:
                take_away(connection, part, upto)
            # only now: what an outage kept in the outbox is taken away the next time
            del self._published[part]

    def leave_all(self) -> None:
        """As `leave`, of every partition, when nothing comes: nobody who is erased may stay in what is published.

        An unavailable database is left as it is.
        """
        with suppress(Unavailable):
            for part in list(self._published):
                self.leave(part)

    def forget(self) -> None:
        """Trust nothing in memory."""
        self._published.clear()


async def publish_left_over(engine: Engine, log: Log, group: str, part: int) -> None:
    """Publish what an earlier owner of a partition committed and did not get to publish, oldest first."""
    with engine.connect() as connection:
        query = select(outbox.c.seq, outbox.c.body).where(outbox.c.part == part)
        rows = connection.execute(query.order_by(outbox.c.seq)).all()
    for seq, body in rows:
        records, positions = read_page(bytes(body))
        await log.append(records, Told(group, positions))
        with transaction(engine) as connection:
            take_away(connection, part, seq)
