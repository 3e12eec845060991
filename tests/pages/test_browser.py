"""The report in headless Chromium: it loads nothing, runs nothing, and follows the reader's theme.

Chromium is found as `chromium` on PATH; `make test-pages` is what runs this.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import threading
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from migrate.output.html import html
from migrate.output.page import cleaned
from tests.output.test_page import hostile, page

CHROMIUM = shutil.which("chromium")
THEMES = {"dark": 0, "light": 1}  # Blink's PreferredColorScheme


def command(tmp_path, *flags):
    assert CHROMIUM, "Chromium is not installed: apt-get install chromium"
    always = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")
    return [CHROMIUM, *always, f"--user-data-dir={tmp_path / 'profile'}", *flags]


def chromium(tmp_path, *flags):
    asked = command(tmp_path, "--virtual-time-budget=2000", *flags)
    return subprocess.run(asked, capture_output=True, check=True, timeout=100).stdout.decode()


@contextmanager
def listening():
    """A server that counts who comes."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_hostile_text_neither_runs_nor_loads(tmp_path):
    with listening() as (url, asked):
        attack = f'<img src="{url}/img"><script src="{url}/js"></script><style>@import "{url}/css"</style>'
        attacked = cleaned(page(database=attack, findings=(attack,), drift=(attack,)), lambda text: text)
        file = tmp_path / "page.html"
        file.write_text(html(attacked))
        dom = chromium(tmp_path, "--dump-dom", f"file://{file}")
        assert asked == []
        assert "&lt;script src=" in dom
        # the same browser does come where a page says so, or this would prove nothing
        file.write_text(f'<img src="{url}/img">')
        chromium(tmp_path, "--dump-dom", f"file://{file}")
        assert asked == ["/img"]


def test_nothing_runs(tmp_path):
    file = tmp_path / "page.html"
    file.write_text(html(hostile()).replace("</main>", "<script>document.title = 'ran'</script></main>"))
    dom = chromium(tmp_path, "--dump-dom", f"file://{file}")
    assert "<title>ran</title>" not in dom, "the page's own policy forbids what might get past the escaping"


def first_pixel(png):
    """The red, green and blue of the corner; in the first row's first pixel every PNG filter is the identity."""
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack("!I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    return tuple(zlib.decompress(data)[1:4])


@pytest.mark.parametrize(("theme", "background"), [("light", (0xF6, 0xF7, 0xF9)), ("dark", (0x12, 0x15, 0x1B))])
@pytest.mark.parametrize("count", [3, 300])
def test_it_follows_the_readers_theme(tmp_path, theme, background, count):
    file, image = tmp_path / "page.html", tmp_path / "page.png"
    file.write_text(html(page(count, count - 1)))
    flags = [
        f"--blink-settings=preferredColorScheme={THEMES[theme]}",
        "--window-size=1200,1600",
        f"--screenshot={image}",
    ]
    chromium(tmp_path, *flags, f"file://{file}")
    assert first_pixel(image.read_bytes()) == background
