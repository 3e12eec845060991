"""What a revision's text rules out, and what it does not."""

from __future__ import annotations

import pytest

from migrate.core.history.destruction import commits_unseen, destroys_nothing

HEAD = "from alembic import op\nimport sqlalchemy as sa\nfrom sqlalchemy import Column, delete, insert, text\n"


def revision(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{HEAD}\n\ndef upgrade():\n{lines}\n\n\ndef downgrade():\n    op.drop_table('t')\n"


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "op.add_column('t', sa.Column('n', sa.dialects.postgresql.UUID()))",
        "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True), Column('b', sa.Text))",
        "op.add_column('t', sa.Column('n', sa.Integer, server_default=sa.text('1')))",
        "with op.batch_alter_table('t') as batch:\n    batch.add_column(sa.Column('n', sa.Integer))",
        "op.alter_column('t', 'n', nullable=False)",
        "with op.get_context().autocommit_block():\n    op.create_index('ix', 't', ['n'], postgresql_concurrently=True)",
        "op.execute('CREATE INDEX CONCURRENTLY ix ON t USING gin (n)')",
        "op.execute(\"INSERT INTO t VALUES ('delete; drop table t')\")",
        "op.execute('ALTER TABLE ONLY t ADD COLUMN n int; ALTER TABLE t ALTER COLUMN n SET NOT NULL')",
        "op.execute(\"ALTER TYPE mood ADD VALUE 'sad'\")",
        "op.execute(\"CREATE TYPE mood AS ENUM ('ok')\")",
        "op.execute(sa.text('COMMENT ON TABLE t IS NULL'))",
        "op.get_bind().execute(insert('t'))",
        "for name in sorted(['a']):\n    op.drop_constraint(name, 't')",
        "sa.Enum('a', name='e').create(op.get_bind())",
        "op.execute(\"SELECT count(*), pg_catalog.set_config('a', 'b', true) FROM t WHERE a IN (1) -- the user's\")",
        "op.execute(\"SELECT setval(pg_get_serial_sequence('t', 'id'), coalesce(max(id), 1)) FROM t\")",
        "op.execute(\"INSERT INTO t (a, b) SELECT lower(a), $$it's$$ FROM (VALUES ('x', 1)) AS v(a, b)\")",
        "op.execute(\"INSERT INTO t VALUES (E'\\\\'', 1)\")",
        "op.execute('CREATE TABLE x AS SELECT a::varchar(3), \"A\" FROM t')",
        "op.execute('CREATE TABLE x (n numeric(3), m int GENERATED ALWAYS AS (purge(1)) STORED)')",
        "op.execute('ALTER TABLE t ADD n int DEFAULT random(), DROP CONSTRAINT c')",
        "op.execute('CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM t $$')",
        "op.add_column('t', sa.Column('n', sa.Uuid, server_default=sa.text('gen_random_uuid()')))",
        "op.get_bind().scalar(sa.select(sa.func.count()))",
    ],
)
def test_what_destroys_nothing(body):
    assert destroys_nothing(revision(body), "upgrade")


@pytest.mark.parametrize(
    "body",
    [
        "op.drop_table('t')",
        "op.drop_column('t', 'n')",
        "with op.batch_alter_table('t') as batch:\n    batch.drop_column('n')",
        "with op.batch_alter_table('t', recreate='always') as batch:\n    pass",
        "op.alter_column('t', 'n', type_=sa.Text)",
        "op.alter_column('t', 'n', **how)",
        "op.execute('DELETE FROM t')",
        "op.execute('SELECT purge()')",
        "op.execute('SELECT \"purge\"()')",
        "op.execute('SELECT app.count()')",
        "op.execute('SELECT lo_unlink(lo) FROM t')",
        "op.execute('INSERT INTO k SELECT purge()')",
        "op.execute('CREATE TABLE k AS SELECT purge()')",
        "op.execute('ALTER TABLE t ADD n int DEFAULT purge()')",
        "op.execute(sa.select(sa.func.purge()))",
        "op.execute(sa.select(sa.text('purge()')))",
        "op.execute(sa.select(sa.text('SELECT purge()')))",
        "op.execute(sa.text(SQL))",
        "op.add_column('t', sa.Column('n', sa.Integer, server_default=sa.text(DEFAULT)))",
        "op.add_column('t', sa.Column('n', sa.Integer, server_default=sa.text('purge()')))",
        "op.execute(\"INSERT INTO k VALUES ($$it's$$); DELETE FROM c WHERE b = 'b'\")",
        "op.execute(\"SELECT 1 /* the user's */; DELETE FROM c WHERE b = 'b'\")",
        "op.execute(\"SELECT 1 /* /* */ ' */; DELETE FROM c --'\")",
        "op.execute('SELECT 1 AS a$$; DELETE FROM c; SELECT 2 AS b$$')",
        "op.execute(r\"INSERT INTO k VALUES (E'\\''); DELETE FROM c WHERE b = 'b'\")",
        "op.execute(r\"SELECT 'a\\'; DELETE FROM c --'\")",
        'op.execute("SELECT \'a")',
        "op.execute('ALTER TABLE c ADD COLUMN z int, DROP b')",
        "op.execute('CREATE TABLE x (); DROP TABLE t')",
        "op.execute('WITH gone AS (DELETE FROM t RETURNING 1) SELECT 1')",
        "op.execute('ALTER TABLE t ALTER COLUMN n TYPE date')",
        "op.execute('DO $$ BEGIN END $$')",
        "op.execute('SELECT 1 / 0; VACUUM')",
        "op.execute(SQL)",
        "op.execute(f'CREATE TABLE {name} ()')",
        "op.execute()",
        "op.get_bind().execute(sa.delete('t'))",
        "op.execute(sa.text('TRUNCATE t'))",
        "op.execute(delete('t'))",
        "op.execute(statement())",
        "helper()",
        "(lambda: None)()",
        "t.update()",
        "op.bulk_insert(t, open('x').read())",
        "async def f():\n    await g()",
    ],
)
def test_what_is_not_known_to(body):
    assert not destroys_nothing(revision(body), "upgrade")


def test_a_file_that_says_nothing_is_not_known_to():
    assert not destroys_nothing("def upgrade(:", "upgrade")
    assert not destroys_nothing("upgrade = print\nfrom . import x\n", "upgrade")
    assert not destroys_nothing(revision("pass"), "downgrade")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("op.get_bind().connection.commit()", True),
        ("raw = engine.raw_connection()\nraw.cursor().execute('COMMIT')", True),
        ("op.get_bind().connection.cursor().execute('SELECT 1')", False),
        ("op.get_bind().commit()", False),
    ],
)
def test_what_commits_past_sqlalchemy(text, expected):
    assert commits_unseen(text) is expected
