"""The database of one service: how it is opened and migrated, the one way to write to it, the runtime's own tables.

SQLAlchemy Core, synchronous, two dialects. What differs between them is in this package and nowhere else.
"""

from shared.database.errors import translate
from shared.database.opening import open_postgres, open_sqlite
from shared.database.sets import Conflicting, among, put
from shared.database.tables import PASSING, REWRITTEN, inbox, outbox, position, runtime_tables, serial
from shared.database.transactions import guard, shred, transaction

__all__ = [
    "PASSING",
    "REWRITTEN",
    "Conflicting",
    "among",
    "guard",
    "inbox",
    "open_postgres",
    "open_sqlite",
    "outbox",
    "position",
    "put",
    "runtime_tables",
    "serial",
    "shred",
    "transaction",
    "translate",
]
