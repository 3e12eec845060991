"""The documentation's site in headless Chromium: every page, in both themes, at the widths of a phone and of a desk.

`make test-pages` builds the site first. One page of ours shows all of them in a frame, one after the other, and writes what
does not fit.
"""

from __future__ import annotations

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pages.test_browser import THEMES, command

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE = Path(__file__).parents[2] / "build/site"
WIDTHS = {"phone": 390, "desk": 1280}

# What is broken on a page: wider than the window (what scrolls in a box of its own is not), an image that did not load, a
# page without its title or its style, a text that is hard to read on its ground (less than 3:1, WCAG's least for large text).
LOOK = """
const number = colour => colour.match(/[\\d.]+/g).map(Number);
const light = colour => number(colour).slice(0, 3).map(part => part / 255)
  .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
function ground(element, view) {
  for (; element; element = element.parentElement) {
    const colour = view.getComputedStyle(element).backgroundColor;
    if ((number(colour)[3] ?? 1) > 0.5) return colour;
  }
  return "rgb(255, 255, 255)";
}
function look(view) {
  const page = view.document, found = [];
  const over = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  if (over > 0) found.push(`${over} px too wide`);
  for (const image of page.images) if (!image.naturalWidth) found.push(`no image ${image.src}`);
  if (!page.querySelector("article h1")) found.push("no title");
  for (const element of page.querySelectorAll("article :is(p, li, td, th, code, a, h1, h2, h3, span)")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    const style = view.getComputedStyle(element);
    if (style.visibility === "hidden" || !element.offsetParent || element.closest(".headerlink")) continue;
    const [ink, paper] = [light(style.color), light(ground(element, view))];
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 3) found.push(`${contrast.toFixed(1)}:1 ${element.textContent.trim().slice(0, 30)}`);
  }
  return found;
}
async function all(pages, width) {
  const frame = document.body.appendChild(document.createElement("iframe"));
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  const told = {};
  for (const page of pages) {
    await new Promise(loaded => { frame.onload = loaded; frame.src = `/${page}`; });
    told[page] = {scheme: frame.contentDocument.body.dataset.mdColorScheme, found: look(frame.contentWindow)};
  }
  return told;
}
"""


class _Server(SimpleHTTPRequestHandler):
    pages: tuple[str, ...]
    broken = ""
    told: dict[str, Any]
    """For each page, its ``scheme`` and what was ``found``."""
    answered: threading.Event

    def do_GET(self) -> None:
        if self.path.startswith("/look-"):
            self._say(
                f"<body><script>{LOOK} all({json.dumps(self.pages)}, {self.path.removeprefix('/look-')})"
                ".then(told => fetch('/told', {method: 'POST', body: JSON.stringify(told)}))</script>"
            )
        elif self.broken and self.path == "/index.html":
            self._say((SITE / "index.html").read_text().replace("</h1>", f"</h1>{self.broken}"))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        type(self).told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._say("")
        self.answered.set()

    def _say(self, page: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture
def site() -> Iterator[tuple[type[_Server], str]]:
    assert SITE.is_dir(), "the site is not built: make site"
    pages = tuple(sorted(str(page.relative_to(SITE)) for page in SITE.rglob("*.html")))
    handler = type("Handler", (_Server,), {"pages": pages, "answered": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


SCHEMES = {"dark": "slate", "light": "default"}


def looked_at(tmp_path: Path, site: tuple[type[_Server], str], theme: str, width: int) -> dict[str, Any]:
    """Every page of the site is shown and looked at once; what was found."""
    handler, url = site
    flags = (f"--blink-settings=preferredColorScheme={THEMES[theme]}", f"{url}/look-{width}")
    with subprocess.Popen(command(tmp_path, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        answered = handler.answered.wait(timeout=500)
        browser.terminate()
    assert answered, "the browser has not looked at all pages"
    return handler.told


@pytest.mark.parametrize("theme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_every_page_fits_and_can_be_read(tmp_path, site, theme, width):
    told = looked_at(tmp_path, site, theme, width)
    assert set(told) == set(site[0].pages), "every page has answered"
    assert {page["scheme"] for page in told.values()} == {SCHEMES[theme]}
    assert {name: page["found"] for name, page in told.items() if page["found"]} == {}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('<p style="width: 4000px">wide</p>', "px too wide"),
        ('<img src="nowhere.svg">', "no image"),
        ('<p style="color: #bbb; background: #ccc">pale</p>', ":1 pale"),
    ],
    ids=["too-wide", "no-image", "too-pale"],
)
def test_what_is_broken_is_seen(tmp_path, site, broken, said):
    site[0].pages, site[0].broken = ("index.html",), broken
    told = looked_at(tmp_path, site, "light", WIDTHS["phone"])
    assert [said in found for found in told["index.html"]["found"]].count(True) == 1
