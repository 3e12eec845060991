"""Add the table that keeps what Apify's webhooks send, one row a run.

Revision ID: a8c61d1f7283
Revises: a6b9cd123456
Create Date: 2025-04-26 20:22:10
"""

import sqlalchemy as sa
from alembic import op

revision: str = "a8c61d1f7283"
down_revision: str | tuple[str, ...] | None = "a6b9cd123456"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    """Create the table; a run is unique by an index, not by a constraint."""
    op.create_table(
        "apify_webhook_raw",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(255), nullable=False),
        sa.Column("actor_id", sa.String(255), nullable=False),
        sa.Column("status", sa.String(50), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("apify_webhook_raw_pkey")),
    )
    op.create_index(op.f("ix_apify_webhook_raw_run_id"), "apify_webhook_raw", ["run_id"], unique=True)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("apify_webhook_raw")
