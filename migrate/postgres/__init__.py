"""Everything that is said to PostgreSQL; knows no Alembic and no policy."""
