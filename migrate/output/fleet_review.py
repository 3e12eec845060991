"""What a pull request's revisions come to for a fleet: the tenants counted by where they are, then the plan of each place once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.fleet.grid import alike
from migrate.core.wording import counted, shortened
from migrate.output.github import plain
from migrate.output.review import comment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.decide.review import Reviewed
    from migrate.core.fleet.grid import Row

_NAMED: Final = 5  # tenants of a line of the table
_LISTED: Final = 50  # lines of it
_PLACES: Final = 10  # of which the plan is shown: a comment of GitHub's has 65,536 characters


def fleet_comment(rows: Sequence[Row], reviews: Mapping[tuple[str, ...], Sequence[Reviewed]]) -> str:
    """Render the comment; ``reviews`` are by the version rows after which their revisions come."""
    groups = alike(rows)
    lines = [f"### Migrations: {counted(len(rows), 'tenant')}", ""]
    lines += ["| tenants | at | pending | state | |", "|---:|---|---|---|---|"]
    for group in groups[:_LISTED]:
        first = group[0]
        names = plain(shortened([row.tenant for row in group], _NAMED)) if first.is_odd else ""
        lines.append(f"| {len(group)} | {plain(first.at)} | {first.pending or ''} | {plain(first.said)} | {names} |")
    if len(groups) > _LISTED:
        others = sum(map(len, groups[_LISTED:]))
        lines += ["", f"and {counted(others, 'tenant')} in {counted(len(groups) - _LISTED, 'other place')}"]
    for at, review in list(reviews.items())[:_PLACES]:
        lines += ["", comment(review, at)]
    if len(reviews) > _PLACES:
        places = counted(len(reviews) - _PLACES, "other place")
        lines += ["", f"what comes next at {places} is not shown: migrate plan --format markdown --tenant NAME"]
    return "\n".join(lines)
