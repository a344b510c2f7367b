"""Imports that lie on several partitions: none runs more than a day ahead of the others.

What waits for the close of a day waits for every partition, whoever reads it. Each says here at which moment of the
import it stands, after what follows from everything before is published; the lowest of them is how far all are.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from shared.database import put, runtime_tables, transaction
from shared.log import TopicPartition

LAST = 253_402_300_799_000
"""The moment (ms) of a partition at which nothing of the import is to come."""

PATIENCE = 60.0
"""Seconds after which a partition goes on without those that say nothing."""


class Alignment(NamedTuple):
    """How far all partitions of an import are (ms, 0 while one has said nothing), and whether there is only one."""

    upto: int
    alone: bool


ALONE = Alignment(0, True)

history = Table(
    "history",
    runtime_tables,
    Column("name", String, primary_key=True),
    Column("open", Integer, nullable=False),
)
"""The imports that this service has seen begin; `open` 1 until the first end mark that all partitions have reached."""

low = Table(
    "low",
    runtime_tables,
    Column("topic", String, nullable=False),
    Column("part", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "part"),
)
"""Of each partition the moment (ms) before which nothing of an import is to come on it. It only rises."""


def begin(connection: Connection, name: str) -> None:
    """An import begins; partitions that were at the end of an earlier one are not at the end of this."""
    if name in open_imports(connection):
        return
    put(connection, history, [{"name": name, "open": 1}])
    connection.execute(low.delete().where(low.c.at >= LAST))


def end(connection: Connection, name: str) -> None:
    """An import is over, on all partitions."""
    connection.execute(history.update().where(history.c.name == name).values(open=0))


def open_imports(connection: Connection) -> set[str]:
    """The imports that have begun and not ended."""
    return {name for (name,) in connection.execute(select(history.c.name).where(history.c.open == 1))}


def announce(engine: Engine, held: Mapping[TopicPartition, int]) -> None:
    """Tell at which moment partitions wait; what they said before and is later stays."""
    rows = [{"topic": place.topic, "part": place.partition, "at": at} for place, at in sorted(held.items())]
    with transaction(engine) as connection:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = insert(low)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[low.c.topic, low.c.part],
                set_={"at": statement.excluded.at},
                where=low.c.at < statement.excluded.at,
            ),
            rows,
        )


def lowest(engine: Engine, topic: str, count: int) -> int:
    """How far all partitions of a topic are (ms); 0 while one of them has said nothing."""
    with engine.connect() as connection:
        known, at = connection.execute(select(func.count(), func.min(low.c.at)).where(low.c.topic == topic)).one()
    return at if known >= count else 0
