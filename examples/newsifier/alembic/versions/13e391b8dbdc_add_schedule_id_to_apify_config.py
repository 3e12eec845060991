"""Add the id of the schedule that was made at Apify for a source configuration.

Revision ID: 13e391b8dbdc
Revises: 1a51ab641644
Create Date: 2025-05-03 08:31:44
"""

import sqlalchemy as sa
from alembic import op

revision: str = "13e391b8dbdc"
down_revision: str | tuple[str, ...] | None = "1a51ab641644"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("apify_source_configs", sa.Column("schedule_id", sa.String(255), nullable=True))
    op.create_index(op.f("ix_apify_source_configs_schedule_id"), "apify_source_configs", ["schedule_id"])


def downgrade() -> None:
    """Drop the column, and its index with it."""
    op.drop_column("apify_source_configs", "schedule_id")
