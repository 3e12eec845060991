"""A part of a transaction that can fail by itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, in lower case over there


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Take back what is done inside where PostgreSQL refuses it, so that the transaction can go on; the error is raised."""
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT migrate")
        try:
            yield
        except psycopg2.Error:
            if not connection.closed:
                cursor.execute("ROLLBACK TO SAVEPOINT migrate; RELEASE SAVEPOINT migrate")
            raise
        cursor.execute("RELEASE SAVEPOINT migrate")
