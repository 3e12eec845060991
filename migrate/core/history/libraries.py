"""The libraries that revisions are written with."""

from __future__ import annotations

from typing import Final

LIBRARIES: Final = frozenset({"alembic", "sqlalchemy", "sqlmodel", "geoalchemy2", "pgvector", "sqlalchemy_utils"})
