"""What all tests share: a Kafka broker, databases of both kinds with migrated, empty tables."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData

from services.composition import KEYS
from shared.database import open_sqlite, transaction
from shared.database.migrating import Chain, migrate
from shared.runtime.schema import chains_of
from shared.runtime.service import Service
from tests.servers import kafka as kafka_server
from tests.servers.postgres import NoServer, Schemas, running

BOTH = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))

Opener = Callable[..., Engine]
"""Opens the migrated, empty database of a service (or of other chains, under a name)."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Schemas]:
    """A PostgreSQL server; without one the test is skipped, and in CI failed."""
    try:
        with running() as url:
            schemas = Schemas(url)
            yield schemas
            schemas.close()
    except NoServer as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; or set CARTERA_TEST_POSTGRES")
        pytest.skip(f"{reason}; or set CARTERA_TEST_POSTGRES")


def sqlite(folder: Path, opened: list[Engine], name: str, chains: Sequence[Chain], more: MetaData | None) -> Engine:
    """A migrated SQLite file."""
    engine = open_sqlite(folder / f"{name}.db")
    opened.append(engine)
    migrate(engine, chains)
    if more is not None:
        with transaction(engine) as connection:
            more.create_all(connection)
    return engine


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens databases, once on SQLite and once on PostgreSQL: `database(SERVICE)`."""
    opened: list[Engine] = []
    make = partial(sqlite, tmp_path, opened) if request.param == "sqlite" else request.getfixturevalue("postgres").open

    def of(service: Service, more: MetaData | None = None) -> Engine:
        return make(service.name, chains_of(service), more)

    yield of
    for engine in opened:
        engine.dispose()


@pytest.fixture
def keys_database(tmp_path: Path) -> Iterator[Engine]:
    """A database for API keys."""
    engine = open_sqlite(tmp_path / "keys.db")
    migrate(engine, [KEYS])
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Kafka broker; without one the test is skipped, and in CI failed."""
    with kafka_server.running(tmp_path_factory.mktemp("kafka")) as url:
        yield url
