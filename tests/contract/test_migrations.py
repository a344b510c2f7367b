"""The tables of every database are what its migrations make of it: fresh, from before there were any, and at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, inspect, select, text

from services.composition import KEYS
from services.migrate import Database, apply, as_sql, databases, missing
from shared.database import open_postgres, open_sqlite, runtime_tables, transaction
from shared.database.migrating import Chain, changed_types, migrate, pending, sql, write_revision
from shared.errors import Unavailable
from shared.security.keys import api_key
from tests.conftest import BOTH
from tests.servers.postgres import Schemas

OPENED = Callable[[str], Engine]
CHAINS = [pytest.param(one, id=one.name) for one in databases()]


@pytest.fixture(params=BOTH)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OPENED]:
    """Opens databases that are empty, without even a schema."""
    if request.param == "sqlite":
        engines: dict[str, Engine] = {}
        yield lambda name: engines.setdefault(name, open_sqlite(tmp_path / f"{name}.db"))
        for engine in engines.values():
            engine.dispose()
        return
    schemas: Schemas = request.getfixturevalue("postgres")
    used: set[str] = set()

    def fresh(name: str) -> Engine:
        engine = open_postgres(schemas.url)(f"fresh_{name}")
        if name not in used:
            used.add(name)
            with transaction(engine) as connection:
                connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "fresh_{name}" CASCADE')
        return engine

    yield fresh


def differences(connection: Connection, chains: Sequence[Chain]) -> list[object]:
    """What alembic would change to come from the tables to the metadata."""
    versions = {chain.version_table for chain in chains}
    options = {
        "compare_type": changed_types,
        "include_name": lambda name, kind, parents: kind != "table" or name not in versions,
    }
    return compare_metadata(MigrationContext.configure(connection, opts=options), [chain.metadata for chain in chains])


@pytest.mark.parametrize("database", CHAINS)
def test_the_tables_are_what_the_code_says(opened: OPENED, database: Database) -> None:
    engine = opened(database.name)
    applied = migrate(engine, database.chains)
    assert applied
    with engine.connect() as connection:
        assert differences(connection, database.chains) == []
    assert migrate(engine, database.chains) == []


def test_a_table_that_differs_is_found(opened: OPENED) -> None:
    engine = opened("keys")
    migrate(engine, [KEYS])
    with transaction(engine) as connection:
        connection.execute(text("ALTER TABLE api_key ADD COLUMN more INTEGER"))
    with engine.connect() as connection:
        assert "more" in str(differences(connection, [KEYS]))


@pytest.mark.postgres
@pytest.mark.parametrize("database", CHAINS)
def test_texts_are_ordered_by_code_point(postgres: Schemas, database: Database) -> None:
    engine = postgres.open(f"order_{database.name}", database.chains)
    query = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = :schema "
        "AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
    )
    with engine.connect() as connection:
        found = connection.execute(text(query), {"schema": f"test_order_{database.name}"}).all()
    assert [tuple(row) for row in found] == []


def test_a_database_from_before_there_were_migrations_keeps_what_it_holds(opened: OPENED) -> None:
    engine = opened("keys")
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f'CREATE SCHEMA "{engine.get_execution_options()["schema"]}"')
        api_key.create(connection)
        connection.execute(api_key.insert().values(id="k", scope="read", digest=b"d", created_at=1))
    migrate(engine, [KEYS])
    with engine.connect() as connection:
        assert connection.scalar(select(api_key.c.id)) == "k"
        assert differences(connection, [KEYS]) == []


def test_of_several_that_start_at_once_one_migrates(opened: OPENED) -> None:
    engine, chains = opened("keys"), [KEYS]
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate(engine, chains), range(4)))
    assert sorted(applied) == [[], [], [], ["keys 0001: The tables of API keys and secrets."]]


def test_all_databases_are_migrated_and_looked_at(opened: OPENED) -> None:
    todo = missing(opened)
    assert {line.split(":")[0] for line in todo} == {one.name for one in databases()}
    assert apply(opened) == todo
    assert missing(opened) == []


def test_the_statements_can_be_had_and_run_by_hand(opened: OPENED) -> None:
    assert all(f"-- {one.name}\n" in as_sql(opened) for one in databases())
    engine = opened("keys")
    statements = sql(engine, [KEYS])
    assert missing(opened)
    with transaction(engine) as connection:
        for statement in statements.split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    assert pending(engine, [KEYS]) == []
    assert sql(engine, [KEYS]) == ""


def test_a_database_that_is_ahead_is_left_alone(opened: OPENED) -> None:
    engine = opened("keys")
    migrate(engine, [KEYS])
    with transaction(engine) as connection:
        connection.execute(text("UPDATE keys_version SET version_num = '9999'"))
    assert pending(engine, [KEYS]) == []
    assert migrate(engine, [KEYS]) == []


BROKEN = '''"""Breaks half way."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("SELECT * FROM nowhere")
'''


def test_a_migration_that_fails_leaves_nothing(opened: OPENED, tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "v0001_broken.py").write_text(BROKEN)
    engine = opened("broken")
    chain = Chain("broken", tmp_path / "chain", MetaData())
    with pytest.raises(Exception, match="nowhere"):
        migrate(engine, [chain])
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []


def test_a_change_of_the_tables_becomes_a_revision(opened: OPENED, tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    folder.mkdir()
    tables = MetaData()
    Table("thing", tables, Column("id", Integer, primary_key=True))
    chain = Chain("things", folder, tables)
    engine = opened("things")
    runtime = next(chain for one in databases() for chain in one.chains if chain.metadata is runtime_tables)
    migrate(engine, [runtime])
    made = write_revision(engine, chain, [runtime], "First")
    assert made is not None
    assert made.name == "v0001_first.py"
    assert migrate(engine, [runtime, chain]) == ["things 0001: First."]
    assert write_revision(engine, chain, [runtime], "Nothing") is None


@pytest.mark.postgres
def test_a_migration_waits_for_nobody_long(postgres: Schemas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shared.database.migrating.LOCK_TIMEOUT", "200ms")
    (tmp_path / "chain").mkdir()
    script = BROKEN.replace("SELECT * FROM nowhere", "ALTER TABLE api_key ADD COLUMN more INTEGER")
    (tmp_path / "chain" / "v0001_alter.py").write_text(script)
    engine = postgres.open("busy", [KEYS])
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM api_key"))
        with pytest.raises(Unavailable, match="lock timeout"):
            migrate(engine, [Chain("alter", tmp_path / "chain", MetaData())])
