"""When a backup is due, what it is called, and the command that leads back to it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from migrate.core.holding import taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.holding import Taken
    from migrate.core.manifest import Manifest
    from migrate.core.revisions import Graph, Revision

_LONGEST_PART: Final = 60  # of a file name; file systems take 255 bytes in all


def destroyed(manifest: Manifest, graph: Graph, rows: Iterable[str], pending: Sequence[Revision]) -> Taken:
    """What pending revisions take, each for itself, of the tables and columns that are there at ``rows``.

    A rename counts: the manifest shows it as a drop beside an addition.
    """
    way = []
    reached = frozenset(rows)
    for revision in pending:
        reached = graph.rows_after(reached, revision.id)
        way.append(reached)
    return taken(manifest, rows, way)


def file_name(database: str, rows: Sequence[str], at: str, run_id: str) -> str:
    """The name of a dump: database, revision, time (``20261122T140353Z``) and run, in letters that every system takes."""
    parts = (database, "+".join(rows) or "base", at, run_id)
    return "-".join(_safe(part) for part in parts) + ".dump"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+]", "_", text)[:_LONGEST_PART].lstrip(".") or "_"


def restore_command(path: str, *, url: str, program: str = "pg_restore") -> str:
    """What brings the backup back; ``url`` is the word of a shell that gives the database's (`Target.url_in_shell`).

    ``program`` is the path of the pg_restore that read the dump back, where PATH finds another one, which may be too old.

    Objects that were made after the backup stay, and what depends on others of them must be dropped first.
    """
    options = "--clean --if-exists --exit-on-error --single-transaction"
    return f"{shlex.quote(program)} {options} --dbname {url} {shlex.quote(path)}"
