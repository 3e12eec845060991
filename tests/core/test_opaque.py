"""The few signs that a revision may do more where there are rows than a trial without them has shown."""

from __future__ import annotations

import pytest

from migrate.core.foresee.opaque import converts, does_more, hides_writes, only_defines, uses_another_connection


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN UPDATE t SET a = 1; END $$",
        "-- tidy\nCALL tidy()",
        "SELECT backfill(id) FROM tenants",
        "WITH x AS (SELECT 1) SELECT app.fill()",
        "ALTER TABLE t ALTER a TYPE text USING coalesce(a, '')",
    ],
)
def test_what_may_write_rows_unseen(sql: str) -> None:
    assert hides_writes(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM tenants WHERE name IN ('a') ORDER BY lower(name)",
        "SELECT count(*) FROM t",
        "SELECT x(1) FROM pg_catalog.pg_class",
        "ALTER TABLE t ALTER a TYPE integer USING a::integer",
        "UPDATE t SET a = f(b)",
    ],
)
def test_what_is_seen_or_writes_nothing(sql: str) -> None:
    assert not hides_writes(sql)


@pytest.mark.parametrize(
    "using",
    [
        "nullif(a,'')::integer",
        "to_date(a,'DD/MM/YYYY')",
        "to_timestamp(a::float8)",
        "regexp_replace(a,'[$,]','','g')::numeric",
        "lower(a)::mood",
        "string_to_array(a,',')::int[]",
        "trim(a)",
        "CASE WHEN a > 1 THEN 1 ELSE 2 END",
        "a || b",
    ],
)
def test_a_conversion_is_more_than_a_cast(using: str) -> None:
    sql = f"ALTER TABLE t ALTER COLUMN a TYPE x USING {using}"
    assert converts(sql)
    assert not only_defines(sql)


@pytest.mark.parametrize(
    "using",
    ["a", "a::integer", '"A b"::text::mood', "(a)::numeric(10,2)", "CAST(a AS integer)", "a::character varying(5)"],
)
def test_a_cast_is_plain(using: str) -> None:
    assert not converts(f"ALTER TABLE t ALTER a TYPE x USING {using}")
    assert only_defines(f"ALTER TABLE t ALTER a TYPE x USING {using}, ALTER b SET NOT NULL")


@pytest.mark.parametrize(
    ("sql", "is_only"),
    [
        ("ALTER TABLE t ALTER a SET NOT NULL", True),
        ("  -- a comment\n  CREATE UNIQUE INDEX ON t USING btree (a);", True),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p ON DELETE CASCADE; ALTER TABLE t ADD b int", True),
        ("ALTER TABLE t ADD b int; UPDATE t SET b = 1; ALTER TABLE t ALTER b SET NOT NULL", False),
        ("INSERT INTO n SELECT * FROM t", False),
        ("DO $$ BEGIN END $$", False),
        ("", False),
    ],
)
def test_a_statement_that_failed_was_a_definition_and_nothing_else(sql: str, *, is_only: bool) -> None:
    assert only_defines(sql) is is_only


@pytest.mark.parametrize(
    "body",
    [
        "for (t,) in bind.execute(rows):\n    op.execute(t)",
        "while True:\n    op.execute('x')",
        "if bind.scalar(rows):\n    op.execute('x')",
        "if a:\n    pass\nelse:\n    op.execute('x')",
        "op.execute('DO $$ BEGIN END $$')",
        "op.execute('ALTER TABLE t ADD a int; CALL tidy()')",
        "from app import helpers",
        "from . import helpers",
        "import app.helpers",
        "sa.create_engine(url).connect()",
        "not python (",
    ],
)
def test_a_program_may_do_more(body: str) -> None:
    assert does_more(body)


@pytest.mark.parametrize(
    "body",
    [
        "import sqlalchemy as sa\nfrom alembic import op\nimport json\nop.add_column('t', sa.Column('a'))",
        "for table in ('a', 'b'):\n    op.drop_table(table)",
        "for table in TABLES:\n    op.drop_table(table)",
        "if x:\n    y = 1",
        "'''Do not call this.'''\nop.execute('UPDATE t SET a = 1')",
    ],
)
def test_a_program_that_was_seen_whole(body: str) -> None:
    assert not does_more(body)


def test_a_connection_of_its_own_is_not_watched() -> None:
    assert uses_another_connection("engine = sa.create_engine(url)")
    assert not uses_another_connection("op.get_bind()")
