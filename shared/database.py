"""The database of one service: how it is opened, the one way to write to it, and the runtime's own three tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
)
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from shared.errors import Conflict, Unavailable

Conflicting = Literal["replace", "ignore", "refuse"]

runtime_tables = MetaData()
serial = Integer().with_variant(BigInteger, "postgresql")
"""The type of a key that the database counts up: SQLite does so only for INTEGER."""

position = Table(
    "position",
    runtime_tables,
    Column("topic", String, nullable=False),
    Column("part", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String, nullable=False),
    Column("last_fp", String),
    Column("appended_at", BigInteger, nullable=False),
    Column("event_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "part"),
)
"""How far this service has applied each partition; moved only by compare-and-set, together with the effects."""

inbox = Table(
    "inbox",
    runtime_tables,
    Column("id", LargeBinary, nullable=False),
    Column("fp", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", "fp"),
    sqlite_with_rowid=False,
)
"""What has been applied: digest of source and id, digest of the content, arrival time (ms) for pruning."""

outbox = Table(
    "outbox",
    runtime_tables,
    Column("seq", serial, primary_key=True, autoincrement=True),
    Column("part", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""One row per batch: the records to publish, in order, the positions to tell with them, and the number of the partition
it came from, whose owner publishes it."""


def open_sqlite(path: Path) -> Engine:
    """The engine of one SQLite file: WAL, `synchronous=FULL`, deferred transactions for readers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=5,
        max_overflow=20,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=30000",
            "cache_size=-65536",
            "secure_delete=FAST",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """The one way to write: everything inside commits together or not at all.

    Raises Conflict when another writer won (read again, retry at once) and Unavailable when the database is away.
    """
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection
    except IntegrityError as error:
        raise Conflict(str(error.orig)) from error
    except OperationalError as error:
        raise Unavailable(f"the database does not answer: {error.orig}") from error


def guard(connection: Connection, name: str, *, alone: bool = False) -> None:
    """Until the transaction ends: let nobody in who asks for `alone` under this name, or with it nobody else at all.

    For what a transaction reads of the whole service and others change. On SQLite a transaction is alone anyway.
    """
    if connection.dialect.name == "postgresql":
        lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        connection.exec_driver_sql(f"SELECT {lock}(hashtextextended(current_schema() || %s, 0))", (f"/{name}",))


def create_tables(engine: Engine, metadata: MetaData, start: Callable[[Connection], None] | None = None) -> None:
    """Create what is missing of a service's tables and the runtime's, then run the service's own start."""
    with transaction(engine) as connection:
        runtime_tables.create_all(connection)
        metadata.create_all(connection)
        if start is not None:
            start(connection)


def put(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], conflict: Conflicting = "replace"
) -> None:
    """Write many rows in one statement of the driver; all rows have the same columns.

    A row whose primary key is there already replaces it, is left out (`ignore`), or raises (`refuse`). The statement
    goes to the driver as text: for thousands of rows a batch, binding each value anew costs more than writing it.
    """
    if not rows:
        return
    names = tuple(rows[0])
    statement = _statement(table, names, conflict, connection.dialect.paramstyle)
    connection.exec_driver_sql(statement, [tuple(row.values()) for row in rows])


@cache
def _statement(table: Table, names: tuple[str, ...], conflict: Conflicting, style: str) -> str:
    place = "?" if style == "qmark" else "%s"
    keys = [column.name for column in table.primary_key]
    columns = ", ".join(f'"{name}"' for name in names)
    text = f'INSERT INTO "{table.name}" ({columns}) VALUES ({", ".join([place] * len(names))})'
    if conflict == "refuse":
        return text
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
    if conflict == "ignore" or not changed:
        return f"{text} ON CONFLICT DO NOTHING"
    return f"{text} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"
