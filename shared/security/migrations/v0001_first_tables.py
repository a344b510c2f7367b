"""The tables of API keys and secrets.

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
        "api_key",
        sa.Column("id", text(), nullable=False),
        sa.Column("scope", text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("first", text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("first"),
        if_not_exists=True,
    )
    op.create_table(
        "secret",
        sa.Column("name", text(), nullable=False),
        sa.Column("value", text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        if_not_exists=True,
    )
