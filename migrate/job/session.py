"""What a verb works with: its settings, the project, the image, the target, and the order that a run is given."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from migrate.context import Context
from migrate.core.problems import Stop, problem, shell, stop
from migrate.core.quoting import word
from migrate.job.progress import Progress
from migrate.job.voice import Report, working_folder
from migrate.output.heartbeat import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from migrate.core.events import Event
    from migrate.core.fleet.tenants import Tenant
    from migrate.core.history.faults import HistoryFault
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.core.interruption import Interruption
    from migrate.core.problems import Problem
    from migrate.core.redaction import Redactor
    from migrate.core.target import Target
    from migrate.history import AlembicConfig, Scanned
    from migrate.job.images import Sources
    from migrate.settings import Settings
    from migrate.steps.order import BackupPlace, Order, Project


class Speaker(Protocol):
    """To whom a session says what happens: a verb's voice, or the fleet that it is a part of."""

    @property
    def run_id(self) -> str:
        """Whose run it is."""

    def emit(self, event: Event) -> None:
        """Something happened."""

    def bind(self, **context: object) -> None:
        """What is learned on the way, for the first and the last line."""


class Session:
    """One process's run of one verb."""

    def __init__(
        self, verb: str, settings: Settings, voice: Speaker, redactor: Redactor, interruption: Interruption
    ) -> None:
        pulse = Pulse(voice.emit)
        self.settings = settings
        self.progress: Progress | None = None
        self.so_far: Callable[[], Report] | None = None  # what a fleet has come to, at any time
        self.redactor = redactor
        self.context = Context(
            verb=verb,
            run_id=voice.run_id,
            limits=settings.limits,
            started_s=pulse.started_s,
            interruption=interruption,
            emit=pulse.emit,
            beat=pulse.beat,
            bind=voice.bind,
            redact=redactor.text,
        )
        self.cwd = working_folder()
        self._compiled: set[str] = set()  # the files that Python has read already
        self.settings_fault: Problem | None = None  # where malformed settings do not stop the verb

    @cached_property
    def config(self) -> AlembicConfig:
        """Alembic's configuration. Raises Stop."""
        from migrate import history

        found = history.load_config(self.settings.config, self.cwd, self.settings.section)
        if isinstance(found, history.ConfigFault):
            missing = found.kind is history.ConfigFaultKind.MISSING_FILE
            code = "no-alembic-config" if missing else "bad-alembic-config"
            raise Stop(problem(code, found.why, fix=found.fix))
        return found

    @cached_property
    def scan(self) -> Scanned:
        """The revision files of the image."""
        from migrate import history

        return history.scan(self.config)

    @cached_property
    def image(self) -> Image:
        """The graph of this image, read without importing a revision where that can be done. Raises Stop."""
        from migrate.job.images import load_image

        return load_image(self.sources)

    @property
    def sources(self) -> Sources:
        """Of what the image is made. Raises Stop."""
        from migrate.job.images import Sources

        return Sources(self.config, self.scan, self.project, self.settings, self.context)

    @cached_property
    def target(self) -> Target:
        """The target: of several tenants the one that is named. Raises Stop."""
        if self._tenant is None:
            return self.fleet_target
        from migrate.job.tenants import target_of

        return target_of(self._tenant, self.fleet_target, search_path=self.settings.fleet.search_path)

    @cached_property
    def _tenant(self) -> Tenant | None:
        """The one that a verb for one database is about, where there are several."""
        if not self.settings.fleet.sources:
            return None
        from migrate.job.tenants import one_tenant

        return one_tenant(self.tenants(), self.settings.fleet, self.context.verb)

    def tenants(self) -> list[Tenant]:
        """The tenants that this run takes. Raises Stop or Interrupted."""
        from migrate.job.tenants import list_tenants

        return list_tenants(self.settings.fleet, self.fleet_target, self.context, self.cwd, self.redactor.learn)

    @cached_property
    def fleet_target(self) -> Target:
        """Where the settings lead: the target, or where its tenants are. Raises Stop."""
        found = self.aimed(self.settings.target(self.redactor.learn))
        self.context.bind(url_from=found.url_from, server_address=found.url.address, db_name=found.url.database)
        return found

    def aimed(self, target: Target) -> Target:
        """The target with its version table, guessed from env.py's text where no setting names it. Raises Stop."""
        from migrate.history import guess_version_table

        if self.settings.version_table is not None and self.settings.version_table_schema is not None:
            return target
        env_py = self.config.env_py
        try:
            text = env_py.read_text("utf-8", "replace")
        except FileNotFoundError:
            text = ""  # Alembic runs an env.pyc too, where the configuration says sourceless
        except OSError as error:
            raise stop(
                "bad-alembic-config",
                f"{env_py} cannot be read: {error.strerror}",
                fix=shell(f"chmod a+r {word(env_py)}"),
            ) from error
        table, schema = guess_version_table(text)
        return replace(
            target,
            version_table=self.settings.version_table or table or target.version_table,
            version_table_schema=self.settings.version_table_schema or schema,
        )

    @property
    def is_strict_in_vain(self) -> bool:
        """Whether the run was to be strict, and the image, as far as it was read, has no manifest to be strict with."""
        is_read = "image" in self.__dict__
        return self.settings.policy.strict and is_read and self.image.manifest is None

    @property
    def missing_driver(self) -> str | None:
        """The module that SQLAlchemy will import for the URL, as far as env.py's text tells, where it is missing."""
        from migrate.history import missing_driver

        try:
            text = self.config.env_py.read_text("utf-8", "replace")
        except OSError:
            return None
        return missing_driver(text, self.target.url.driver)

    @cached_property
    def project(self) -> Project:
        """Where the child process finds the user's project."""
        from migrate.steps.order import Project

        config = self.config
        return Project(
            cwd=self.cwd,
            config=str(config.ini) if config.ini is not None else None,
            toml=str(config.toml) if config.toml is not None else None,
            section=config.section,
            env_py=os.path.relpath(config.env_py, self.cwd),
            folders=(str(config.script_location), *(str(folder) for folder in config.version_locations)),
            flask_app=self.settings.flask_app,
            x=self.settings.x,
        )

    def source_of(self, revision: Revision) -> str:
        """The text of a revision's file."""
        with open(self.scan.paths[revision.file], encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - hot path
            return file.read()

    def faults_in(self, revisions: Sequence[Revision]) -> Sequence[HistoryFault]:
        """The revisions' files that Python refuses; none is run."""
        from migrate.history import check_syntax

        unknown = [each for each in revisions if each.file not in self._compiled]
        faults = check_syntax(self.scan, unknown)
        if not faults:
            self._compiled.update(each.file for each in unknown)
        return faults

    def cut_short(self, signum: int) -> Report | None:
        """The end as it is known where a signal's grace is over; None before anything began."""
        if self.so_far is not None:
            return self.so_far()
        return Report(self.progress.cut_short(signum), {}) if self.progress is not None else None

    def begin(self) -> Progress:
        """The progress of a run that begins now: from here on the signals' thread may ask it how far the run has come."""
        self.progress = Progress()
        return self.progress

    def order(self) -> Order:
        """What every run on a target is given. Raises Stop for every fault that needs no database."""
        if self._tenant is None:
            return self.fleet_order()
        from migrate.job.tenants import order_of

        return order_of(self._tenant, self.fleet_order(), self.settings.fleet)

    def fleet_order(self) -> Order:
        """The order that each tenant's is made from. Raises Stop."""
        target = self.fleet_target  # a fault of the settings is reported before one of the image
        return self.order_for(target, self.image)

    def order_for(self, target: Target, image: Image) -> Order:
        """The order to bring a target to where an image says. Raises Stop."""
        from migrate.steps.order import Order

        return Order(
            context=self.context,
            target=image.aim(target),
            image=image,
            project=self.project,
            policy=self.settings.policy,
            environ=os.environ,
            source_of=self.source_of,
            faults_in=self.faults_in,
            log_queries=self.settings.log_queries,
            backup=self.backup_place,
        )

    @property
    def backup_place(self) -> BackupPlace | None:
        """Where backups go, None where no setting says."""
        from migrate.steps.order import BackupPlace

        folder, command = self.settings.backup, self.settings.backup_command
        if folder is None and not command:
            return None
        return BackupPlace(self.cwd / folder if folder is not None else None, command or ())
