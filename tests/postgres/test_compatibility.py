"""The rules of `core/schema/compatibility.py` against PostgreSQL itself: what they call served does run, what breaks fails.

A program (a list of statements) is run on the schema that it was written for, with a change made to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
import pytest

from migrate.core.schema.compatibility import serves, words
from migrate.postgres.catalog import read_schema

if TYPE_CHECKING:
    from tests.conftest import MakeDatabase
    from tests.support.server import Database

pytestmark = pytest.mark.deep

SCHEMA = """
CREATE TYPE status AS ENUM ('draft', 'live');
CREATE DOMAIN positive AS integer;
CREATE DOMAIN code AS varchar(5) CONSTRAINT codes CHECK (VALUE IN ('a', 'b'));
CREATE TABLE users (id serial PRIMARY KEY, name varchar(20) NOT NULL, CONSTRAINT uq UNIQUE (name));
CREATE TABLE articles (
  id serial PRIMARY KEY, author int, title varchar(20), state status NOT NULL DEFAULT 'draft', score numeric(5,2),
  kind text CHECK (kind IN ('a', 'b')), rank positive, words int, extra json, run int UNIQUE, said text,
  "Mood" text DEFAULT 'ok' CONSTRAINT moods CHECK ("Mood" IN ('ok', 'sad')), day date DEFAULT '2026-01-01', code code DEFAULT 'a',
  CONSTRAINT states CHECK (state IN ('draft', 'live')), CONSTRAINT days CHECK (day IN ('2026-01-01')),
  CONSTRAINT ranks CHECK (rank > -5), CONSTRAINT fk FOREIGN KEY (author) REFERENCES users (id));
CREATE INDEX ix ON articles (title);
CREATE UNIQUE INDEX lowered ON users (lower(name));
CREATE UNIQUE INDEX some_runs ON articles (author) WHERE said IS NOT NULL;
CREATE TABLE clubs (id int PRIMARY KEY);
CREATE TABLE members (
  id serial PRIMARY KEY, club int CONSTRAINT of_club REFERENCES clubs ON DELETE CASCADE,
  friend int REFERENCES clubs ON DELETE RESTRICT);
CREATE VIEW heads AS SELECT id, title FROM articles;
CREATE SEQUENCE numbers;
CREATE FUNCTION slug(a text, b int DEFAULT 1) RETURNS text LANGUAGE sql AS 'SELECT lower($1)';
"""

# What the program does, values at the limits of what it was promised. It knows nothing of what is added later.
PROGRAM = [
    "INSERT INTO users (name) VALUES ('12345678901234567890') ON CONFLICT (name) DO UPDATE SET name = excluded.name",
    "INSERT INTO users (name) VALUES ('a') ON CONFLICT ON CONSTRAINT uq DO NOTHING",
    "INSERT INTO articles (author, title, state, score, kind, rank, words) VALUES (1, 'T', 'live', 999.99, 'a', -1, 7)",
    "INSERT INTO articles (author, title, state, score, kind, rank, words) VALUES (1, 'T', 'draft', -1.5, 'b', -1, 7)",
    "INSERT INTO articles (title) VALUES (NULL)",
    "INSERT INTO articles (run, kind, extra) VALUES (1, 'b', '{\"a\": 1}'), (2, 'b', '[]'), (NULL, 'b', NULL), (NULL, 'b', NULL)",
    "INSERT INTO articles (run, kind) VALUES (1, 'b') ON CONFLICT (run) DO NOTHING",
    "SELECT extra->>'a' FROM articles WHERE run = 1",
    "UPDATE articles SET title = 'U', words = words + 1 WHERE kind = 'a' AND state IN ('draft', 'live')",
    "DO $$ BEGIN IF (SELECT count(*) FROM articles WHERE title = 'U') <> 1 THEN RAISE 'lost'; END IF; END $$",
    "DO $$ BEGIN IF (SELECT count(*) FROM articles) < 3 THEN RAISE 'hidden'; END IF; END $$",
    "SELECT id, title FROM heads",
    "SELECT slug(title) || 'x' FROM articles",
    "SELECT nextval('numbers')",
    "SELECT 1::positive, 'draft'::status",
    "DELETE FROM articles WHERE title = 'U'",
    "INSERT INTO clubs VALUES (1), (2)",
    "INSERT INTO members (club) VALUES (1), (2)",
    "DELETE FROM clubs WHERE id = 1",
    "DO $$ BEGIN IF (SELECT count(*) FROM members) <> 1 THEN RAISE 'left'; END IF; END $$",
]

SERVED = [
    "SELECT 1",
    "ALTER TABLE users ALTER name DROP NOT NULL",
    "ALTER TABLE articles DROP CONSTRAINT fk",
    "ALTER TABLE articles DROP CONSTRAINT articles_kind_check",
    "ALTER TABLE articles DROP CONSTRAINT articles_kind_check, ADD CONSTRAINT articles_kind_check CHECK (kind IN ('c', 'b', 'a'))",
    "ALTER TABLE articles DROP CONSTRAINT moods, ADD CONSTRAINT moods CHECK (\"Mood\" IN ('ok', 'mad', 'sad'))",
    "ALTER TABLE articles DROP CONSTRAINT states, ADD CHECK (state IN ('live', 'draft'))",
    "ALTER TABLE articles DROP CONSTRAINT days, ADD CONSTRAINT days CHECK (day IN ('2026-01-01', '2026-01-02'))",
    "ALTER TABLE articles DROP CONSTRAINT ranks, ADD CONSTRAINT wider CHECK (rank >= -5)",
    "ALTER DOMAIN code DROP CONSTRAINT codes; ALTER DOMAIN code ADD CONSTRAINT codes CHECK (VALUE IN ('c', 'b', 'a'))",
    "ALTER TABLE articles DROP CONSTRAINT fk, ADD CONSTRAINT fk FOREIGN KEY (author) REFERENCES users (id) NOT VALID",
    "ALTER TABLE articles ALTER CONSTRAINT fk DEFERRABLE INITIALLY DEFERRED",
    "ALTER TABLE articles RENAME CONSTRAINT fk TO other",
    "ALTER TABLE articles DROP CONSTRAINT fk, ADD CONSTRAINT fk FOREIGN KEY (author) REFERENCES users ON DELETE CASCADE",
    "ALTER TABLE articles DROP CONSTRAINT fk, ADD CONSTRAINT fk FOREIGN KEY (author) REFERENCES users ON DELETE SET NULL",
    "ALTER TABLE articles DROP CONSTRAINT fk, ADD FOREIGN KEY (author) REFERENCES users ON UPDATE CASCADE ON DELETE SET DEFAULT",
    "ALTER TABLE members DROP CONSTRAINT members_friend_fkey, ADD CONSTRAINT members_friend_fkey FOREIGN KEY (friend) REFERENCES clubs",
    "DROP INDEX lowered; CREATE UNIQUE INDEX lowered_2 ON users (lower(name))",
    "ALTER TABLE articles RENAME CONSTRAINT articles_run_key TO uq_articles_run",
    "ALTER TABLE articles DROP CONSTRAINT articles_run_key; CREATE UNIQUE INDEX ON articles (run)",
    "ALTER TABLE clubs RENAME CONSTRAINT clubs_pkey TO pk_clubs",
    "DROP INDEX ix",
    "ALTER TABLE articles ALTER words TYPE bigint",
    "ALTER TABLE articles ALTER score TYPE numeric(7,2)",
    "ALTER TABLE articles ALTER score TYPE numeric",
    "DROP VIEW heads; ALTER TABLE articles ALTER title TYPE text; CREATE VIEW heads AS SELECT id, title::varchar(20) FROM articles",
    "ALTER TYPE status ADD VALUE 'review' BEFORE 'live'",
    "ALTER TABLE articles ADD more int",
    "ALTER TABLE articles ADD more int NOT NULL DEFAULT 0",
    "ALTER TABLE articles ADD more int NOT NULL GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE articles ADD editor int REFERENCES users (id)",
    "ALTER TABLE articles ADD slug text UNIQUE",
    "ALTER TABLE articles ADD slug text, ADD UNIQUE (kind, slug)",
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (slug DESC) WHERE kind = 'a'",
    "ALTER TABLE articles ADD more int CHECK (more > 0)",
    "ALTER TABLE articles ADD slug text, ADD CHECK (slug IS NULL OR words < 5)",
    "ALTER TABLE articles ADD slug text, ADD CHECK (slug <> kind)",
    "ALTER TABLE articles ADD a int, ADD b int, ADD CHECK (num_nonnulls(a, b) <= 1)",
    "ALTER TABLE articles ADD a int, ADD b int, ADD CHECK ((a IS NULL) = (b IS NULL))",
    "ALTER TABLE articles ADD mood text NOT NULL DEFAULT 'ok', ADD CHECK (mood IN ('ok', 'sad'))",
    "ALTER TABLE articles ADD more int, ADD CHECK (more > words)",
    "ALTER TABLE articles ADD CHECK (state IS NOT NULL)",
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (lower(slug))",
    'ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (kind, (slug COLLATE "C"))',
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (kind) WHERE slug IS NOT NULL",
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (kind) NULLS NOT DISTINCT WHERE slug = 'x'",
    "ALTER TABLE articles ADD main boolean; CREATE UNIQUE INDEX ON articles (kind) WHERE main AND words > 0",
    "ALTER TABLE articles ADD at timestamptz; CREATE UNIQUE INDEX ON articles (kind, (at AT TIME ZONE 'utc'))",
    "ALTER TABLE articles ADD data jsonb; CREATE UNIQUE INDEX ON articles (kind, (data->>'key'))",
    "ALTER TABLE articles ADD UNIQUE (run, state)",
    "ALTER TABLE articles ADD UNIQUE (id, state)",
    "ALTER TABLE articles ADD more int DEFAULT 1, ADD UNIQUE (more, id)",
    "ALTER TABLE articles ADD UNIQUE NULLS NOT DISTINCT (state, id)",
    "CREATE UNIQUE INDEX ON articles (state DESC, run ASC NULLS FIRST)",
    "CREATE UNIQUE INDEX ON articles (run) WHERE kind = 'b'",
    "CREATE UNIQUE INDEX ON users (lower(name), id)",
    "CREATE UNIQUE INDEX ON articles (author, title) WHERE said IS NOT NULL",
    "ALTER TABLE articles ADD EXCLUDE USING btree (id WITH =, author WITH =)",
    "ALTER TABLE articles ADD span int4range, ADD EXCLUDE USING gist (span WITH &&)",
    "ALTER TABLE articles ADD slug text, ADD EXCLUDE USING btree (author WITH =, kind WITH =) WHERE (slug IS NOT NULL)",
    "ALTER TABLE articles ALTER extra TYPE jsonb",
    "CREATE INDEX ON articles (author)",
    "CREATE TABLE tags (id int PRIMARY KEY, article int NOT NULL REFERENCES articles ON DELETE CASCADE CHECK (article > 0))",
    "CREATE OR REPLACE FUNCTION slug(a text, b int DEFAULT 1) RETURNS text LANGUAGE sql AS 'SELECT upper($1)'",
    "CREATE OR REPLACE VIEW heads AS SELECT id, title FROM articles WHERE id > 0",
    "CREATE POLICY nobody ON articles AS RESTRICTIVE USING (false)",
    "ALTER SEQUENCE numbers START WITH 7",
    "ALTER TABLE articles ALTER state SET DEFAULT 'live'",
    "ALTER TABLE articles ALTER words SET DEFAULT 0, ALTER words SET STATISTICS 7",
    "CREATE TYPE mood AS ENUM ('ok')",
]

BREAKS = [
    "ALTER TABLE users RENAME TO people",
    "DROP TABLE articles CASCADE",
    "DROP VIEW heads",
    "ALTER TABLE articles DROP words",
    "ALTER TABLE articles RENAME words TO letters",
    "DROP VIEW heads; CREATE VIEW heads AS SELECT id FROM articles",
    "ALTER TYPE status RENAME VALUE 'draft' TO 'sketch'",
    "DROP FUNCTION slug",
    "DROP FUNCTION slug; CREATE FUNCTION slug(a text, b int) RETURNS text LANGUAGE sql AS 'SELECT lower($1)'",
    "DROP FUNCTION slug; CREATE FUNCTION slug(a text, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 1/0'",
    "ALTER TABLE users DROP CONSTRAINT uq",
    "ALTER TABLE members DROP CONSTRAINT of_club, ADD CONSTRAINT of_club FOREIGN KEY (club) REFERENCES clubs",
    "ALTER TABLE members DROP CONSTRAINT of_club, ADD CONSTRAINT of_club FOREIGN KEY (club) REFERENCES clubs ON DELETE RESTRICT",
    "ALTER TABLE members DROP CONSTRAINT of_club, ADD CONSTRAINT of_club FOREIGN KEY (club) REFERENCES clubs ON DELETE SET NULL",
    "ALTER TABLE users DROP CONSTRAINT uq, ADD CONSTRAINT uq UNIQUE (name, id)",
    "DROP SEQUENCE numbers",
    "ALTER TABLE articles DROP rank; DROP DOMAIN positive",
    "ALTER DOMAIN positive ADD CHECK (VALUE > 0)",
    "ALTER TABLE users ALTER name TYPE varchar(10)",
    "ALTER TABLE articles ALTER score TYPE numeric(5,3)",
    "ALTER TABLE articles ALTER words TYPE text",
    "ALTER TABLE articles ALTER kind SET NOT NULL",
    "ALTER TABLE articles ALTER state DROP DEFAULT",
    "ALTER TABLE articles DROP words, ADD words int GENERATED ALWAYS AS (author) STORED",
    "ALTER TABLE articles ADD more int NOT NULL",
    "ALTER TABLE articles ADD UNIQUE (author)",
    "CREATE UNIQUE INDEX ON articles (lower(author::text))",
    "ALTER TABLE articles ADD slug text DEFAULT '', ADD UNIQUE (slug)",
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (COALESCE(slug, ''))",
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (kind) WHERE slug IS NULL",
    "ALTER TABLE articles ADD gone timestamptz; CREATE UNIQUE INDEX ON articles (author) WHERE gone IS NULL",
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (lower(slug)) NULLS NOT DISTINCT",
    "ALTER TABLE articles ADD slug text; CREATE UNIQUE INDEX ON articles (kind, COALESCE(slug, ''))",
    "ALTER TABLE articles ADD main boolean DEFAULT true; CREATE UNIQUE INDEX ON articles (kind) WHERE main",
    "ALTER TABLE articles ADD UNIQUE NULLS NOT DISTINCT (run, state)",
    "ALTER TABLE articles ADD UNIQUE (author, title)",
    "ALTER TABLE articles ADD a int, ADD b int, ADD CHECK (num_nonnulls(a, b) = 1)",
    "ALTER TABLE articles ADD a int, ADD CHECK (a IS NOT NULL)",
    "ALTER TABLE articles ADD mood text DEFAULT 'bad', ADD CHECK (mood IN ('ok', 'sad')) NOT VALID",
    "ALTER TABLE articles ADD CHECK (kind IS NOT NULL)",
    "ALTER TABLE articles ADD slug text, ADD EXCLUDE USING btree (author WITH =) WHERE (slug IS NULL)",
    "ALTER TABLE articles ADD CHECK (words < 5)",
    "ALTER TABLE articles DROP CONSTRAINT moods, ADD CONSTRAINT moods CHECK (\"Mood\" IN ('mad', 'sad'))",
    "ALTER TABLE articles DROP CONSTRAINT states, ADD CONSTRAINT states CHECK (state IN ('draft'))",
    "ALTER TABLE articles DROP CONSTRAINT days, ADD CONSTRAINT days CHECK (day IN ('2026-01-02'))",
    "ALTER TABLE articles DROP CONSTRAINT ranks, ADD CONSTRAINT ranks CHECK (rank > 0)",
    "ALTER DOMAIN code DROP CONSTRAINT codes; ALTER DOMAIN code ADD CONSTRAINT codes CHECK (VALUE IN ('c', 'b'))",
    "ALTER TABLE articles ADD more int, ADD CHECK (more IS NULL AND words < 5)",
    "ALTER TABLE articles ADD FOREIGN KEY (words) REFERENCES users (id)",
    "ALTER TABLE articles ADD editor int DEFAULT 99 REFERENCES users (id)",
    "ALTER TABLE articles ADD EXCLUDE USING btree (author WITH =)",
    "ALTER TABLE articles DROP CONSTRAINT articles_kind_check, ADD CONSTRAINT articles_kind_check CHECK (kind IN ('b', 'c'))",
    "ALTER TABLE articles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "CREATE RULE no AS ON UPDATE TO articles DO INSTEAD NOTHING",
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER t BEFORE INSERT ON articles FOR EACH ROW EXECUTE FUNCTION f()"
    ),
]

# The program names a constraint, which few do: it is told, and may start.
NAMED = [
    "ALTER TABLE users RENAME CONSTRAINT uq TO uq2",
    "ALTER TABLE users DROP CONSTRAINT uq; CREATE UNIQUE INDEX uq ON users (name)",
]

# PostgreSQL takes these from a program that happens to do nothing against them; the rules cannot know that.
CAUTIOUS = [
    "ALTER TABLE articles ADD CHECK (words < 500)",
    "ALTER TABLE users ALTER id DROP DEFAULT, ALTER id ADD GENERATED ALWAYS AS IDENTITY",
    'ALTER TABLE articles ALTER kind TYPE text COLLATE "C"',
]


def _read(database: Database) -> dict[str, str]:
    connection = psycopg2.connect(database.url)
    try:
        return read_schema(connection, schemas=["public"], version_table=("public", "alembic_version"))
    finally:
        connection.close()


@pytest.mark.parametrize("change", SERVED + BREAKS + NAMED + CAUTIOUS)
def test_the_rules_agree_with_postgresql(make_database: MakeDatabase, change: str) -> None:
    database = make_database()
    database.execute(SCHEMA)
    before = _read(database)
    database.execute(change)
    after = _read(database)
    breaks = serves(before, after)
    assert bool(breaks) == (change not in SERVED + NAMED), breaks
    assert any("ON CONSTRAINT uq" in said for said in words(before, after)) == (change in NAMED)
    assert database.runs(PROGRAM) == (change not in BREAKS + NAMED)
