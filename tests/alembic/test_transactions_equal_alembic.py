"""Every transaction that an env.py and a revision can make: what plain Alembic takes to the head, `migrate up` does, too.

Each pair of a kind of env.py and a kind of revision is run by `alembic upgrade head` and by `migrate up`, from nothing, on
two databases, and these are compared. Nothing here knows what is right but Alembic itself. All pairs there are stand in
`test_every_transaction_equals_alembic.py`, which takes its time.
"""

from __future__ import annotations

import pytest

from tests.support.process import alembic
from tests.support.transactions import ENVIRONMENTS, EVERY_PAIR, REVISIONS, seen, write_transactions

HELD = "SQL before configure, and a commit at the end"
TELLING = {
    *((environment, "a commit and an autocommit block", False) for environment in ENVIRONMENTS),
    *((HELD, revision, False) for revision in REVISIONS),
    *(("transaction_per_migration", revision, False) for revision in REVISIONS if "commit" in revision.lower()),
    *((environment, "a comment about CONCURRENTLY", False) for environment in ENVIRONMENTS if "LOCAL" in environment),
    ("as the template has it", "a commit", True),
}


def named(pair: tuple[str, str, bool]) -> str:
    environment, revision, is_last = pair
    return f"{environment}, {revision}{' last' if is_last else ''}"


@pytest.fixture
def compare(project, make_database, run_migrate):
    def compare(environment: str, revision: str, is_last: bool) -> None:
        write_transactions(project, environment, revision, is_last=is_last)
        plain, ours = make_database(), make_database()
        done = alembic(project, plain, "upgrade", "head", check=False)
        result = run_migrate("up", database=ours)
        result.check_clean()
        head = ["r2" if is_last else "r3"]
        rows, objects = seen(plain)
        assert len(result.named("image.warning")) <= 1
        assert not result.named("ledger.warning")
        if done.returncode == 0 and rows == head:
            assert result.exit_code == 0, result.finished
            assert seen(ours) == (rows, objects)
        elif done.returncode == 0:
            assert result.exit_code in {31, 32}, result.finished
        else:
            assert result.exit_code in {0, 11, 30, 31, 32}, result.finished

    return compare


@pytest.mark.parametrize("pair", [pair for pair in EVERY_PAIR if pair in TELLING], ids=named)
def test_what_plain_alembic_takes_to_the_head_migrate_takes_there_too(compare, pair):
    compare(*pair)
