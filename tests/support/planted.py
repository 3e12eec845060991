"""A history in which every second revision is at fault in one way, and what `migrate test` must say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.trial_checks import TrialCheck

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project

MARK = "# here"


@dataclass(frozen=True)
class Planted:
    """One fault: the revision's functions, and which checks find it. `MARK` is on the line that a finding names."""

    upgrade: str
    downgrade: str
    found: tuple[TrialCheck, ...] = ()
    header: str = ""


HISTORY: dict[str, Planted] = {
    "first": Planted(
        """
        op.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
        op.execute("CREATE TABLE author (id serial PRIMARY KEY, name varchar(50) NOT NULL, email text, mood mood)")
        op.execute(
            "CREATE TABLE book (id bigserial PRIMARY KEY, author_id integer NOT NULL REFERENCES author,"
            " title varchar(200) NOT NULL, price integer NOT NULL, isbn text, shelf integer, tags text[])"
        )
        op.execute("CREATE INDEX ix_author_email ON author (email)")
        """,
        """
        op.execute("DROP TABLE book")
        op.execute("DROP TABLE author")
        op.execute("DROP TYPE mood")
        """,
    ),
    "leaves_a_table": Planted(
        f'op.create_table("left_behind", sa.Column("id", sa.Integer, primary_key=True))  {MARK}',
        "pass",
        (TrialCheck.DOWNGRADE, TrialCheck.AGAIN),
    ),
    "loses_an_index": Planted(
        'op.add_column("author", sa.Column("note", sa.Text))',
        """
        op.drop_column("author", "note")
        op.execute("DROP INDEX ix_author_email")
        """,
        (TrialCheck.DOWNGRADE,),
    ),
    "clean_1": Planted(
        """
        op.add_column("book", sa.Column("pages", sa.Integer, nullable=True))
        op.execute("UPDATE book SET pages = 100")
        op.alter_column("book", "pages", nullable=False)
        """,
        'op.drop_column("book", "pages")',
    ),
    "no_downgrade": Planted(
        'op.add_column("author", sa.Column("born", sa.Date))',
        f'raise NotImplementedError("nobody goes back")  {MARK}',
        (TrialCheck.DOWNGRADE,),
    ),
    "leaves_a_type": Planted(
        f"""
        op.execute("CREATE TYPE size AS ENUM ('small', 'large')")  {MARK}
        op.execute("ALTER TABLE book ADD size size")
        """,
        'op.drop_column("book", "size")',
        (TrialCheck.DOWNGRADE, TrialCheck.AGAIN),
    ),
    "leaves_a_row": Planted(
        """
        op.execute("INSERT INTO author (name, email) VALUES ('nobody', 'nobody@example.org')")
        """,
        "pass",
        (TrialCheck.DOWNGRADE,),
    ),
    "clean_2": Planted(
        'op.alter_column("author", "note", new_column_name="remark")',
        'op.alter_column("author", "remark", new_column_name="note")',
    ),
    "not_null_without_default": Planted(
        f'op.add_column("book", sa.Column("language", sa.String(2), nullable=False))  {MARK}',
        'op.drop_column("book", "language")',
        (TrialCheck.ROWS,),
    ),
    "unique_on_duplicates": Planted(
        f'op.create_unique_constraint("uq_book_isbn", "book", ["isbn"])  {MARK}',
        'op.drop_constraint("uq_book_isbn", "book")',
        (TrialCheck.ROWS,),
    ),
    "set_not_null": Planted(
        f'op.alter_column("author", "email", nullable=False)  {MARK}',
        'op.alter_column("author", "email", nullable=True)',
        (TrialCheck.ROWS,),
    ),
    "narrower_text": Planted(
        f'op.alter_column("book", "title", type_=sa.String(100))  {MARK}',
        'op.alter_column("book", "title", type_=sa.String(200))',
        (TrialCheck.ROWS,),
    ),
    "narrower_number": Planted(
        f'op.alter_column("book", "price", type_=sa.SmallInteger)  {MARK}',
        'op.alter_column("book", "price", type_=sa.Integer)',
        (TrialCheck.ROWS,),
    ),
    "foreign_key_to_nothing": Planted(
        f"""
        op.create_table("shelves", sa.Column("id", sa.Integer, primary_key=True))
        op.create_foreign_key("fk_shelf", "book", "shelves", ["shelf"], ["id"])  {MARK}
        """,
        """
        op.drop_constraint("fk_shelf", "book")
        op.drop_table("shelves")
        """,
        (TrialCheck.ROWS,),
    ),
    "deletes_duplicates": Planted(
        """
        op.execute("DELETE FROM book a USING book b WHERE a.tags = b.tags AND a.id > b.id")
        """,
        "pass",
        (TrialCheck.KEPT,),
    ),
    "clean_3": Planted(
        """
        op.execute("UPDATE author SET email = author.id || '@example.org'")
        op.execute("ALTER TABLE author ADD UNIQUE (email)")
        op.rename_table("book", "books")
        op.execute("CREATE VIEW cheap AS SELECT id, title FROM books WHERE price < 10")
        """,
        """
        op.execute("DROP VIEW cheap")
        op.rename_table("books", "book")
        op.execute("ALTER TABLE author DROP CONSTRAINT author_email_key")
        """,
    ),
    "clean_4": Planted(
        """
        op.execute("DROP VIEW cheap")
        op.execute("CREATE TABLE book AS SELECT * FROM books")
        op.execute("DROP TABLE books")
        op.execute("ALTER TABLE book ADD PRIMARY KEY (id)")
        """,
        """
        op.execute("ALTER TABLE book RENAME TO books")
        """,
        header='irreversible = "the sequence and the constraints are gone"',
    ),
    "label_taken_away": Planted(
        f"""
        op.execute("ALTER TYPE mood RENAME TO old_mood")
        op.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
        op.execute("ALTER TABLE author ALTER mood TYPE mood USING mood::text::mood")  {MARK}
        op.execute("DROP TYPE old_mood")
        """,
        """
        op.execute("ALTER TYPE mood ADD VALUE 'happy'")
        """,
        (TrialCheck.ROWS,),
    ),
    "loses_rows": Planted(
        """
        op.execute("CREATE TABLE new_book (LIKE book INCLUDING ALL)")
        op.execute("INSERT INTO new_book SELECT * FROM book WHERE isbn IS NOT NULL AND false")
        op.execute("DELETE FROM book")
        op.execute("DROP TABLE new_book")
        """,
        "pass",
        (TrialCheck.KEPT,),
    ),
    "downgrade_loses_rows": Planted(
        'op.add_column("author", sa.Column("pen_name", sa.Text))',
        """
        op.execute("TRUNCATE author CASCADE")
        op.drop_column("author", "pen_name")
        """,
        (TrialCheck.DOWNGRADE,),
    ),
    "irreversible": Planted(
        'op.execute("ALTER TABLE book DROP COLUMN tags")',
        "raise NotImplementedError",
        header='irreversible = "the tags are gone"',
    ),
    "crashes_in_blocks": Planted(
        f"""
        with op.get_context().autocommit_block():
            op.execute("CREATE INDEX CONCURRENTLY ix_book_price ON book (price)")  {MARK}
            op.execute("CREATE INDEX CONCURRENTLY ix_book_pages ON book (pages)")
        """,
        """
        op.execute("DROP INDEX ix_book_price")
        op.execute("DROP INDEX ix_book_pages")
        """,
        (TrialCheck.CRASH,),
    ),
    "crash_proof": Planted(
        """
        with op.get_context().autocommit_block():
            op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_book_shelf ON book (shelf)")
            op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_book_title ON book (title)")
        """,
        """
        with op.get_context().autocommit_block():
            op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_book_shelf")
            op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_book_title")
        """,
    ),
    "crashes_between_commits": Planted(
        f"""
        op.execute("ALTER TABLE book ADD rating integer")  {MARK}
        op.execute("COMMIT")
        op.execute("UPDATE book SET rating = 1")
        op.execute("ALTER TABLE book ALTER rating SET DEFAULT 1")
        """,
        'op.drop_column("book", "rating")',
        (TrialCheck.CRASH,),
    ),
    "takes_no_rows": Planted(
        """
        op.execute("CREATE TABLE log (said text)")
        op.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'only the program'; END$$"
        )
        op.execute("CREATE TRIGGER refuse BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION refuse()")
        """,
        """
        op.execute("DROP TABLE log")
        op.execute("DROP FUNCTION refuse()")
        """,
    ),
    "after_it": Planted(
        'op.add_column("log", sa.Column("at", sa.DateTime))',
        'op.drop_column("log", "at")',
        (TrialCheck.FILLED,),
    ),
}


def plant(project: Project) -> dict[str, Path]:
    """Write the whole history; the file of each revision."""
    files: dict[str, Path] = {}
    down = None
    for name, planted in HISTORY.items():
        files[name] = project.revision(
            name, down=down, upgrade=planted.upgrade, downgrade=planted.downgrade, header=planted.header
        )
        down = name
    return files


def expected_line(check: TrialCheck, file: Path) -> int:
    """Where a finding stands: at the statement that failed, else at the function."""
    lines = file.read_text("utf-8").splitlines()
    marked = [number for number, line in enumerate(lines, 1) if MARK in line]
    if marked and check is not TrialCheck.DOWNGRADE:
        return marked[0]
    if marked and check is TrialCheck.DOWNGRADE and "raise" in lines[marked[0] - 1]:
        return marked[0]
    function = "def downgrade" if check is TrialCheck.DOWNGRADE else "def upgrade"
    return next(number for number, line in enumerate(lines, 1) if line.startswith(function))
