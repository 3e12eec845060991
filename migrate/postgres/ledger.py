"""The ledger: what was applied, when, by which image, with which parents; in a schema of its own.

A release never depends on it: where it cannot be written, a warning is said once and everything else works.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Final

import psycopg2
import psycopg2.errors

from migrate import __version__
from migrate.core.decide.observation import Accepted, AppliedRevision, Unfinished, UnprovenRun
from migrate.core.deployment import platform_context
from migrate.core.events import Event, Level, Name
from migrate.core.problems import stop
from migrate.core.problems.driver_errors import said_by
from migrate.core.value import Value
from migrate.postgres.ledger_steps import Beginning, starting
from migrate.postgres.planned import in_json
from migrate.postgres.savepoint import savepoint
from migrate.postgres.storable import as_ascii, as_jsonb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from migrate.context import Context
    from migrate.core.decide.outcome import Outcome
    from migrate.core.history.graph import Revision
    from migrate.core.schema.differences import Fact
    from migrate.postgres.connection import Connection
    from migrate.postgres.fence import Fence

_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS migrate.run (
        run_id text PRIMARY KEY,
        target text NOT NULL,
        verb text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        outcome text,
        exit_code integer,
        problem text,
        from_revision text[] NOT NULL DEFAULT '{}',
        to_revision text[],
        version text NOT NULL,
        context jsonb NOT NULL DEFAULT '{}',
        result jsonb
    );
    CREATE TABLE IF NOT EXISTS migrate.step (
        step_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id text NOT NULL REFERENCES migrate.run,
        target text NOT NULL,
        kind text NOT NULL,
        revision text,
        parents text[] NOT NULL DEFAULT '{}',
        file text,
        sha256 text,
        source text,
        status text NOT NULL DEFAULT 'started'
            CHECK (status IN ('started', 'finished', 'failed', 'abandoned', 'partial')),
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        xid bigint,
        details jsonb NOT NULL DEFAULT '{}'
    );
    CREATE INDEX IF NOT EXISTS step_target_revision ON migrate.step (target, revision);
    CREATE INDEX IF NOT EXISTS run_target ON migrate.run (target, started_at);
"""
# CREATE SCHEMA IF NOT EXISTS asks for the right on the database even where the schema is there already.
_SCHEMA: Final = """
    DO $$ BEGIN IF pg_catalog.to_regnamespace('migrate') IS NULL THEN
        CREATE SCHEMA migrate;
        COMMENT ON SCHEMA migrate IS 'Written by the migrate release job: what was applied, when and by which image.';
    END IF; END $$;
"""
_KEY: Final = 0x6D69_6772_6174_65  # two runs on two version tables of one database make the tables at the same time

# The statements of one message are one transaction, and these are what BEGIN would set.
_IMPLICIT: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
_LOCK_MS: Final = 2000  # nobody else writes a run's rows: whoever keeps them locked is not waited for
_FINISH: Final = """
    UPDATE migrate.step SET status = %(status)s, details = details || %(details)s::jsonb,
           finished_at = coalesce(finished_at, pg_catalog.clock_timestamp())
     WHERE step_id = %(id)s
"""
_OWN_STEP: Final = " AND status = 'started'"  # what another run has closed meanwhile stays as that run has judged it
# An application may have a schema of that name, with tables of these names: ours have these columns.
_COLUMNS_OF_STEP: Final = (
    "step_id,run_id,target,kind,revision,parents,file,sha256,source,status,started_at,finished_at,xid,details"
)
_COLUMNS_OF_RUN: Final = "run_id,target,verb,started_at,finished_at,outcome,exit_code,problem,from_revision,to_revision,version,context,result"
_EXISTS: Final = f"""
    WITH found AS (
        SELECT c.oid, c.relname, pg_catalog.array_agg(a.attname::text) AS columns
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = pg_catalog.to_regnamespace('migrate') AND c.relname IN ('step', 'run')
           AND a.attnum > 0 AND NOT a.attisdropped
         GROUP BY c.oid, c.relname
    )
    SELECT coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('migrate'), 'USAGE')
                    AND pg_catalog.has_table_privilege(s.oid, 'SELECT')
                    AND pg_catalog.has_table_privilege(r.oid, 'SELECT'), false), true
      FROM found s, found r
     WHERE s.relname = 'step' AND s.columns @> '{{{_COLUMNS_OF_STEP}}}'
       AND r.relname = 'run' AND r.columns @> '{{{_COLUMNS_OF_RUN}}}'
     UNION ALL SELECT false, false LIMIT 1
"""
_APPLIED: Final = """
    SELECT DISTINCT ON (revision) revision, parents, file, sha256,
           CASE WHEN sha256 IS DISTINCT FROM (%(hashes)s::jsonb ->> revision) AND %(hashes)s::jsonb ? revision
                THEN source END, kind
      FROM migrate.step
     WHERE target = %(target)s AND status = 'finished' AND revision IS NOT NULL AND kind IN ('upgrade', 'downgrade')
     ORDER BY revision, step_id DESC
"""
# A part of a step is committed: recorded as such, or its run is dead and the server knows. txid_status() and the list of
# backends tell what is so now, the rest what the snapshot shows: a transaction that had not ended in it has committed
# nothing that is seen here (nor would txid_status() take an id that is yet to come).
_PART_COMMITTED: Final = """
    (s.status = 'partial'
     OR (s.details ? 'autocommit'
         OR CASE WHEN pg_catalog.txid_visible_in_snapshot(s.xid, pg_catalog.txid_current_snapshot())
                 THEN pg_catalog.txid_status(s.xid) = 'committed' ELSE false END)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                         WHERE a.datname = pg_catalog.current_database() AND a.state IS DISTINCT FROM 'idle'
                           AND a.application_name IN ('migrate:guard:' || s.run_id, 'migrate:worker:' || s.run_id)))
"""
# A revision that the version table names is whole, whatever a run that died could not say any more; a downgrade of it
# is not.
_OPEN: Final = """
    s.target = %(target)s AND s.status IN ('started', 'partial')
    AND (s.revision IS NULL OR (s.kind = 'downgrade') = (s.revision = ANY (%(rows)s)))
    AND NOT EXISTS (SELECT FROM migrate.step later
                     WHERE later.target = s.target AND later.revision = s.revision AND later.step_id > s.step_id
                       AND later.status = 'finished')
"""
_UNFINISHED: Final = f"""
    SELECT s.run_id, s.step_id, s.kind, s.revision, coalesce({_PART_COMMITTED}, false), s.xid,
           coalesce(s.details -> 'residue', '[]')
      FROM migrate.step s WHERE {_OPEN} ORDER BY s.step_id
"""
# Of the runs that tell whether the target is as it should be, which the last one decides: one that ended well, or one that
# changed it, or was ended by what it found, without the proof. A repair proves what it repaired. (OFFSET 0: or the server
# reads the steps of all targets to answer for one.)
TELLS_OF_TARGET: Final = """
    (r.exit_code IN (31, 32) OR r.problem = 'several-targets' OR (r.exit_code = 0 AND r.verb <> 'repair')
     OR (r.exit_code IS DISTINCT FROM 0
         AND EXISTS (SELECT FROM migrate.step s
                      WHERE s.target = r.target AND s.run_id = r.run_id AND s.status = 'finished'
                        AND s.kind IN ('upgrade', 'downgrade') OFFSET 0)))
"""
_UNPROVEN: Final = f"""
    SELECT r.run_id, r.exit_code, coalesce(r.result -> 'differences', r.result -> 'residue', '[]'),
           coalesce(r.problem = 'several-targets', false)
      FROM migrate.run r WHERE r.target = %(target)s AND {TELLS_OF_TARGET}
     ORDER BY r.started_at DESC LIMIT 1
"""
# A part of a revision that an operator's word has closed, while the revision is still to be applied.
_ACCEPTED: Final = """
    SELECT s.revision, s.details -> 'residue'
      FROM migrate.step s
     WHERE s.target = %(target)s AND s.kind = 'upgrade' AND s.status = 'abandoned' AND s.details ? 'by_word'
       AND s.details ? 'residue' AND NOT (s.revision = ANY (%(rows)s))
       AND NOT EXISTS (SELECT FROM migrate.step later
                        WHERE later.target = s.target AND later.revision = s.revision AND later.step_id > s.step_id
                          AND later.status = 'finished')
     ORDER BY s.step_id
"""
# Where the release stood that is still running: where the first run began of all since the last that came to its target.
_RELEASED: Final = """
    SELECT r.from_revision FROM migrate.run r
     WHERE r.target = %(target)s AND r.verb = 'up' AND r.from_revision <> '{}'
       AND NOT EXISTS (SELECT FROM migrate.run later
                        WHERE later.target = r.target AND later.started_at >= r.started_at
                          AND later.outcome IN ('applied', 'adopted', 'downgraded', 'restored'))
     ORDER BY r.started_at LIMIT 1
"""
# What the last acceptance recorded, whole: each one tells all that is accepted from then on.
_MEANT: Final = """
    SELECT details -> 'accepted' FROM migrate.step
     WHERE target = %(target)s AND kind = 'adopt' AND status = 'finished' AND details ? 'accepted'
     ORDER BY step_id DESC LIMIT 1
"""
_CLOSE_DEAD: Final = f"""
    UPDATE migrate.step s
       SET finished_at = pg_catalog.clock_timestamp(),
           status = CASE WHEN {_OPEN} THEN 'abandoned' ELSE 'finished' END
     WHERE s.target = %(target)s AND s.status = 'started' AND s.run_id <> %(run_id)s
       AND NOT ({_OPEN} AND coalesce({_PART_COMMITTED}, false)) AND {{is_held}}
    RETURNING s.run_id, s.kind, s.revision, s.status
"""
_ABANDON_RUNS: Final = """
    UPDATE migrate.run SET outcome = 'abandoned'
     WHERE target = %(target)s AND outcome IS NULL AND run_id <> %(run_id)s AND {is_held}
"""
_BEGIN_RUN: Final = """
    INSERT INTO migrate.run (run_id, target, verb, version, from_revision, context)
    VALUES (%(run_id)s, %(target)s, %(verb)s, %(version)s, %(rows)s, %(context)s) ON CONFLICT DO NOTHING
"""
# One message in place of six.
_KNOWN: Final = f"""
    SELECT {in_json(_APPLIED, 6)}, {in_json(_UNFINISHED, 7)}, {in_json(_UNPROVEN, 4)}, {in_json(_ACCEPTED, 2)},
           CASE WHEN %(with_meant)s THEN {in_json(_MEANT, 1)} ELSE '[]' END,
           CASE WHEN %(with_meant)s THEN {in_json(_RELEASED, 1)} ELSE '[]' END,
           EXISTS (SELECT FROM migrate.step WHERE target = %(target)s AND status = 'started')
           OR EXISTS (SELECT FROM migrate.run WHERE target = %(target)s AND outcome IS NULL)
"""
_HISTORY: Final = """
    SELECT r.run_id, r.verb, r.started_at, r.finished_at, r.outcome, r.exit_code, r.problem, r.from_revision,
           r.to_revision, r.version, r.context,
           coalesce((SELECT jsonb_agg(jsonb_build_object('kind', s.kind, 'revision', s.revision, 'status', s.status,
                        'file', s.file, 'duration_ms',
                        round(extract(epoch FROM s.finished_at - s.started_at) * 1000))
                        || jsonb_strip_nulls(jsonb_build_object('backup_file', s.details -> 'backup_file',
                           'restore', s.details -> 'restore')) ORDER BY s.step_id)
                       FROM migrate.step s WHERE s.run_id = r.run_id), '[]'), r.target
      FROM migrate.run r WHERE r.target = ANY (%(targets)s)
     ORDER BY r.started_at DESC LIMIT %(limit)s
"""


def target_key(schema: str | None, table: str) -> str:
    """How the ledger's rows name their target: one ledger serves every version table of a database."""
    return f"{schema or ''}.{table}"


class Known(Value):
    """What the ledger says about one target."""

    applied: Mapping[str, AppliedRevision] = field(default_factory=dict)
    unfinished: tuple[Unfinished, ...] = ()
    unproven: UnprovenRun | None = None
    accepted: tuple[Accepted, ...] = ()
    meant: frozenset[Fact] = frozenset()
    released: tuple[str, ...] = ()
    is_open: bool = False  # a run or a step of it has no end


def exists(connection: Connection) -> bool:
    """Whether this role can read a ledger here."""
    return bool(connection.planned(_EXISTS, {})[0][0])


def read(
    connection: Connection, *, key: str, rows: Sequence[str], hashes: Mapping[str, str], with_meant: bool
) -> Known:
    """The ledger of one target, whose version rows are ``rows``, or nothing where there is none.

    ``with_meant``: the differences that were accepted, too, for who compares the schema.
    """
    was_there, connection.has_ledger = connection.has_ledger, False
    if not was_there and not exists(connection):
        return Known()
    asked = {"target": key, "rows": list(rows), "hashes": json.dumps(dict(hashes)), "with_meant": with_meant}
    done, steps, last, let_stay, found, began, is_open = connection.planned(_KNOWN, asked)[0]
    connection.has_ledger = connection.is_kept
    applied = {
        row[0]: AppliedRevision(row[0], tuple(row[1]), row[2] or "", row[3] or "", row[4])
        for row in done
        if row[5] == "upgrade"
    }
    unfinished = tuple(replace(Unfinished(*step), left=tuple(left)) for *step, left in steps)
    unproven = next((UnprovenRun(id_, code, tuple(wrong), went) for id_, code, wrong, went in last if code != 0), None)
    accepted = tuple(Accepted(revision, tuple(left)) for revision, left in let_stay)
    meant = frozenset((each[0], each[1], each[2]) for row in found for each in row[0])
    released = next((tuple(row[0]) for row in began if rows), ())
    return Known(applied, unfinished, unproven, accepted, meant, released, is_open)


def history(connection: Connection, *, keys: Sequence[str], limit: int, lock_timeout_s: float) -> list[dict[str, Any]]:
    """The newest runs first, each with its steps; an empty list where there is no ledger.

    Raises Stop for a ledger that this role may not read, and psycopg2.Error, for one that is locked as well.
    """
    may_read, is_there = connection.row(_EXISTS)
    if not may_read:
        if is_there:
            from migrate.core.problems.privileges import fix_of_ledger

            role = connection.row("SELECT user")[0]
            why = f"role {role} may not read the ledger, the tables in schema migrate"
            raise stop("missing-privilege", why, fix=fix_of_ledger(role, is_there=True, writes=False))
        return []
    names = [*(name for name in _COLUMNS_OF_RUN.split(",") if name not in {"target", "result"}), "steps", "target"]
    with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=lock_timeout_s):
        found = connection.rows(_HISTORY, {"targets": list(keys), "limit": limit})
    return [dict(zip(names, row, strict=True)) for row in found]


class Ledger:
    """One run's rows. Every method keeps quiet, but for one warning, where the ledger cannot be written.

    Each transaction of it has the mark, so that it ends before another run begins; what it does to the rows of other runs
    is done only while the guard is held.
    """

    def __init__(self, connection: Connection, context: Context, *, key: str, fence: Fence) -> None:
        self._connection = connection
        self._fence = fence
        self._context = context
        self._run_id = context.run_id
        self._key = key
        self._usable = True
        self.reconnect: Callable[[], Connection | None] | None = None  # where the connection was lost

    def open(self, *, rows: Sequence[str], environ: Mapping[str, str], is_open: bool = True) -> None:
        """Make the tables where they are missing, and this run's row; to be called under the guard.

        Whoever holds the guard knows that the runs which have not written their end are dead; ``is_open``: there may be some.
        """
        begin = f"{_ABANDON_RUNS.format(is_held=self._fence.is_held)}; {_BEGIN_RUN}" if is_open else _BEGIN_RUN
        about = {
            "run_id": self._run_id,
            "target": self._key,
            "verb": self._context.verb,
            "version": __version__,
            "rows": list(rows),
            "context": as_jsonb(platform_context(environ)),
        }
        try:
            self._execute(self._framed(begin), about)
        except psycopg2.Error:  # the tables are yet to be made, nearly always; else the same comes again
            there = self._write(_EXISTS, {})
            if there and not there[0][0]:
                self._write("SELECT pg_catalog.pg_advisory_xact_lock(%(lock)s);" + _SCHEMA + _TABLES, {"lock": _KEY})
            self._write(begin, about)

    def start(
        self,
        kind: str,
        *,
        revision: Revision | None = None,
        source: str | None = None,
        xid: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> int | None:
        """A step that is about to be done; its id, None where the ledger cannot be written.

        ``xid`` is the transaction that it begins in, by which a later run can ask the server what became of it.
        """
        beginning = Beginning(revision, source, xid, details)
        return self.start_several(kind, [beginning])[0]

    def start_several(self, kind: str, steps: Sequence[Beginning]) -> list[int | None]:
        """As `start`, of steps that are done together."""
        about = {"run_id": self._run_id, "target": self._key, "kind": kind}
        sql, parameters = starting(steps)
        # no wait for the disk: whatever of the step is ever committed brings its beginning along
        settings = ", pg_catalog.set_config('synchronous_commit', 'off', true)"
        found = {revision: int(step_id) for step_id, revision in self._write(sql, about | parameters, settings)}
        return [found.get(step.revision.id if step.revision else None) for step in steps]

    def note_xid(self, step_id: int | None, xid: int) -> None:
        """Keep the transaction of a step that was started outside of one."""
        if step_id is not None:
            self._write("UPDATE migrate.step SET xid = %(xid)s WHERE step_id = %(id)s", {"xid": xid, "id": step_id})

    def note_autocommit(self, step_id: int | None) -> None:
        """Keep that the step's next statement commits by itself, before it runs."""
        if step_id is not None:
            noted = """UPDATE migrate.step SET details = details || '{"autocommit": true}' WHERE step_id = %(id)s"""
            self._write(noted, {"id": step_id})

    def close_dead(self, rows: Sequence[str]) -> list[tuple[str, str, str | None, str]]:
        """Close what runs that died had begun and left nothing of: (run_id, kind, revision or None, status).

        To be called under the guard, when no orphan is at work; ``rows`` are the version rows. Residue stays open.
        """
        closing = _CLOSE_DEAD.format(is_held=self._fence.is_held)
        found = self._write(closing, {"target": self._key, "run_id": self._run_id, "rows": list(rows)})
        return [(row[0], row[1], row[2], row[3]) for row in found]

    def finish(self, step_id: int | None, status: str, details: Mapping[str, object] | None = None) -> None:
        """Close a step from the control connection: ``finished``, ``failed``, ``abandoned`` or ``partial``."""
        if step_id is not None:
            self._write(_FINISH + _OWN_STEP, {"status": status, "id": step_id, "details": as_jsonb(details or {})})

    def close_step(self, step_id: int, status: str, details: Mapping[str, object]) -> None:
        """Close a dead run's step, while the guard is held."""
        closing = f"{_FINISH} AND {self._fence.is_held}"
        self._write(closing, {"status": status, "id": step_id, "details": as_jsonb(details)})

    def finish_within(self, connection: Connection, step_id: int | None, details: Mapping[str, object]) -> bool:
        """Close a step as finished in the transaction that does it, with which the row commits or rolls back.

        False where that cannot be written: it is no reason not to do the step.
        """
        if step_id is None or not self._usable:
            return False
        try:
            with savepoint(connection):
                connection.run(f"SELECT pg_catalog.set_config('lock_timeout', '{_LOCK_MS}ms', true)")
                return bool(
                    connection.run(_FINISH, {"status": "finished", "id": step_id, "details": as_jsonb(details)})
                )
        except psycopg2.Error:
            if connection.closed:
                raise
            return False

    def close(self, outcome: Outcome) -> None:
        """This run's end."""
        fields = outcome.fields()
        self._write(
            "UPDATE migrate.run SET finished_at = pg_catalog.clock_timestamp(), outcome = %(outcome)s,"
            " exit_code = %(exit_code)s, problem = %(problem)s, to_revision = %(to)s, result = %(result)s"
            " WHERE run_id = %(run_id)s",
            {
                "run_id": self._run_id,
                "outcome": fields["outcome"],
                "exit_code": fields["exit_code"],
                "problem": fields.get("problem"),
                "to": list(outcome.to_revision),
                "result": as_jsonb(fields),
            },
        )

    def _write(self, sql: str, parameters: Mapping[str, object], settings: str = "") -> list[tuple[Any, ...]]:
        """One transaction, in one message to the server; ``settings`` are more of its transaction's."""
        if not self._usable:
            return []
        sql = self._framed(sql, settings)
        try:
            return self._execute(sql, parameters)
        except psycopg2.Error as error:
            made = self.reconnect() if self._connection.closed and self.reconnect is not None else None
            if made is None:
                return self._give_up(error)
            self._connection = made
        try:
            return self._execute(sql, parameters)
        except psycopg2.Error as error:
            return self._give_up(error)

    def _framed(self, sql: str, settings: str = "") -> str:
        lock_timeout = f"pg_catalog.set_config('lock_timeout', '{_LOCK_MS}ms', true)"
        return f"{_IMPLICIT}; SELECT {lock_timeout}{settings}, {self._fence.mark_transaction}; {sql}"

    def _execute(self, sql: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(sql, parameters)
            except (psycopg2.errors.UntranslatableCharacter, UnicodeEncodeError):
                # the database's encoding is not UTF-8, or a text has a lone surrogate: what it cannot hold is escaped
                cursor.execute(sql, {name: as_ascii(value) for name, value in parameters.items()})
            return cursor.fetchall() if cursor.description else []

    def _give_up(self, error: psycopg2.Error) -> list[tuple[Any, ...]]:
        self._usable = False
        said = said_by(error)
        fields: dict[str, object] = {"sqlstate": error.pgcode}
        if error.pgcode == "42501":
            from migrate.core.problems.privileges import fix_of_ledger

            with suppress(psycopg2.Error):
                is_there, role = self._connection.row("SELECT pg_catalog.to_regnamespace('migrate') IS NOT NULL, user")
                fields["fix"] = fix_of_ledger(role, is_there=is_there)
        self._context.emit(
            Event(
                Name.LEDGER_WARNING,
                f"the ledger (schema migrate) cannot be written, so this run leaves no history: {said}",
                Level.WARN,
                fields,
            ),
        )
        return []
