"""Add Apify: credentials, source configurations, jobs, their items, and webhooks.

Revision ID: a6b9cd123456
Revises: d6d7f6c7b282
Create Date: 2025-04-12 09:05:33
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "a6b9cd123456"
down_revision: str | tuple[str, ...] | None = "d6d7f6c7b282"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "apify_credentials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("encrypted_token", sa.LargeBinary(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("apify_credentials_pkey")),
        sa.UniqueConstraint("label", name=op.f("uq_apify_credentials_label")),
    )

    op.create_table(
        "apify_source_configs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("actor_id", sa.String(255), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=True),
        sa.Column("source_url", sa.String(2048), nullable=True),
        sa.Column("input_configuration", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("schedule", sa.String(100), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["apify_credentials.id"],
            name=op.f("fk_apify_source_configs_credential_id_apify_credentials"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("apify_source_configs_pkey")),
        sa.UniqueConstraint("name", name=op.f("uq_apify_source_configs_name")),
    )
    op.create_index(op.f("ix_apify_source_configs_credential_id"), "apify_source_configs", ["credential_id"])

    op.create_table(
        "apify_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_config_id", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.String(255), nullable=False),
        sa.Column("dataset_id", sa.String(255), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "READY",
                "RUNNING",
                "SUCCEEDED",
                "FAILED",
                "ABORTED",
                "TIMED-OUT",
                name="apify_job_status",
            ),
            server_default="READY",
            nullable=False,
        ),
        sa.Column("item_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_config_id"],
            ["apify_source_configs.id"],
            name=op.f("fk_apify_jobs_source_config_id_apify_source_configs"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("apify_jobs_pkey")),
        sa.UniqueConstraint("run_id", name=op.f("uq_apify_jobs_run_id")),
    )
    op.create_index(op.f("ix_apify_jobs_source_config_id"), "apify_jobs", ["source_config_id"])
    op.create_index(op.f("ix_apify_jobs_status"), "apify_jobs", ["status"])

    op.create_table(
        "apify_dataset_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("article_id", sa.Integer(), nullable=True),
        sa.Column("item_index", sa.Integer(), nullable=False),
        sa.Column("raw_data", postgresql.JSONB(), nullable=False),
        sa.Column("is_transformed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"],
            ["articles.id"],
            name=op.f("fk_apify_dataset_items_article_id_articles"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["apify_jobs.id"],
            name=op.f("fk_apify_dataset_items_job_id_apify_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("apify_dataset_items_pkey")),
        sa.UniqueConstraint("job_id", "item_index", name=op.f("uq_apify_dataset_items_job_id_item_index")),
    )
    op.create_index(op.f("ix_apify_dataset_items_article_id"), "apify_dataset_items", ["article_id"])
    op.create_index(
        "ix_apify_dataset_items_waiting",
        "apify_dataset_items",
        ["created_at"],
        postgresql_where=sa.text("NOT is_transformed"),
    )

    op.create_table(
        "apify_webhooks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.String(255), nullable=False),
        sa.Column("source_config_id", sa.Integer(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.String(100)), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("request_url", sa.String(2048), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_config_id"],
            ["apify_source_configs.id"],
            name=op.f("fk_apify_webhooks_source_config_id_apify_source_configs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("apify_webhooks_pkey")),
        sa.UniqueConstraint("webhook_id", name=op.f("uq_apify_webhooks_webhook_id")),
    )
    op.create_index(op.f("ix_apify_webhooks_source_config_id"), "apify_webhooks", ["source_config_id"])


def downgrade() -> None:
    """Drop the tables and their enum type."""
    op.drop_table("apify_webhooks")
    op.drop_table("apify_dataset_items")
    op.drop_table("apify_jobs")
    op.drop_table("apify_source_configs")
    op.drop_table("apify_credentials")
    op.execute("DROP TYPE apify_job_status")
