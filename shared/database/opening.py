"""Opening the two kinds of databases. On both a reader sees one moment, and only `transaction` may write."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import TimeoutError as AllBusy
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from shared.database.errors import first_line, translate
from shared.errors import Unavailable, WrongSetting

CONNECTIONS = 10
"""Connections to PostgreSQL that one process opens at most, for all services in it together."""

WAIT_SECONDS = 10.0
"""For a free connection; a request is then answered with 503."""

CONNECTING: Mapping[str, Any] = {
    "application_name": "cartera",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Parameters of libpq that the address may override; a server that is gone is noticed within 15 seconds."""

_BOUNDS = "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '2min'; "
_READING = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_BOUNDS}SET LOCAL statement_timeout = '1min'; "
_WRITING = f"BEGIN; {_BOUNDS}SET LOCAL statement_timeout = '5min'; SET LOCAL synchronous_commit = on; "


def open_sqlite(path: Path) -> Engine:
    """The engine of one SQLite file: WAL, `synchronous=FULL`, deferred transactions for readers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=5,
        max_overflow=20,
        connect_args={"check_same_thread": False},
        hide_parameters=True,
    )
    translate(engine)

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


class _Pool(QueuePool):
    """A pool that says in our words that no connection became free."""

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except AllBusy:
            raise Unavailable("all connections to the database are busy", retry_after=2) from None


@cache
def open_postgres(url: str) -> Callable[[str], Engine]:
    """Gives the database of a service by its name: the schema of that name. All share ten connections.

    Nothing is prepared and every setting is made with the transaction, so that a pooler that hands out connections by
    the transaction may stand in between. Nothing is opened before it is needed. Raises WrongSetting.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=_connector(url),
        poolclass=_Pool,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,
    )
    translate(engine)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        orders = _WRITING if options.get("writes") else _READING
        connection.exec_driver_sql(f'{orders}SET LOCAL search_path = "{options["schema"]}"')

    @cache
    def schema(name: str) -> Engine:
        return engine.execution_options(schema=name)

    return schema


def _connector(url: str) -> Callable[[], psycopg.Connection[Any]]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise WrongSetting(f"CARTERA_DATABASE_URL: {str(error).strip()}: postgresql://user:pass@host/db") from error
    parameters: dict[str, Any] = {**CONNECTING, **given}

    def connect() -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(**parameters, autocommit=True, prepare_threshold=None)
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"the database does not answer ({first_line(error)}): start it, or correct CARTERA_DATABASE_URL"
            ) from None

    return connect
