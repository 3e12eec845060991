"""Rename the feed tables to the plural that all other tables have.

Revision ID: dbc1bc75a79e
Revises: 13e391b8dbdc
Create Date: 2025-05-10 15:02:18
"""

from alembic import op

revision: str = "dbc1bc75a79e"
down_revision: str | tuple[str, ...] | None = "13e391b8dbdc"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None

# PostgreSQL renames nothing along with a table: its sequence, indexes and constraints are named one by one, so that
# the names are those which the models would create. Renaming a constraint renames its index.
TABLES = {
    "rss_feed": "rss_feeds",
    "feed_processing_log": "feed_processing_logs",
}
SEQUENCES = {
    "rss_feed_id_seq": "rss_feeds_id_seq",
    "feed_processing_log_id_seq": "feed_processing_logs_id_seq",
}
INDEXES = {
    "ix_rss_feed_is_active": "ix_rss_feeds_is_active",
    "ix_feed_processing_log_feed_id_started_at": "ix_feed_processing_logs_feed_id_started_at",
}
# (singular table, singular constraint): plural constraint
CONSTRAINTS = {
    ("rss_feed", "rss_feed_pkey"): "rss_feeds_pkey",
    ("rss_feed", "uq_rss_feed_url"): "uq_rss_feeds_url",
    ("feed_processing_log", "feed_processing_log_pkey"): "feed_processing_logs_pkey",
    ("feed_processing_log", "fk_feed_processing_log_feed_id_rss_feed"): "fk_feed_processing_logs_feed_id_rss_feeds",
}


def upgrade() -> None:
    """Rename from singular to plural."""
    for (table, singular), plural in CONSTRAINTS.items():
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {singular} TO {plural}")
    for singular, plural in INDEXES.items():
        op.execute(f"ALTER INDEX {singular} RENAME TO {plural}")
    for singular, plural in SEQUENCES.items():
        op.execute(f"ALTER SEQUENCE {singular} RENAME TO {plural}")
    for singular, plural in TABLES.items():
        op.rename_table(singular, plural)


def downgrade() -> None:
    """Rename from plural to singular."""
    for singular, plural in TABLES.items():
        op.rename_table(plural, singular)
    for singular, plural in SEQUENCES.items():
        op.execute(f"ALTER SEQUENCE {plural} RENAME TO {singular}")
    for singular, plural in INDEXES.items():
        op.execute(f"ALTER INDEX {plural} RENAME TO {singular}")
    for (table, singular), plural in CONSTRAINTS.items():
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {plural} TO {singular}")
