"""A schema with every kind of expression that PostgreSQL prints and a restore parses again, and the restore itself."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Each kind holds at least one expression that prints differently once it was executed from its own print: `IN` on a
# varchar column, BETWEEN before AND, a list of rows, a list of values and columns.
EXPRESSIONS = """
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE DOMAIN grade AS varchar(3) DEFAULT 'a' CONSTRAINT grade_ok CHECK (VALUE IN ('a','b'));
CREATE TYPE mood AS ENUM ('sad','ok');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE t (
  id serial PRIMARY KEY, status varchar(10) NOT NULL DEFAULT 'a', kind varchar(5), n int, m int, tags varchar(5)[] DEFAULT ARRAY['a','b'],
  during tsrange, mood mood, at timestamptz DEFAULT now(), chr char(3),
  is_open boolean DEFAULT ('x'::varchar IN ('a','b')),
  lit text DEFAULT (CASE WHEN 'a'::varchar IN ('a','b') THEN 'x' ELSE 'y' END),
  g boolean GENERATED ALWAYS AS (status IN ('a','b') AND n BETWEEN 1 AND 5 AND m > 0) STORED,
  g2 varchar(20) GENERATED ALWAYS AS (CASE WHEN status IN ('a','b') THEN status ELSE kind END) STORED,
  CONSTRAINT c_in CHECK (status IN ('a','b')),
  CONSTRAINT c_notin CHECK (status NOT IN ('x','y')),
  CONSTRAINT c_null CHECK (kind IS NULL OR kind IN ('a','b')),
  CONSTRAINT c_between CHECK (n BETWEEN 1 AND 5 AND m > 0),
  CONSTRAINT c_row CHECK ((n, m) IN ((1,2),(3,4),(5,6))),
  CONSTRAINT c_mixed CHECK (n IN (1, 2, m) OR m = 3),
  CONSTRAINT c_sym CHECK (n BETWEEN SYMMETRIC 5 AND 1 OR m = 3),
  CONSTRAINT c_chr CHECK (chr IN ('a','b')),
  CONSTRAINT c_arr CHECK (tags <@ ARRAY['a','b']::varchar[]),
  CONSTRAINT c_any CHECK (status = ANY (ARRAY['a','b']::varchar[])),
  CONSTRAINT c_at CHECK (at AT TIME ZONE 'utc' > '2020-01-01' AND extract(year from at AT TIME ZONE 'utc') > 2000),
  CONSTRAINT c_mood CHECK (mood IN ('sad','ok')),
  CONSTRAINT c_row2 CHECK (t.* IS NOT NULL OR true),
  CONSTRAINT c_coalesce CHECK (COALESCE(status, kind, 'z') IN ('a','z')),
  CONSTRAINT c_like CHECK (status LIKE ANY (ARRAY['a%','b%']) OR status SIMILAR TO 'x'),
  CONSTRAINT c_neg CHECK (n > -1 AND n * -1 < 4 AND - n < 1),
  CONSTRAINT c_not CHECK (NOT (n = 1 AND m = 2) AND (n = 1 OR (m = 2 OR n = 3)) AND (n = 5 AND (m = 1 AND n = 2) OR true)),
  CONSTRAINT c_val CHECK (n IN (1,2)) NOT VALID,
  CONSTRAINT x_open EXCLUDE USING gist (n WITH =, during WITH &&) WHERE (status IN ('a','b'))
);
ALTER TABLE t ADD CONSTRAINT c_noinh CHECK (status IN ('q','r','a')) NO INHERIT;
CREATE INDEX i_part ON t (n) WHERE status IN ('a','b');
CREATE UNIQUE INDEX i_expr ON t ((CASE WHEN status IN ('a','b') THEN n END)) INCLUDE (m) WHERE n BETWEEN 1 AND 5 AND m > 0;
CREATE VIEW v AS SELECT id, status, status IN ('a','b') AS open, n BETWEEN 1 AND 5 AND m > 0 AS ok, 'x' AS lit, NULL AS nothing FROM t WHERE kind IN ('a','b');
CREATE VIEW v2 (a, b) AS SELECT v.id, t.kind FROM v JOIN t USING (id) NATURAL JOIN (SELECT 1 AS one) z WHERE v.status IN ('a') UNION ALL SELECT 1, 'x' ORDER BY 1;
CREATE VIEW v3 AS WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT r.n, row_number() OVER (ORDER BY r.n) FROM r, LATERAL (SELECT r.n IN (1,2,r.n)) q;
CREATE MATERIALIZED VIEW mv AS SELECT status, count(*) FILTER (WHERE kind IN ('a','b')) AS c FROM t GROUP BY status HAVING status IN ('a','b');
CREATE UNIQUE INDEX i_mv ON mv (status) WHERE status IN ('a','b');
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t FOR ALL USING (status IN ('a','b')) WITH CHECK (kind IN ('a','b') AND n BETWEEN 1 AND 5 AND m > 0);
CREATE POLICY p2 ON t AS RESTRICTIVE FOR SELECT USING (kind IN (SELECT status FROM t t2 WHERE t2.status IN ('a','b')));
CREATE TRIGGER tr BEFORE UPDATE OF status ON t FOR EACH ROW WHEN (NEW.status IN ('a','b') AND OLD.n BETWEEN 1 AND 5 AND NEW.m > 0) EXECUTE FUNCTION touch();
CREATE TRIGGER tr_off AFTER INSERT ON t FOR EACH ROW WHEN (NEW.status IN ('a','b')) EXECUTE FUNCTION touch();
ALTER TABLE t DISABLE TRIGGER tr_off;
CREATE CONSTRAINT TRIGGER tr_c AFTER INSERT ON t DEFERRABLE FOR EACH ROW WHEN (NEW.status IN ('a','b')) EXECUTE FUNCTION touch();
CREATE TABLE log (id int, status varchar(5));
CREATE RULE r AS ON UPDATE TO t WHERE NEW.status IN ('a','b') DO ALSO INSERT INTO log SELECT NEW.id, NEW.status WHERE OLD.kind IN ('a','b');
CREATE RULE r2 AS ON DELETE TO log DO INSTEAD (UPDATE log SET status = 'x' WHERE id = OLD.id AND status IN ('a','b'); DELETE FROM t WHERE false);
CREATE FUNCTION f(a varchar, b boolean DEFAULT ('a'::varchar IN ('a','b'))) RETURNS boolean LANGUAGE sql BEGIN ATOMIC SELECT a IN ('a','b') AND id BETWEEN 1 AND 5 AND b FROM t WHERE status IN ('a','b'); END;
CREATE FUNCTION f2(a varchar) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN a IN ('a','b');
CREATE PROCEDURE pr(a varchar DEFAULT (CASE WHEN 'a'::varchar IN ('a','b') THEN 'x' END)) LANGUAGE sql BEGIN ATOMIC INSERT INTO log VALUES (1, CASE WHEN a IN ('a','b') THEN 'x' END); END;
CREATE STATISTICS st ON (status IN ('a','b')), n FROM t;
CREATE STATISTICS st1 ON (status IN ('a','b')) FROM t;
CREATE TABLE ev (at timestamptz NOT NULL, status varchar(5) DEFAULT 'x', CHECK (status IN ('a','b'))) PARTITION BY RANGE (at);
CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE INDEX i_ev ON ev (at) WHERE status IN ('a','b');
CREATE TABLE lp (status varchar(5), n int) PARTITION BY LIST ((CASE WHEN status IN ('a','b') THEN 'x' ELSE 'y' END));
CREATE TABLE lp_1 PARTITION OF lp FOR VALUES IN ('x', NULL);
ALTER TABLE lp_1 ADD CONSTRAINT own CHECK (status IN ('a','b','c'));
CREATE TABLE par (a varchar(5), CONSTRAINT par_c CHECK (a IN ('a','b')));
CREATE TABLE chi (b int, CONSTRAINT chi_c CHECK (a IN ('a','b','c'))) INHERITS (par);
CREATE TYPE comp AS (a varchar, b int);
CREATE TABLE typed OF comp (CONSTRAINT ty CHECK (a IN ('a','b')));
CREATE DOMAIN flag AS boolean DEFAULT ('x'::varchar IN ('a','b')) CONSTRAINT f1 CHECK (VALUE::text::varchar(5) IN ('a','b')) CONSTRAINT f2 CHECK (VALUE OR 'x'::varchar IN ('a','b'));
CREATE TYPE comp2 AS (a boolean, b varchar(5));
CREATE TABLE typed2 OF comp2 (a WITH OPTIONS DEFAULT ('x'::varchar IN ('a','b')) CONSTRAINT typed2_nn NOT NULL);
CREATE TABLE par2 (a boolean NOT NULL DEFAULT ('x'::varchar IN ('a','b')));
CREATE TABLE chi2 (b int) INHERITS (par2);
ALTER TABLE chi2 ALTER a SET DEFAULT ('x'::varchar IN ('a','c'));
CREATE TABLE ev2 (at int NOT NULL, a boolean DEFAULT ('x'::varchar IN ('a','b'))) PARTITION BY RANGE (at);
CREATE TABLE ev2_1 PARTITION OF ev2 (a DEFAULT ('x'::varchar IN ('a','c'))) FOR VALUES FROM (1) TO (2);
CREATE STATISTICS st2 (mcv) ON n, id, (status IN ('a','b')), lower(status), (n BETWEEN 1 AND 5 AND m > 0) FROM t;
CREATE RULE r3 AS ON INSERT TO log WHERE NEW.status IN ('a','b') DO ALSO NOTHING;
ALTER TABLE log DISABLE RULE r3;
ALTER VIEW v ALTER COLUMN lit SET DEFAULT (CASE WHEN 'a'::varchar IN ('a','b') THEN 'x' END);
"""

# The kinds of which some definition changes in a restore: all that hold an expression.
KINDS = {
    "column",
    "constraint",
    "domain",
    "function",
    "index",
    "materialized view",
    "policy",
    "procedure",
    "rule",
    "statistics",
    "table",
    "trigger",
    "view",
}


def dump_and_restore(bin_dir: Path, source: str, target: str, *, custom: bool = False) -> None:
    """What people do: pg_dump into psql, or a dump in the custom format into pg_restore."""
    form = ["--no-owner", "--no-privileges", *(["--format=custom"] if custom else [])]
    dump = subprocess.run([bin_dir / "pg_dump", *form, source], capture_output=True, check=True).stdout
    restore = (
        [bin_dir / "pg_restore", "--no-owner", "--dbname", target]
        if custom
        else [bin_dir / "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", target]
    )
    done = subprocess.run(restore, input=dump, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
