"""Imports that were asked to send."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrating import text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sending_import",
        sa.Column("name", text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
