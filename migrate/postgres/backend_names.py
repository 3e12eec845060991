"""The application names by which runs know one another's backends; each is followed by the run's id."""

from __future__ import annotations

from typing import Final

GUARD_NAME: Final = "migrate:guard:"
CONTROL_NAME: Final = "migrate:control:"
WORKER_NAME: Final = "migrate:worker:"
BACKUP_NAME: Final = "migrate:backup:"
