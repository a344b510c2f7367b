"""Migrations: the tables of a database are made and changed by its chains of revisions and by nothing else.

A chain is a folder of alembic revisions of one owner (the runtime, a service, the keys) with a version table of its own
in the database that it changes. What is missing is applied in one transaction that has the database alone.
"""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, String, Text

from shared.database.transactions import guard, transaction

SCRIPTS = Path(__file__).parent / "scripts"
WAIT = "2min"
"""For another process that migrates the same database."""

LOCK_TIMEOUT = "5s"
"""For the lock on a table: a migration gives up rather than let everybody queue behind it."""


class Chain(NamedTuple):
    """The revisions in a folder, by which an owner's tables came to be what `metadata` says."""

    owner: str
    folder: Path
    metadata: MetaData

    @property
    def version_table(self) -> str:
        """Where the database says how far this chain is applied."""
        return f"{self.owner}_version"


def pending(engine: Engine, chains: Sequence[Chain]) -> list[str]:
    """The revisions still to be applied, as `owner revision: what it does`; writes nothing.

    A database that is ahead of these programs has none: a newer version has been here, and what it changed is made
    so that the version before it still runs.
    """
    with engine.connect() as connection:
        return [line for chain in chains for line in _missing(connection, chain)]


def _missing(connection: Connection, chain: Chain) -> list[str]:
    script = ScriptDirectory.from_config(_config(chain))
    at = MigrationContext.configure(connection, opts={"version_table": chain.version_table}).get_current_revision()
    known = [one.revision for one in script.walk_revisions()]
    if at is not None and at not in known:
        return []
    todo = known if at is None else known[: known.index(at)]
    return [f"{chain.owner} {name}: {script.get_revision(name).doc}" for name in reversed(todo)]


def migrate(engine: Engine, chains: Sequence[Chain]) -> list[str]:
    """Apply what is missing; what was applied. Of several processes that start at once one does it, the others wait."""
    if not pending(engine, chains):
        return []
    applied = []
    with transaction(engine) as connection:
        _alone(connection)
        for chain in chains:
            missing = _missing(connection, chain)
            if missing:
                command.upgrade(_config(chain, connection=connection), "head")
            applied += missing
    return applied


def sql(engine: Engine, chains: Sequence[Chain]) -> str:
    """The statements that `migrate` would run, for someone who runs them himself with `psql -1` or the like."""
    out = StringIO()
    with engine.connect() as connection:
        todo = [chain for chain in chains if _missing(connection, chain)]
        if todo and connection.dialect.name == "postgresql":
            schema = connection.get_execution_options()["schema"]
            out.write(f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n\nSET search_path = "{schema}";\n\n')
        for chain in todo:
            context = MigrationContext.configure(connection, opts={"version_table": chain.version_table})
            start = context.get_current_revision()
            config = _config(chain, dialect=connection.dialect.name, out=out)
            command.upgrade(config, f"{start}:head" if start else "head", sql=True)
    return out.getvalue()


def write_revision(engine: Engine, chain: Chain, others: Sequence[Chain], what: str) -> Path | None:
    """Write the revision that takes a migrated database to what the metadata says now; None when it is there already.

    It is a draft: read it, and make it do in two releases what a running version could not bear.
    """
    with transaction(engine) as connection:
        config = _config(chain, connection=connection, leave=_tables_of(others))
        number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        made = command.revision(
            config, what, autogenerate=True, rev_id=f"{number:04}", process_revision_directives=_only_changes
        )
    return Path(made.path) if isinstance(made, Script) else None


def _only_changes(context: Any, revision: Any, directives: list[Any]) -> None:
    if all(one.upgrade_ops.is_empty() for one in directives):
        directives.clear()


def _tables_of(chains: Sequence[Chain]) -> frozenset[str]:
    return frozenset(name for chain in chains for name in (chain.version_table, *chain.metadata.tables))


def _alone(connection: Connection) -> None:
    """Have the database alone until the transaction ends, and make its schema."""
    if connection.dialect.name != "postgresql":
        return
    schema = connection.get_execution_options()["schema"]
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{WAIT}'")
    guard(connection, "migration", alone=True)
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS \"{schema}\"; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def _config(
    chain: Chain,
    *,
    connection: Connection | None = None,
    dialect: str = "",
    out: StringIO | None = None,
    leave: frozenset[str] = frozenset(),
) -> Config:
    config = Config(output_buffer=out) if out is not None else Config()
    for name, value in (
        ("script_location", str(SCRIPTS)),
        ("version_locations", str(chain.folder)),
        ("path_separator", "newline"),
        ("file_template", "v%(rev)s_%(slug)s"),
    ):
        config.set_main_option(name, value.replace("%", "%%"))
    config.attributes.update(chain=chain, connection=connection, dialect=dialect, leave=leave)
    return config


def run(environment: EnvironmentContext | Any) -> None:
    """What alembic's `env.py` does: run the revisions on the connection that was given, or write their SQL."""
    given = environment.config.attributes
    chain, leave = given["chain"], given["leave"]
    where = (
        {"dialect_name": given["dialect"], "literal_binds": True}
        if environment.is_offline_mode()
        else {"connection": given["connection"]}
    )
    environment.configure(
        **where,
        version_table=chain.version_table,
        target_metadata=chain.metadata,
        render_as_batch=True,
        render_item=_rendered,
        compare_type=changed_types,
        include_name=lambda name, kind, parents: kind != "table" or name not in leave,
    )
    environment.run_migrations()


def text() -> Text:
    """A column of text; on PostgreSQL it is ordered by code point whatever the locale, as on SQLite and in Python.

    Faster than a locale's order, and no index breaks when the system's locales are updated.
    """
    return Text().with_variant(Text(collation="C"), "postgresql")


def _rendered(kind: str, value: Any, context: Any) -> str | Literal[False]:
    """In a new revision every text column is one of `text()`."""
    if kind == "type" and isinstance(value, String):
        context.imports.add("from shared.database.migrating import text")
        return "text()"
    return False


def changed_types(context: Any, told: Any, column: Any, found: Any, wanted: Any) -> bool | None:
    """Texts are all of one type; the rest is alembic's to compare."""
    return False if isinstance(found, String) and isinstance(wanted, String) else None
