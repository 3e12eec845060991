"""One revision at work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.history.graph import Revision


@dataclass(slots=True)
class AtWork:
    """A revision at work: its place in the ledger and the transactions that it used."""

    id: str
    revision: Revision | None
    number: int | None  # among those that were pending, from 1
    step_id: int | None
    began_s: float
    xids: list[int] = field(default_factory=list)
    autocommitted: bool = False
    may_commit: bool = False  # its text says that it leaves Alembic's transaction
    schema_before: Mapping[str, str] | None = None  # read only where it may commit
    ledger_problem: str | None = None
    is_recorded: bool = True  # in the ledger, by the revision's own transaction
    is_said: bool = False  # that it is finished
    shares: bool = False  # is committed together with others, which are run each by itself where that fails
    ended_s: float | None = None  # when it had run

    @property
    def file(self) -> str:
        """The file's name, the id where the image has none."""
        return self.revision.file if self.revision is not None else self.id
