"""`cartera migrate`: the migrations of every database, applied, looked at, or written as SQL."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from sqlalchemy import Engine

from services import composition
from shared.database import open_sqlite
from shared.database.migrating import Chain, migrate, pending, sql, write_revision
from shared.runtime.schema import RUNTIME, chains_of


class Database(NamedTuple):
    """A database with the chains that make its tables."""

    name: str
    chains: Sequence[Chain]


def databases() -> list[Database]:
    """The databases of all services, and that of the keys."""
    services = {name: build({}) for name, build in composition.SERVICES.items()}
    return [
        Database(composition.KEYS.owner, (composition.KEYS,)),
        *(Database(name, chains_of(one)) for name, one in services.items()),
    ]


EngineOf = Callable[[str], Engine]
"""Gives a database by its name."""


def missing(engine_of: EngineOf) -> list[str]:
    """What would be applied, a line per revision."""
    return [f"{one.name}: {line}" for one in databases() for line in pending(engine_of(one.name), one.chains)]


def apply(engine_of: EngineOf) -> list[str]:
    """Apply what is missing; what was applied, a line per revision."""
    return [f"{one.name}: {line}" for one in databases() for line in migrate(engine_of(one.name), one.chains)]


def as_sql(engine_of: EngineOf) -> str:
    """The statements that would be run, each database under a heading."""
    written = ((one.name, sql(engine_of(one.name), one.chains)) for one in databases())
    return "\n".join(f"-- {name}\n{text}" for name, text in written if text)


def main(owner: str, what: str) -> int:
    """Write the next revision of a chain from what its metadata says now (`make revision`)."""
    chains = {chain.owner: (chain, one.chains) for one in databases() for chain in one.chains}
    if owner not in chains:
        print(f"no tables belong to {owner!r}; there are {', '.join(sorted(chains))}", file=sys.stderr)
        return 2
    chain, beside = chains[owner]
    with TemporaryDirectory() as folder:
        engine = open_sqlite(Path(folder) / "migrated.db")
        migrate(engine, beside if owner != RUNTIME.owner else (RUNTIME,))
        made = write_revision(engine, chain, [one for one in beside if one is not chain], what)
        print(made or "nothing has changed")
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
