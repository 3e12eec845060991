"""When a backup is due, what it is called, and the command that leads back to it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.manifest import Manifest
    from migrate.core.revisions import Graph, Revision

# Objects that hold rows of their own: what else a revision drops can be made again from its definition.
_HOLD_DATA: Final = ("table ", "column ")
_LONGEST_PART: Final = 60  # of a file name; file systems take 255 bytes in all


def destroyed(manifest: Manifest, graph: Graph, rows: Iterable[str], pending: Sequence[Revision]) -> tuple[str, ...]:
    """The tables and columns that are there at ``rows`` and that a pending revision drops, sorted.

    A rename counts: the manifest shows it as a drop beside an addition.
    """
    before = {identity for identity in manifest.schema_at(rows) if identity.startswith(_HOLD_DATA)}
    reached = frozenset(rows)
    gone: set[str] = set()
    for revision in pending:
        reached = graph.rows_after(reached, revision.id)
        gone |= before - manifest.schema_at(reached).keys()
    return tuple(sorted(gone))


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
