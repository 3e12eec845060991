"""A fleet's tenants for people: a table in text and in Markdown, and the page of `migrate report`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from migrate.core.fleet.grid import Row, counts
from migrate.core.wording import counted
from migrate.output.github import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.history.graph import Graph

_MOST: Final = 50  # tenants that are listed one by one
_COLUMNS: Final = 12  # revisions of the grid, the newest
_HEAD: Final = ("tenant", "at", "pending", "state")


@dataclass(frozen=True, slots=True)
class FleetPage:
    """The page of a fleet, redacted already. ``cells`` are the tenants' marks, one for each of ``revisions``."""

    service: str
    version: str
    made: str
    said: str
    revisions: tuple[str, ...]
    rows: tuple[Row, ...]
    cells: tuple[tuple[str, ...], ...]


def as_text(rows: Sequence[Row]) -> str:
    """The odd ones, then as many of the others as there is room for; the rest is counted by where it is."""
    listed, rest = _divided(rows)
    cells = [_HEAD, *((row.tenant, row.at, str(row.pending or ""), row.said) for row in listed)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([*lines, *(f"and {more}" for more in _counted(rest))])


def as_markdown(page: FleetPage) -> str:
    """The page as GitHub shows it."""
    listed, rest = _divided(page.rows)
    lines = [f"# {plain(page.said)}", "", f"{plain(page.service)}, read {page.made} by migrate {page.version}", ""]
    lines += [f"| {' | '.join(_HEAD)} |", "|---|---|---|---|"]
    lines += [f"| {plain(row.tenant)} | {plain(row.at)} | {row.pending or ''} | {plain(row.said)} |" for row in listed]
    return "\n".join([*lines, "", *(f"and {plain(more)}" for more in _counted(rest)), ""])


def as_html(page: FleetPage) -> str:
    """The page as HTML that needs nothing else; every text in it is escaped, whatever it holds."""
    from mako.template import Template  # of Alembic's own dependencies; only this verb pays for it

    text = resources.files("migrate.output").joinpath("fleet.html.mako").read_text("utf-8")
    template = Template(text, default_filters=["str", "h"], strict_undefined=True)  # noqa: S702 - see the filters
    rendered: str = template.render(page=page)
    return rendered


def marks(rows: Sequence[Row], graph: Graph) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The newest revisions, and for each tenant whether it has them; nothing where it is not known."""
    ordered = graph.pending((), "heads")
    assert isinstance(ordered, tuple)  # whoever calls has refused a history with faults
    columns = tuple(revision.id for revision in ordered)[-_COLUMNS:]
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in rows:
        if row.rows not in known:
            there = [each for each in row.rows if each in graph]
            has = {*there, *graph.ancestors(there)}
            known[row.rows] = tuple(("✓" if each in has else "○") if there else "" for each in columns)
    return columns, tuple(known[row.rows] for row in rows)


def _divided(rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
    odd = sum(row.is_odd for row in rows)
    most = len(rows) if len(rows) <= _MOST else min(max(odd, 0), _MOST)
    return rows[:most], rows[most:]


def _counted(rest: Sequence[Row]) -> list[str]:
    return [f"{counted(count, 'other')} at {at}" for at, count in counts(rest)]
