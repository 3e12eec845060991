"""Add RSS feeds and the log of their readings.

Revision ID: d6d7f6c7b282
Revises: d3d111e9579d
Create Date: 2025-03-29 17:40:51
"""

import sqlalchemy as sa
from alembic import op

revision: str = "d6d7f6c7b282"
down_revision: str | tuple[str, ...] | None = "d3d111e9579d"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "rss_feed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("rss_feed_pkey")),
        sa.UniqueConstraint("url", name=op.f("uq_rss_feed_url")),
    )
    op.create_index(op.f("ix_rss_feed_is_active"), "rss_feed", ["is_active"])

    op.create_table(
        "feed_processing_log",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feed_id", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("running", "succeeded", "failed", name="feed_processing_status"),
            server_default="running",
            nullable=False,
        ),
        sa.Column("articles_found", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("articles_added", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["feed_id"],
            ["rss_feed.id"],
            name=op.f("fk_feed_processing_log_feed_id_rss_feed"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("feed_processing_log_pkey")),
    )
    op.create_index(
        op.f("ix_feed_processing_log_feed_id_started_at"),
        "feed_processing_log",
        ["feed_id", "started_at"],
    )


def downgrade() -> None:
    """Drop the tables and their enum type."""
    op.drop_table("feed_processing_log")
    op.drop_table("rss_feed")
    op.execute("DROP TYPE feed_processing_status")
