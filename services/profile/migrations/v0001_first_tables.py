"""The tables of version 0.1.0.

A database that has them from before there were migrations keeps its own.
"""

import sqlalchemy as sa
from alembic import op

from shared.database.migrating import text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "component",
        sa.Column("component_id", text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("component_id"),
        postgresql_with={"fillfactor": 50},
        if_not_exists=True,
    )
    op.create_table(
        "event",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("kind", text(), nullable=False),
        sa.Column("value", text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("type", text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        if_not_exists=True,
    )
    op.create_index("event_of_identifier", "event", ["kind", "value", "occurred_at"], unique=False, if_not_exists=True)

    op.create_table(
        "identifier",
        sa.Column("kind", text(), nullable=False),
        sa.Column("value", text(), nullable=False),
        sa.Column("own_id", text(), nullable=False),
        sa.Column("component_id", text(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value"),
        sa.UniqueConstraint("own_id"),
        if_not_exists=True,
    )
    op.create_index("ix_identifier_profile_id", "identifier", ["profile_id"], unique=False, if_not_exists=True)

    op.create_table(
        "profile",
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("search", text(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id"),
        postgresql_with={"fillfactor": 50},
        if_not_exists=True,
    )
