"""Gathers the facts of `migrate doctor`, step by step, and has each check judge them as soon as they are known."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg2

from migrate.core.decide.backup import with_backup
from migrate.core.decide.decision import decide, refuse_image
from migrate.core.decide.plan import Backup, Plan, Refusal
from migrate.core.decide.state import AtHead, Behind, Empty, classify
from migrate.core.decide.state import name as position_name
from migrate.core.decide.widths import refuse_narrow
from migrate.core.events import Event, Level, Name
from migrate.core.history.touched import Touched, by_changes, by_source
from migrate.core.problems import Problem, Stop, problem, shell
from migrate.core.schema.differences import parse
from migrate.doctor import facts
from migrate.doctor.check import Verdict
from migrate.doctor.checks import pending, position, project, server
from migrate.doctor.queries import diagnose
from migrate.history.relative import shortest
from migrate.job import look as judging
from migrate.job.outlook import look_ahead
from migrate.job.progress import pending_of
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.errors import problem_of
from migrate.postgres.observe import observe
from migrate.postgres.server import read_server, refuse_missing_rights, refuse_wrong_server
from migrate.steps.backup import refuse_impossible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from migrate.core.decide.observation import Observation, Server
    from migrate.core.decide.state import State
    from migrate.core.image import Image
    from migrate.core.target import Target
    from migrate.doctor.check import Check, Checked, Facts
    from migrate.job.session import Session
    from migrate.postgres.connection import Connection

_Fact = TypeVar("_Fact")
_LEVELS: Final = {
    Verdict.PASS: Level.INFO,
    Verdict.SKIP: Level.INFO,
    Verdict.WARN: Level.WARN,
    Verdict.FAIL: Level.ERROR,
}
_ROLE: Final = "migrate:doctor:"
_RAILWAY_SERVICE: Final = ("railway.json", "railway.toml", "railway.*.json", "railway.*.toml")
_RAILWAY_PROJECT: Final = (".railway/railway.*",)


class Examination:
    """The checks of one project and its database; each is said as soon as it is known."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._checked: list[Checked] = []

    def conduct(self) -> Sequence[Checked]:
        """Check everything that can be checked."""
        session = self._session
        settings, fault = session.settings, session.settings_fault
        given = facts.GivenSettings(tuple(settings.described()), tuple(settings.given()), settings.warnings)
        self._check(project.settings, fault or given)
        target = self._target()
        image = self._image()
        self._check(project.platform_files, facts.PlatformFiles(*_railway_files(session.cwd)))
        # a server is not asked with other settings than those that are meant
        if isinstance(target, Problem) or fault is not None:
            return self._checked
        target = image.aim(target) if image is not None else target
        connection = _known(lambda: self._connect(target))
        if isinstance(connection, Problem):
            self._check(server.connection, connection)
            return self._checked
        try:
            self._server(connection, target, image)
        except Stop as stopped:  # a catalog that cannot be read, a connection that was lost
            self._check(server.connection, stopped.problem)
        finally:
            connection.close()
        return self._checked

    def _check(self, check: Check[Facts], found: Facts | Problem) -> Checked:
        checked = check(found)
        self._checked.append(checked)
        said = f"{checked.name}: {checked.evidence}"
        self._session.context.emit(Event(Name.CHECK_FINISHED, said, _LEVELS[checked.verdict], checked.fields()))
        return checked

    def _target(self) -> Target | Problem:
        session = self._session
        found = _known(lambda: session.settings.target(session.redactor.learn))
        self._check(project.url, found)
        try:
            config = session.config
            if not isinstance(found, Problem):
                found = session.target
        except Stop as stopped:
            self._check(project.configuration, stopped.problem)
            return found
        table = None if isinstance(found, Problem) else found.version_table
        file = config.ini or config.toml or config.env_py
        self._check(
            project.configuration,
            facts.Configuration(shortest(file, session.cwd), shortest(config.env_py, session.cwd), table),
        )
        if not isinstance(found, Problem):
            self._check(project.driver, facts.Driver(session.missing_driver, found.url_from))
        return found

    def _image(self) -> Image | None:
        """The image, where a state can be judged against it."""
        session = self._session
        if any(each.name == project.configuration.name and each.problem is not None for each in self._checked):
            return None
        image = _known(lambda: session.image)
        if isinstance(image, Problem):
            of_manifest = image.kind.code in {"bad-manifest", "stale-manifest"}
            failing: Check[Any] = project.manifest if of_manifest else project.image
            self._check(failing, image)
            return None
        faults = tuple(
            problem("bad-history", fault.why, fix=fault.fix) for fault in session.faults_in(image.graph.revisions)
        )
        policy = session.settings.policy
        self._check(project.image, facts.HistoryFacts(image, faults, policy))
        self._check(project.manifest, image)
        return image if refuse_image(image, policy) is None else None

    def _connect(self, target: Target) -> Connection:
        session = self._session
        try:
            return connect_with_retry(target, session.context, _ROLE)
        except Stop as stopped:
            if stopped.problem.kind.code != "unreachable":
                raise
            # its usual fix is this verb
            fix = shell("export MIGRATE_CONNECT_TIMEOUT=120", note="with host, port and firewall looked at")
            raise Stop(replace(stopped.problem, fix=fix)) from stopped

    def _server(self, connection: Connection, target: Target, image: Image | None) -> None:
        session = self._session
        policy, limits = session.settings.policy, session.context.limits
        there = read_server(connection, target)
        session.context.bind(**there.context)
        self._check(server.connection, there)
        wrong = _refusal(lambda: refuse_wrong_server(there, target))
        self._check(server.server, wrong or facts.Reached(there, image))
        if wrong is not None:
            return
        self._check(server.pooler, there)
        self._check(server.rights, _refusal(lambda: refuse_missing_rights(there, target)) or there)

        revisions = image.graph.revisions if image is not None else ()
        observation = _known(  # what `up` would see
            lambda: observe(
                connection,
                target,
                limits,
                hashes={revision.id: revision.sha256 for revision in revisions},
                with_schema=image is not None and image.manifest is not None,
            )
        )
        if isinstance(observation, Problem) and connection.closed:
            raise Stop(observation)
        compared: facts.AgainstImage | None = None
        if image is not None and not isinstance(observation, Problem):
            seen = judging.with_sources(image, observation, session.source_of)
            state = classify(seen, observation, policy.target, policy.ignore)
            state = self._looked_ahead(connection, target, seen, observation, state)
            compared = facts.AgainstImage(image, observation, state, policy)
        touched = self._touched(compared)
        diagnosis = diagnose(
            connection, target, limits, schema=there.schema, touched=touched, extensions=_extensions(image, touched)
        )
        rows = () if isinstance(observation, Problem) else observation.rows
        examined = facts.Examined(there, diagnosis, target, limits, rows, _unplaced(image, compared))
        for check in server.SURROUNDINGS:
            self._check(check, examined)
        narrow = self._narrow(there, target, compared)
        shape = self._check(position.version_table, narrow or examined)
        self._check(position.tables, examined)
        # a table that is not a version table has a check of its own
        if isinstance(observation, Problem) and shape.problem is None:
            self._check(position.state, observation)
        if compared is not None:
            for judgement in position.DECISION:
                self._check(judgement, compared)
            self._check(position.backup, self._backup(there, target, compared))
        for check in pending.OBSTACLES:
            self._check(check, examined)

    def _looked_ahead(
        self, connection: Connection, target: Target, image: Image, observation: Observation, state: State
    ) -> State:
        """The state with what is found of what comes next. Raises Stop."""
        order = self._session.order_for(target, image)
        order = replace(order, target=target, context=order.context.silent())
        try:
            return look_ahead(order, connection, image, observation, state)[1]
        except psycopg2.Error as error:
            raise problem_of(error, doing="asking the rows", connection=connection) from error

    def _narrow(self, there: Server, target: Target, compared: facts.AgainstImage | None) -> Problem | None:
        """Why the version table has no room for what is pending."""
        if compared is None:
            return None
        session, manifest = self._session, compared.image.manifest
        return refuse_narrow(
            there,
            target.version_table,
            pending_of(compared.state),
            env_py=lambda: session.config.env_py.read_text("utf-8", "replace"),
            source_of=session.source_of,
            replayed={entry.revision.id for entry in manifest.revisions} if manifest is not None else (),
        )

    def _backup(self, there: Server, target: Target, compared: facts.AgainstImage) -> facts.BackupFacts | Problem:
        image, state, policy = compared.image, compared.state, compared.policy
        session = self._session
        place = session.backup_place
        decision = decide(image, state, policy)
        if isinstance(decision, Plan):
            decision = with_backup(
                decision, image, state, policy, has_place=place is not None, source_of=session.source_of
            )
            if isinstance(decision, Refusal):
                return decision.problem
        is_due = isinstance(decision, Plan) and any(isinstance(step, Backup) for step in decision.steps)
        if place is None:
            return facts.BackupFacts((), None, is_due)
        fault = _refusal(lambda: refuse_impossible(place, there, target, os.environ))
        names = (str(place.folder) if place.folder else "", *place.command[:1])
        return facts.BackupFacts(tuple(filter(None, names)), fault, is_due)

    def _touched(self, compared: facts.AgainstImage | None) -> Touched:
        """What the pending revisions touch, by their text and by their lines in the manifest."""
        found = Touched()
        if compared is None:
            return found
        entries = compared.image.manifest.revisions if compared.image.manifest is not None else ()
        recorded = {entry.revision.id: entry.changes for entry in entries}
        for revision in pending_of(compared.state):
            found |= by_source(self._session.source_of(revision)) | by_changes(recorded.get(revision.id, ()))
        return found


def _known(find: Callable[[], _Fact]) -> _Fact | Problem:
    """The fact, or the problem that keeps it from us."""
    try:
        return find()
    except Stop as stopped:
        return stopped.problem


def _unplaced(image: Image | None, compared: facts.AgainstImage | None) -> str | None:
    """Why it is not known which revisions are pending; None where it is."""
    if image is None:
        return "the image has a fault"
    if compared is None:
        return "the database could not be looked at"
    position = compared.state.position
    return None if isinstance(position, (AtHead, Behind, Empty)) else f"the database is {position_name(position)}"


def _refusal(refuse: Callable[[], None]) -> Problem | None:
    return _known(refuse)


def _extensions(image: Image | None, touched: Touched) -> Sequence[str]:
    """What the image needs at its head, and what a pending revision installs on the way."""
    found = set(touched.extensions)
    if image is not None and image.manifest is not None:
        head = image.manifest.schema_at(image.manifest.heads)
        found |= {parse(identity).path[-1] for identity in head if identity.startswith("extension ")}
    return sorted(found)


def _railway_files(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Railway's files for one service, and those for a project, from this folder up to the repository's root."""
    above = [folder, *folder.parents]
    depth = next((depth for depth, each in enumerate(above) if os.path.exists(each / ".git")), 0)  # noqa: PTH110 - says no where it may not look
    ending, lasting = (
        tuple(
            os.path.relpath(path, folder)
            for each in above[: depth + 1]
            for pattern in patterns
            for path in sorted(each.glob(pattern))
        )
        for patterns in (_RAILWAY_SERVICE, _RAILWAY_PROJECT)
    )
    return ending, lasting
