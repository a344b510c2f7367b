"""The tables of the campaign service."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from shared.database import PASSING, REWRITTEN, serial

metadata = MetaData()

customer = Table(
    "customer",
    metadata,
    Column("profile_id", String, primary_key=True),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("version", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    postgresql_with=REWRITTEN,
)
"""The state of one customer, whole, and the partition that his records come on; an erased one keeps only his id and
version. What is to be done for a customer (`due`, `dispatch`, `signal`) is done by the owner of his partition."""

message = Table(
    "message",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("campaign", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("occasion", String, nullable=False),
    Column("channel", String),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("planned_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("delivered_at", BigInteger),
    Column("clicked_at", BigInteger),
    Column("converted_at", BigInteger),
    Column("changed_at", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("history", String),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("campaign", "step", "profile_id", "occasion", name="message_occasion"),
    Index("message_newest", "planned_at", "message_id"),
    Index("message_customer", "profile_id", "planned_at"),
    Index("message_state", "state", "planned_at"),
)
"""The ledger: one row per message for good, in the state it is in now."""

transition = Table(
    "transition",
    metadata,
    Column("message_id", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("message_id", "revision"),
    sqlite_with_rowid=False,
)
"""Every state a message was in."""

due = Table(
    "due",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("due_at", BigInteger, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("history", String),
    Index("due_moment", "part", "due_at"),
)
"""The timers of planned messages; narrow, because it is asked all the time."""

dispatch = Table(
    "dispatch",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("profile_id", String, nullable=False),
    Column("history", String),
    Column("phase", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("sender", String),
    Column("taken_at", BigInteger),
    Index("dispatch_next", "phase", "not_before"),
    postgresql_with=PASSING,
)
"""What the gateway has to send. `phase`: claimed, connect (nothing has left), data (the outcome may be unknown)."""

signal = Table(
    "signal",
    metadata,
    Column("id", serial, primary_key=True, autoincrement=True),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("message_id", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reason", String),
    Column("subject", String),
    postgresql_with=PASSING,
)
"""Outcomes of sends and wishes of operators; each goes through the core like any other event, then it is deleted."""

document = Table(
    "document",
    metadata,
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("paused", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("kind", "name"),
)
"""Definitions as JSON. `kind`: campaign, template, settings, sending (the kill switch), shipped (already laid down)."""

open_import = Table(
    "open_import",
    metadata,
    Column("name", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("part", Integer, nullable=False),
    PrimaryKeyConstraint("name", "topic", "part"),
)
"""The imports that have begun and not yet ended, per partition."""

sending_import = Table(
    "sending_import",
    metadata,
    Column("name", String, primary_key=True),
    Column("asked_at", BigInteger, nullable=False),
)
"""The imports that were asked to send, and when (ms)."""

discard = Table(
    "discard",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("campaign", String, nullable=False),
    Column("planned_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("changed_at", BigInteger, nullable=False),
    Column("history", String),
)
"""Outbox files of erased customers that are still to be deleted."""
