"""The release-phase job for Alembic on PostgreSQL."""

__version__ = "1.0.0"
