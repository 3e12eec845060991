"""Which tables a revision touches, read from its text or from its lines in the manifest."""

from __future__ import annotations

import pytest

from migrate.core.history.touched import TableName, Touched, by_changes, by_source


def altered(*names):
    return Touched(frozenset(TableName(*name.rpartition(".")[::2]) for name in names))


def written(*names):
    return Touched(written=frozenset(TableName("", name) for name in names))


def used(*names):
    return Touched(used=frozenset(TableName(*name.rpartition(".")[::2]) for name in names))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('op.add_column("t", sa.Column("n"))', altered("t")),
        ('op.add_column(table_name="t", column=c)', altered("t")),
        ('op.drop_column("t", "n", schema="app")', altered("app.t")),
        ('op.drop_column("t", "n", schema=None)', altered("t")),
        ('op.drop_column("t", "n", schema=SCHEMA)', altered("t")),
        ('op.create_index("ix", "t", ["n"])', altered("t")),
        ('op.create_foreign_key("fk", "t", "other", ["a"], ["b"], source_schema="app")', altered("app.t")),
        ('op.drop_constraint("c")', Touched()),
        ("op.drop_table(NAME)", Touched()),
        ("op.drop_table(1)", Touched()),
        ('with op.batch_alter_table("t") as batch:\n        batch.drop_column("n")', altered("t", "n")),
        ('op.create_table("new")', Touched()),
        ('create_index("ix", "t")', Touched()),
        ('op.bulk_insert("t", [])', used("t") | written("t")),
        ('op.execute(sa.table("t", sa.column("n")).update())', used("t") | written("t")),
        ("op.execute(Table(NAME).delete())", Touched()),
        ('op.execute("ALTER TABLE ONLY app.\\"T\\" ADD n int")', altered("app.T")),
        ('op.execute("alter table if exists T add n int")', altered("t")),
        ('op.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix ON t (n)")', altered("t")),
        ('op.execute("CREATE INDEX ON t (n)")', altered("t")),
        ('op.execute("CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f()")', altered("t")),
        ('op.execute("UPDATE t SET n = (SELECT max(n) FROM other)")', used("t", "other") | written("t")),
        ('op.execute("ALTER TABLE t ADD n int; UPDATE t SET n = 1")', altered("t") | written("t")),
        ('op.execute("CREATE EXTENSION IF NOT EXISTS \\"uuid-ossp\\"")', Touched(extensions=frozenset({"uuid-ossp"}))),
    ],
)
def test_by_source(body, expected):
    assert by_source(f'def upgrade():\n    {body}\n\n\ndef downgrade():\n    op.drop_table("elsewhere")\n') == expected


@pytest.mark.parametrize("text", ["def broken(:", "\0"])
def test_a_text_that_does_not_parse_says_nothing(text):
    assert by_source(text) == Touched()


def test_by_changes():
    lines = [
        "+ column t.n: integer",
        "~ table app.x: table -> unlogged table",
        "+ extension pg_trgm: public",
        "- extension old: public",
        "- function f(integer): sql",
        "not a line",
        "+ nonsense x: y",
    ]
    found = by_changes(lines)
    assert found.altered >= {TableName("", "t"), TableName("app", "x")}
    assert found.extensions == {"pg_trgm"}


def test_what_is_altered_anywhere_is_not_merely_used():
    both = altered("t") | used("t", "other")
    assert both == Touched(altered("t").altered, used("other").used)
