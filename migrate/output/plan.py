"""Renders a plan for people: what would change in the schema, as a diff, then what of it breaks, blocks and needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.wording import counted
from migrate.output.terminal import Line, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.decide.review import Reviewed

_LISTED: Final = 20  # lines of one revision
_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}


def revision_lines(each: Reviewed) -> list[Line]:
    """What one revision would do, below the line that names it."""
    lines = [Line(f"      {line}", _STYLES.get(line[:1], "")) for line in each.changes[:_LISTED]]
    if len(each.changes) > _LISTED:
        lines.append(Line(f"      … and {counted(len(each.changes) - _LISTED, 'more change')}", "dim"))
    if not each.changes:
        lines.append(Line("      no change of the schema", "dim"))
    for label, sentences, style in (
        ("breaks", each.breaks, "bold red"),
        ("effect", each.effects_said, "yellow"),
        ("needs", each.needs_said, "cyan"),
    ):
        lines += [Line(f"    {label:<7} {sentence}", style) for sentence in sentences or ()]
    for way in each.safer:
        sentence, *code = way.lines()
        lines += [Line(f"    safer   {sentence}"), *(Line(f"              {text}".rstrip(), "dim") for text in code)]
    return lines


def text(lines: Sequence[Line], *, colour: bool) -> str:
    """The lines, in which nothing of a stranger's acts; with colours where they are wanted."""
    if not colour:
        return "\n".join(shown(line.text) for line in lines)
    from rich.console import Console
    from rich.text import Text

    console = Console(force_terminal=True, highlight=False, color_system="standard", width=10_000)
    with console.capture() as captured:
        for line in lines:
            console.print(Text(shown(line.text), style=line.style), soft_wrap=True)
    return captured.get().rstrip("\n")
