"""Takes the pictures of the README: `make docs`. Each shows a real run on a throw-away PostgreSQL.

The terminal is a real one (a pty, `WIDTH` columns); what it shows is drawn by rich as SVG. Durations, dates and ids are
made the same in every run, so that a picture changes only where the program does. The report is photographed with Chromium;
where there is none, that picture stays as it is.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING, Final

import psycopg2
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from migrate.shadow.embedded import throwaway_server

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURES: Final = Path(__file__).parent / "pictures"
EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "newsifier"
BEFORE: Final = "dbc1bc75a79e"  # the release before: one revision of the example is pending
WIDTH: Final = 104
# What somebody did in a hurry, and what takes it back.
BY_HAND: Final = "ALTER TABLE articles ALTER COLUMN title TYPE text"
BACK: Final = "ALTER TABLE articles ALTER COLUMN title TYPE varchar(255)"

_CONTROL: Final = re.compile(r"\x1b\[(?P<count>\d*)(?P<what>[AK])|\x1b\[\?25[lh]|\r|(?P<end>\n)")
_MILLISECONDS: Final = re.compile(r"\b\d+ ms\b")
_SECONDS: Final = re.compile(r"(?<=took         )[\d.]+ m?s\b")


class Scene:
    """The example's database, and a terminal in the example's folder."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {"PATH": programs, "HOME": str(home), "LANG": "C.UTF-8", "DATABASE_URL": url}

    def execute(self, statement: str) -> None:
        """Run one statement on the database."""
        with closing(psycopg2.connect(self._url)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def run(self, *arguments: str) -> None:
        """Run a command that nobody looks at; it must succeed."""
        subprocess.run(
            ["migrate", *arguments], cwd=EXAMPLE, env=self._environment, check=True, stdout=subprocess.DEVNULL
        )

    def typed(self, command: str) -> str:
        """Run a command in the terminal; what stands there at its end, with its colours, and the command above it."""
        main, side = pty.openpty()
        ioctl(side, TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
        process = subprocess.Popen(
            command.split(), cwd=EXAMPLE, env=self._environment | {"TERM": "xterm-256color"},
            stdin=side, stdout=side, stderr=side,
        )  # fmt: skip
        os.close(side)
        written = b""
        try:
            while part := os.read(main, 65536):
                written += part
        except OSError:  # Linux says so where the other side is closed
            pass
        os.close(main)
        process.wait()
        return f"\x1b[1m$ {command}\x1b[0m\n{on_screen(written.decode())}"


@contextmanager
def scene() -> Iterator[Scene]:
    """Yield the example at the release before, on a server of its own."""
    with throwaway_server() as server, tempfile.TemporaryDirectory() as home:
        with closing(psycopg2.connect(server.url())) as connection:
            connection.autocommit = True
            connection.cursor().execute("CREATE DATABASE newsifier")
        made = Scene(server.url("newsifier"), Path(home))
        made.run("up", "--target", BEFORE)
        yield made


def on_screen(written: str) -> str:
    """Return the lines that are left of what a program wrote to a terminal: a live line is gone at its end."""
    rows, row, at = [""], 0, 0
    for control in _CONTROL.finditer(written):
        rows[row] += written[at : control.start()]
        at = control.end()
        if control["end"]:
            row += 1
            rows += [""] * (row == len(rows))
        elif control["what"] == "A":
            row -= int(control["count"] or 1)
        elif control["what"] == "K":
            rows[row] = ""
    return "\n".join(rows).rstrip()


def drawn(screen: str) -> str:
    """Return the screen as an SVG that fetches nothing."""
    alike = _SECONDS.sub("1.2 s", _MILLISECONDS.sub("12 ms", screen))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in Text.from_ansi(alike).split():
        for part in line.divide(range(WIDTH, len(line), WIDTH)):  # as a terminal breaks what it is given
            console.print(part)
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title="", theme=MONOKAI, code_format=without_fonts, unique_id="migrate")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def refused(place: Scene) -> str:
    """Return a release that is refused, as SVG: the schema is not that of its revision."""
    place.execute(BY_HAND)
    return drawn(place.typed("migrate up --strict"))


def released(place: Scene) -> str:
    """Return the same release after the schema was put right, as SVG."""
    place.execute(BACK)
    return drawn(place.typed("migrate up --strict"))


def words(svg: str) -> list[str]:
    """Return what can be read in a picture, less what every version and machine says in its own way."""
    text = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg)).replace("&#160;", " ")
    return re.sub(r"\b\d+\.\d+\.\d+\b", "VERSION", text).split()


def photograph(page: str, image: Path, chromium: str) -> None:
    """Write what Chromium shows of the page in the light theme."""
    alike = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", "2026-01-02 03:04", _MILLISECONDS.sub("12 ms", page))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(alike, encoding="utf-8")
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/p",
             "--blink-settings=preferredColorScheme=1", "--window-size=900,868", f"--screenshot={image}", f"file://{file}"],
            check=True, capture_output=True, timeout=100,
        )  # fmt: skip


def main() -> None:
    """Write all of them."""
    PICTURES.mkdir(exist_ok=True)
    with scene() as place, tempfile.TemporaryDirectory() as folder:
        (PICTURES / "refused.svg").write_text(refused(place), encoding="utf-8")
        if chromium := shutil.which("chromium"):
            page = Path(folder) / "report.html"
            place.run("report", "--html", str(page))
            photograph(page.read_text(encoding="utf-8"), PICTURES / "report.png", chromium)
        else:
            print("docs/pictures/report.png stays as it is: there is no chromium (apt-get install chromium)")
        (PICTURES / "released.svg").write_text(released(place), encoding="utf-8")


if __name__ == "__main__":
    main()
