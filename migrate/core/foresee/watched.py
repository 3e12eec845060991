"""What is seen of a revision at work: the relations that were there before it, and a trace of each statement."""

from typing import NamedTuple


class Relation(NamedTuple):
    """A relation as it was before the revision; `file` changes where it is written anew; `table` is an index's.

    `written`: rows that earlier revisions have written, as the session counts on.
    """

    oid: int
    schema: str
    name: str
    kind: str  # pg_class.relkind
    file: int
    table: int = 0
    written: int = 0


class Lock(NamedTuple):
    """A lock that the transaction holds after a statement; `written`: rows of the relation, counted by the session."""

    relation: int
    mode: str
    written: int
    file: int
    is_clustered: bool = False  # the table has an index by which CLUSTER orders it
    name: str | None = None  # as it is called now, empty where it was dropped; None: as it was


class Trace(NamedTuple):
    """What one statement was seen to do. Of one that `commits` by itself, no lock is seen."""

    messages: tuple[str, ...]
    locks: tuple[Lock, ...]
    lock_timeout_ms: int
    commits: bool = False
    concurrently: bool = False
