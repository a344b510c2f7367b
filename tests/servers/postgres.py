"""The PostgreSQL of the tests: the one in CARTERA_TEST_POSTGRES, or one of our own from the installed binaries.

The role must be able to create schemas in its database. A test gets empty tables in a schema of its own service; the
schemas are migrated once and emptied between tests.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, MetaData, inspect

from deploy.postgres.server import UNSAFE, NoServer, Server
from services.composition import SERVICES
from shared.database import open_postgres, transaction
from shared.database.migrating import Chain, migrate

__all__ = ["UNSAFE", "NoServer", "Schemas", "Server", "fresh_server", "running"]


@contextmanager
def running() -> Iterator[str]:
    """The address of a server for the length of the block. Raises NoServer."""
    given = os.environ.get("CARTERA_TEST_POSTGRES")
    if given:
        yield given
        return
    server = fresh_server()
    try:
        yield server.start(UNSAFE).url
    finally:
        server.remove()


def fresh_server() -> Server:
    """A server in a new folder, not started. What a test run that was killed has left behind is ended and removed."""
    place = Path(tempfile.gettempdir())
    for folder in place.glob("cartera-postgres-*-*"):
        owner = folder.name.split("-")[2]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
            with suppress(OSError, NoServer):
                Server(folder).remove()
    return Server(Path(tempfile.mkdtemp(prefix=f"cartera-postgres-{os.getpid()}-", dir=place)))


class Schemas:
    """Opens schemas with empty tables."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine_of: Callable[[str], Engine] = open_postgres(url)
        self._made: set[tuple[str, ...]] = set()

    def open(self, name: str, chains: Sequence[Chain], more: MetaData | None = None) -> Engine:
        """An engine on a schema with the tables of these chains, and those of `more`, all empty."""
        schema = f"test_{name}"
        engine = self._engine_of(schema)
        key = (schema, *(chain.owner for chain in chains), *(more.tables if more is not None else ()))
        if key not in self._made:
            with transaction(engine) as connection:
                connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
                connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
            migrate(engine, chains)
            if more is not None:
                with transaction(engine) as connection:
                    more.create_all(connection)
            self._made = {one for one in self._made if one[0] != schema} | {key}
        self._empty(engine)
        return engine

    def for_a_platform(self) -> dict[str, str]:
        """The environment of a platform whose database is here, and has nothing in it yet."""
        with transaction(self._engine_of("public")) as connection:
            for name in ("keys", *SERVICES):
                connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
        return {"CARTERA_DATABASE_URL": self.url, "CARTERA_ADMIN_KEY": "root", "CARTERA_WRITE_KEY": "pen"}

    def _empty(self, engine: Engine) -> None:
        with transaction(engine) as connection:
            tables = [name for name in inspect(connection).get_table_names() if not name.endswith("_version")]
            if tables:
                names = ", ".join(f'"{name}"' for name in tables)
                connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")

    def close(self) -> None:
        """Close all connections."""
        self._engine_of("public").dispose()
