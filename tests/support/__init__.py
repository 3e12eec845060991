"""What the tests stand on: a real PostgreSQL, Alembic projects on disk, and the real process."""
