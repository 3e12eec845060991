"""The settings of the service, read from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

_SCHEMES_WITHOUT_DRIVER = ("postgres://", "postgresql://")


def with_driver(url: str) -> str:
    """Return `url` with the driver named, if it names none.

    Platforms hand out `postgres://`, which SQLAlchemy rejects, or `postgresql://`, which means another driver in
    SQLAlchemy 2.1 than before.
    """
    for scheme in _SCHEMES_WITHOUT_DRIVER:
        if url.startswith(scheme):
            return f"postgresql+psycopg2://{url.removeprefix(scheme)}"
    return url


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service needs to know about where it runs."""

    database_url: str = field(repr=False)  # It holds the password.

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from `environment`.

        Raises:
            RuntimeError: DATABASE_URL is missing or empty.
        """
        url = environment.get("DATABASE_URL")
        if not url:
            message = "Set DATABASE_URL to the PostgreSQL database of the service."
            raise RuntimeError(message)
        return cls(database_url=with_driver(url))
