"""What the checks of `migrate doctor` judge; no judgement. Ages in seconds, sizes and lags in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrate.core.decide.observation import Observation, Server
    from migrate.core.decide.policy import Limits, Policy
    from migrate.core.decide.state import State
    from migrate.core.image import Image
    from migrate.core.problems import Problem
    from migrate.core.target import Target


@dataclass(frozen=True, slots=True)
class GivenSettings:
    """All settings, those that are not at their default, and warnings that begin with a variable's name."""

    described: tuple[str, ...]
    given: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where Alembic's configuration is; ``version_table`` is None without a URL."""

    file: str
    env_py: str
    version_table: str | None


@dataclass(frozen=True, slots=True)
class Driver:
    """The module of the driver that env.py is about to ask for and that is not installed."""

    missing: str | None
    variable: str  # that has the URL


@dataclass(frozen=True, slots=True)
class HistoryFacts:
    """The image; ``faults`` are those that only compiling every file shows."""

    image: Image
    faults: tuple[Problem, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class PlatformFiles:
    """Railway's files for one service, which it will not read any more, and those for a project."""

    of_services: tuple[str, ...]
    of_projects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """The folder and the program that are named; ``fault`` is why a backup there is impossible."""

    names: tuple[str, ...]
    fault: Problem | None
    is_due: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """A server that answers; no image where it has a fault."""

    server: Server
    image: Image | None


@dataclass(frozen=True, slots=True)
class Role:
    """What this role is and may do in the database."""

    name: str
    is_superuser: bool
    may_create_schemas: bool
    ledger_exists: bool
    may_write_ledger: bool  # False where there is none


@dataclass(frozen=True, slots=True)
class Tls:
    """How this connection is protected; ``server_offers`` is the server's setting ``ssl``."""

    encrypted: bool
    protocol: str | None
    server_offers: bool


@dataclass(frozen=True, slots=True)
class Timeout:
    """A time limit that a new connection of this role begins with; ``value`` as the server prints it, e.g. ``30s``."""

    name: str
    value: str
    source: str  # as pg_settings says, e.g. ``database user``


@dataclass(frozen=True, slots=True)
class VersionTable:
    """The shape of the version table; ``kind`` is pg_class.relkind, None where there is none."""

    schema: str | None
    name: str
    kind: str | None
    column_type: str | None  # of version_num
    length: int | None  # of version_num, None where it has no limit
    has_key: bool
    others: tuple[str, ...]  # qualified names of tables in other places that look like version tables


@dataclass(frozen=True, slots=True)
class Table:
    """A table that pending revisions touch and that exists; ``name`` as PostgreSQL quotes it."""

    name: str
    owner: str
    owner_is_superuser: bool
    owned: bool  # by this role or by one whose rights it has
    size: int  # with its indexes and TOAST
    altered: bool
    hides_rows: bool  # which pending revisions change: a policy binds this role


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """An open transaction; what PostgreSQL hides from this role is None."""

    pid: int
    application: str
    state: str | None
    age_s: float | None
    relations: tuple[str, ...]  # those that pending revisions touch and it holds a lock on


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction prepared for two-phase commit, which nobody has ended."""

    gid: str
    owner: str
    age_s: float
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vacuum:
    """An autovacuum to prevent wraparound: unlike others it does not yield to whoever waits for its table."""

    pid: int
    relation: str
    age_s: float
    touched: bool


@dataclass(frozen=True, slots=True)
class Replica:
    """A standby or subscriber; what PostgreSQL hides from this role is None."""

    name: str
    state: str | None
    sync_state: str | None
    lag: int | None


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot that nobody reads, for which the server keeps ``retained`` bytes of WAL."""

    name: str
    retained: int | None


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """An enabled event trigger that is no extension's: it runs with the statements of revisions."""

    name: str
    event: str
    function: str


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that the image needs."""

    name: str
    installed: bool
    available: bool
    trusted: bool  # whoever may create in the database may install it (PostgreSQL 13 and later)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The facts of one look at the server."""

    role: Role
    tls: Tls
    timeouts: tuple[Timeout, ...]
    version_table: VersionTable
    tables_count: int
    tables: tuple[Table, ...]
    transactions: tuple[OpenTransaction, ...]
    prepared: tuple[Prepared, ...]
    vacuums: tuple[Vacuum, ...]
    replicas: tuple[Replica, ...]
    slots: tuple[Slot, ...]
    waits_for: str  # synchronous_standby_names, where commits of this role wait for one of them
    event_triggers: tuple[EventTrigger, ...]
    extensions: tuple[Extension, ...]
    runs: tuple[str, ...]  # the application names of other runs' guards


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a server that may be written to; ``rows`` are those of its version table.

    ``unplaced`` is why it is not known which revisions are pending, None where it is.
    """

    server: Server
    diagnosis: Diagnosis
    target: Target
    limits: Limits
    rows: tuple[str, ...]
    unplaced: str | None = None


@dataclass(frozen=True, slots=True)
class AgainstImage:
    """The database against this image."""

    image: Image
    observation: Observation
    state: State
    policy: Policy
