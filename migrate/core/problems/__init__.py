"""Every way to stop: the exit codes, the catalogue, and the fixes that a person pastes."""

from migrate.core.problems.catalogue import CATALOGUE, kinds_of, problem, stop
from migrate.core.problems.exit_codes import EXIT_MEANINGS, ExitCode
from migrate.core.problems.fix import NOTHING, Fix, advice, again, alembic, in_order, migrate, shell, sql
from migrate.core.problems.kinds import Kind, Problem, Stop

__all__ = [
    "CATALOGUE",
    "EXIT_MEANINGS",
    "NOTHING",
    "ExitCode",
    "Fix",
    "Kind",
    "Problem",
    "Stop",
    "advice",
    "again",
    "alembic",
    "in_order",
    "kinds_of",
    "migrate",
    "problem",
    "shell",
    "sql",
    "stop",
]
