"""Renders the report as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from migrate.output.page import Page

NEWEST: Final = 50  # rows of a table that are not folded away

_TEMPLATE: Final = "page.html.mako"


def html(page: Page) -> str:
    """The page, which must be redacted already; every text in it is escaped, whatever it holds."""
    from mako.template import Template  # of Alembic's own dependencies; only this verb pays for it

    text = resources.files("migrate.output").joinpath(_TEMPLATE).read_text("utf-8")
    # `h` on every expression, so that a template that forgets to escape does not exist.
    template = Template(text, default_filters=["str", "h"], strict_undefined=True)  # noqa: S702 - see the filters
    rendered: str = template.render(page=page, newest=NEWEST)
    return rendered
