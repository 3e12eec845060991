"""The checks of what pending revisions meet: owners, rows, extensions, sessions, standbys, other runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.problems import in_order, migrate, problem, shell, sql
from migrate.core.quoting import identifier, literal
from migrate.core.wording import counted, size
from migrate.doctor.check import Passed, Skipped, Warned, check
from migrate.doctor.wording import MOST, age, listed

if TYPE_CHECKING:
    from migrate.core.problems import Fix
    from migrate.doctor.check import Found
    from migrate.doctor.facts import Examined, Table

_LARGE_TABLE: Final = 1 << 30  # bytes; rewriting or scanning more takes longer than most deploys wait
_LARGE_LAG: Final = 16 << 20  # bytes of WAL: a segment
_OLD_LOCKS: Final = 30  # lock timeouts; an older transaction outlives every retry that is likely


@check("who owns the tables that pending revisions alter", fails="neither this role nor one whose rights it has")
def ownership(seen: Examined) -> Found:
    """ALTER TABLE, and an index, a trigger or a constraint on a table, are for its owner."""
    if seen.unplaced is not None:
        return Skipped(f"not looked at: {seen.unplaced}")
    altered = [table for table in seen.diagnosis.tables if table.altered]
    foreign = [table for table in altered if not table.owned]
    if foreign:
        role = seen.diagnosis.role.name
        owners = ", ".join(f"{table.name} (owner {table.owner})" for table in foreign)
        return problem(
            "missing-privilege",
            f"role {role} does not own what pending revisions alter: {owners}",
            fix=in_order(_given_to(identifier(role), table) for table in foreign),
        )
    names = [table.name for table in altered]
    return Passed(f"{counted(len(names), 'table')} to be altered, all owned{listed(names)}")


def _given_to(role: str, table: Table) -> Fix:
    if table.owner_is_superuser:  # nobody should become a member of that
        return sql(f"ALTER TABLE {table.name} OWNER TO {role};")
    return sql(f"GRANT {table.owner} TO {role};")


@check(
    "row security on the tables that pending revisions write",
    warns="it binds this role: a revision would not touch the rows that are hidden from it",
)
def row_security(seen: Examined) -> Found:
    """An UPDATE or DELETE of a revision changes only the rows that the policies show to its role, and says nothing."""
    if seen.unplaced is not None:
        return Skipped(f"not looked at: {seen.unplaced}")
    bound = ", ".join(table.name for table in seen.diagnosis.tables if table.hides_rows)
    if not bound:
        return Passed("no policy hides rows that pending revisions change")
    role = seen.diagnosis.role.name
    return Warned(
        f"row security binds role {role} on {bound}, which pending revisions write: they would not touch the rows that"
        " are hidden from it",
        sql(
            f"ALTER ROLE {identifier(role)} BYPASSRLS;",
            note="or: SET app.… in the revision, so that a policy shows the rows",
        ),
    )


@check(
    "extensions that the image needs at its head",
    fails="the server does not have one, or only a superuser may install it",
)
def extensions(seen: Examined) -> Found:
    """Those that a CREATE EXTENSION of a pending revision, or the manifest, names."""
    role, needed = seen.diagnosis.role, seen.diagnosis.extensions
    missing = [each for each in needed if not each.installed]
    absent = [each.name for each in missing if not each.available]
    if absent:
        return problem(
            "missing-extension",
            f"the image needs extensions that this server does not have: {', '.join(absent)}",
            names={"extensions": absent},
        )
    forbidden = [
        each.name for each in missing if not role.is_superuser and not (each.trusted and role.may_create_schemas)
    ]
    if forbidden:
        return problem(
            "missing-privilege",
            f"role {role.name} may not install what the image needs: {', '.join(forbidden)}",
            fix=in_order(
                sql(f"CREATE EXTENSION IF NOT EXISTS {identifier(name)};", note="as a superuser") for name in forbidden
            ),
        )
    return Passed(
        f"{len(needed)} needed, {len(needed) - len(missing)} there, {len(missing)} to be installed",
        tuple(each.name for each in needed),
    )


@check(
    "open transactions that are older than the lock timeout",
    warns="a transaction is old, but holds no lock on a table that will change",
    fails="one holds a lock on a table that pending revisions touch",
)
def transactions(seen: Examined) -> Found:
    """Those for which to wait is not likely to suffice."""
    found = seen.diagnosis.transactions
    blocking = [each for each in found if each.relations and each.age_s is not None]
    if blocking:
        return problem(
            "blocked",
            "; ".join(
                f"pid {each.pid} ({each.application or 'no application name'}, {each.state}) has held locks on"
                f" {', '.join(each.relations)} for {age(each.age_s)}"
                for each in blocking[:MOST]
            ),
            fix=in_order(sql(f"SELECT pg_terminate_backend({each.pid});") for each in blocking),
        )
    hidden = [each for each in found if each.age_s is None]
    if hidden:
        pids = ", ".join(f"pid {each.pid} ({each.application or 'no application name'})" for each in hidden[:MOST])
        return Warned(
            f"{pids} hold locks on tables that pending revisions touch; since when, this role may not see",
            sql(f"GRANT pg_read_all_stats TO {identifier(seen.diagnosis.role.name)};"),
        )
    old = [each for each in found if each.age_s is not None and each.age_s > seen.limits.lock_s * _OLD_LOCKS]
    if old:
        pids = ", ".join(f"pid {each.pid} ({each.state}, {age(each.age_s)})" for each in old[:MOST])
        return Warned(
            f"open for long: {pids}; CREATE INDEX CONCURRENTLY waits for every one of them",
            in_order(sql(f"SELECT pg_terminate_backend({each.pid});") for each in old),
        )
    return Passed("no transaction is in the way")


@check(
    "transactions that were prepared for a two-phase commit and never ended",
    warns="there is one: CREATE INDEX CONCURRENTLY waits for it",
    fails="one holds a lock on a table that pending revisions touch",
)
def prepared_transactions(seen: Examined) -> Found:
    """They keep their locks through restarts, until somebody ends them by name."""
    found = seen.diagnosis.prepared
    if not found:
        return Passed("there are none")
    evidence = "; ".join(
        f"{each.gid} of {each.owner}, {age(each.age_s)}"
        + (f", holds locks on {', '.join(each.relations)}" if each.relations else "")
        for each in found[:MOST]
    )
    fix = in_order(sql(f"ROLLBACK PREPARED {literal(each.gid)};", note="or COMMIT PREPARED") for each in found)
    if any(each.relations for each in found):
        return problem("blocked", evidence, fix=fix)
    return Warned(f"{evidence}: CREATE INDEX CONCURRENTLY waits for it", fix)


@check(
    "autovacuums to prevent wraparound, which do not yield",
    warns="one is at work",
    fails="one is at work on a table that pending revisions touch",
)
def vacuum(seen: Examined) -> Found:
    """Those that to wait for is the only way, unless somebody finishes their work faster."""
    touched = [each for each in seen.diagnosis.vacuums if each.touched]
    found = touched or seen.diagnosis.vacuums
    if not found:
        return Passed("no autovacuum to prevent wraparound is at work")
    works = ", ".join(f"{each.relation} (pid {each.pid}, {age(each.age_s)})" for each in found[:MOST])
    evidence = f"an autovacuum to prevent wraparound works on {works}"
    fix = in_order(
        sql(
            f"SELECT pg_cancel_backend({each.pid});\nVACUUM (FREEZE) {each.relation};",
            note="or wait until it has ended",
        )
        for each in found
    )
    return problem("blocked", evidence, fix=fix) if touched else Warned(evidence, fix)


@check(
    "standbys, their lag, and replication slots",
    warns="one lags, or a slot that nobody reads keeps WAL",
    fails="commits wait for a synchronous standby, and none is there",
)
def replicas(seen: Examined) -> Found:
    """A commit that waits for a standby that is not there looks like a hanging release."""
    diagnosis = seen.diagnosis
    if diagnosis.waits_for:
        return problem(
            "missing-standby",
            f"every commit waits for a synchronous standby ({diagnosis.waits_for}), and none is connected",
        )
    lagging = [(each.name, each.lag) for each in diagnosis.replicas if each.lag is not None and each.lag > _LARGE_LAG]
    slots = [(each.name, kept) for each in diagnosis.slots if (kept := each.retained or 0) > _LARGE_LAG]
    if lagging or slots:
        said = [f"{name} is {size(lag)} behind" for name, lag in lagging]
        said += [f"slot {name}, which nobody reads, keeps {size(kept)}" for name, kept in slots]
        paused = sql("SELECT pg_wal_replay_resume();", note="on the standby, if its replay is paused; else wait")
        fixes = [paused] if lagging else []
        fixes += [
            sql(f"SELECT pg_drop_replication_slot({literal(name)});", note="if its reader is gone") for name, _ in slots
        ]
        return Warned("; ".join(said), in_order(fixes))
    named = [f"{each.name} ({each.state or 'state hidden'})" for each in diagnosis.replicas]
    return Passed(f"{counted(len(named), 'replica')}{listed(named)}, none lags")


@check("event triggers, which run with the statements of revisions", warns="there are some")
def event_triggers(seen: Examined) -> Found:
    """They see every DDL statement, and one that raises fails the revision."""
    found = seen.diagnosis.event_triggers
    if not found:
        return Passed("there are none")
    named = ", ".join(f"{each.name} ({each.event}, {each.function})" for each in found[:MOST])
    return Warned(
        f"they run with the statements of revisions: {named}",
        in_order(sql(f"ALTER EVENT TRIGGER {identifier(each.name)} DISABLE;", note="as its owner") for each in found),
    )


@check("the size of the tables that pending revisions touch", warns=f"one is larger than {_LARGE_TABLE >> 30} GiB")
def sizes(seen: Examined) -> Found:
    """What a rewrite or a scan would have to read."""
    if seen.unplaced is not None:
        return Skipped(f"not looked at: {seen.unplaced}")
    tables = sorted(seen.diagnosis.tables, key=lambda table: -table.size)
    each = tuple(f"{table.name} {size(table.size)}" for table in tables)
    if tables and tables[0].size > _LARGE_TABLE:
        return Warned(
            f"pending revisions touch large tables: {', '.join(each[:MOST])}",
            shell(migrate("up", "--deadline TIME"), note="after a rehearsal on a copy of this size"),
            each,
        )
    return Passed(f"pending revisions touch {counted(len(tables), 'table')}{listed(each)}", each)


@check("other runs of migrate on this database", warns="one is at work")
def runs(seen: Examined) -> Found:
    """Who would make `up` wait."""
    names = ", ".join(name.rpartition(":")[2] for name in seen.diagnosis.runs)
    if names:
        return Warned(f"another run is at work: {names}", shell(migrate("history"), note="or wait until it has ended"))
    return Passed("none")


OBSTACLES = (
    ownership,
    row_security,
    extensions,
    transactions,
    prepared_transactions,
    vacuum,
    replicas,
    event_triggers,
    sizes,
    runs,
)
