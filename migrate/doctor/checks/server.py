"""The checks of the server, of the connection to it, and of what the role may do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.problems import in_order, migrate, shell, sql
from migrate.core.problems.privileges import fix_of_ledger
from migrate.core.quoting import identifier
from migrate.doctor.check import Passed, Warned, check

if TYPE_CHECKING:
    from migrate.core.decide.observation import Server
    from migrate.doctor.check import Found
    from migrate.doctor.facts import Examined, Reached


@check("whether the server answers and admits the role", fails="it does not")
def connection(server: Server) -> Found:
    """A connection that was made."""
    where = server.address or "the local socket"
    return Passed(f"database {server.database} at {where} as role {server.user}")


@check(
    "the server's version, and that it can be written to",
    warns="its major version is not the one that the manifest was made with",
    fails="it is too old, a standby, or read-only for this role",
)
def server(seen: Reached) -> Found:
    """One that is refused outright (`migrate.postgres.server.refuse_wrong_server`) is the problem in its place."""
    evidence, major = f"PostgreSQL {seen.server.version}, {seen.server.encoding}", seen.server.major
    manifest = seen.image.manifest if seen.image is not None else None
    if manifest is not None and manifest.postgres != major:
        return Warned(
            f"{evidence}; the manifest was made with PostgreSQL {manifest.postgres}, and views are compared by their"
            " columns only",
            shell(migrate("manifest", "--full"), note=f"in a shadow of PostgreSQL {major}"),
        )
    return Passed(evidence)


@check("whether a pooler stands between", warns="one does")
def pooler(server: Server) -> Found:
    """Whether libpq's backend pid is the server's."""
    if server.pooled:
        return Warned(
            "a transaction pooler stands between: sessions, prepared statements and notices of revisions may break",
            shell("export MIGRATE_DATABASE_URL='postgresql://USER:PASSWORD@HOST:5432/NAME'", note="past the pooler"),
        )
    return Passed("the connection goes to the server itself")


@check(
    "the rights on the version table and on the schema that revisions create in",
    warns="the role may not create in the schema, and nothing says yet that a revision will",
    fails="one is missing",
)
def rights(server: Server) -> Found:
    """Those without which `up` refuses (`migrate.postgres.server.refuse_missing_rights`) are the problem in its place."""
    if not server.may_create:
        return Warned(
            f"role {server.user} may write the version table, but not create in {server.schema}: a revision that does"
            " will end there",
            sql(f"GRANT CREATE ON SCHEMA {identifier(server.schema or '')} TO {identifier(server.user)};"),
        )
    return Passed(f"role {server.user} may write the version table and create in {server.schema}")


@check("whether the connection is encrypted", warns="it is not, although the server offers it")
def tls(seen: Examined) -> Found:
    """Whether what the server offers is used."""
    found, variable = seen.diagnosis.tls, seen.target.url_from
    sslmode = dict(seen.target.url.parameters).get("sslmode")
    mode = f"sslmode={sslmode}" if sslmode else "sslmode not given (libpq: prefer)"
    if found.encrypted:
        return Passed(f"encrypted with {found.protocol}, {mode}")
    if found.server_offers and seen.server.address is not None:
        return Warned(
            f"not encrypted, {mode}, although the server offers TLS",
            shell(
                "unset PGSSLMODE"
                if sslmode is None
                else f'export {variable}="$(printf %s "${variable}" | sed \'s/sslmode=[a-z-]*/sslmode=require/\')"'
            ),
        )
    where = "over the local socket" if seen.server.address is None else "the server offers no TLS"
    return Passed(f"not encrypted, {where}, {mode}")


@check("whether the ledger can be written", warns="it cannot; the release goes on without a history")
def ledger(seen: Examined) -> Found:
    """Whether runs leave a history."""
    role = seen.diagnosis.role
    fix = fix_of_ledger(role.name, is_there=role.ledger_exists)
    if role.ledger_exists:
        if role.may_write_ledger:
            return Passed("schema migrate is there and can be written")
        return Warned(f"role {role.name} may not write the tables in schema migrate", fix)
    if role.may_create_schemas:
        return Passed("there is none yet; the first run makes it")
    return Warned(f"role {role.name} may not create the schema migrate, so that runs leave no history", fix)


@check(
    "time limits that the role, the database or the server sets",
    warns="one is set: revisions run under those of the settings, other connections of env.py do not",
)
def timeouts(seen: Examined) -> Found:
    """Limits that connections of this role begin with."""
    limits = seen.diagnosis.timeouts
    if not limits:
        return Passed("none is set for this role, this database or the server")
    found = [f"{each.name} = {each.value} ({each.source})" for each in limits]
    alter = f"ALTER ROLE {identifier(seen.diagnosis.role.name)} IN DATABASE {identifier(seen.server.database)}"
    return Warned(
        f"{', '.join(found)}: it ends statements and sessions that env.py runs on connections of its own",
        in_order(sql(f"{alter} SET {each.name} = 0;") for each in limits),
    )


SURROUNDINGS = (tls, ledger, timeouts)
