"""Revision ids with a colon: some versions of Alembic run them, later ones take it for a range and refuse to load them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.problems import advice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrate.core.history.graph import Revision


def colon_faults(revisions: Iterable[Revision]) -> tuple[HistoryFault, ...]:
    """The fault of each id with a colon, where the Alembic that is installed refuses it."""
    found = [revision for revision in revisions if ":" in revision.id]
    if not found or not _refuses_colons():
        return ()
    return tuple(
        HistoryFault(
            FaultKind.ILLEGAL_ID,
            f"{revision.file}: {revision.id!r} cannot be a revision id: to this version of Alembic a colon means a range",
            advice(
                "give the revision another id, of letters, digits and underscores, in every file that names it; where the id is"
                " in a database, write the new one into its version table, too"
            ),
            (revision.id,),
            (revision.file,),
        )
        for revision in found
    )


def _refuses_colons() -> bool:
    """Whether Alembic's own list has the colon; its text tells, as nothing of it may be imported here."""
    spec = find_spec("alembic")
    if spec is None or not spec.submodule_search_locations:
        return False
    file = Path(spec.submodule_search_locations[0]) / "script" / "revision.py"
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return False
    listed = re.search(r"^_revision_illegal_chars\b[^\[\n]*\[([^\]]*)\]", text, re.MULTILINE)
    return listed is not None and '":"' in listed[1]
