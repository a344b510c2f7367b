"""The number of a row of the outbox is never given again, on SQLite too.

Who has lost a partition and does not know it yet still takes away what it published, by number. A row of its successor
that had got the same number would go with it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply. On PostgreSQL numbers come from a sequence and never repeat."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.rename_table("outbox", "outbox_before")
    op.create_table(
        "outbox",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.execute("INSERT INTO outbox (seq, part, body) SELECT seq, part, body FROM outbox_before")
    op.drop_table("outbox_before")
