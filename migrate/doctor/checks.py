"""What `migrate doctor` makes of its facts: one check each, which passes, warns or fails with evidence and the fix.

The order of `PURPOSES` is that in which a release would stop: the first check that fails is the worst.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.decide.decision import decide, refuse_image, refuse_uncompared
from migrate.core.decide.findings import fix_of_stale_rows, problem_of_incomparable, sentence, without_healed
from migrate.core.decide.outcome import Result
from migrate.core.decide.plan import Plan, Refusal
from migrate.core.decide.policy import Breaking as BreakingPolicy
from migrate.core.decide.repair import plain
from migrate.core.decide.state import (
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Empty,
    Incomparable,
    Lacking,
    Residue,
    State,
    Unproven,
)
from migrate.core.decide.state import name as position_name
from migrate.core.deployment import RAILWAY_JSON_ENDS
from migrate.core.problems.catalogue import ExitCode, problem
from migrate.core.problems.packages import fix_of_missing
from migrate.core.schema.repair_sql import repairs
from migrate.core.wording import clauses, counted, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.decide.observation import Observation, Server
    from migrate.core.decide.policy import Limits, Policy
    from migrate.core.decide.state import Finding
    from migrate.core.history.image import Image
    from migrate.core.problems.catalogue import Problem
    from migrate.doctor.facts import Diagnosis, Table

LARGE_TABLE: Final = 1 << 30  # bytes; rewriting or scanning more takes longer than most deploys wait
LARGE_LAG: Final = 16 << 20  # bytes of WAL: a segment
OLD_LOCKS: Final = 30  # lock timeouts; an older transaction outlives every retry that is likely
_POOLER_PORT: Final = 6543  # Supabase's and others' for transaction mode
_LISTED: Final = 8
_WORDS: Final = {
    Result.NOOP: "nothing to do",
    Result.AHEAD: "newer than this image, and policy lets it stand",
    Result.APPLIED: "to be adopted and upgraded",
    Result.ADOPTED: "to be adopted",
}


class Verdict(StrEnum):
    """What a check came to."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a check looks at, and when it warns or fails; an empty text is never."""

    looks_at: str
    warns: str = ""
    fails: str = ""
    needs_server: bool = True


PURPOSES: Final[Mapping[str, Purpose]] = MappingProxyType(
    {
        "settings": Purpose(
            "every setting with the place that it came from",
            warns="a variable looks like a setting and is none",
            fails="one is malformed; the server is not asked then",
            needs_server=False,
        ),
        "url": Purpose(
            "which variable names the database",
            warns="the host or the port is one that providers give to a pooler",
            fails="none does, or it is malformed",
            needs_server=False,
        ),
        "configuration": Purpose(
            "Alembic's configuration, env.py and the version table that it names",
            fails="there is none, or it cannot be used",
            needs_server=False,
        ),
        "driver": Purpose(
            "whether the driver is installed that SQLAlchemy will take for the database URL",
            warns="it is not, as far as env.py's text tells what it does with the URL",
            needs_server=False,
        ),
        "image": Purpose(
            "the revisions of this image",
            fails="the history has a fault, or the target is not in it",
            needs_server=False,
        ),
        "manifest": Purpose(
            "the manifest against the revision files",
            warns="there is none, so that only version rows can be compared, or a file has other bytes",
            fails="it is malformed, or of another history",
            needs_server=False,
        ),
        "platform-files": Purpose(
            "the files of this repository that tell a platform to run the job",
            warns="the platform does not read one any more, or soon will not, and there is no other",
            needs_server=False,
        ),
        "connection": Purpose("whether the server answers and admits the role", fails="it does not"),
        "server": Purpose(
            "the server's version, and that it can be written to",
            warns="its major version is not the one that the manifest was made with",
            fails="it is too old, a standby, or read-only for this role",
        ),
        "pooler": Purpose("whether a pooler stands between", warns="one does"),
        "rights": Purpose(
            "the rights on the version table and on the schema that revisions create in",
            fails="one is missing",
        ),
        "tls": Purpose(
            "whether the connection is encrypted",
            warns="it is not, although the server offers it",
        ),
        "ledger": Purpose(
            "whether the ledger can be written",
            warns="it cannot; the release goes on without a history",
        ),
        "timeouts": Purpose(
            "time limits that the role, the database or the server sets",
            warns="one is set: revisions run under those of the settings, other connections of env.py do not",
        ),
        "version-table": Purpose(
            "the shape of the version table",
            warns="it has no unique key, so that a row can be there twice",
            fails="it is no version table, or too narrow for an id of this image",
        ),
        "tables": Purpose(
            "what is there beside the version table",
            warns="there is a second version table in another place",
        ),
        "state": Purpose(
            "the position of the database against this image, the decision, and the pending revisions",
            fails="`migrate up` would refuse it",
        ),
        "residue": Purpose(
            "INVALID indexes, and revisions that were begun and not finished",
            warns="there are some, and nothing is pending or nothing of them is left",
            fails="there are some, and revisions are pending",
        ),
        "edited": Purpose(
            "applied revisions whose file is another program now",
            warns="there are some, and nothing is pending or policy lets them be",
            fails="there are some, and revisions are pending",
        ),
        "drift": Purpose(
            "the live schema against the manifest",
            warns="it differs, and nothing is pending or policy lets it be",
            fails="it differs, and revisions are pending",
        ),
        "breaking": Purpose(
            "what the pending revisions take from the release that is still running",
            warns="they take something",
            fails="the policy `breaking` is `refuse`, and they take something or there is no manifest that would tell",
        ),
        "backup": Purpose(
            "where backups go, and the programs that take them",
            warns="one could not be taken, and none is due",
            fails="one is due and could not be taken, or has no place",
        ),
        "ownership": Purpose(
            "who owns the tables that pending revisions alter",
            fails="neither this role nor one whose rights it has",
        ),
        "row-security": Purpose(
            "row security on the tables that pending revisions write",
            warns="it binds this role: a revision would not touch the rows that are hidden from it",
        ),
        "extensions": Purpose(
            "extensions that the image needs at its head",
            fails="the server does not have one, or only a superuser may install it",
        ),
        "transactions": Purpose(
            "open transactions that are older than the lock timeout",
            warns="one is, and it will not block for certain",
            fails="one holds a lock on a table that pending revisions touch",
        ),
        "prepared-transactions": Purpose(
            "transactions that were prepared for a two-phase commit and never ended",
            warns="there is one: CREATE INDEX CONCURRENTLY waits for it",
            fails="one holds a lock on a table that pending revisions touch",
        ),
        "vacuum": Purpose(
            "autovacuums to prevent wraparound, which do not yield",
            warns="one is at work",
            fails="one is at work on a table that pending revisions touch",
        ),
        "replicas": Purpose(
            "standbys, their lag, and replication slots",
            warns="one lags, or a slot that nobody reads keeps WAL",
            fails="commits wait for a synchronous standby, and none is there",
        ),
        "event-triggers": Purpose(
            "event triggers, which run with the statements of revisions",
            warns="there are some",
        ),
        "sizes": Purpose(
            "the size of the tables that pending revisions touch",
            warns=f"one is larger than {LARGE_TABLE >> 30} GiB",
        ),
        "runs": Purpose("other runs of migrate on this database", warns="one is at work"),
    },
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `evidence` is a sentence with the names of the case; `fix` is to be pasted."""

    name: str
    verdict: Verdict
    evidence: str
    fix: str = ""
    details: tuple[str, ...] = ()
    problem: Problem | None = None  # of a check that fails

    @property
    def exit_code(self) -> ExitCode:
        """What `migrate up` would end with for this, 0 unless the check fails."""
        return ExitCode.OK if self.problem is None else self.problem.exit_code

    def fields(self) -> dict[str, object]:
        """The check for `--json` and for its log line."""
        found: dict[str, object] = {
            "check": self.name,
            "verdict": str(self.verdict),
            "evidence": self.evidence,
            "exit_code": int(self.exit_code),
        }
        if self.fix:
            found["fix"] = self.fix
        if self.details:
            found["details"] = list(self.details)
        if self.problem is not None:
            found["problem"] = self.problem.kind.code
        return found


def passed(name: str, evidence: str, details: Sequence[str] = ()) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Verdict.PASS, evidence, details=tuple(details))


def warned(name: str, evidence: str, fix: str, details: Sequence[str] = ()) -> Check:
    """A check that found something which does not stop a release."""
    return Check(name, Verdict.WARN, evidence, fix, tuple(details))


def failed(name: str, found: Problem) -> Check:
    """A check that found what would stop a release, or does already."""
    return Check(name, Verdict.FAIL, found.why, found.fix, problem=found)


def worst(checks: Sequence[Check]) -> Problem | None:
    """The problem of the first check that fails, in the order in which a release would stop."""
    order = list(PURPOSES)
    failing = sorted(
        ((order.index(check.name), check.problem) for check in checks if check.problem is not None),
        key=lambda found: found[0],
    )
    return failing[0][1] if failing else None


# What needs no server


def check_settings(described: Sequence[str], given: Sequence[str], warnings: Sequence[str]) -> Check:
    """``described`` are all settings, ``given`` those that are not at their default."""
    evidence = f"{counted(len(described), 'setting')}, {len(given)} of them set{_listed(given)}"
    if warnings:
        unknown = [warning.split()[0] for warning in warnings]
        return warned("settings", f"{'; '.join(warnings)}", f"unset {' '.join(unknown)}", described)
    return passed("settings", evidence, described)


def check_url(variable: str, redacted: str, host: str | None, port: int | None) -> Check:
    """The URL's own look; ``redacted`` is the URL without its password."""
    evidence = f"{variable} = {redacted}"
    if port == _POOLER_PORT or "pooler" in (host or ""):
        return warned(
            "url",
            f"{evidence}: the address looks like a pooler's, and revisions want the server itself",
            "export MIGRATE_DATABASE_URL='postgresql://USER:PASSWORD@HOST:5432/NAME'   # the direct address",
        )
    return passed("url", evidence)


def check_driver(missing: str | None, variable: str) -> Check:
    """``missing`` is the module of the driver that env.py is about to ask for and that is not installed."""
    if missing is None:
        return passed("driver", "installed")
    return warned(
        "driver",
        f"SQLAlchemy will import {missing} for {variable}, which is not installed, unless env.py names another driver",
        fix_of_missing(missing),
    )


def check_image(image: Image, faults: Sequence[Problem], policy: Policy) -> Check:
    """The history and the target; ``faults`` are those that only compiling every file shows."""
    heads = ", ".join(image.graph.heads) or "none"
    refused = [refusal.problem for refusal in [refuse_image(image, policy)] if refusal is not None]
    for found in (*refused, *faults):
        return failed("image", found)
    return passed("image", f"{counted(len(image.graph), 'revision')}, head {heads}, read by {image.read_by}")


def check_manifest(image: Image) -> Check:
    """A manifest that could be read; one that could not is the problem that it raised."""
    if image.manifest is None:
        return warned(
            "manifest",
            "there is none: drift, adoption and rollbacks cannot be proven",
            "migrate manifest   # then commit the file that it writes",
        )
    if image.warnings:
        return warned("manifest", "; ".join(image.warnings), "migrate manifest   # then commit the file that it writes")
    heads = ", ".join(image.manifest.heads) or "none"
    return passed("manifest", f"made with PostgreSQL {image.manifest.postgres}, head {heads}")


# The server


def check_platform_files(ending: Sequence[str], lasting: Sequence[str]) -> Check:
    """`ending` are Railway's files for one service, `lasting` those for a project."""
    name = "platform-files"
    if not ending:
        return passed(
            name, f"{', '.join(lasting)} is what Railway reads" if lasting else "none that a platform gives up"
        )
    told = f"Railway does not read {', '.join(ending)} from {RAILWAY_JSON_ENDS} on"
    if lasting:
        return passed(name, f"{told}; {', '.join(lasting)} is there")
    return warned(
        name,
        f"{told}: a service without settings of its own then deploys with no migration, and looks well",
        "migrate init railway   # then: railway config plan; or set the pre-deploy command in the service's settings",
    )


def check_connection(server: Server) -> Check:
    """A connection that was made."""
    where = server.address or "the local socket"
    return passed("connection", f"database {server.database} at {where} as role {server.user}")


def check_server(server: Server, image: Image | None) -> Check:
    """A server that is not refused outright: see `migrate.postgres.observe.refuse_wrong_server`."""
    evidence = f"PostgreSQL {server.version}, {server.encoding}"
    made_with = image.manifest.postgres if image is not None and image.manifest is not None else server.major
    if made_with != server.major:
        return warned(
            "server",
            f"{evidence}; the manifest was made with PostgreSQL {made_with}, and views are compared by their columns only",
            f"migrate manifest --full   # in a shadow of PostgreSQL {server.major}",
        )
    return passed("server", evidence)


def check_pooler(server: Server) -> Check:
    """Whether libpq's backend pid is the server's."""
    if server.pooled:
        return warned(
            "pooler",
            "a transaction pooler stands between: sessions, prepared statements and notices of revisions may break",
            "export MIGRATE_DATABASE_URL='postgresql://USER:PASSWORD@HOST:5432/NAME'   # past the pooler",
        )
    return passed("pooler", "the connection goes to the server itself")


def check_tls(diagnosis: Diagnosis, server: Server, sslmode: str | None, variable: str) -> Check:
    """Whether what the server offers is used; ``sslmode`` is the URL's."""
    tls = diagnosis.tls
    mode = f"sslmode={sslmode}" if sslmode else "sslmode not given (libpq: prefer)"
    if tls.encrypted:
        return passed("tls", f"encrypted with {tls.protocol}, {mode}")
    if tls.server_offers and server.address is not None:
        return warned(
            "tls",
            f"not encrypted, {mode}, although the server offers TLS",
            "unset PGSSLMODE"
            if sslmode is None
            else f'export {variable}="$(printf %s "${variable}" | sed \'s/sslmode=[a-z-]*/sslmode=require/\')"',
        )
    where = "over the local socket" if server.address is None else "the server offers no TLS"
    return passed("tls", f"not encrypted, {where}, {mode}")


def check_ledger(diagnosis: Diagnosis) -> Check:
    """Whether runs leave a history."""
    role = diagnosis.role
    if role.ledger_exists:
        if role.may_write_ledger:
            return passed("ledger", "schema migrate is there and can be written")
        return warned(
            "ledger",
            f"role {role.name} may not write the tables in schema migrate",
            f"GRANT USAGE ON SCHEMA migrate TO {quoted(role.name)};\n"
            f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA migrate TO {quoted(role.name)};",
        )
    if role.may_create_schemas:
        return passed("ledger", "there is none yet; the first run makes it")
    return warned(
        "ledger",
        f"role {role.name} may not create the schema migrate, so that runs leave no history",
        f"CREATE SCHEMA migrate AUTHORIZATION {quoted(role.name)};",
    )


def check_timeouts(diagnosis: Diagnosis, database: str) -> Check:
    """Limits that connections of this role begin with."""
    if not diagnosis.timeouts:
        return passed("timeouts", "none is set for this role, this database or the server")
    found = [f"{each.name} = {each.value} ({each.source})" for each in diagnosis.timeouts]
    alter = f"ALTER ROLE {quoted(diagnosis.role.name)} IN DATABASE {quoted(database)}"
    return warned(
        "timeouts",
        f"{', '.join(found)}: it ends statements and sessions that env.py runs on connections of its own",
        "\n".join(f"{alter} SET {each.name} = 0;" for each in diagnosis.timeouts),
    )


def check_version_table(diagnosis: Diagnosis, rows: Sequence[str], narrow: Problem | None) -> Check:
    """The shape; what the rows mean is the state's. ``narrow`` says which pending revision has no room in it."""
    table = diagnosis.version_table
    where = f"{quoted(table.schema or '')}.{quoted(table.name)}"
    if narrow is not None:
        return failed("version-table", narrow)
    if table.kind is None:
        return passed("version-table", f"{where} is not there yet; the first revision makes it")
    if table.column_type is None or table.kind not in {"r", "p", "v"}:
        return failed(
            "version-table",
            problem(
                "other-version-table",
                f"{where} is no version table: it has no column version_num",
                fix="export MIGRATE_VERSION_TABLE=NAME MIGRATE_VERSION_TABLE_SCHEMA=SCHEMA   # as env.py configures them",
            ),
        )
    evidence = f"{where} has {counted(len(rows), 'row')}{_listed(rows)}"
    if table.kind != "v" and not table.has_key:
        constraint = quoted(f"{table.name}_pkc")
        return warned(
            "version-table",
            f"{evidence}; it has no unique key, so that a row can be there twice",
            f"ALTER TABLE {where} ADD CONSTRAINT {constraint} PRIMARY KEY (version_num);",
        )
    return passed("version-table", evidence)


def check_tables(diagnosis: Diagnosis) -> Check:
    """How much is there, and whether there is a second version table."""
    evidence = f"{counted(diagnosis.tables_count, 'table')} beside the version table"
    table = diagnosis.version_table
    if diagnosis.version_table.others:
        others = ", ".join(diagnosis.version_table.others)
        schema = diagnosis.version_table.others[0].rpartition(".")[0]
        ours = f"{quoted(table.schema or '')}.{quoted(table.name)}"
        is_there = "is the one that is read" if table.kind is not None else "is not there"
        return warned(
            "tables",
            f"{evidence}; {others} looks like a version table too, and {ours} {is_there}",
            f"export MIGRATE_VERSION_TABLE_SCHEMA={schema}   # if that is the one that env.py configures",
        )
    return passed("tables", evidence)


# State and findings


def check_backup(places: Sequence[str], fault: Problem | None, *, is_due: bool) -> Check:
    """``places`` are the folder and the program that are named; ``fault`` is why a backup there is impossible."""
    if fault is not None:
        return failed("backup", fault) if is_due else warned("backup", f"{fault.why}; none is due now", fault.fix)
    when = "is due before the first change" if is_due else "is not due now"
    return passed("backup", f"{when}, to {' and '.join(places)}" if places else "no place is named, and none is due")


def check_state(image: Image, observation: Observation, state: State, policy: Policy) -> Check:
    """What `up` makes of the position alone."""
    # what the pending revisions break is a check of its own
    unproven = tuple(finding for finding in state.findings if isinstance(finding, Unproven))
    decision = decide(image, State(state.position, unproven), replace(policy, breaking=BreakingPolicy.ALLOW))
    if isinstance(decision, Refusal):
        return failed("state", decision.problem)
    pending = state.position.pending if isinstance(state.position, (Empty, Behind)) else ()
    where = f"{position_name(state.position)} ({', '.join(observation.rows) or 'no version'})"
    listed = [f"{revision.id}  {revision.message}  ({revision.file})" for revision in pending]
    will = f"{counted(len(pending), 'revision')} pending{_listed([revision.id for revision in pending])}"
    return passed("state", f"{where}, {will if pending else _WORDS.get(decision.result, decision.result)}", listed)


def check_findings(image: Image, observation: Observation, state: State, policy: Policy) -> list[Check]:
    """One check each for residue, edited revisions, drift and breaking changes."""
    found: dict[type[Finding], Finding] = {type(finding): finding for finding in state.findings}
    unlike = _no_drift(image, state)
    residue, drifted = found.get(Residue), found.get(Drifted)
    if isinstance(residue, Residue) and isinstance(drifted, Drifted):
        # an index that is INVALID is told once: SQL that puts drift right would be a second way beside its repair
        drifted = found[Drifted] = without_healed(drifted, frozenset(plain(index.name) for index in residue.indexes))
        if not drifted.differences:
            del found[Drifted]
            unlike = "but for what is INVALID, the live schema is what the manifest says"
    checks = []
    for name, kind, well in (
        ("residue", Residue, "no INVALID index, no revision that was begun and not finished"),
        ("edited", Edited, "the applied revisions' files are the programs that ran, as far as the ledger tells"),
        ("drift", next((kind for kind in (Lacking, Incomparable) if kind in found), Drifted), unlike),
        ("breaking", Breaking, _no_break(image, state)),
    ):
        finding = found.get(kind)
        begun = [step for step in observation.unfinished if not step.committed] if kind is Residue else []
        uncompared = (
            refuse_uncompared(image, policy) if kind is Breaking and isinstance(state.position, Behind) else None
        )
        if uncompared is not None:
            checks.append(failed(name, uncompared.problem))
        elif finding is not None:
            checks.append(_judged(name, finding, image, observation, state, policy))
        elif begun:
            steps = ", ".join(f"{step.revision or step.kind} (run {step.run_id})" for step in begun)
            checks.append(
                warned(
                    name,
                    f"begun, not finished, and nothing of it is left: {steps}",
                    "migrate repair --yes   # closes it",
                )
            )
        else:
            checks.append(passed(name, well))
    return checks


def _no_drift(image: Image, state: State) -> str:
    if image.manifest is None:
        return "not compared: there is no manifest"
    if not isinstance(state.position, (AtHead, Behind)):
        return f"not compared: the database is {position_name(state.position)}"
    if state.accepted:
        return f"the schema matches the manifest but for {counted(len(state.accepted), 'accepted difference')}: {clauses(state.accepted)}"
    return "the live schema is what the manifest says"


def _no_break(image: Image, state: State) -> str:
    if isinstance(state.position, Behind) and image.manifest is None:
        return "not compared: there is no manifest"
    return "nothing that is pending takes anything from the running release"


def _judged(name: str, finding: Finding, image: Image, observation: Observation, state: State, policy: Policy) -> Check:
    fix = _fix_of(finding, image, observation, state)
    unproven = tuple(each for each in state.findings if isinstance(each, Unproven))
    decision = decide(image, State(state.position, (*unproven, finding)), policy)
    if isinstance(decision, Refusal) and isinstance(state.position, (AtHead, Behind)):
        found = decision.problem
        return failed(name, replace(found, fix=fix or found.fix))
    if isinstance(decision, Plan) and not decision.warnings:
        return passed(name, f"policy lets it be: {sentence(finding)}")
    return warned(name, sentence(finding), fix)


def _fix_of(finding: Finding, image: Image, observation: Observation, state: State) -> str:
    """The finding's fix; empty where the catalogue's is the best."""
    match finding:
        case Residue(indexes=indexes) if any(index.parts_sql for index in indexes):
            return "\n".join(index.parts_sql for index in indexes if index.parts_sql)
        case Residue():
            return "migrate repair --yes   # puts right what is provable, and names the rest"
        case Drifted(exact=exact) if exact is not None:
            return fix_of_stale_rows(exact)
        case Drifted(differences=differences):
            assert image.manifest is not None
            rows = state.position.rows if isinstance(state.position, (AtHead, Behind)) else ()
            live = observation.schema or {}
            expected = image.manifest.spellings.as_in(image.manifest.schema_at(rows), live)
            return "\n".join(sql for _, sql in repairs(differences, expected, live))
        case Incomparable():
            return problem_of_incomparable(finding).fix
        case Breaking():
            return (
                "migrate plan   # then expand first and contract in a later release; or: export MIGRATE_BREAKING=allow"
            )
        case _:
            return ""


# What pending revisions meet


def check_ownership(diagnosis: Diagnosis) -> Check:
    """ALTER TABLE, and an index, a trigger or a constraint on a table, are for its owner."""
    foreign = [table for table in diagnosis.tables if table.altered and not table.owned]
    if foreign:
        role = quoted(diagnosis.role.name)
        listed = ", ".join(f"{table.name} (owner {table.owner})" for table in foreign)
        return failed(
            "ownership",
            problem(
                "missing-privilege",
                f"role {diagnosis.role.name} does not own what pending revisions alter: {listed}",
                fix="\n".join(dict.fromkeys(_given_to(role, table) for table in foreign)),
            ),
        )
    altered = [table.name for table in diagnosis.tables if table.altered]
    return passed("ownership", f"{counted(len(altered), 'table')} to be altered, all owned{_listed(altered)}")


def check_row_security(diagnosis: Diagnosis) -> Check:
    """An UPDATE or DELETE of a revision changes only the rows that the policies show to its role, and says nothing."""
    bound = [table.name for table in diagnosis.tables if table.hides_rows]
    if not bound:
        return passed("row-security", "no policy hides rows that pending revisions change")
    role = diagnosis.role.name
    said = ", ".join(bound)
    return warned(
        "row-security",
        f"row security binds role {role} on {said}, which pending revisions write: they would not touch the rows that are"
        " hidden from it",
        f"ALTER ROLE {quoted(role)} BYPASSRLS;   -- or: SET app.… in the revision, so that a policy shows the rows",
    )


def _given_to(role: str, table: Table) -> str:
    if table.owner_is_superuser:  # nobody should become a member of that
        return f"ALTER TABLE {table.name} OWNER TO {role};"
    return f"GRANT {table.owner} TO {role};"


def check_extensions(diagnosis: Diagnosis) -> Check:
    """Those that a CREATE EXTENSION of a pending revision, or the manifest, names."""
    absent = [each for each in diagnosis.extensions if not each.installed and not each.available]
    if absent:
        names = ", ".join(each.name for each in absent)
        return failed(
            "extensions",
            problem(
                "unsupported-server",
                f"the image needs extensions that this server does not have: {names}",
                fix=f"install the server's packages for {names}, or choose a provider that has them",
            ),
        )
    role = diagnosis.role
    missing = [each for each in diagnosis.extensions if not each.installed]
    forbidden = [each for each in missing if not role.is_superuser and not (each.trusted and role.may_create_schemas)]
    if forbidden:
        names = ", ".join(each.name for each in forbidden)
        return failed(
            "extensions",
            problem(
                "missing-privilege",
                f"role {role.name} may not install what the image needs: {names}",
                fix="\n".join(
                    f"CREATE EXTENSION IF NOT EXISTS {quoted(each.name)};   -- as a superuser" for each in forbidden
                ),
            ),
        )
    there = [each.name for each in diagnosis.extensions if each.installed]
    return passed(
        "extensions",
        f"{len(diagnosis.extensions)} needed, {len(there)} there, {len(missing)} to be installed",
        [each.name for each in diagnosis.extensions],
    )


def check_transactions(diagnosis: Diagnosis, limits: Limits) -> Check:
    """Transactions that are older than the lock timeout, so that waiting for them is not likely to suffice."""
    found = diagnosis.transactions
    blocking = [each for each in found if each.relations and each.age_s is not None]
    if blocking:
        return failed(
            "transactions",
            problem(
                "blocked",
                "; ".join(
                    f"pid {each.pid} ({each.application or 'no application name'}, {each.state}) has held locks on"
                    f" {', '.join(each.relations)} for {age(each.age_s)}"
                    for each in blocking[:_LISTED]
                ),
                fix="\n".join(f"SELECT pg_terminate_backend({each.pid});" for each in blocking),
            ),
        )
    hidden = [each for each in found if each.age_s is None]
    if hidden:
        listed = ", ".join(f"pid {each.pid} ({each.application or 'no application name'})" for each in hidden[:_LISTED])
        return warned(
            "transactions",
            f"{listed} hold locks on tables that pending revisions touch; since when, this role may not see",
            f"GRANT pg_read_all_stats TO {quoted(diagnosis.role.name)};",
        )
    old = [each for each in found if each.age_s is not None and each.age_s > limits.lock_s * OLD_LOCKS]
    if old:
        listed = ", ".join(f"pid {each.pid} ({each.state}, {age(each.age_s)})" for each in old[:_LISTED])
        return warned(
            "transactions",
            f"open for long: {listed}; CREATE INDEX CONCURRENTLY waits for every one of them",
            "\n".join(f"SELECT pg_terminate_backend({each.pid});" for each in old),
        )
    return passed("transactions", "none is in the way")


def check_prepared(diagnosis: Diagnosis) -> Check:
    """Prepared transactions keep their locks through restarts, until somebody ends them by name."""
    found = diagnosis.prepared
    if not found:
        return passed("prepared-transactions", "there are none")
    listed = "; ".join(
        f"{each.gid} of {each.owner}, {age(each.age_s)}"
        + (f", holds locks on {', '.join(each.relations)}" if each.relations else "")
        for each in found[:_LISTED]
    )
    fix = "\n".join(f"ROLLBACK PREPARED {_literal(each.gid)};   -- or COMMIT PREPARED" for each in found)
    if any(each.relations for each in found):
        return failed("prepared-transactions", problem("blocked", listed, fix=fix))
    return warned("prepared-transactions", f"{listed}: CREATE INDEX CONCURRENTLY waits for it", fix)


def check_vacuums(diagnosis: Diagnosis) -> Check:
    """Those that to wait for is the only way, unless somebody finishes their work faster."""
    touched = [each for each in diagnosis.vacuums if each.touched]
    found = touched or diagnosis.vacuums
    if not found:
        return passed("vacuum", "no autovacuum to prevent wraparound is at work")
    listed = ", ".join(f"{each.relation} (pid {each.pid}, {age(each.age_s)})" for each in found[:_LISTED])
    evidence = f"an autovacuum to prevent wraparound works on {listed}"
    fix = "\n".join(
        f"SELECT pg_cancel_backend({each.pid});\nVACUUM (FREEZE) {each.relation};   -- or wait until it has ended"
        for each in found
    )
    if touched:
        return failed("vacuum", problem("blocked", evidence, fix=fix))
    return warned("vacuum", evidence, fix)


def check_replicas(diagnosis: Diagnosis) -> Check:
    """Standbys: a commit that waits for one that is not there looks like a hanging release."""
    if diagnosis.waits_for:
        return failed(
            "replicas",
            problem(
                "blocked",
                f"every commit waits for a synchronous standby ({diagnosis.waits_for}), and none is connected",
                fix="ALTER SYSTEM SET synchronous_standby_names = '';\nSELECT pg_reload_conf();"
                "   -- or start the standby",
            ),
        )
    lagging = [each for each in diagnosis.replicas if each.lag is not None and each.lag > LARGE_LAG]
    slots = [each for each in diagnosis.slots if each.retained is not None and each.retained > LARGE_LAG]
    if lagging or slots:
        said = [f"{each.name} is {size(each.lag or 0)} behind" for each in lagging]
        said += [f"slot {each.name}, which nobody reads, keeps {size(each.retained or 0)}" for each in slots]
        fixes = ["SELECT pg_wal_replay_resume();   -- on the standby, if its replay is paused; else wait"] * bool(
            lagging
        )
        fixes += [
            f"SELECT pg_drop_replication_slot({_literal(each.name)});   -- if its reader is gone" for each in slots
        ]
        return warned("replicas", "; ".join(said), "\n".join(fixes))
    named = [f"{each.name} ({each.state or 'state hidden'})" for each in diagnosis.replicas]
    return passed("replicas", f"{counted(len(named), 'replica')}{_listed(named)}, none lags")


def check_event_triggers(diagnosis: Diagnosis) -> Check:
    """They see every DDL statement, and one that raises fails the revision."""
    found = diagnosis.event_triggers
    if not found:
        return passed("event-triggers", "there are none")
    listed = ", ".join(f"{each.name} ({each.event}, {each.function})" for each in found[:_LISTED])
    return warned(
        "event-triggers",
        f"they run with the statements of revisions: {listed}",
        "\n".join(f"ALTER EVENT TRIGGER {quoted(each.name)} DISABLE;   -- as its owner" for each in found),
    )


def check_sizes(diagnosis: Diagnosis) -> Check:
    """What a rewrite or a scan would have to read."""
    tables = sorted(diagnosis.tables, key=lambda table: -table.size)
    listed = [f"{table.name} {size(table.size)}" for table in tables]
    if tables and tables[0].size > LARGE_TABLE:
        return warned(
            "sizes",
            f"pending revisions touch large tables: {', '.join(listed[:_LISTED])}",
            "migrate up --deadline TIME   # after a rehearsal on a copy of this size",
            listed,
        )
    return passed("sizes", f"pending revisions touch {counted(len(tables), 'table')}{_listed(listed)}", listed)


def check_runs(diagnosis: Diagnosis) -> Check:
    """Who would make `up` wait."""
    if diagnosis.runs:
        listed = ", ".join(name.rpartition(":")[2] for name in diagnosis.runs)
        return warned("runs", f"another run is at work: {listed}", "migrate history   # or wait until it has ended")
    return passed("runs", "none")


def age(seconds: float | None) -> str:
    """An age for people."""
    whole = int(seconds or 0)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(number: int) -> str:
    """A number of bytes for people, in the units that PostgreSQL prints."""
    value, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1024:  # noqa: PLR2004 - what a unit is larger by
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}"


def quoted(name: str) -> str:
    """An identifier as SQL always reads it."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _listed(names: Sequence[str]) -> str:
    return f": {shortened(names, _LISTED)}" if names else ""
