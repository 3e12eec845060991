"""Keep one row for each status of a run: Apify reports on a run once for every status.

Revision ID: 1a51ab641644
Revises: a8c61d1f7283
Create Date: 2025-04-27 11:48:29
"""

from alembic import op

revision: str = "1a51ab641644"
down_revision: str | tuple[str, ...] | None = "a8c61d1f7283"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    """Make (run_id, status) unique instead of run_id; its index also serves look-ups by run_id."""
    op.drop_index(op.f("ix_apify_webhook_raw_run_id"), table_name="apify_webhook_raw")
    op.create_unique_constraint(
        op.f("uq_apify_webhook_raw_run_id_status"),
        "apify_webhook_raw",
        ["run_id", "status"],
    )


def downgrade() -> None:
    """Make run_id unique again.

    Loses rows: of each run only the last status that came is kept.
    """
    op.execute(
        """
        DELETE FROM apify_webhook_raw AS earlier
        USING apify_webhook_raw AS later
        WHERE earlier.run_id = later.run_id AND earlier.id < later.id
        """,
    )
    op.drop_constraint(op.f("uq_apify_webhook_raw_run_id_status"), "apify_webhook_raw", type_="unique")
    op.create_index(op.f("ix_apify_webhook_raw_run_id"), "apify_webhook_raw", ["run_id"], unique=True)
