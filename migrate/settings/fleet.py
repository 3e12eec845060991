"""What the operator says about a fleet: where its tenants are listed, which are taken, how many at once, and what if."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from migrate.core.value import Value

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.core.fleet.shard import Shard


class OnFailure(StrEnum):
    """What one failed tenant does to those that were not begun."""

    CONTINUE = "continue"
    STOP = "stop"


class Fleet(Value):
    """The settings of ``[tool.migrate.tenants]``, and the flags that choose among the tenants."""

    query: str | None = None
    schemas: str | None = None  # a pattern of LIKE
    file: Path | None = None
    command: tuple[str, ...] | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    canary: tuple[str, ...] = ()
    search_path: bool = False
    parallel: int | None = None  # as many as there are cores, four at most
    on_failure: OnFailure = OnFailure.CONTINUE
    names: tuple[str, ...] = ()
    shard: Shard | None = None
    verify_all: bool = False
    create: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The settings that list tenants: there may be one."""
        given = {"query": self.query, "schemas": self.schemas, "file": self.file, "command": self.command}
        return tuple(f"tenants.{name}" for name, value in given.items() if value is not None)
