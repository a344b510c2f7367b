"""The outbox: what a batch says, kept in its transaction and published after it, then taken away.

Published, then deleted, never the reverse: a crash in between publishes an identical copy, and the reader's inbox
drops it.
"""

from collections.abc import Mapping, Sequence

import cramjam
import msgspec
from sqlalchemy import Connection, Engine, delete, insert, select

from shared.database import outbox, transaction
from shared.events.outgoing import Outgoing
from shared.log import Log, Position, Told, TopicPartition

Positions = Mapping[TopicPartition, Position]


class _Page(msgspec.Struct, array_like=True):
    records: list[Outgoing]
    positions: list[tuple[TopicPartition, Position]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Page)


def put(connection: Connection, records: Sequence[Outgoing], positions: Positions) -> int:
    """Keep what a batch says; the number of the row."""
    body = bytes(cramjam.zstd.compress(_encoder.encode(_Page(list(records), list(positions.items()))), level=1))
    result = connection.execute(insert(outbox).values(body=body))
    return int(result.inserted_primary_key[0]) if result.inserted_primary_key else 0


def take_away(connection: Connection, upto: int) -> None:
    """Delete the rows up to a number: they are published."""
    connection.execute(delete(outbox).where(outbox.c.seq <= upto))


async def publish_left_over(engine: Engine, log: Log, group: str) -> None:
    """Publish what an earlier run committed and did not get to publish, oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(select(outbox.c.seq, outbox.c.body).order_by(outbox.c.seq)).all()
    for seq, body in rows:
        page = _decoder.decode(bytes(cramjam.zstd.decompress(body)))
        await log.append(page.records, Told(group, dict(page.positions)))
        with transaction(engine) as connection:
            take_away(connection, seq)
