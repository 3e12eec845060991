"""A job whose memory runs out says so, and may be run again."""

from __future__ import annotations

import pytest

KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("head", "upgrade"),
    [(KILL, "pass"), ("", KILL), ("raise MemoryError", "pass"), ("", "raise MemoryError('too large')")],
)
def test_it_is_a_lack_of_resources_whoever_noticed_it(project, database, run_migrate, head, upgrade):
    project.write_env(head=head)
    project.revision("one", upgrade=upgrade)
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"], result.finished["retryable"]) == (24, "no-resources", True)
    assert "memory" in result.finished["why"].lower()
    assert result.finished["fix"].startswith("give the job more memory")
