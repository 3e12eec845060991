"""Draws the diagrams of the explanation pages from `docs/diagrams/*.txt`, as SVG that a phone shows whole.

Two kinds. A flow has a box a line; what comes after `=>` is where a run ends there. `*` is what is good:

    flow
    Read the settings => 10 config
    * Exit 0

Lanes are who takes part, and the messages and notes between them, in their order:

    lanes: run A | database | run B
    run A -> database: takes the lock
    run B: waits
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

DIAGRAMS: Final = Path(__file__).parent / "diagrams"

_WIDTH: Final = 380  # a phone's column
_LINE: Final = 16
_LETTER: Final = 6.8  # the average width of one, in the font below
_EDGE: Final = 10
_BOX: Final = 236  # a flow's boxes; the ends are to their right
_STYLE: Final = (
    "text{font:12.5px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1b2330}"
    ".who{font-weight:600}.paper{fill:#f7f8fb;stroke:#c9d0de}.box{fill:#fff;stroke:#7b89a6}"
    ".end{fill:#fdeeee;stroke:#b4525c}.good{fill:#e8f5ec;stroke:#3f8a5a}.line{stroke:#5b6985;fill:none}"
    ".lane{stroke:#b3bccd;stroke-dasharray:3 3}.tip{fill:#5b6985}"
)


def diagrams() -> dict[Path, str]:
    """Every diagram, by the path of its SVG."""
    return {source.with_suffix(".svg"): drawn(source.read_text("utf-8")) for source in sorted(DIAGRAMS.glob("*.txt"))}


def drawn(source: str) -> str:
    """Draw one. Raises ValueError where the source is neither a flow nor lanes."""
    kind, *lines = [line.strip() for line in source.splitlines() if line.strip()]
    if kind == "flow":
        parts, height = _flow(lines)
    elif kind.startswith("lanes: "):
        parts, height = _lanes([name.strip() for name in kind.removeprefix("lanes: ").split("|")], lines)
    else:
        raise ValueError(kind)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
        *parts,
        "</svg>\n",
    ])  # fmt: skip


def _flow(lines: list[str]) -> tuple[list[str], int]:
    parts: list[str] = []
    y = _EDGE
    for at, line in enumerate(lines):
        text, _, end = (part.strip() for part in line.partition("=>"))
        is_last = text.startswith("*")
        height = _box(parts, "good" if is_last else "box", _EDGE, y, _BOX, text.lstrip("* "))
        if end:
            x = _EDGE + _BOX + 22
            _arrow(parts, _EDGE + _BOX, y + height / 2, x, y + height / 2)
            kind, end = ("good" if end.startswith("*") else "end"), end.lstrip("* ")
            room = _WIDTH - _EDGE - x
            _box(parts, kind, x, y + (height - _height_of(end, room)) / 2, room, end)
        y += height
        if at + 1 < len(lines):
            _arrow(parts, _EDGE + 24, y, _EDGE + 24, y + 16)
            y += 16
    return parts, round(y + _EDGE)


def _lanes(names: list[str], lines: list[str]) -> tuple[list[str], int]:
    room = (_WIDTH - 2 * _EDGE) / len(names)
    middle = {name: _EDGE + room * (at + 0.5) for at, name in enumerate(names)}
    parts: list[str] = []
    heads: list[str] = []
    for name, x in middle.items():
        _box(heads, "box", x - room / 2 + 4, _EDGE, room - 8, name, who=True)
    y = _EDGE + _LINE + 18.0
    top = y
    for line in lines:
        who, _, text = (part.strip() for part in line.partition(":"))
        if "->" in who:
            start, end = (middle[name.strip()] for name in who.split("->"))
            said = _wrapped(text, max(abs(end - start), room) - 6)
            for row in said:
                y += _LINE
                _text(parts, (start + end) / 2, y - 3, row, halo=True)
            y += 4
            _arrow(parts, start, y, end, y)
            y += 12
        else:
            width = room - 4
            x = min(max(middle[who] - width / 2, _EDGE), _WIDTH - _EDGE - width)
            y += _box(parts, "good" if text.startswith("*") else "box", x, y + 2, width, text.lstrip("* ")) + 10
    lanes = [f'<line class="lane" x1="{x:g}" y1="{top - 6:g}" x2="{x:g}" y2="{y:g}"/>' for x in middle.values()]
    return [*lanes, *heads, *parts], round(y + _EDGE)


def _wrapped(text: str, width: float) -> list[str]:
    return textwrap.wrap(text, int((width - 8) / _LETTER), break_long_words=False)


def _height_of(text: str, width: float) -> int:
    return len(_wrapped(text, width)) * _LINE + 8


def _box(parts: list[str], kind: str, x: float, y: float, width: float, text: str, *, who: bool = False) -> int:
    height = _height_of(text, width)
    parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="4"/>')
    for row, line in enumerate(_wrapped(text, width)):
        _text(parts, x + width / 2, y + row * _LINE + 17, line, who=who)
    return height


def _text(parts: list[str], x: float, y: float, text: str, *, who: bool = False, halo: bool = False) -> None:
    kind = ' class="who"' if who else ""
    if halo:  # the lanes' lines pass behind
        wide = len(text) * _LETTER
        parts.append(f'<rect fill="#f7f8fb" x="{x - wide / 2:g}" y="{y - 11:g}" width="{wide:g}" height="14"/>')
    parts.append(f'<text{kind} text-anchor="middle" x="{x:g}" y="{y:g}">{escape(text)}</text>')


def _arrow(parts: list[str], x1: float, y1: float, x2: float, y2: float) -> None:
    parts.append(f'<line class="line" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>')
    if y1 == y2:
        side = -6 if x2 > x1 else 6
        parts.append(f'<path class="tip" d="M{x2:g} {y2:g}l{side} -4v8z"/>')
    else:
        parts.append(f'<path class="tip" d="M{x2:g} {y2:g}l-4 -6h8z"/>')
