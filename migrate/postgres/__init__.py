"""All that is said to PostgreSQL: connections, the guard, the ledger, what is observed; no Alembic and no policy."""
