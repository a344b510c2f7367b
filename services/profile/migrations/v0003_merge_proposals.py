"""Merge proposals. Those of evidence from before come up when their customers are next heard of."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrating import text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "proposal",
        sa.Column("id", text(), nullable=False),
        sa.Column("left_id", text(), nullable=False),
        sa.Column("right_id", text(), nullable=False),
        sa.Column("identifiers", sa.LargeBinary(), nullable=False),
        sa.Column("reason", text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", text(), nullable=False),
        sa.Column("event_id", text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("proposal_newest", "proposal", ["at", "id"], unique=False)
