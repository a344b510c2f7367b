"""The databases of a run: real SQLite files through the real engine, whose driver can fail at every statement."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from shared.database import open_sqlite
from tests.simulation.faults import Process, When

_COMPILED: dict[Any, Any] = {}
"""Statements once compiled serve all processes of all runs."""


class _Cursor(sqlite3.Cursor):
    """Asks before each statement whether it gets that far."""

    connection: "_Connection"

    def execute(self, sql: str, parameters: Any = (), /) -> "_Cursor":
        _suffer(self.connection.process, _verb(sql))
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> "_Cursor":
        _suffer(self.connection.process, _verb(sql))
        return super().executemany(sql, parameters)


class _Connection(sqlite3.Connection):
    """Belongs to a process. What is not committed when it dies never was."""

    process: Process

    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def commit(self) -> None:
        if not self.in_transaction:
            return
        _suffer(self.process, "commit")
        super().commit()
        _suffer(self.process, "commit", "after")


def _suffer(process: Process, what: str, when: When = "before") -> None:
    process.suffer(process.decide(what, when), sqlite3.OperationalError("the server closed the connection"))


def _verb(sql: str) -> str:
    """The kind of a statement and its table, for whoever reads of the place."""
    words = sql.replace('"', " ").split()
    for before in ("FROM", "INTO", "UPDATE"):
        if before in words[:-1] and (before != "FROM" or words[0] in ("SELECT", "DELETE")):
            return f"{words[0].lower()} {words[words.index(before) + 1]}"
    return " ".join(words[:2]).lower()


def open_database(path: Path, process: Process) -> Engine:
    """The engine of a process on a file. Nothing is flushed to the disk: power stays on."""
    engine = open_sqlite(path)
    engine.update_execution_options(compiled_cache=_COMPILED)
    factory = type("Connection", (_Connection,), {"process": process})

    @event.listens_for(engine, "do_connect")
    def _connecting(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        options["factory"] = factory

    @event.listens_for(engine, "connect")
    def _opened(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    return engine


def look(path: Path, query: str, values: Sequence[Any] = ()) -> list[Any]:
    """The answer to a question that nobody in the run asks."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()
