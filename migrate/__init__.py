"""The release-phase job for Alembic on PostgreSQL."""

__version__ = "0.1.0"
