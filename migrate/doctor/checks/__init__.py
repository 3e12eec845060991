"""Every check of `migrate doctor`, in the order in which a release would stop: the first that fails is the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from migrate.doctor.checks import pending, position, project, server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.problems import Problem
    from migrate.doctor.check import Check, Checked

CHECKS: Final[tuple[Check[Any], ...]] = (
    project.settings,
    project.url,
    project.configuration,
    project.driver,
    project.image,
    project.manifest,
    project.platform_files,
    server.connection,
    server.server,
    server.pooler,
    server.rights,
    *server.SURROUNDINGS,
    position.version_table,
    position.tables,
    *position.DECISION,
    position.backup,
    *pending.OBSTACLES,
)


def worst(checked: Sequence[Checked]) -> Problem | None:
    """The problem of the first check that fails, in the order in which a release would stop."""
    order = [check.name for check in CHECKS]
    failing = [each for each in checked if each.problem is not None]
    return min(failing, key=lambda each: order.index(each.name)).problem if failing else None
