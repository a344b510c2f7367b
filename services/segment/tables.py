"""The tables of the segment service."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from services.segment.rules import FEATURE_COLUMNS
from shared.database import PASSING, REWRITTEN, serial

metadata = MetaData()

customer = Table(
    "customer",
    metadata,
    Column("profile_id", String, primary_key=True),
    Column("part", Integer, nullable=False),
    Column("ruleset", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("customer_ruleset", "ruleset", "part"),
    postgresql_with=REWRITTEN,
)
"""One row per customer: his whole state, the partition his records come on, and the version of all definitions he was
last evaluated under."""

due = Table(
    "due",
    metadata,
    Column("profile_id", String, primary_key=True),
    Column("part", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("held_by", String),
    Index("due_moment", "held_by", "part", "due_at"),
)
"""The next due moment (ms) of a customer; `held_by` names the open import whose time he follows."""

recheck = Table(
    "recheck",
    metadata,
    Column("part", Integer, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("part", "profile_id"),
    postgresql_with=PASSING,
)
"""Who must be looked at again by the owner of his partition, since the population moved when a day was closed (ms)."""

membership = Table(
    "membership",
    metadata,
    Column("segmentation", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("class", String),
    Column("since", BigInteger, nullable=False),
    Column("pending", Integer, nullable=False),
    PrimaryKeyConstraint("segmentation", "profile_id"),
    Index("membership_class", "segmentation", "class", "profile_id"),
)
"""Who is where; `pending` 1 or -1 while a move up or down waits out its dwell."""

change = Table(
    "change",
    metadata,
    Column("seq", serial, primary_key=True, autoincrement=True),
    Column("profile_id", String, nullable=False),
    Column("segmentation", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("change_key", "profile_id", "segmentation", "version", unique=True),
)
"""The history: every class change once, as on the topic."""

definition = Table(
    "definition",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("applied_at", BigInteger, nullable=False),
    Column("dropped", Integer, nullable=False),
    Column("body", Text, nullable=False),
)
"""The definitions in force, and the dropped ones, whose version numbers go on."""

past_definition = Table(
    "past_definition",
    metadata,
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("applied_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("name", "version"),
)
"""Every version of every definition that was ever in force: what a past change was decided by."""

snapshot = Table(
    "snapshot",
    metadata,
    Column("day", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("day", "version"),
)
"""The population as of the close of a day (days since 1970), versioned."""

company = Table(
    "company",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ruleset", BigInteger, nullable=False),
    Column("closed_day", Integer),
    Column("dirty", Integer, nullable=False),
    Column("more", Text, nullable=False),
)
"""One row: the version of all definitions, the last closed day, whether late events changed it since; as JSON the
measured attributes and the company currency."""

feature_day = Table(
    "feature_day",
    metadata,
    Column("day", Integer, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("count", Integer, nullable=False),
    Column("revenue", BigInteger, nullable=False),
    Column("interests", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("day", "profile_id"),
    sqlite_with_rowid=False,
)
"""Purchases, net revenue (minor units of the company currency) and interest events of one customer on one day."""

_KINDS: dict[str, type[TypeEngine[Any]]] = {
    "text": String,
    "json": Text,
    "bigint": BigInteger,
    "double": Double,
    "boolean": Boolean,
}

features = Table(
    "features",
    metadata,
    *(Column(name, _KINDS[kind], primary_key=name == "profile_id") for name, kind in FEATURE_COLUMNS.items()),
    postgresql_with=REWRITTEN,
)
"""The facts of every customer as columns, so that a rule can be asked of all of them at once."""

rolling = Table(
    "rolling",
    metadata,
    Column("attribute", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("value", Double, nullable=False),
    PrimaryKeyConstraint("attribute", "profile_id"),
    sqlite_with_rowid=False,
)
"""The attributes of which the population is measured, per customer, as of the last closed day."""
