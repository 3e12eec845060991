"""The end of a run is an outcome whatever ends it, but for a bug."""

from __future__ import annotations

import psycopg2
import pytest

from migrate.core.problems import ExitCode
from migrate.job.progress import Progress, outcomes


def begun():
    """The progress of a run that has just begun."""
    return Progress()


@pytest.mark.parametrize("error", [psycopg2.OperationalError("server closed"), psycopg2.InterfaceError("closed")])
def test_a_connection_that_is_lost_anywhere_is_no_bug(error):
    progress = begun()
    with outcomes(progress):
        raise error
    outcome = progress.outcome()
    assert outcome.exit_code is ExitCode.LOST
    assert outcome.problem.kind.code == "connection-lost"


def test_a_bug_goes_on():
    with pytest.raises(psycopg2.ProgrammingError), outcomes(begun()):
        raise psycopg2.ProgrammingError("syntax error")
