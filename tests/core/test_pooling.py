"""What runs through a transaction pooler, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrate.core.decide.observation import Server
from migrate.core.decide.pooling import leaves_transaction, refuse_pooled
from migrate.core.problems import ExitCode

DIRECT = Server(
    version_num=170010,
    version="17.10",
    address="10.0.0.1",
    database="app",
    user="me",
    encoding="UTF8",
    in_recovery=False,
    read_only=False,
    pooled=False,
    schema="public",
    may_create=True,
    may_write_versions=True,
)
POOLED = replace(DIRECT, pooled=True)
PLAIN = {"versions/one.py": "op.add_column('t', sa.Column('a', sa.Text))"}
BLOCK = {"versions/two.py": "with op.get_context().autocommit_block():"}


@pytest.mark.parametrize(
    ("source", "leaves"),
    [
        (PLAIN["versions/one.py"], False),
        (BLOCK["versions/two.py"], True),
        ("op.create_index('i', 't', ['a'], postgresql_concurrently=True)", True),
        ("op.execute('REINDEX INDEX CONCURRENTLY i')", True),
        ("bind.execution_options(isolation_level='AUTOCOMMIT')", True),
        ('"""Not CONCURRENTLY: the table is small."""\nop.create_index("i", "t", ["a"])  # no autocommit_block', False),
        ("def upgrade():\n    'add it CONCURRENTLY'\n    op.execute('CREATE INDEX CONCURRENTLY i ON t (a)')", True),
        ("this is no Python, but says CONCURRENTLY", True),
    ],
)
def test_what_leaves_its_transaction(source: str, leaves: bool) -> None:
    assert leaves_transaction(source) is leaves


@pytest.mark.parametrize(("server", "sources"), [(DIRECT, PLAIN | BLOCK), (POOLED, PLAIN), (POOLED, {})])
def test_what_is_allowed(server: Server, sources: dict[str, str]) -> None:
    assert refuse_pooled(server, "DATABASE_URL", sources.items()) is None


def test_what_is_refused() -> None:
    refused = refuse_pooled(POOLED, "DATABASE_URL", (PLAIN | BLOCK).items())
    assert refused is not None
    assert (refused.kind.code, refused.exit_code) == ("pooler-session", ExitCode.TARGET)
    assert "DATABASE_URL leads to a transaction pooler, and versions/two.py leaves" in refused.why
    assert refused.facts["files"] == ["versions/two.py"]


def test_a_repair_of_an_index_does_not_run_through_a_pooler():
    found = refuse_pooled(POOLED, "DATABASE_URL", [], ["index i"])
    assert found is not None
    assert (found.kind.code, "the repair of index i" in found.why) == ("pooler-session", True)
    assert refuse_pooled(DIRECT, "DATABASE_URL", [], ["index i"]) is None
