"""`migrate report`: what comes next, from the manifest and the live database."""

from __future__ import annotations

import re


def test_the_page_has_the_pending_revisions_with_sizes_and_what_they_break(
    project, database, run_migrate, write_manifest, tmp_path
):
    project.revision("made", upgrade='op.execute("CREATE TABLE orders (id integer, old_state text, email text)")')
    project.revision(
        "contract",
        down="made",
        upgrade='op.drop_column("orders", "old_state")\nop.create_index("ix_email", "orders", ["email"])',
        message="drop the old state",
    )
    write_manifest()
    assert run_migrate("up", "--target", "made", database=database).exit_code == 0
    page, markdown = tmp_path / "page.html", tmp_path / "page.md"
    result = run_migrate("report", "--html", str(page), "--markdown", str(markdown), database=database)
    result.check_clean()
    assert result.exit_code == 0
    text = page.read_text(encoding="utf-8")
    (article,) = re.findall(r"<article.*?</article>", text, re.DOTALL)
    assert "drop the old state" in article
    assert "column orders.old_state is missing" in article
    assert "- column orders.old_state: text" in article
    assert re.search(r"blocks [\w ]+ of orders, \d+ kB.*: builds index ix_email", article)
    assert "### contract: drop the old state" in markdown.read_text(encoding="utf-8")
