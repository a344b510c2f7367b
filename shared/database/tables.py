"""The runtime's own tables, in the database of every service."""

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
)

runtime_tables = MetaData()

serial = Integer().with_variant(BigInteger, "postgresql")
"""The type of a key that the database counts up: SQLite does so only for INTEGER."""

REWRITTEN = {"fillfactor": 50}
"""For PostgreSQL tables whose rows are written again and again: a new version finds room beside the old one, and no
index is touched (a HOT update) as long as no indexed column changes."""

PASSING = {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 1000}
"""For PostgreSQL tables that rows only pass through: what they leave is cleared away soon, however large the table."""

position = Table(
    "position",
    runtime_tables,
    Column("topic", String, nullable=False),
    Column("part", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String, nullable=False),
    Column("last_fp", String),
    Column("appended_at", BigInteger, nullable=False),
    Column("event_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "part"),
    postgresql_with=REWRITTEN,
)
"""How far this service has applied each partition; moved only by compare-and-set, together with the effects."""

inbox = Table(
    "inbox",
    runtime_tables,
    Column("id", LargeBinary, nullable=False),
    Column("fp", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", "fp"),
    sqlite_with_rowid=False,
)
"""What has been applied: digest of source and id, digest of the content, arrival time (ms) for pruning."""

outbox = Table(
    "outbox",
    runtime_tables,
    Column("seq", serial, primary_key=True, autoincrement=True),
    Column("part", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
    postgresql_with=PASSING,
)
"""One row per batch: the records to publish, in order, the positions to tell with them, and the number of the partition
it came from, whose owner publishes it. Numbers are never given again: a former owner takes away by number."""
