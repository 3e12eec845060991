"""Which lines of the user's files are shown where something failed: the revision's, and that of what it called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.problems.excerpt import Excerpt
from migrate.history.relative import shortest

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.child.protocol import Error


def excerpts(error: Error, cwd: Path, revision_file: str | None = None) -> tuple[Excerpt, ...]:
    """The line of the revision, and the last one of the user's that the error came through, where it is another.

    Without a revision, the last one: that is env.py's, or what env.py called.
    """
    places = error.places
    own = next((place for place in places if revision_file and place.file.endswith(revision_file)), None)
    shown = dict.fromkeys(filter(None, (own, *places[-1:])))
    return tuple(
        Excerpt(f"{shortest(place.file, cwd)}:{place.line}", place.text, place.start, place.end) for place in shown
    )
