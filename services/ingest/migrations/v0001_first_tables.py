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
        "dead_letter",
        sa.Column("id", text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("source", text(), nullable=False),
        sa.Column("type", text(), nullable=True),
        sa.Column("code", text(), nullable=False),
        sa.Column("errors", text(), nullable=False),
        sa.Column("original", sa.LargeBinary(), nullable=False),
        sa.Column("repaired", sa.LargeBinary(), nullable=True),
        sa.Column("state", text(), server_default="open", nullable=False),
        sa.Column("service", text(), nullable=False),
        sa.Column("topic", text(), nullable=True),
        sa.Column("part", sa.Integer(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("file", text(), nullable=True),
        sa.Column("line", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("dead_letter_received", "dead_letter", ["received_at", "id"], unique=False, if_not_exists=True)
