"""The protocol: every message between the parent and the child that runs env.py, and how it stands on the line.

A message is one line of JSON, an array: its name, then its fields in their order. Neither end takes anything else: a line
that is no message, as of another version of this package, or a field of another type, is `Unintelligible` at once. (Named
tuples, as both processes import this when they start, and they are made five times as fast as dataclasses.)
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin, get_type_hints

from migrate.core.foresee.watched import Relation, Trace
from migrate.postgres.fence import Fence
from migrate.postgres.suspect import Suspect

Phase: TypeAlias = Literal["env", "alembic", "configure", "version-table", "fence", "revision", "commit", "protocol"]


class Unintelligible(Exception):  # noqa: N818 - the speaker is at fault, not the code
    """A line is no message of this protocol; says nothing of what is in it, which may be a secret."""


# What the parent orders.


class Setup(NamedTuple):
    """Where Alembic's configuration is, and the URL that it gets."""

    config: str | None
    toml: str | None
    section: str
    folders: tuple[str, ...]
    url: str
    driver: str | None = None  # None where the user's URL names none
    x: tuple[str, ...] = ()  # the -x arguments of Alembic's command line


class LoadHistory(NamedTuple):
    """Answer with the revisions as Alembic loads them (`History`)."""

    setup: Setup


class Servers(NamedTuple):
    """To which servers env.py and the revisions may connect: that of ``url``, and the ``allowed`` (HOST or HOST:PORT)."""

    url: str
    allowed: tuple[str, ...]


class Wanted(NamedTuple):
    """What a run in a shadow wants beside its revisions."""

    compares: bool = False  # the models with the database, in place of the revisions
    is_recorded: bool = False  # tell each statement (`Sent`)
    is_watched: bool = False  # tell what each revision was seen to do (`Watched`)
    unwatched: tuple[str, ...] = ()  # but of these
    order: tuple[str, ...] = ()  # apply these revisions, in just this order, which need not be Alembic's
    is_tried: bool = False  # also whether one that fails may do more where there are other rows
    only: str | None = None  # go back this one revision, which no target of Alembic's can say where branches meet
    crash_after: int | None = None  # end the connection after so many statements of the revision


class Task(NamedTuple):
    """Run env.py once."""

    kind: Literal["upgrade", "downgrade"]
    target: str
    setup: Setup
    env_py: str
    flask_app: str | None
    environ: dict[str, str]  # variables that are others than when the child began: it outlives a token
    divides: bool  # each revision is committed by itself
    goes_on: bool  # commit the last one as if another would follow
    keeps: tuple[Suspect, ...] | None  # what to write down of tables before going back; None where anything may be lost
    version_table: str
    version_table_schema: str | None
    guard: Fence
    guard_every_s: float
    session: dict[str, str]  # settings of the worker's transactions
    is_pooled: bool
    servers: Servers | None  # the only ones, in a shadow's run
    wanted: Wanted
    looks: bool = False  # only at where env.py goes: nothing is run
    search_path: str | None = None  # the one schema of env.py's connections, where they are to be told
    held: tuple[str, ...] = ()  # revisions on the way to the target that are not run, with all that build on them
    keeps_session: bool = False  # env.py's, for the task that comes next
    sharing: tuple[str, ...] = ()  # revisions that may be committed together with those beside them


class Start(NamedTuple):
    """The answer to `Starting`: run the revision, and close its row of the ledger, if there is one, with this SQL."""

    finish_sql: str | None
    may_commit: bool  # its text says that it may leave Alembic's transaction


class Close(NamedTuple):
    """The answer to `Gathered`: close their rows of the ledger, if there are any, with this SQL, and commit."""

    finish_sql: str | None


class Go(NamedTuple):
    """The answer to every other question: go on."""


class Halt(NamedTuple):
    """The answer where no further revision, or no statement that commits by itself, may start."""


Asked: TypeAlias = LoadHistory | Task | Start | Close | Go | Halt


# What the child tells without waiting for an answer.


class Ready(NamedTuple):
    """It can be given an order."""


class Logged(NamedTuple):
    """A log record or a warning of Alembic's, SQLAlchemy's or the user's code."""

    record: dict[str, object]


PULSE_S: Final = 1.0
"""How often the child says that it waits."""


class Waiting(NamedTuple):
    """The main thread waits in its driver, and with so many bytes for the database still unsent; None: no longer."""

    waits_for: Literal["answer", "connected"] | None
    unsent: int


class Sent(NamedTuple):
    """One statement of a revision, as the driver sends it."""

    revision: str
    sql: str


class Watched(NamedTuple):
    """What a revision was seen to do, before it is committed."""

    revision: str
    relations: tuple[Relation, ...]  # that were there before it
    traces: tuple[Trace, ...]  # of its statements, and of Alembic's that write down where it is
    lock_timeout_ms: int  # as the revision found it
    variables: tuple[str, ...] = ()  # of the environment, for which env.py and the revisions have asked so far
    may_mend: bool = False  # it failed, and may have done more than was seen where the rows are others


class Compared(NamedTuple):
    """What the models differ in, a sentence each; None where env.py names no models."""

    differences: tuple[str, ...] | None


class Unrecorded(NamedTuple):
    """The transaction that is to be committed has not closed its rows of the ledger; why, where an error says it."""

    problem: str | None


class Committed(NamedTuple):
    """What was applied is committed."""


# What the child asks. It goes on when the parent has answered.


class Connected(NamedTuple):
    """One call of run_migrations() is proven to be for the right database."""

    backend_pid: int
    one_transaction: bool  # the revisions are committed together
    kept: str  # why, where they were not to be; else empty
    is_alone: bool  # each statement is committed by itself, for that reason
    is_anew: bool  # after another call, what that has done is in the database or nowhere


class Began(NamedTuple):
    """A transaction was begun; asked of the first one of a revision that began without one, else told."""

    xid: int
    backend_pid: int
    is_asked: bool


class Starting(NamedTuple):
    """A revision is about to run, in the transaction that is open, if one is. Answered with `Start` or `Halt`.

    One that is committed together with others is only told, and runs at once.
    """

    revision: str
    xid: int | None
    shares: bool


class Autocommitting(NamedTuple):
    """The next statement of the revision commits by itself, or on another connection of its own."""


class Applied(NamedTuple):
    """The revision ran and its version row moved; the commit is still to come. Only told of one that shares it."""


class Gathered(NamedTuple):
    """All that share a transaction have run, and it is about to be committed. Answered with `Close` or `Halt`."""


# How an order ends.


class LoadedRevision(NamedTuple):
    """A revision as Alembic loads it."""

    id: str
    down: tuple[str, ...]
    depends_on: tuple[str, ...]
    labels: tuple[str, ...]
    message: str
    file: str


class History(NamedTuple):
    """The revisions, for histories whose ids are computed."""

    revisions: tuple[LoadedRevision, ...]


class Done(NamedTuple):
    """env.py ended well; ``opener`` began the transaction that it handed over, empty: no statement, None: no transaction."""

    opener: str | None


class Declined(NamedTuple):
    """It must not go on: the code of the catalogue, and the names for its fix."""

    code: str
    why: str
    names: dict[str, object] = {}  # noqa: RUF012 - nobody changes it
    facts: dict[str, object] = {}  # noqa: RUF012 - as above
    left_nothing: bool = False


class Doubtful(NamedTuple):
    """A revision did something to these tables of which only the rows, in another try, can tell whether it lost any."""

    revision: str | None
    suspects: tuple[Suspect, ...]


class Halted(NamedTuple):
    """As the parent has answered."""


class SourceLine(NamedTuple):
    """A line of a file, and which characters of it were at work."""

    file: str
    line: int
    text: str
    start: int
    end: int


class Error(NamedTuple):
    """An error of env.py's or a revision's: no traceback (but with MIGRATE_DEBUG), no parameters, no DETAIL."""

    type: str
    message: str
    types: tuple[str, ...] = ()  # of the chain
    sqlstate: str | None = None
    is_disconnect: bool = False
    has_exited: bool = False  # it was SystemExit, or the process is gone
    is_out_of_memory: bool = False
    is_interpolation: bool = False
    missing_module: str | None = None
    missing_variables: tuple[str, ...] = ()  # of the environment, that env.py or a settings object asked for
    file: str | None = None  # the last of the user's own files that it came through, and the line there
    line: int | None = None
    places: tuple[SourceLine, ...] = ()  # the last line of each of the user's files on the way, the outermost first
    traceback: str | None = None


class Failed(NamedTuple):
    """env.py or a revision raised; ``left_nothing``: as far as the child knows, nothing of the revision is committed."""

    phase: Phase
    error: Error
    left_nothing: bool = False


Notice: TypeAlias = Ready | Waiting | Sent | Watched | Compared | Unrecorded | Committed
Question: TypeAlias = Connected | Began | Autocommitting | Applied  # answered with `Go` or `Halt`
Ending: TypeAlias = History | Done | Declined | Doubtful | Halted | Failed
Heard: TypeAlias = Notice | Question | Starting | Gathered | Ending
Told: TypeAlias = Logged | Heard


def encode(message: Asked | Told) -> bytes:
    """The message as a line."""
    return _ENCODER.encode((type(message).__name__, *message)).encode() + b"\n"


def decode_order(line: bytes) -> Asked:
    """What the parent says. Raises Unintelligible."""
    order: Asked = _decode(line, _ORDERS)
    return order


def decode_told(line: bytes) -> Told:
    """What the child says. Raises Unintelligible."""
    told: Told = _decode(line, _TOLD)
    return told


_ORDERS: Final[Mapping[str, type]] = {kind.__name__: kind for kind in get_args(Asked)}
_TOLD: Final[Mapping[str, type]] = {kind.__name__: kind for kind in get_args(Told)}


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


_ENCODER: Final = json.JSONEncoder(default=_plain)


def _decode(line: bytes, kinds: Mapping[str, type]) -> Any:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    match found:
        case [str(name), *fields] if name in kinds:
            with suppress(ValueError):
                return _made(kinds[name], fields)
            raise Unintelligible(f"its message {name} has not the fields that this version of migrate gives it")
        case _:
            raise Unintelligible("it is not a message of this version of migrate")


def _made(kind: type, values: list[object]) -> Any:
    return kind(*(_read(each, value) for each, value in zip(_types_of(kind), values, strict=True)))


@cache
def _types_of(kind: type) -> tuple[Any, ...]:
    return tuple(get_type_hints(kind).values())


def _read(kind: Any, value: Any) -> Any:
    """A value of JSON's as the type of its field; ValueError where it is none."""
    if kind is object or type(value) is kind:
        return value
    of, within = get_origin(kind), get_args(kind)
    if of in {Union, UnionType} and NoneType in within:
        return None if value is None else _read(within[0], value)
    if of is Literal and value in within:
        return value
    if isinstance(value, dict) and of is dict:
        return {key: _read(within[1], each) for key, each in value.items()}
    if isinstance(value, list) and of in {tuple, frozenset}:
        return of(_read(within[0], each) for each in value)
    if isinstance(value, list) and of is None and issubclass(kind, tuple):
        return _made(kind, value)
    raise ValueError(kind)
