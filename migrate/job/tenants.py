"""The tenants of a release: listed where the settings say, and aimed at one by one."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.fleet.tenants import MalformedTenants, Tenant, chosen, named, read_lines, read_rows
from migrate.core.problems import stop
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.errors import problem_of
from migrate.regular_files import read
from migrate.settings.program_output import NoOutput, output_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from migrate.context import Context
    from migrate.core.target import Target
    from migrate.settings.fleet import Fleet
    from migrate.steps.order import Order

_MOST_BYTES: Final = 1 << 24
_SCHEMAS: Final = r"""
    SELECT nspname FROM pg_catalog.pg_namespace
     WHERE nspname LIKE %(pattern)s AND nspname !~ '^pg_' AND nspname <> 'information_schema'
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
    """The one that a verb for one database is about. Raises Stop (`tenant-needed`)."""
    if len(fleet.names) != 1:
        raise stop("tenant-needed", f"there are {len(tenants)} tenants, and migrate {verb} is about one")
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
        return read_rows(_rows(target, context, _SCHEMAS, {"pattern": fleet.schemas}))
    assert fleet.query is not None
    return read_rows(_rows(target, context, fleet.query, None))


def _rows(
    target: Target, context: Context, query: str, parameters: dict[str, object] | None
) -> list[tuple[object, ...]]:
    connection = connect_with_retry(target, context, CONTROL_NAME)
    try:
        with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=context.limits.lock_s):
            return connection.rows(query, parameters)
    except psycopg2.Error as error:
        if connection.closed:
            raise problem_of(error, doing="listing the tenants", connection=connection) from error
        raise MalformedTenants(f"the query fails: {error.diag.message_primary or type(error).__name__}") from None
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
