"""The fenced blocks of the pages, each with the marker before it.

A marker is an HTML comment on the line before the fence, which no reader sees:

    <!-- needs: REASON -->          nobody can run it here; REASON is one of `NEEDS`
    <!-- run by: FILE::TEST -->     that test does what the block says
    <!-- run in: PLACE -->          it is run in that place of `test_commands.py`; without a marker, in the first one
    <!-- exits: 15 0 -->            what its commands exit with, where not all of them with 0; beside `run in`, with a `;`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SHELL: Final = frozenset({"sh", "console"})
NEEDS: Final = frozenset({"an account", "a cluster", "a container engine", "a Git host"})
PAGES: Final = sorted([
    *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "examples").rglob("*.md"),
])  # fmt: skip

_BLOCK: Final = re.compile(
    r"^(?:(?P<marker>[ ]*<!--.*?-->)\n+)?(?P<indent>[ ]*)```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_FIELD: Final = re.compile(r"(needs|run by|run in|exits): ([^;]+?)(?=;|$)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str  # from the root of the repository
    line: int
    language: str
    text: str
    marker: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, one an entry, as they are typed."""
        text = self.text
        if self.language == "console":
            text = "".join(line[2:] for line in text.splitlines(keepends=True) if line.startswith("$ "))
        joined = re.sub(r"(\\|&&|\|)\n\s*", lambda found: f"{found[1].strip(chr(92))} ", text)
        return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    """Return the page's blocks, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=str(page.relative_to(ROOT)),
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            text=dedent(found["text"]),
            marker=dict(
                _FIELD.findall((found["marker"] or "").strip().removeprefix("<!--").removesuffix("-->").strip())
            ),
        )
        for found in _BLOCK.finditer(text)
    ]


BLOCKS: Final = [block for page in PAGES for block in blocks_of(page)]
SHELL_BLOCKS: Final = [block for block in BLOCKS if block.language in SHELL]
