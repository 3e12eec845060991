"""Facts read from the target in one snapshot; no judgement."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.schema.differences import Fact

CHANGE_SIGNS: Final = ("+ ", "- ", "~ ")  # that a line of `migrate.core.schema.differences.changes` begins with


class Server(Value):
    """Who answered: ``version_num`` as PostgreSQL writes it (170010), ``address`` None over a unix socket."""

    version_num: int
    version: str
    address: str | None
    database: str
    user: str
    encoding: str
    in_recovery: bool
    read_only: bool
    pooled: bool  # libpq's backend pid is not the server's: a transaction pooler is in between
    schema: str | None  # where the version table is, or would be made; None: no schema of the search_path exists
    may_create: bool  # CREATE on that schema; on the database where it does not exist yet: env.py may make it
    may_write_versions: bool  # INSERT, UPDATE and DELETE on the version table, True where there is none
    schema_exists: bool = True
    has_version_table: bool = True
    may_read_versions: bool = True  # SELECT on the version table, True where there is none
    version_width: int | None = None  # how many characters version_num holds; None: any number, or no table
    search_path: tuple[str, ...] = ()  # the schemas that it names, those that do not exist too
    unseen: str | None = None  # a schema in which the objects would be looked for, but for this role's lack of USAGE
    owner: str | None = None  # a role that has the rights, and that this one may become but does not inherit from

    @property
    def major(self) -> int:
        """E.g. 17."""
        return self.version_num // 10000

    @property
    def context(self) -> dict[str, str | None]:
        """What the first and the last line say of it."""
        return {
            "server_address": self.address,
            "db_name": self.database,
            "db_user": self.user,
            "db_server_version": self.version,
        }


class AppliedRevision(Value):
    """What the ledger knows of a revision that was applied here."""

    revision: str
    parents: tuple[str, ...]
    file: str
    sha256: str
    source: str | None = None  # read only where the image's file has other bytes


class Unfinished(Value):
    """A ledger step that was started and never finished."""

    run_id: str
    step_id: int
    kind: str
    revision: str | None
    committed: bool  # a part of it is recorded as committed
    xid: int | None = None
    left: tuple[str, ...] = ()  # what it left in the schema, as lines of changes, where its run could still see


class UnprovenRun(Value):
    """The last run that changed the target, or was to, where it ended without the proof that exit 0 comes from."""

    run_id: str
    exit_code: int | None  # None: nobody wrote its end
    wrong: tuple[str, ...] = ()  # what it named, as sentences about differences or as lines of changes
    went_elsewhere: bool = False  # env.py went on to other targets

    def names(self, identity: str) -> bool:
        """Whether the object is one that the run named."""
        told = (line[2:] if line.startswith(CHANGE_SIGNS) else line for line in self.wrong)
        return any(line == identity or line.startswith((f"{identity} ", f"{identity}:")) for line in told)


class Accepted(Value):
    """What a part of a revision left and an operator's word lets stay, until the revision has been applied."""

    revision: str
    left: tuple[str, ...]  # lines of changes


class InvalidIndex(Value):
    """An index with ``indisvalid`` false that nobody is building; names are as PostgreSQL quotes them."""

    schema: str
    table: str
    name: str
    definition: str
    constraint: str | None = None  # that it belongs to
    is_unique: bool = False
    is_exclusion: bool = False
    parts_sql: str | None = None  # of a partitioned index: the statements that give it the parts that are missing


class Observation(Value):
    """The target as one snapshot shows it.

    ``rows`` are the version rows, duplicates kept; ``objects`` the names of user objects (none are read where there are
    version rows: the position does not depend on them); ``schema`` only where the image has a manifest. A ledger that is
    ``ledger_locked`` was not read, which only a run with nothing to do may put up with. ``unnamed`` are the schemas whose
    objects this role may not call by their names alone, so that the definitions are not printed as the manifest has them.
    """

    server: Server
    rows: tuple[str, ...]
    objects: tuple[str, ...] = ()
    schema: Mapping[str, str] | None = None
    ledger: Mapping[str, AppliedRevision] = field(default_factory=dict)
    unfinished: tuple[Unfinished, ...] = ()
    unproven: UnprovenRun | None = None
    accepted: tuple[Accepted, ...] = ()
    invalid_indexes: tuple[InvalidIndex, ...] = ()
    ledger_locked: bool = False
    unnamed: tuple[str, ...] = ()
    released: tuple[str, ...] = ()  # the rows at which the first run began of those that have not come to their target
    meant: frozenset[Fact] = frozenset()  # differences that somebody has recorded as meant, by `adopt`
    is_open: bool = True  # in the ledger a run or a step has no end; or it is not known
