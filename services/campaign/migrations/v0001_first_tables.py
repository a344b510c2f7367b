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
        "customer",
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id"),
        postgresql_with={"fillfactor": 50},
        if_not_exists=True,
    )
    op.create_table(
        "discard",
        sa.Column("message_id", text(), nullable=False),
        sa.Column("campaign", text(), nullable=False),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("history", text(), nullable=True),
        sa.PrimaryKeyConstraint("message_id"),
        if_not_exists=True,
    )
    op.create_table(
        "dispatch",
        sa.Column("message_id", text(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("history", text(), nullable=True),
        sa.Column("phase", text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("sender", text(), nullable=True),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("message_id"),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 1000},
        if_not_exists=True,
    )
    op.create_index("dispatch_next", "dispatch", ["phase", "not_before"], unique=False, if_not_exists=True)

    op.create_table(
        "document",
        sa.Column("kind", text(), nullable=False),
        sa.Column("name", text(), nullable=False),
        sa.Column("paused", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("body", text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
        if_not_exists=True,
    )
    op.create_table(
        "due",
        sa.Column("message_id", text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("history", text(), nullable=True),
        sa.PrimaryKeyConstraint("message_id"),
        if_not_exists=True,
    )
    op.create_index("due_moment", "due", ["due_at"], unique=False, if_not_exists=True)

    op.create_table(
        "message",
        sa.Column("message_id", text(), nullable=False),
        sa.Column("campaign", text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("occasion", text(), nullable=False),
        sa.Column("channel", text(), nullable=True),
        sa.Column("state", text(), nullable=False),
        sa.Column("reason", text(), nullable=True),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("history", text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
        sa.UniqueConstraint("campaign", "step", "profile_id", "occasion", name="message_occasion"),
        if_not_exists=True,
    )
    op.create_index("message_customer", "message", ["profile_id", "planned_at"], unique=False, if_not_exists=True)
    op.create_index("message_newest", "message", ["planned_at", "message_id"], unique=False, if_not_exists=True)
    op.create_index("message_state", "message", ["state", "planned_at"], unique=False, if_not_exists=True)

    op.create_table(
        "open_import",
        sa.Column("name", text(), nullable=False),
        sa.Column("topic", text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "topic", "part"),
        if_not_exists=True,
    )
    op.create_table(
        "signal",
        sa.Column("id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), autoincrement=True, nullable=False),
        sa.Column("message_id", text(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("kind", text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", text(), nullable=True),
        sa.Column("subject", text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 1000},
        if_not_exists=True,
    )
    op.create_table(
        "transition",
        sa.Column("message_id", text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", text(), nullable=False),
        sa.Column("reason", text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "revision"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
