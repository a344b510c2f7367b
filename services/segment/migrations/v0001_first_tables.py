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
        "change",
        sa.Column("seq", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), autoincrement=True, nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("segmentation", text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        if_not_exists=True,
    )
    op.create_index("change_key", "change", ["profile_id", "segmentation", "version"], unique=True, if_not_exists=True)

    op.create_table(
        "company",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ruleset", sa.BigInteger(), nullable=False),
        sa.Column("closed_day", sa.Integer(), nullable=True),
        sa.Column("dirty", sa.Integer(), nullable=False),
        sa.Column("more", text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_table(
        "customer",
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("ruleset", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id"),
        postgresql_with={"fillfactor": 50},
        if_not_exists=True,
    )
    op.create_index("customer_ruleset", "customer", ["ruleset", "part"], unique=False, if_not_exists=True)

    op.create_table(
        "definition",
        sa.Column("name", text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("body", text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        if_not_exists=True,
    )
    op.create_table(
        "due",
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("held_by", text(), nullable=True),
        sa.PrimaryKeyConstraint("profile_id"),
        if_not_exists=True,
    )
    op.create_index("due_moment", "due", ["held_by", "part", "due_at"], unique=False, if_not_exists=True)

    op.create_table(
        "feature_day",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("revenue", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "profile_id"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "membership",
        sa.Column("segmentation", text(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("class", text(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("segmentation", "profile_id"),
        if_not_exists=True,
    )
    op.create_index(
        "membership_class", "membership", ["segmentation", "class", "profile_id"], unique=False, if_not_exists=True
    )

    op.create_table(
        "recheck",
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("part", "profile_id"),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 1000},
        if_not_exists=True,
    )
    op.create_table(
        "rolling",
        sa.Column("attribute", text(), nullable=False),
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("attribute", "profile_id"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "snapshot",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", text(), nullable=False),
        sa.PrimaryKeyConstraint("day", "version"),
        if_not_exists=True,
    )
