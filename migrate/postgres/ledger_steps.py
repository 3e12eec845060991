"""The SQL by which the ledger's steps begin, and by which a revision's own transaction ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from migrate.postgres.storable import as_jsonb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.history.graph import Revision

# Written again where the answer was lost: what the first time committed is found. No step is open twice in one run.
_START: Final = """
    WITH given (run_id, target, kind, revision, parents, file, sha256, source, xid, details, began_s, ended_s) AS (
        VALUES {rows}
    ), there AS (
        SELECT s.step_id, s.revision FROM migrate.step s JOIN given g ON g.target = s.target AND g.run_id = s.run_id
           AND g.kind = s.kind
           AND g.revision IS NOT DISTINCT FROM s.revision
         WHERE s.status = 'started'
    ), made AS (
        INSERT INTO migrate.step (run_id, target, kind, revision, parents, file, sha256, source, xid, details,
                                  started_at, finished_at)
        SELECT run_id, target, kind, revision, parents, file, sha256, source, xid, details,
               pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => began_s),
               pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => ended_s)
          FROM given g WHERE NOT EXISTS (SELECT FROM there t WHERE t.revision IS NOT DISTINCT FROM g.revision)
        RETURNING step_id, revision
    )
    SELECT step_id, revision FROM there UNION ALL SELECT step_id, revision FROM made
"""
_ROW: Final = (
    "(%(run_id)s, %(target)s, %(kind)s, %(revision{n})s::text, %(parents{n})s::text[], %(file{n})s::text,"
    " %(sha256{n})s::text, %(source{n})s::text, %(xid{n})s::bigint, %(details{n})s::jsonb,"
    " %(began_s{n})s::double precision, %(ended_s{n})s::double precision)"
)
# Run by the migrating connection inside the revisions' own transaction, so that the rows commit or roll back with it;
# answers how many rows that are, none to an older snapshot (REPEATABLE READ). Any driver that env.py uses can run it.
_FINISH_WITHIN: Final = (
    "WITH done AS (UPDATE migrate.step SET status = 'finished',"
    " finished_at = coalesce(finished_at, pg_catalog.clock_timestamp())"
    " WHERE step_id IN ({steps}) RETURNING 1) SELECT pg_catalog.count(*) FROM done"
)


class Beginning(NamedTuple):
    """A step that is about to be done, or one of several that were, ``ended_s`` ago; ``xid`` is its transaction."""

    revision: Revision | None = None
    source: str | None = None
    xid: int | None = None
    details: Mapping[str, object] | None = None
    began_s: float = 0.0  # ago
    ended_s: float | None = None  # ago


def starting(steps: Sequence[Beginning]) -> tuple[str, dict[str, object]]:
    """What writes them, and its parameters but for the run's; answers the id and the revision of each."""
    parameters: dict[str, object] = {}
    for n, (revision, source, xid, details, began_s, ended_s) in enumerate(steps):
        row: dict[str, object] = {
            "revision": revision.id if revision else None,
            "parents": [*revision.down, *revision.depends_on] if revision else [],
            "file": revision.file if revision else None,
            "sha256": revision.sha256 if revision else None,
            "source": source.replace("\0", "") if source is not None else None,
            "xid": xid,
            "details": as_jsonb(details or {}),
            "began_s": began_s,
            "ended_s": ended_s,
        }
        parameters |= {f"{name}{n}": value for name, value in row.items()}
    return _START.format(rows=", ".join(_ROW.format(n=n) for n in range(len(steps)))), parameters


def finishing(steps: Sequence[int | None]) -> str | None:
    """The SQL by which the revisions' own transaction closes their steps; None where the ledger cannot be written."""
    ids = [str(step_id) for step_id in steps if step_id is not None]
    return _FINISH_WITHIN.format(steps=", ".join(ids)) if ids else None
