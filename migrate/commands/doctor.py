"""`migrate doctor`: what would help or hinder a release here, each finding with its evidence and its fix."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from migrate.commands.up import LOOKING_EXITS
from migrate.commands.verb import verb
from migrate.core.decide.backup import with_backup
from migrate.core.decide.decision import decide, refuse_image
from migrate.core.decide.outcome import Outcome, Result, refusal
from migrate.core.decide.plan import Backup, Plan, Refusal
from migrate.core.decide.state import classify
from migrate.core.decide.widths import refuse_narrow
from migrate.core.events import Event, Level, Name
from migrate.core.history.touched import Touched, by_changes, by_source
from migrate.core.problems.catalogue import ExitCode, Stop, problem
from migrate.core.schema.differences import parse
from migrate.core.schema.repair_sql import quote
from migrate.doctor import checks
from migrate.doctor.checks import Check, Verdict, failed, passed, warned
from migrate.doctor.queries import diagnose
from migrate.job import look as judging
from migrate.job import progress as order
from migrate.job.session import Answer, Report, Session, conduct
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.observe import observe, read_server, refuse_missing_rights, refuse_wrong_server
from migrate.steps.backup import refuse_impossible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from migrate.core.decide.observation import Observation, Server
    from migrate.core.decide.state import State
    from migrate.core.history.image import Image
    from migrate.core.problems.catalogue import Problem
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

_LEVELS: Final = {Verdict.PASS: Level.INFO, Verdict.WARN: Level.WARN, Verdict.FAIL: Level.ERROR}
_APPLICATION: Final = "migrate:doctor:"
_RAILWAY_SERVICE: Final = ("railway.json", "railway.toml", "railway.*.json", "railway.*.toml")
_RAILWAY_PROJECT: Final = (".railway/railway.*",)


@verb("doctor", exits=tuple(code for code in LOOKING_EXITS if code is not ExitCode.DEADLINE))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every check.")
def doctor(*, as_json: bool, **flags: Any) -> Answer:
    """Report what would help or hinder a release here: settings, image, server, rights, state. Changes nothing.

    Each check passes, warns or fails, with its evidence and the fix. Exits with the code of the first check that fails,
    in the order in which a release would stop; a warning alone exits 0. Without a server, or with a setting that is
    malformed, the checks that need no server are reported all the same.
    """

    def body(session: Session) -> Report:
        examination = Examination(session)
        examination.conduct()
        return examination.report(with_checks=as_json)

    return conduct("doctor", flags, body, as_json=as_json, examines=True)


class Examination:
    """The checks in their order; each is said as soon as it is known."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._checks: list[Check] = []

    def conduct(self) -> None:
        """Check everything that can be checked."""
        session = self._session
        settings = session.settings
        fault = session.settings_fault
        if fault is not None:
            self._add(failed("settings", fault))
        else:
            self._add(checks.check_settings(settings.described(), settings.given(), settings.warnings))
        target = self._target()
        image = self._image()
        if target is not None and image is not None:
            target = image.aim(target)
        self._add(checks.check_platform_files(*_railway_files(session.cwd)))
        if target is None or fault is not None:  # a server is not asked with other settings than those that are meant
            return
        connection = self._connection(target)
        if connection is None:
            return
        try:
            self._server(connection, target, image)
        except Stop as stopped:  # a catalog that cannot be read, a connection that was lost
            self._add(failed("connection", stopped.problem))
        finally:
            connection.close()

    def report(self, *, with_checks: bool) -> Report:
        """The end: the outcome is the worst check's."""
        counts = {verdict: [c.name for c in self._checks if c.verdict is verdict] for verdict in Verdict}
        fields: dict[str, object] = {
            "checks_passed": len(counts[Verdict.PASS]),
            "checks_warned": counts[Verdict.WARN],
            "checks_failed": counts[Verdict.FAIL],
        }
        if with_checks:
            fields["checks"] = [check.fields() for check in self._checks]
        worst = checks.worst(self._checks)
        outcome = Outcome(Result.NOOP) if worst is None else refusal(worst)
        said = ", ".join(f"{len(names)} {verdict}" for verdict, names in counts.items() if names)
        return Report(outcome, fields, message=f"doctor: {said}")

    def _add(self, check: Check) -> None:
        self._checks.append(check)
        self._session.emit(
            Event(Name.CHECK_FINISHED, f"{check.name}: {check.evidence}", _LEVELS[check.verdict], check.fields()),
        )

    def _target(self) -> Target | None:
        session = self._session
        found: Target | None = None
        try:
            found = session.settings.target(session.redactor.learn)
            url = found.url
            self._add(checks.check_url(found.url_from, url.redacted, url.host, url.port))
        except Stop as stopped:
            self._add(failed("url", stopped.problem))
        try:
            config = session.config
            if found is not None:
                found = session.target
            table = found.version_table if found is not None else "not known without a URL"
            where = config.ini or config.toml or config.env_py
            self._add(passed("configuration", f"{where}, env.py {config.env_py}, version table {table}"))
            if found is not None:
                self._add(checks.check_driver(session.missing_driver, found.url_from))
        except Stop as stopped:
            self._add(failed("configuration", stopped.problem))
        return found

    def _image(self) -> Image | None:
        """The image, where a state can be judged against it."""
        session = self._session
        if any(check.name == "configuration" and check.problem is not None for check in self._checks):
            return None
        try:
            image = session.image
        except Stop as stopped:
            name = "manifest" if stopped.problem.kind.code in {"bad-manifest", "stale-manifest"} else "image"
            self._add(failed(name, stopped.problem))
            return None
        from migrate.history import check_syntax

        faults = [
            problem("bad-history", fault.message, names={"fix": fault.fix})
            for fault in check_syntax(session.scan, image.graph.revisions)
        ]
        self._add(checks.check_image(image, faults, session.settings.policy))
        self._add(checks.check_manifest(image))
        return image if refuse_image(image, session.settings.policy) is None else None

    def _connection(self, target: Target) -> Connection | None:
        session = self._session
        try:
            return connect_with_retry(
                target,
                application_name=f"{_APPLICATION}{session.run_id}",
                timeout_s=session.settings.limits.connect_s,
                interruption=session.interruption,
                emit=session.emit,
                redact=session.redactor.text,
            )
        except Stop as stopped:
            found = stopped.problem
            if found.kind.code == "unreachable":  # its usual fix is this verb
                found = replace(
                    found, fix="export MIGRATE_CONNECT_TIMEOUT=120   # with host, port and firewall looked at"
                )
            self._add(failed("connection", found))
            return None

    def _server(self, connection: Connection, target: Target, image: Image | None) -> None:
        session = self._session
        server = read_server(connection, target)
        session.log.bind(**server.context)
        self._add(checks.check_connection(server))
        try:
            refuse_wrong_server(server, target)
        except Stop as stopped:
            self._add(failed("server", stopped.problem))
            return
        self._add(checks.check_server(server, image))
        self._add(checks.check_pooler(server))
        self._rights(server, target)
        observation, refused = self._observed(connection, target, image)
        state = self._state(image, observation)
        touched = self._touched(image, state)
        diagnosis = diagnose(
            connection,
            target,
            session.settings.limits,
            schema=server.schema,
            touched=touched,
            extensions=self._extensions(image, touched),
        )
        self._add(checks.check_tls(diagnosis, server, dict(target.url.parameters).get("sslmode"), target.url_from))
        self._add(checks.check_ledger(diagnosis))
        self._add(checks.check_timeouts(diagnosis, server.database))
        rows = observation.rows if observation is not None else ()
        shape = checks.check_version_table(diagnosis, rows, self._narrow(server, target, image, state))
        self._add(shape)
        self._add(checks.check_tables(diagnosis))
        if refused is not None and shape.problem is None:
            self._add(failed("state", refused))
        policy = session.settings.policy
        if image is not None and observation is not None and state is not None:
            self._add(checks.check_state(image, observation, state, policy))
            for check in checks.check_findings(image, observation, state, policy):
                self._add(check)
            self._backup(server, target, image, state)
        for check in (
            checks.check_ownership(diagnosis),
            checks.check_row_security(diagnosis),
            checks.check_extensions(diagnosis),
            checks.check_transactions(diagnosis, session.settings.limits),
            checks.check_prepared(diagnosis),
            checks.check_vacuums(diagnosis),
            checks.check_replicas(diagnosis),
            checks.check_event_triggers(diagnosis),
            checks.check_sizes(diagnosis),
            checks.check_runs(diagnosis),
        ):
            self._add(check)

    def _rights(self, server: Server, target: Target) -> None:
        try:
            refuse_missing_rights(server, target)
        except Stop as stopped:
            self._add(failed("rights", stopped.problem))
        else:
            if not server.may_create:
                grant = f"GRANT CREATE ON SCHEMA {quote(server.schema or '')} TO {quote(server.user)};"
                evidence = f"role {server.user} may write the version table, but not create in {server.schema}"
                self._add(warned("rights", f"{evidence}: a revision that does will end there", grant))
                return
            self._add(passed("rights", f"role {server.user} may write the version table and create in {server.schema}"))

    def _narrow(self, server: Server, target: Target, image: Image | None, state: State | None) -> Problem | None:
        """Why the version table has no room for what is pending."""
        if image is None or state is None:
            return None
        session, manifest = self._session, image.manifest
        return refuse_narrow(
            server,
            target.version_table,
            order.pending_of(state),
            env_py=lambda: session.config.env_py.read_text("utf-8", "replace"),
            source_of=session.source_of,
            replayed={entry.revision.id for entry in manifest.revisions} if manifest is not None else (),
        )

    def _backup(self, server: Server, target: Target, image: Image, state: State) -> None:
        place, policy = self._session.backup_place, self._session.settings.policy
        decision = decide(image, state, policy)
        if isinstance(decision, Plan):
            decision = with_backup(
                decision, image, state, policy, has_place=place is not None, source_of=self._session.source_of
            )
            if isinstance(decision, Refusal):
                self._add(failed("backup", decision.problem))
                return
        fault: Problem | None = None
        if place is not None:
            try:
                refuse_impossible(place, server, target, os.environ)
            except Stop as stopped:
                fault = stopped.problem
        is_due = isinstance(decision, Plan) and any(isinstance(step, Backup) for step in decision.steps)
        named = (str(place.folder) if place.folder else "", *place.command[:1]) if place is not None else ()
        self._add(checks.check_backup([name for name in named if name], fault, is_due=is_due))

    def _observed(
        self, connection: Connection, target: Target, image: Image | None
    ) -> tuple[Observation | None, Problem | None]:
        """What `up` would see, or why it could not; a table that is no version table has a check of its own."""
        revisions = image.graph.revisions if image is not None else ()
        try:
            observation = observe(
                connection,
                target,
                self._session.settings.limits,
                hashes={revision.id: revision.sha256 for revision in revisions},
                with_schema=image is not None and image.manifest is not None,
            )
        except Stop as stopped:
            if connection.closed:
                raise
            return None, stopped.problem
        return observation, None

    def _state(self, image: Image | None, observation: Observation | None) -> State | None:
        if image is None or observation is None:
            return None
        seen = judging.with_sources(image, observation, self._session.source_of)
        policy = self._session.settings.policy
        return classify(seen, observation, policy.target, policy.ignore)

    def _touched(self, image: Image | None, state: State | None) -> Touched:
        """What the pending revisions touch, by their text and by their lines in the manifest."""
        entries = image.manifest.revisions if image is not None and image.manifest is not None else ()
        recorded = {entry.revision.id: entry.changes for entry in entries}
        found = Touched()
        for revision in order.pending_of(state) if state is not None else ():
            found |= by_source(self._session.source_of(revision)) | by_changes(recorded.get(revision.id, ()))
        return found

    def _extensions(self, image: Image | None, touched: Touched) -> Sequence[str]:
        """What the image needs at its head, and what a pending revision installs on the way."""
        found = set(touched.extensions)
        if image is not None and image.manifest is not None:
            head = image.manifest.schema_at(image.manifest.heads)
            found |= {parse(identity).path[-1] for identity in head if identity.startswith("extension ")}
        return sorted(found)


def _railway_files(folder: Path) -> tuple[list[str], list[str]]:
    """Railway's files for one service, and those for a project, from this folder up to the repository's root."""
    above = [folder, *folder.parents]
    depth = next((depth for depth, each in enumerate(above) if os.path.exists(each / ".git")), 0)  # noqa: PTH110 - says no where it may not look
    ending, lasting = (
        [
            os.path.relpath(path, folder)
            for each in above[: depth + 1]
            for pattern in patterns
            for path in sorted(each.glob(pattern))
        ]
        for patterns in (_RAILWAY_SERVICE, _RAILWAY_PROJECT)
    )
    return ending, lasting
