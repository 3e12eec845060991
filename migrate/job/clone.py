"""A clone as the target: that it is not the real database, by whatever name, and the order to run revisions on it.

That two URLs lead to one database is asked of the servers: a lock that is taken through one of them is seen through the
other. No name, address or number tells as much: a pooler has another port, a restored backup has the same system
identifier, and an alias may lead anywhere.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.child.protocol import Servers
from migrate.core.decide.policy import BackupPolicy, BreakingPolicy, HeavyPolicy
from migrate.core.events import Event, Level, Name
from migrate.core.problems import Stop, stop
from migrate.core.shadow import environment
from migrate.core.target import Target
from migrate.job.shadow import written_variables
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.errors import problem_of

if TYPE_CHECKING:
    from migrate.core.url import DatabaseUrl
    from migrate.job.session import Session
    from migrate.postgres.connection import Connection
    from migrate.steps.order import Order

_NOT_COMPARED: Final = (
    "nothing was compared with {}, as no variable names the real database: set DATABASE_URL, too, and it is refused here by"
    " whatever name"
)
_TAKE: Final = "SELECT pg_catalog.pg_try_advisory_xact_lock(%(key)s)"
_SEEN: Final = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
                    WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.objsubid = 1
                      AND l.classid::bigint = %(key)s >> 32 AND l.objid::bigint = %(key)s & 4294967295),
           pg_catalog.pg_is_in_recovery()
"""
# Not of every system, and not for every role.
_CLUSTER: Final = """
    SELECT s.system_identifier, d.oid::bigint FROM pg_catalog.pg_control_system() s, pg_catalog.pg_database d
     WHERE d.datname = current_database()
"""
# What libpq's variables say beside where the database is: they are true of a clone as well.
_PLACES: Final = frozenset({"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGSERVICEFILE"})


def clone_order(session: Session, url: DatabaseUrl, url_from: str) -> tuple[Order, tuple[str, ...]]:
    """The order to bring a clone to the image's head, and what is to be warned of.

    Raises Stop, also where it is the database of the settings.
    """
    settings = session.settings
    target = session.aimed(
        Target(url, url_from, version_table_schema=settings.version_table_schema, schemas=settings.schemas)
    )
    reals = _reals(session)
    for real in reals:
        _refuse(session, target, real)
    warnings = () if reals else (_NOT_COMPARED.format(url.redacted),)
    for warning in warnings:
        session.context.emit(Event(Name.STATE_FINDING, warning, Level.WARN))
    session.context.bind(url_from=url_from, server_address=url.address, db_name=url.database)
    environ = environment(
        os.environ,
        url,
        target=reals[0].url if reals else None,
        more=settings.shadow_environ,
        written=written_variables(session.cwd / ".env"),
    )
    of_libpq = {name: value for name, value in os.environ.items() if name.startswith("PG") and name not in _PLACES}
    order = session.order_for(target, session.image)
    order = replace(
        order,
        environ={**of_libpq, **environ},
        # What is for the real one: nobody waits for a clone, and nobody goes back to it.
        policy=replace(
            order.policy, backup_policy=BackupPolicy.OFF, breaking=BreakingPolicy.ALLOW, heavy=HeavyPolicy.ALLOW
        ),
        backup=None,
        servers=Servers(url.raw, settings.shadow_allow),
    )
    return order, warnings


def _reals(session: Session) -> list[Target]:
    """Every database that the settings name, each once. Raises Stop."""
    from migrate.job.tenants import target_of

    try:
        real = session.fleet_target
    except Stop as stopped:
        if stopped.problem.kind.code != "no-database-url":
            raise
        return []
    tenants = session.tenants() if session.settings.fleet.sources else []
    found = {each.url.raw: each for each in (real, *(target_of(tenant, real) for tenant in tenants))}
    return list(found.values())


def _refuse(session: Session, clone: Target, real: Target) -> None:
    """Raises Stop where both are one database, or one may be a standby of the other, and where one cannot be asked."""
    context = session.context
    with (
        closing(connect_with_retry(clone, context, CONTROL_NAME)) as through_clone,
        closing(connect_with_retry(real, context, CONTROL_NAME)) as through_real,
    ):
        try:
            key = int.from_bytes(os.urandom(7), "big")
            with through_clone.transaction():
                through_clone.run(_TAKE, {"key": key})
                is_seen, is_standby = through_real.row(_SEEN, {"key": key})
            may_be_its_standby = is_standby and _cluster(through_real) in {None, _cluster(through_clone)}
        except psycopg2.Error as error:
            raise problem_of(
                error, doing="comparing the clone with the real database", connection=through_real
            ) from error
    both = f"{clone.url_from} ({clone.url.redacted}) and {real.url_from} ({real.url.redacted})"
    if is_seen:
        raise stop(
            "clone-is-target",
            f"{both} lead to one database: a lock that was taken through one is seen through the other",
        )
    if may_be_its_standby:
        raise stop("clone-is-target", f"{both} are of one cluster, and the second is a standby, maybe of the first")


def _cluster(connection: Connection) -> tuple[object, ...] | None:
    """Of which cluster the database is, and which of its databases; None where this server does not tell."""
    try:
        return connection.row(_CLUSTER)
    except psycopg2.Error:
        if connection.closed:
            raise
        return None
