"""Which revisions may share a transaction, by their text: in doubt none."""

from __future__ import annotations

import pytest

from migrate.core.decide.sharing import may_share

PLAIN = """\
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa, sqlmodel
from sqlalchemy.dialects import postgresql
from sqlalchemy import (
    Column,
)

revision = "a"


def upgrade():
    op.create_table("t", sa.Column("id", sa.Integer))
    op.execute("UPDATE t SET id = 1")
"""


def test_what_alembic_writes_may() -> None:
    assert may_share(PLAIN)


@pytest.mark.parametrize(
    "line",
    [
        "with op.get_context().autocommit_block(): pass",
        "op.execute('COMMIT')",
        "op.execute('Rollback')",
        "op.execute('BEGIN')",
        "op.create_index('i', 't', ['a'], postgresql_concurrently=True)",
        "create_engine(URL)",
        "op.get_bind().connection.cursor()",
        "Session(op.get_bind())",
        "exec(program)",
        "open('seed.sql')",
    ],
)
def test_what_may_leave_its_transaction_may_not(line: str) -> None:
    assert not may_share(f"{PLAIN}    {line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "import sqlalchemy, os",
        "import app.models as sa",
        "from app import models",
        "from . import helpers",
        "    import subprocess",
        "x = 1; import os",
        "import (x)",
        "from app import *",
        "__import__('os')",
    ],
)
def test_what_brings_a_module_that_nobody_knows_may_not(line: str) -> None:
    assert not may_share(f"{PLAIN}\n{line}\n")
