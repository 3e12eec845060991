"""Brings a backup back: what is in its schemas is replaced by what the dump holds, in one transaction or not at all.

Views, foreign keys, types, tables, functions and extensions that were made since are gone afterwards, so that the
revisions which make them can run again. Other schemas are left alone; so is the ledger, which tells what was done, but
for what it says of parts that are gone with the restore.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.decide.backup import Contents
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.events import Event, Level, Name
from migrate.core.problems import advice, shell, stop
from migrate.core.quoting import word
from migrate.postgres.backend_names import GUARD_NAME, WORKER_NAME
from migrate.postgres.catalog import LEDGER
from migrate.postgres.client_tools import find_client_tools, without_secrets
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.errors import problem_of
from migrate.postgres.guard import GuardKey, guarded
from migrate.postgres.ledger import Ledger, target_key
from migrate.postgres.observe import version_rows
from migrate.postgres.server import read_server, refuse_wrong_server
from migrate.steps.control import without_ours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.context import Context
    from migrate.core.decide.observation import Server
    from migrate.core.problems import Stop
    from migrate.core.target import Target
    from migrate.postgres.client_tools import ClientTools
    from migrate.postgres.connection import Connection
    from migrate.postgres.guard import Guard

CHUNK: Final = 1 << 16
TICK_S: Final = 0.5

# Everything in these schemas that no extension brought, and the extensions that were added since. What others have that
# hangs on it is noted first: a foreign key of theirs is made again, and nothing else of theirs may go.
_EMPTY: Final = """
CREATE TEMPORARY TABLE migrate_keys ON COMMIT DROP AS
SELECT c.oid, format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::pg_catalog.regclass, c.conname,
                                pg_catalog.pg_get_constraintdef(c.oid)) AS again
  FROM pg_constraint c
  JOIN pg_class f ON f.oid = c.confrelid JOIN pg_class t ON t.oid = c.conrelid
 WHERE c.contype = 'f' AND c.conparentid = 0
   AND f.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY ({schemas}))
   AND t.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname = ANY ({schemas}));
DO $migrate$
DECLARE
    ours CONSTANT oid[] := ARRAY(SELECT oid FROM pg_namespace WHERE nspname = ANY ({schemas}));
    before text[];
    lost text;
    homes oid[];
    it record;
BEGIN
    CREATE TEMPORARY VIEW migrate_others AS
    SELECT pg_catalog.pg_describe_object(class, objid, subid) AS what, nspname
      FROM (SELECT 'pg_class'::regclass AS class, oid AS objid, 0 AS subid, oid AS owner, relnamespace AS nsp
              FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I', 'c')
            UNION ALL SELECT 'pg_class'::regclass, c.oid, a.attnum, c.oid, c.relnamespace
              FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'c')
            UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, 0, c.oid, c.relnamespace
              FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
            UNION ALL SELECT 'pg_proc'::regclass, oid, 0, oid, pronamespace FROM pg_proc
            UNION ALL SELECT 'pg_type'::regclass, oid, 0, oid, typnamespace FROM pg_type
            UNION ALL SELECT 'pg_constraint'::regclass, c.oid, 0, c.conrelid, c.connamespace
              FROM pg_constraint c WHERE c.contype <> 'f' OR c.oid NOT IN (SELECT oid FROM migrate_keys)
            UNION ALL SELECT 'pg_trigger'::regclass, g.oid, 0, c.oid, c.relnamespace
              FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE NOT g.tgisinternal
            UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, 0, c.oid, c.relnamespace
              FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class
            UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, 0, oid, stxnamespace FROM pg_statistic_ext
            UNION ALL SELECT 'pg_collation'::regclass, oid, 0, oid, collnamespace FROM pg_collation
            UNION ALL SELECT 'pg_conversion'::regclass, oid, 0, oid, connamespace FROM pg_conversion
            UNION ALL SELECT 'pg_operator'::regclass, oid, 0, oid, oprnamespace FROM pg_operator
            UNION ALL SELECT 'pg_opclass'::regclass, oid, 0, oid, opcnamespace FROM pg_opclass
            UNION ALL SELECT 'pg_opfamily'::regclass, oid, 0, oid, opfnamespace FROM pg_opfamily
            UNION ALL SELECT 'pg_amop'::regclass, o.oid, 0, f.oid, f.opfnamespace
              FROM pg_amop o JOIN pg_opfamily f ON f.oid = o.amopfamily
            UNION ALL SELECT 'pg_amproc'::regclass, o.oid, 0, f.oid, f.opfnamespace
              FROM pg_amproc o JOIN pg_opfamily f ON f.oid = o.amprocfamily
            UNION ALL SELECT 'pg_ts_config'::regclass, oid, 0, oid, cfgnamespace FROM pg_ts_config
            UNION ALL SELECT 'pg_ts_dict'::regclass, oid, 0, oid, dictnamespace FROM pg_ts_dict
            UNION ALL SELECT 'pg_ts_parser'::regclass, oid, 0, oid, prsnamespace FROM pg_ts_parser
            UNION ALL SELECT 'pg_ts_template'::regclass, oid, 0, oid, tmplnamespace FROM pg_ts_template
            UNION ALL SELECT 'pg_policy'::regclass, p.oid, 0, c.oid, c.relnamespace
              FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid) AS every
      JOIN pg_namespace n ON n.oid = every.nsp
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> ALL ({schemas})
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = every.owner AND d.deptype = 'e');
    SELECT array_agg(what) INTO before FROM migrate_others;
    homes := ARRAY(SELECT extnamespace FROM pg_extension WHERE extname <> ALL ({extensions}));
    FOR it IN SELECT kind, name FROM (
        SELECT 1 AS turn, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                          WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
               format('%I.%I', n.nspname, c.relname) AS name, 'pg_class'::regclass AS class, c.oid
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.oid = ANY (ours) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT 2, 'ROUTINE', p.oid::regprocedure::text, 'pg_proc'::regclass, p.oid
          FROM pg_proc p WHERE p.pronamespace = ANY (ours)
        UNION ALL
        SELECT 3, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
               format('%I.%I', n.nspname, t.typname), 'pg_type'::regclass, t.oid
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
          LEFT JOIN pg_class c ON c.oid = t.typrelid
         WHERE n.oid = ANY (ours) AND t.typtype IN ('b', 'c', 'd', 'e', 'r') AND (c.oid IS NULL OR c.relkind = 'c')
           AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
        UNION ALL
        SELECT 4, 'COLLATION', format('%I.%I', n.nspname, o.collname), 'pg_collation'::regclass, o.oid
          FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE n.oid = ANY (ours)
        UNION ALL
        SELECT 4, 'TEXT SEARCH CONFIGURATION', format('%I.%I', n.nspname, o.cfgname),
               'pg_ts_config'::regclass, o.oid
          FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace WHERE n.oid = ANY (ours)
        UNION ALL
        SELECT 5, 'TEXT SEARCH DICTIONARY', format('%I.%I', n.nspname, o.dictname),
               'pg_ts_dict'::regclass, o.oid
          FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace WHERE n.oid = ANY (ours)
        UNION ALL
        SELECT 4, 'OPERATOR', o.oid::regoperator::text, 'pg_operator'::regclass, o.oid
          FROM pg_operator o WHERE o.oprnamespace = ANY (ours)
        ) AS every
        WHERE NOT EXISTS (SELECT FROM pg_depend d
                           WHERE d.classid = every.class AND d.objid = every.oid AND d.objsubid = 0
                             AND d.deptype IN ('e', 'i', 'P', 'S')) -- the columns of a partition key depend on their own table
        ORDER BY turn
    LOOP
        EXECUTE format('DROP %s IF EXISTS %s CASCADE', it.kind, it.name);
    END LOOP;
    FOR it IN SELECT extname FROM pg_extension WHERE extname <> ALL ({extensions}) LOOP
        EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', it.extname);
    END LOOP;
    FOR it IN SELECT nspname FROM pg_namespace WHERE nspname = ANY ({made_since})
               OR (oid = ANY (homes) AND nspname <> ALL ({there} || {schemas}) AND nspname !~ '^pg_')
    LOOP
        BEGIN
            EXECUTE format('DROP SCHEMA %I', it.nspname);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            NULL; -- somebody else uses it by now
        END;
    END LOOP;
    SELECT string_agg(name, ', ') INTO lost
      FROM (SELECT unnest(before) AS name EXCEPT ALL SELECT what FROM migrate_others LIMIT 5) AS gone;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'outside of the schemas to be restored, this depends on what is in them: %', lost;
    END IF;
    DROP VIEW migrate_others;
END $migrate$;
"""
# What is open or half done of this history is gone with what it did.
_CLOSE: Final = """
SELECT pg_catalog.to_regclass('migrate.step') IS NOT NULL AS there \\gset
\\if :there
UPDATE migrate.step SET status = 'abandoned', finished_at = pg_catalog.clock_timestamp(),
       details = details || '{{"restored": true}}' WHERE target = {target} AND status IN ('started', 'partial');
UPDATE migrate.run SET outcome = 'abandoned', finished_at = pg_catalog.clock_timestamp()
 WHERE target = {target} AND finished_at IS NULL;
\\endif
"""
_KEYS: Final = """
DO $migrate$ DECLARE it record; BEGIN
    FOR it IN SELECT again FROM migrate_keys LOOP EXECUTE it.again; END LOOP;
END $migrate$;
"""


@dataclass(frozen=True, slots=True)
class Restore:
    """What is to be restored where, and what the run is handed beside it."""

    context: Context
    file: Path
    target: Target
    environ: Mapping[str, str]


def restore(order: Restore) -> Outcome:
    """Bring the backup back under the job lock. Raises Stop or Interrupted."""
    with closing(connect_with_retry(order.target, order.context, GUARD_NAME)) as connection:
        server = read_server(connection, order.target)
        order.context.bind(**server.context)
        refuse_wrong_server(server, order.target)
        tools = find_client_tools(server.major, order.environ)
        contents = _contents(order, tools)
        key = GuardKey.of(server.schema, order.target.version_table)
        with (
            guarded(connection, key, order.context) as guard,
            closing(connect_with_retry(order.target, order.context, WORKER_NAME)) as control,
        ):
            before = _rows(control, server, order.target)
            _carry_out(order, control, server, tools, contents, guard)
            after = _rows(control, read_server(control, order.target), order.target)
            outcome = Outcome(Result.RESTORED, from_revision=before, to_revision=after)
            ledger = Ledger(
                control, order.context, key=target_key(server.schema, order.target.version_table), fence=guard.fence
            )
            ledger.open(rows=before, environ=order.environ)
            ledger.close(outcome)
            return outcome


def _rows(connection: Connection, server: Server, target: Target) -> tuple[str, ...]:
    return version_rows(connection, server.schema, target.version_table) if server.has_version_table else ()


def _contents(order: Restore, tools: ClientTools) -> Contents:
    if not tools.psql.is_file():
        raise stop("restore-failed", f"there is no {tools.psql}", fix=advice(f"install the client of {tools.version}"))
    fix = shell(f"ls -l {word(order.file)}", note="is it whole?")
    if order.file.exists() and not (order.file.is_file() or order.file.is_dir()):  # it is read twice, and may never end
        raise stop("restore-failed", f"{order.file} is neither a file nor a folder", fix=fix)
    with tempfile.TemporaryFile() as listing, tempfile.TemporaryFile() as complaint:
        argv = [str(tools.pg_restore), "--list", "--verbose", str(order.file)]
        reader = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=listing, stderr=complaint)
        try:
            while reader.poll() is None:
                _be_in_time(order)
                select.select([order.context.interruption.fd], [], [], 0.05)
        finally:
            if reader.poll() is None:
                reader.kill()
            reader.wait()
        if reader.returncode:
            said = order.context.redact(_last_line(complaint)) or f"pg_restore exited with {reader.returncode}"
            raise stop("restore-failed", f"{order.file}: {said}", fix=fix)
        listing.seek(0)
        return Contents.parse(listing.read().decode("utf-8", "replace"))


def _carry_out(
    order: Restore, control: Connection, server: Server, tools: ClientTools, contents: Contents, guard: Guard
) -> None:
    schemas = order.target.schemas or order.target.schemas_beside(server.schema)
    try:
        there = {row[0] for row in control.rows("SELECT nspname::text FROM pg_namespace")}
    except psycopg2.Error as error:
        raise problem_of(error, doing="reading the schemas", connection=control) from error
    if LEDGER not in there and contents.holds("SCHEMA", LEDGER):
        schemas = (*schemas, LEDGER)
    made_since = [each for each in schemas if each != "public" and not contents.holds("SCHEMA", each)]
    known = {
        "schemas": _array(schemas),
        "extensions": _array((*contents.extensions, "plpgsql")),
        "made_since": _array([each for each in made_since if each != server.schema]),
        "there": _array([each for each in sorted(there) if contents.holds("SCHEMA", each)]),
    }
    wait = f"{order.context.limits.lock_s * 1000:.0f}ms"
    # with the mark: who takes the guard while this transaction is open ends it before anything else
    mark = f"DO $mark$ BEGIN PERFORM {guard.fence.mark_transaction}; END $mark$;\n"
    fence = f"DO $guard$ BEGIN IF NOT {guard.fence.is_held} THEN RAISE 'the job lock was lost'; END IF; END $guard$;\n"
    head = f"BEGIN;\n{mark}{fence}SET LOCAL lock_timeout = '{wait}';\nSET LOCAL search_path = pg_catalog;\n{_EMPTY.format(**known)}"
    key = _literal(target_key(server.schema, order.target.version_table))
    tail = f"{_KEYS}{_CLOSE.format(target=key)}{fence}COMMIT;\n"
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder, "list")
        listing.write_text(contents.of(schemas, [each for each in schemas if each not in there]), encoding="utf-8")
        argv = [str(tools.pg_restore), "--file=-", f"--use-list={listing}", str(order.file)]
        connecting = without_secrets(
            order.target,
            without_ours(order.environ),
            application_name=f"{WORKER_NAME}{order.context.run_id}",
            connect_s=order.context.limits.connect_s,
        )
        with connecting as (dsn, environ):
            psql = [
                str(tools.psql),
                "--no-psqlrc",
                "--quiet",
                "--no-password",
                "--set=ON_ERROR_STOP=1",
                f"--dbname={dsn}",
            ]
            _pump(order, guard, argv, psql, environ, head, tail)


def _pump(
    order: Restore,
    guard: Guard,
    argv: Sequence[str],
    psql: Sequence[str],
    environ: Mapping[str, str],
    head: str,
    tail: str,
) -> None:
    """Give psql the statements before, what pg_restore writes, and only if that ended well those that commit it."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaint:
        reader = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaint)
        writer = subprocess.Popen(
            psql, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        assert reader.stdout is not None
        assert writer.stdin is not None
        failed: str | None = None
        try:
            with writer.stdin as into:
                os.set_blocking(into.fileno(), False)
                is_heard = _write(order, guard, into.fileno(), head.encode())
                while is_heard and (chunk := reader.stdout.read(CHUNK)):
                    is_heard = _write(order, guard, into.fileno(), chunk)
                if is_heard and reader.wait() == 0:
                    _write(order, guard, into.fileno(), tail.encode())
                elif is_heard:
                    failed = _last_line(complaint) or f"pg_restore exited with {reader.returncode}"
            while writer.poll() is None:
                _go_on(order, guard)
                select.select([order.context.interruption.fd, guard.lost_fd], [], [], 0.05)
        finally:
            reader.stdout.close()
            for process in (reader, writer):
                if process.poll() is None:
                    process.kill()
                process.wait()
        for line in _lines(said):
            order.context.emit(Event(Name.BACKUP_OUTPUT, order.context.redact(line), Level.INFO, {"program": "psql"}))
        if failed is None and writer.returncode:
            failed = _first_error(said) or f"psql exited with {writer.returncode}"
        if failed is not None:
            fix = advice("fix what it names, then restore again")
            raise stop("restore-failed", f"{order.file}: {order.context.redact(failed)}", fix=fix)


def _write(order: Restore, guard: Guard, fd: int, data: bytes) -> bool:
    """Hand it over however long that takes; False where nobody reads any more."""
    rest = memoryview(data)
    while rest:
        _be_in_time(order)
        _go_on(order, guard)
        _, writable, _ = select.select([order.context.interruption.fd, guard.lost_fd], [fd], [], TICK_S)
        if writable:
            try:
                rest = rest[os.write(fd, rest[:CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
    return True


def _be_in_time(order: Restore) -> None:
    """Raises Stop when the deadline is over, or Interrupted: before the statement that commits, never after it."""
    order.context.go_on(f"while {order.file} was read")


def _go_on(order: Restore, guard: Guard) -> None:
    order.context.beat()
    order.context.interruption.check()
    if guard.lost is not None:
        raise _lost(guard)


def _lost(guard: Guard) -> Stop:
    return stop("guard-lost", f"the connection that holds the job lock ended: {guard.lost}")


def _lines(file: object) -> list[str]:
    file.seek(0)  # type: ignore[attr-defined]
    return [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()][:200]  # type: ignore[attr-defined]


def _last_line(file: object) -> str:
    return next(iter(reversed(_lines(file))), "")


def _first_error(file: object) -> str:
    lines = _lines(file)
    return next((line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line), next(iter(lines), ""))


def _array(names: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(map(_literal, names))}]::name[]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
