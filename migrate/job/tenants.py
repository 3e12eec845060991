"""The tenants of a release: listed where the settings say, and aimed at one by one."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final

import psycopg2
import psycopg2.errors

from migrate.core.fleet.tenants import MalformedTenants, Tenant, chosen, named, read_lines, read_rows
from migrate.core.history.faults import HistoryFault
from migrate.core.problems import Stop, sql, stop
from migrate.core.quoting import identifier
from migrate.core.wording import counted
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.connection import QUERY_S, connect_with_retry
from migrate.postgres.errors import problem_of
from migrate.postgres.ledger import target_key
from migrate.postgres.server import read_server
from migrate.postgres.version_rows import rows_of_schemas, unproven_targets
from migrate.regular_files import read
from migrate.settings.program_output import NoOutput, output_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from migrate.context import Context
    from migrate.core.history.graph import Graph
    from migrate.core.target import Target
    from migrate.settings.fleet import Fleet
    from migrate.steps.order import Order

_MOST_BYTES: Final = 1 << 24
_CONNECT_S: Final = 5.0  # a server that is away is waited for by the run of each of its tenants
_LOCK_S: Final = 0.2  # of the question to all at once: who is locked is looked at alone
# with those that are asked for by name, which may be yet to be made
_SCHEMAS: Final = r"""
    SELECT name FROM (SELECT nspname::text FROM pg_catalog.pg_namespace UNION SELECT unnest(%(names)s::text[])) n (name)
     WHERE name LIKE %(pattern)s AND name !~ '^pg_' AND name <> 'information_schema'
"""


def list_tenants(
    fleet: Fleet, target: Target, context: Context, cwd: Path, learn: Callable[[Iterable[str]], None]
) -> list[Tenant]:
    """The tenants that this run takes, by name; ``learn`` is told the secrets of their URLs.

    Raises Stop (`bad-tenants`, and those of connecting) or Interrupted.
    """
    if len(fleet.sources) > 1:
        raise stop("bad-tenants", f"{' and '.join(fleet.sources)} are set: tenants are listed in one place")
    try:
        listed = chosen(
            _all(fleet, target, context, cwd), include=fleet.include, exclude=fleet.exclude, shard=fleet.shard
        )
        taken = named(listed, fleet.names) if fleet.names else listed
    except MalformedTenants as error:
        raise stop("bad-tenants", f"{fleet.sources[0]}: {error}") from None
    learn(secret for tenant in taken if tenant.url is not None for secret in tenant.url.secrets)
    return taken


def one_tenant(tenants: Sequence[Tenant], fleet: Fleet, verb: str) -> Tenant:
    """The one that a verb for one database is about; `doctor` takes the first. Raises Stop (`tenant-needed`)."""
    if verb == "doctor" and tenants:
        return tenants[0]
    if len(fleet.names) != 1:
        raise stop(
            "tenant-needed",
            f"{counted(len(tenants), 'tenant is', 'tenants are')} listed, and migrate {verb} is about one",
        )
    return tenants[0]


def _all(fleet: Fleet, target: Target, context: Context, cwd: Path) -> list[Tenant]:
    if fleet.file is not None:
        try:
            return read_lines(read(cwd / fleet.file, most=_MOST_BYTES).decode("utf-8", "replace"))
        except OSError as error:
            raise MalformedTenants(f"{fleet.file} cannot be read: {error.strerror or error}") from None
    if fleet.command is not None:
        try:
            return read_lines(output_of(fleet.command, os.environ, cwd, purpose="which prints the tenants"))
        except NoOutput as error:
            raise MalformedTenants(str(error)) from None
    if fleet.schemas is not None:
        return read_rows(_rows(target, context, _SCHEMAS, {"pattern": fleet.schemas, "names": list(fleet.names)}))
    assert fleet.query is not None
    return read_rows(_rows(target, context, fleet.query, None))


def _rows(
    target: Target, context: Context, query: str, parameters: dict[str, object] | None
) -> list[tuple[object, ...]]:
    connection = connect_with_retry(target, context, CONTROL_NAME)
    try:
        with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=context.limits.lock_s):
            # the server ends it by itself, before it counts as one that does not answer
            limit = {"limit": f"{QUERY_S * 1000 / 2:.0f}ms"}
            connection.run("SELECT pg_catalog.set_config('statement_timeout', %(limit)s, true)", limit)
            return connection.rows(query, parameters)
    except psycopg2.Error as error:
        if connection.closed:
            raise problem_of(error, doing="listing the tenants", connection=connection) from error
        raise MalformedTenants(f"the query fails: {error.diag.message_primary or type(error).__name__}") from None
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one question told of a database's tenants; of whom it tells nothing, they are looked at one by one."""

    at_head: Mapping[Tenant, tuple[str, ...]]  # with their version rows
    absent: Sequence[Tenant]  # there is no such schema, or no such database
    behind: frozenset[Tenant] = (
        frozenset()
    )  # revisions are left to apply, so that there is no need to look before the guard is taken


def see_all(tenants: Sequence[Tenant], target: Target, context: Context, graph: Graph, goal: str) -> Seen:
    """Ask one database about its tenants; ``target`` is that of one of them, and ``goal`` where they are to go.

    One that an earlier run has left unproven is not at head: its schema is yet to be proven.
    """
    short = replace(context.silent(), limits=replace(context.limits, connect_s=_CONNECT_S))
    try:
        connection = connect_with_retry(target, short, CONTROL_NAME)
    except Stop as stopped:
        return Seen({}, tenants if stopped.problem.kind.code == "no-database" else ())
    try:
        default = None
        if any(tenant.schema is None for tenant in tenants):
            default = read_server(connection, target).schema
        where = {tenant.schema or default or "": tenant for tenant in tenants}
        found = rows_of_schemas(connection, list(where), target.version_table, lock_timeout_s=_LOCK_S)
        unproven = unproven_targets(connection, lock_timeout_s=_LOCK_S)
    except (psycopg2.Error, Stop):
        return Seen({}, ())
    finally:
        connection.close()
    at_head, behind = {}, []
    is_at = cache(lambda rows: _is_at(graph, rows, goal))
    for schema, rows in found.items():
        if not rows or target_key(schema, target.version_table) in unproven:
            continue
        match is_at(rows):
            case True:
                at_head[where[schema]] = rows
            case False:
                behind.append(where[schema])
            case None:
                pass
    absent = [tenant for schema, tenant in where.items() if tenant.schema and schema not in found]
    return Seen(at_head, absent, frozenset(behind))


def see_groups(
    tenants: Sequence[Tenant], fleet_target: Target, context: Context, graph: Graph, goal: str
) -> Iterator[Seen]:
    """Ask each database once about all of its tenants. Raises Interrupted, and Stop (`deadline`)."""
    by_database: dict[object, list[Tenant]] = {}
    for tenant in tenants:
        by_database.setdefault((tenant.url, tenant.database), []).append(tenant)
    for group in by_database.values():
        context.go_on("while the tenants were looked at")
        yield see_all(group, target_of(group[0], fleet_target), context, graph, goal)


def _is_at(graph: Graph, rows: tuple[str, ...], goal: str) -> bool | None:
    """Whether nothing is left to apply; None where it takes more to tell than the rows."""
    if not all(row in graph for row in rows) or graph.split(rows):
        return None
    pending = graph.pending(rows, goal)
    return None if isinstance(pending, HistoryFault) else not pending


def create_schema(schema: str, target: Target, context: Context) -> None:
    """Make a new tenant's schema. Raises Stop or Interrupted."""
    connection = connect_with_retry(target, context, CONTROL_NAME)
    try:
        with suppress(psycopg2.errors.UniqueViolation):  # somebody else has made it in this moment
            connection.run(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}")
    except psycopg2.errors.InsufficientPrivilege as error:
        role, database = connection.row("SELECT user, pg_catalog.current_database()")
        grant = sql(f"GRANT CREATE ON DATABASE {identifier(database)} TO {identifier(role)};")
        why = f"role {role} may not create schema {schema}"
        raise stop("missing-privilege", why, fix=grant, sqlstate=error.pgcode) from error
    except psycopg2.Error as error:
        raise problem_of(error, doing=f"creating schema {schema}", connection=connection) from error
    finally:
        connection.close()


def target_of(tenant: Tenant, fleet_target: Target, *, search_path: bool = False) -> Target:
    """Where a tenant is: its schema holds its version table, and the names that its revisions do not qualify."""
    url = tenant.url or fleet_target.url
    if tenant.database is not None:
        url = url.with_database(tenant.database)
    found = replace(fleet_target, url=url) if url is fleet_target.url else replace(fleet_target, url=url, renew=None)
    if tenant.schema is None:
        return found
    told = tenant.schema if search_path else None
    return replace(found, version_table_schema=tenant.schema, schemas=(tenant.schema,), search_path=told)


def order_of(tenant: Tenant, order: Order, fleet: Fleet) -> Order:
    """The order for one tenant; env.py learns it from ``-x`` arguments in which its name and schema stand."""
    arguments = tuple(tenant.filled(argument) for argument in order.project.x)
    return replace(
        order,
        target=target_of(tenant, order.target, search_path=fleet.search_path),
        project=replace(order.project, x=arguments),
    )
