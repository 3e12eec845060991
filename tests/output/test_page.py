"""The report as HTML and Markdown: whole, accessible, legible in both themes, and inert whatever it holds."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from migrate.core.decide.observation import Observation, Server
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build
from migrate.output.html import NEWEST, html
from migrate.output.markdown import report_page
from migrate.output.page import ComingRow, Page, cleaned, reverted, revision_rows, run_rows

HOSTILE = "</code></details><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"'`|*\u202e\n## forged"
SERVER = Server(
    version_num=170010, version="17.10", address=None, database="app", user="me", encoding="UTF8", in_recovery=False,
    read_only=False, pooled=False, schema="public", may_create=True, may_write_versions=True,
)  # fmt: skip
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def history(count):
    ids = [f"r{number:04}" for number in range(1, count + 1)]
    revisions = [
        Revision(id_, (parent,) if parent else (), (), (), f"create {id_}", f"versions/{id_}.py", "0")
        for id_, parent in zip(ids, [None, *ids], strict=False)
    ]
    graph = Graph(revisions)
    schemas = {id_: {f"table {name}": "table" for name in ids[: at + 1]} for at, id_ in enumerate(ids)}
    return ids, Image(graph, manifest=build(17, graph, schemas))


def ran(ids, **facts):
    step = {"kind": "upgrade", "status": "finished", "file": "f.py", "duration_ms": 1500}
    return {
        "run_id": "abc123",
        "verb": "up",
        "started_at": BEGAN,
        "finished_at": BEGAN + timedelta(seconds=3),
        "outcome": "applied",
        "exit_code": 0,
        "problem": None,
        "from_revision": [],
        "to_revision": ids[-1:],
        "version": "1",
        "context": {"platform": "railway", "commit_sha": None},
        "steps": [{**step, "revision": id_} for id_ in ids],
        **facts,
    }


def coming(id_, **facts):
    told = {
        "message": f"create {id_}",
        "lines": (f"+ table {id_}: table",),
        "breaks": ("column orders.state is missing",),
        "effects": ("blocks writes of orders, 41 GB, 1,200 writes a minute: builds index ix_state",),
        "needs": ("no NULL in orders.email: 11 rows break it",),
        "unknown": (),
    }
    return ComingRow(id_, **{**told, **facts})


def page(count=3, at=2, runs=None, **facts):
    ids, image = history(count)
    runs = [ran(ids[:at])] if runs is None else runs
    recorded = {entry.revision.id: entry.changes for entry in image.manifest.revisions}
    observation = Observation(server=SERVER, rows=tuple(ids[at - 1 : at]))
    made = Page(
        service="shop",
        version="1",
        made="2026-01-02 03:04:05 UTC",
        database="app",
        server="PostgreSQL 17.10",
        position="behind",
        rows=ids[at - 1],
        decision="would apply 1 revision",
        good=True,
        pending=count - at,
        findings=(),
        drift=(),
        drift_said="The schema matches the manifest.",
        has_manifest=True,
        coming=tuple(coming(id_) for id_ in ids[at:]),
        runs=run_rows(runs, recorded, {}),
        runs_limited=False,
        revisions=revision_rows(image, observation, ids[at:], runs),
    )
    return replace(made, **facts)


class Document(HTMLParser):
    """What a test asks of a document: its elements in order, with the text in each."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.feed(text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "in": [each["tag"] for each in self.open], **dict(attrs)}
        self.elements.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, *tags):
        return [element for element in self.elements if element["tag"] in tags]


def test_what_ran_and_what_is_left():
    found = page()
    assert [(r.id, r.mark, r.is_head, r.applied, r.took) for r in found.revisions] == [
        ("r0003", "pending", True, "", ""),
        ("r0002", "current", False, "2026-01-02 03:04:05 UTC", "1.5 s"),
        ("r0001", "applied", False, "2026-01-02 03:04:05 UTC", "1.5 s"),
    ]
    (run,) = found.runs
    assert (run.took, run.rows_before, run.rows_after, run.context) == ("3.0 s", "base", "r0002", "platform railway")
    assert [(change.revision, change.lines) for change in run.changes] == [
        ("r0001", ("+ table r0001: table",)),
        ("r0002", ("+ table r0002: table",)),
    ]


def test_going_back_is_shown_with_what_it_changed_and_takes_the_date_away():
    step = {"kind": "downgrade", "status": "finished", "file": "f.py", "duration_ms": 5, "revision": "r0002"}
    back = ran(["r0002"], run_id="back", verb="down", steps=[step, {**step, "revision": "r0001", "status": "failed"}])
    runs = [back, ran(["r0001", "r0002"])]
    assert reverted(runs) == {"r0002"}
    (run, _) = run_rows(runs, {"r0002": ["+ table r0002: table"]}, {"r0002": ["- table r0002: table"]})
    assert [(change.revision, change.lines) for change in run.changes] == [("r0002", ("- table r0002: table",))]
    assert {row.id: row.applied for row in page(at=1, runs=runs).revisions} == {
        "r0003": "",
        "r0002": "",
        "r0001": "2026-01-02 03:04:05 UTC",
    }


def test_a_run_that_did_not_end_and_a_revision_of_a_newer_image():
    run = ran(["new"], finished_at=None, outcome=None, exit_code=None, to_revision=None, context=None)
    _, image = history(1)
    observation = Observation(server=SERVER, rows=("new",))
    newest, known = revision_rows(image, observation, (), [run])
    assert (newest.id, newest.message, newest.mark, newest.took) == ("new", "not in this image", "current", "1.5 s")
    assert known.mark == "not applied"
    (found,) = run_rows([run], {}, {})
    assert (found.outcome, found.good, found.took, found.rows_after, found.changes) == (
        "did not end",
        False,
        "",
        "",
        (),
    )


@pytest.mark.parametrize("count", [3, NEWEST + 1, 300])
def test_the_document(count):
    document = Document(html(page(count, count - 1)))
    assert document.all("html")[0]["lang"] == "en"
    assert len(document.all("h1")) == len(document.all("main")) == len(document.all("header")) == 1
    assert document.all("title")[0]["text"].startswith("app: behind")
    ids = [element["id"] for element in document.elements if "id" in element]
    assert len(ids) == len(set(ids))
    links = [element["href"] for element in document.all("a")]
    assert links
    assert all(link[0] == "#" and link[1:] in ids for link in links), "nothing leads out of the page"
    levels = [int(element["tag"][1]) for element in document.all("h1", "h2", "h3", "h4")]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(document.all("table")) == len(document.all("caption")) == (2 if count <= NEWEST else 3)
    assert all(element.get("scope") in {"row", "col"} for element in document.all("th"))
    assert all("summary" in [e["tag"] for e in document.elements] for _ in document.all("details"))
    assert document.all("script", "img", "link", "iframe") == []
    current = [element for element in document.all("tr") if element.get("aria-current") == "true"]
    assert len(current) == 1
    assert "● current" in current[0]["text"], "no colour alone says it"
    assert len(document.all("tr")) >= count
    for region in [element for element in document.elements if element.get("role") == "region"]:
        assert region["tabindex"] == "0", "what scrolls can be reached by keyboard"
        assert region["aria-label"]
    assert "http" not in html(page(count, count - 1)).replace("http-equiv", ""), "nothing is loaded"


def hostile():
    run = ran(["r0001"], problem=HOSTILE, outcome=HOSTILE, exit_code=30, verb=HOSTILE, context={"x": HOSTILE})
    run["steps"] = [{**run["steps"][0], "file": HOSTILE, "status": HOSTILE}]
    found = page(runs=[run], database=HOSTILE, drift=(HOSTILE,), findings=(HOSTILE,), decision=HOSTILE, service=HOSTILE)
    evil = replace(found.revisions[0], message=HOSTILE, file=HOSTILE, down=HOSTILE, lines=(f"+ {HOSTILE}\n```\n",))
    next_ = coming(
        HOSTILE, message=HOSTILE, lines=(f"+ {HOSTILE}",), breaks=(HOSTILE,), effects=(HOSTILE,), needs=(HOSTILE,)
    )
    return cleaned(replace(found, revisions=(evil, *found.revisions[1:]), coming=(next_,)), lambda text: text)


def test_hostile_text_is_only_text():
    plain, attacked = Document(html(page(drift=("x",), findings=("x",)))), Document(html(hostile()))
    assert {each["tag"] for each in attacked.elements} <= {each["tag"] for each in plain.elements}
    assert attacked.all("script", "img") == []
    assert "alert(1)" in attacked.all("h1")[0]["text"], "it is shown, though"
    assert "\u202e" not in html(hostile())
    assert not [element for element in attacked.elements if any(name.startswith("on") for name in element)]


def test_hostile_text_in_markdown_is_no_markup():
    text = report_page(hostile())
    outside = re.sub(r"^(`{3,})diff\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in re.sub(r"\\<", "", outside)
    assert "\n## forged" not in outside
    assert [line for line in outside.splitlines() if line.startswith("#")] == [
        line for line in outside.splitlines() if re.match(r"#{1,3} \S", line)
    ]
    assert re.findall(r"^## (.*)$", outside, re.MULTILINE) == [
        "What comes next",
        "Drift",
        "Runs",
        "Revisions",
        "What each revision changed",
    ]
    rows = [line for line in outside.splitlines() if line.startswith("| ") and "abc123" in line]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 8, "a cell stays a cell"


def test_secrets_are_taken_out_of_every_text():
    found = cleaned(page(database="hunter2", findings=("is hunter2",)), lambda text: text.replace("hunter2", "***"))
    assert (found.database, found.findings) == ("***", ("is ***",))
    assert found.pending == 1


def test_markdown():
    text = report_page(page())
    assert "| **pending** (head) | r0003 | create r0003 |  |  |" in text
    assert "| 2026-01-02 03:04:05 UTC | abc123 | up applied | base | r0002 | 3.0 s | r0001: 1, r0002: 1 |" in text
    assert "```diff\n+ table r0002: table\n```" in text
    empty = report_page(page(runs=[], drift=None, drift_said="Not compared.", runs_limited=True))
    assert "The ledger has no runs on this database." in empty
    assert "Not compared." in empty
    assert "| runs recorded | 0 or more |" in empty


def colours(text):
    """The themes of the page as variable -> (r, g, b)."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block))
        for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    )
    return {"light": light, "dark": {**light, **dark}}


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("text", "page"), ("text", "card"), ("quiet", "page"), ("quiet", "card"), ("quiet", "now-back"), ("link", "page"),
        ("link", "card"), ("good", "good-back"), ("bad", "bad-back"), ("warn", "warn-back"), ("now", "now-back"),
        ("text", "plain-back"), ("text", "now-back"),
    ],
)  # fmt: skip
def test_every_text_is_legible(theme, text, back):
    palette = colours(html(page()))[theme]
    one, other = sorted((luminance(palette[text]), luminance(palette[back])), reverse=True)
    assert (one + 0.05) / (other + 0.05) >= 4.5, "WCAG 2.2, success criterion 1.4.3"


def test_what_comes_next_is_told_revision_by_revision_in_both_forms():
    found = page(4, 2)
    document = Document(html(found))
    articles = [each["text"] for each in document.all("article")]
    assert len(articles) == 2
    for text, id_ in zip(articles, ("r0003", "r0004"), strict=True):
        for said in (
            f"create {id_}", f"+ table {id_}: table", "Breaks the release that is still running:",
            "column orders.state is missing", "41 GB, 1,200 writes a minute: builds index", "11 rows break it",
        ):  # fmt: skip
            assert said in text
    markdown = report_page(found)
    assert markdown.index("## What comes next") < markdown.index("### r0003: create r0003") < markdown.index("## Drift")
    assert "- no NULL in orders.email: 11 rows break it" in markdown


def test_what_is_not_known_and_what_is_nothing_is_said():
    found = page(coming=(coming("r0003", lines=(), breaks=(), effects=(), needs=(), unknown=("effects", "needs")),))
    (article,) = Document(html(found)).all("article")
    assert "No change of the schema." in article["text"]
    assert "The manifest does not say its effects and needs." in article["text"]
    assert "Effects" not in article["text"].replace("effects", "")
    assert "does not say its effects and needs" in report_page(found)
    assert "Nothing is pending." in html(page(3, 3, coming=()))
    assert "There is no manifest that would tell what they do." in html(page(coming=(), has_manifest=False))
    assert "What comes next" not in report_page(page(3, 3, coming=()))


def test_of_very_many_pending_revisions_the_page_says_how_many_more_there_are():
    text = html(page(NEWEST + 30, 1))
    assert text.count("<article") == NEWEST
    assert "29 more are pending" in text
