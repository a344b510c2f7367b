"""The tables of the profile service."""

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, LargeBinary, MetaData, Table, Text

from shared.database import REWRITTEN

metadata = MetaData()

identifier = Table(
    "identifier",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("own_id", Text, nullable=False, unique=True),
    Column("component_id", Text, nullable=False),
    Column("profile_id", Text, nullable=False, index=True),
)
"""Every identifier ever seen: the id it can give (so aliases find customers), its component, its customer now."""

component = Table(
    "component",
    metadata,
    Column("component_id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    postgresql_with=REWRITTEN,
)
"""Connected evidence with all its counts, as MessagePack."""

profile = Table(
    "profile",
    metadata,
    Column("profile_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("search", Text, nullable=False),
    postgresql_with=REWRITTEN,
)
"""The live records, as JSON; `search` is what a free search looks through, case folded."""

event = Table(
    "event",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("event_of_identifier", "kind", "value", "occurred_at"),
)
"""The timeline: every interaction under the strongest identifier that it names."""

erased = Table(
    "erased",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
)
"""The list of the erased: digests of identifiers, with the moment (ms) up to which what is said of them stays out."""

erasure = Table(
    "erasure",
    metadata,
    Column("erasure_id", Text, primary_key=True),
    Column("profile_id", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("applied_at", BigInteger),
    Column("stores", LargeBinary, nullable=False),
    Column("names", LargeBinary, nullable=False),
    Column("pending", Integer, nullable=False),
)
"""Receipts: what each store has removed, as JSON; `names` are digests and all profile ids, to find in the log what is
to be blackened; `pending` counts the reasons to go through the log (again), 0 when there is none."""

proposal = Table(
    "proposal",
    metadata,
    Column("id", Text, primary_key=True),
    Column("left_id", Text, nullable=False),
    Column("right_id", Text, nullable=False),
    Column("identifiers", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Index("proposal_newest", "at", "id"),
)
"""Two customers whom evidence would make one, had a limit not refused it; gone when a person has decided."""
