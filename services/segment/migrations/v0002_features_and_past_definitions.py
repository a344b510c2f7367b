"""Features of customers, filled at the next start, and every version of a definition."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrating import text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "features",
        sa.Column("profile_id", text(), nullable=False),
        sa.Column("scale", sa.BigInteger(), nullable=True),
        sa.Column("purchases", sa.BigInteger(), nullable=True),
        sa.Column("refunds", sa.BigInteger(), nullable=True),
        sa.Column("revenue_minor", sa.BigInteger(), nullable=True),
        sa.Column("average_minor", sa.BigInteger(), nullable=True),
        sa.Column("first_purchase_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_purchase_ms", sa.BigInteger(), nullable=True),
        sa.Column("purchase_days", sa.BigInteger(), nullable=True),
        sa.Column("gaps", sa.BigInteger(), nullable=True),
        sa.Column("gap_median", sa.Double(), nullable=True),
        sa.Column("gap_q90", sa.Double(), nullable=True),
        sa.Column("gap_log", sa.Double(), nullable=True),
        sa.Column("calls", sa.BigInteger(), nullable=True),
        sa.Column("calls_missed", sa.BigInteger(), nullable=True),
        sa.Column("last_call_ms", sa.BigInteger(), nullable=True),
        sa.Column("emails_sent", sa.BigInteger(), nullable=True),
        sa.Column("emails_opened", sa.BigInteger(), nullable=True),
        sa.Column("emails_clicked", sa.BigInteger(), nullable=True),
        sa.Column("emails_replied", sa.BigInteger(), nullable=True),
        sa.Column("last_email_ms", sa.BigInteger(), nullable=True),
        sa.Column("chats", sa.BigInteger(), nullable=True),
        sa.Column("last_chat_ms", sa.BigInteger(), nullable=True),
        sa.Column("interests", sa.BigInteger(), nullable=True),
        sa.Column("last_interest_ms", sa.BigInteger(), nullable=True),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=True),
        sa.Column("reachable", sa.Boolean(), nullable=True),
        sa.Column("contract_active", sa.Boolean(), nullable=True),
        sa.Column("churned_for_price", sa.Boolean(), nullable=True),
        sa.Column("nps", sa.Double(), nullable=True),
        sa.Column("csat", sa.Double(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("traits", text(), nullable=True),
        sa.Column("scores", text(), nullable=True),
        sa.Column("consent_email", text(), nullable=True),
        sa.Column("consent_sms", text(), nullable=True),
        sa.Column("consent_phone", text(), nullable=True),
        sa.Column("consent_whatsapp", text(), nullable=True),
        sa.Column("consent_email_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("consent_sms_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("consent_phone_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("consent_whatsapp_until_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("profile_id"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "past_definition",
        sa.Column("name", text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.Column("body", text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
    )
    with op.batch_alter_table("feature_day") as batch_op:
        batch_op.add_column(sa.Column("interests", sa.Integer(), server_default="0", nullable=False))

    op.execute(
        "INSERT INTO past_definition (name, version, applied_at, body) "
        "SELECT name, version, applied_at, body FROM definition"
    )
