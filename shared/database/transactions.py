"""The one way to write, and the locks that a transaction takes by name."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from shared.database.errors import first_line
from shared.errors import Conflict


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """The one way to write: everything inside commits together or not at all.

    Raises Conflict when another writer won (read again, retry at once) and Unavailable when the database is away; then
    it is not known whether the transaction was committed.
    """
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection
    except IntegrityError as error:
        raise Conflict(first_line(error.orig)) from error


def guard(connection: Connection, name: str, *, alone: bool = False) -> None:
    """Until the transaction ends: let nobody in who asks for `alone` under this name, or with it nobody else at all.

    For what a transaction reads of the whole service and others change. On SQLite a transaction is alone anyway.
    """
    if connection.dialect.name == "postgresql":
        lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        schema = connection.get_execution_options().get("schema", "public")
        connection.exec_driver_sql(f"SELECT {lock}(hashtextextended(%s, 0))", (f"cartera/{schema}/{name}",))


def shred(connection: Connection) -> None:
    """What this transaction deletes is overwritten in the file. PostgreSQL does it when it next vacuums the table."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
