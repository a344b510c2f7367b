"""The database of a service: the runtime's tables and its own, made and kept up to date before anything runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine

from shared.database import guard, runtime_tables, transaction
from shared.database.migrating import Chain, migrate
from shared.runtime import alignment
from shared.runtime.service import Service

assert alignment.history.metadata is runtime_tables

RUNTIME = Chain("runtime", Path(__file__).parent / "migrations", runtime_tables)
"""What every service has in its database for the runtime."""


def chains_of(service: Service) -> Sequence[Chain]:
    """The chains of migrations of a service, in the order in which they are applied."""
    own = () if service.migrations is None else (Chain(service.name, service.migrations, service.metadata),)
    return (RUNTIME, *own)


def prepare(engine: Engine, service: Service, start: Callable[[Connection], None] | None = None) -> None:
    """Migrate the database of a service, then run its own start, one process after the other."""
    migrate(engine, chains_of(service))
    if start is not None:
        with transaction(engine) as connection:
            guard(connection, "start", alone=True)
            start(connection)
