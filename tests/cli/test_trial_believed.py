"""`migrate test` is believed: what real histories do rightly is no finding, what is found is said so that it can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_trial import cases, findings, start
from tests.support.process import alembic
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Result
    from tests.support.server import Database, Server

pytestmark = [pytest.mark.deep, pytest.mark.timeout(900)]

# revision -> its upgrade (and its downgrade, "pass" without one), what stands at the top of its file, and what is found
LINE: dict[str, tuple[str, str, str, set[str]]] = {
    "tables": (
        """
        op.execute("CREATE TABLE accounts (id serial PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, plan text)")
        op.execute("CREATE TABLE members (id serial PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, code uuid UNIQUE)")
        op.execute("CREATE TABLE guests (id serial PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, code uuid UNIQUE)")
        op.execute("CREATE TABLE people (email varchar(255) PRIMARY KEY, code uuid UNIQUE, old_id integer UNIQUE)")
        op.execute("CREATE TABLE kinds (code text PRIMARY KEY CHECK (code IN ('a', 'b')))")
        op.execute("CREATE TABLE site (only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), title text)")
        op.execute("CREATE TABLE roles (id serial PRIMARY KEY, name text UNIQUE)")
        op.execute("CREATE TABLE things (id serial PRIMARY KEY, kind text NOT NULL REFERENCES kinds, state text, note text)")
        op.execute("CREATE TABLE notes (id serial PRIMARY KEY)")
        op.execute(
            "CREATE TABLE models (id serial PRIMARY KEY, year varchar(255), opts text NOT NULL, uid varchar(36) UNIQUE,"
            " at varchar(40), state text DEFAULT 'x', price varchar(20), shelf text CHECK (shelf = upper(shelf)))"
        )
        op.execute(
            "CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN DROP TRIGGER IF EXISTS once ON notes; RETURN NULL; END$$"
        )
        op.execute("CREATE TRIGGER once AFTER INSERT ON notes FOR EACH STATEMENT EXECUTE FUNCTION once()")
        """,
        """
        op.execute("DROP TABLE accounts, members, guests, people, things, kinds, site, roles, notes, models")
        op.execute("DROP FUNCTION once")
        """,
        "",
        set(),
    ),
    "seeds": (
        """
        op.execute("INSERT INTO kinds VALUES ('a'), ('b')")
        op.execute("INSERT INTO site VALUES (true, 'here')")
        op.execute("INSERT INTO roles (id, name) VALUES (1, 'reader'), (2, 'writer'), (101, 'admin')")
        """,
        """
        op.execute("DELETE FROM kinds")
        op.execute("DELETE FROM site")
        op.execute("DELETE FROM roles WHERE name IN ('reader', 'writer', 'admin')")
        """,
        # on tables that have such rows already, its first insert fails: truly so, and not what this is about
        'accepted = {"rows": "runs before the service", "downgrade": "seeds"}',
        {"rows"},
    ),
    "after_seeds": ('op.execute("ALTER TABLE roles ADD about text")', 'op.drop_column("roles", "about")', "", set()),
    "unites": (
        """
        op.execute("INSERT INTO people SELECT email, code, id FROM members UNION ALL SELECT email, code, id FROM guests")
        """,
        'op.execute("DELETE FROM people WHERE old_id IS NOT NULL")',
        'accepted = {"downgrade": "the rows went into one table"}',
        {"downgrade"},
    ),
    "fills_in": ("""op.execute("UPDATE things SET state = 'new' WHERE state IS NULL")""", "pass", "", set()),
    "between": ('op.create_index("ix_things_note", "things", ["note"])', 'op.drop_index("ix_things_note")', "", set()),
    "is_filled": (
        'op.alter_column("things", "state", nullable=False)',
        'op.alter_column("things", "state", nullable=True)',
        "",
        set(),
    ),
    "adds_and_fills": (
        """
        op.execute("ALTER TABLE things ADD size integer")
        op.execute("UPDATE things SET size = 1")
        """,
        'op.drop_column("things", "size")',
        "",
        set(),
    ),
    "is_added": (
        'op.alter_column("things", "size", nullable=False)',
        'op.alter_column("things", "size", nullable=True)',
        "",
        set(),
    ),
    "not_filled": (
        'op.alter_column("things", "note", nullable=False)',
        'op.alter_column("things", "note", nullable=True)',
        "",
        {"rows"},
    ),
    "makes_room": (
        'op.execute("DELETE FROM accounts a USING accounts b WHERE a.plan = b.plan AND a.id > b.id")',
        "pass",
        'accepted = {"kept": "only the first account of a plan counts"}',
        {"kept"},
    ),
    "has_room": (
        'op.create_unique_constraint("one_plan", "accounts", ["plan"])',
        'op.drop_constraint("one_plan", "accounts")',
        "",
        set(),
    ),
    "guarded": (
        """
        if op.get_bind().execute(sa.text("SELECT count(*) FROM members")).scalar():
            raise RuntimeError("move the members first")
        """,
        "pass",
        'accepted: dict[str, str] = {"rows": "its own guard", "kept": "as well"}',
        {"rows"},
    ),
    "casts": (
        """
        op.alter_column("models", "year", type_=sa.Integer, postgresql_using="year::integer")
        op.execute("ALTER TABLE models ALTER opts TYPE jsonb USING opts::jsonb, ALTER uid TYPE uuid USING uid::uuid")
        op.execute("ALTER TABLE models ALTER at TYPE timestamptz USING CAST(at AS timestamptz), ADD cents integer")
        op.execute("UPDATE models SET cents = (price::numeric * 100)::int")
        """,
        """
        op.execute("ALTER TABLE models ALTER year TYPE varchar(255), ALTER opts TYPE text, ALTER uid TYPE varchar(36)")
        op.execute("ALTER TABLE models ALTER at TYPE varchar(40), DROP cents")
        """,
        "",
        set(),
    ),
    "casts_to_an_enum": (
        """
        op.execute("CREATE TYPE model_state AS ENUM ('new', 'old')")
        op.execute("ALTER TABLE models ALTER state DROP DEFAULT, ALTER state TYPE model_state USING state::model_state")
        """,
        """
        op.execute("ALTER TABLE models ALTER state TYPE text, ALTER state SET DEFAULT 'x'")
        op.execute("DROP TYPE model_state")
        """,
        "",
        set(),
    ),
    "casts_in_python": (
        """
        for (shelf,) in op.get_bind().execute(sa.text("SELECT shelf FROM models WHERE shelf IS NOT NULL")).fetchall():
            int(shelf)
        """,
        "pass",
        "",
        set(),
    ),
    "reads_texts": (
        'op.execute("UPDATE accounts SET email = (email::point)::text")',
        "pass",
        r'PATTERN = "\\d" if 1 is 1 else "\d"',  # a warning of the compiler's, and one of the parser's
        {"rows"},
    ),
    "names_an_object": (
        """
        if op.get_bind().execute(sa.text("SELECT count(*) FROM guests")).scalar():
            raise RuntimeError(f"no {object()} for guests")
        """,
        "pass",
        "",
        {"rows"},
    ),
}


@pytest.fixture(scope="module")
def tried(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Result:
    project = Project(tmp_path_factory.mktemp("believed") / "project")
    down = None
    for name, (upgrade, downgrade, header, _) in LINE.items():
        project.revision(name, down=down, upgrade=upgrade, downgrade=downgrade, header=header)
        down = name
    return start(server, project.path, "--json", "--fail", "downgrade", "--fail", "filled", "--fail", "rows")


def told(result: Result) -> dict[str, set[str]]:
    kinds = {"failed", "warned", "accepted"}
    return {
        name: {c["check"] for c in cases(result) if c["revision"] == name and c["verdict"] in kinds} for name in LINE
    }


def test_only_what_is_so_is_found(tried: Result) -> None:
    assert told(tried) == {name: found for name, (*_, found) in LINE.items()}, findings(tried)


def test_what_is_meant_to_be_so_is_accepted_with_its_reason(tried: Result) -> None:
    accepted = {(c["revision"], c["check"]): c for c in cases(tried) if c["verdict"] == "accepted"}
    assert accepted["makes_room", "kept"]["finding"] == "accepted: only the first account of a plan counts"
    assert accepted["makes_room", "kept"]["details"] == [
        "the upgrade loses rows: table accounts: 3 rows before, 2 after"
    ]
    assert accepted["guarded", "rows"]["details"] == ["with rows in the tables: move the members first"]
    assert ("guarded", "kept") not in accepted  # it was not reached


def test_what_is_found_can_be_read_and_is_the_same_in_every_run(tried: Result) -> None:
    text = findings(tried)["reads_texts", "rows"]["finding"]
    assert "(255 characters)" in text
    assert len(text) < 200
    assert findings(tried)["names_an_object", "rows"]["finding"].endswith("no <object object> for guests")


def test_nothing_is_said_on_stderr(tried: Result) -> None:
    assert tried.stderr == b""


def test_a_text_that_nothing_here_can_write_is_no_reason_to_fail(tried: Result) -> None:
    found = findings(tried)["reads_texts", "rows"]
    assert found["verdict"] == "warned"
    assert 'accepted = {"rows": "the reason"}' in found["finding"]


CREATE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'


@pytest.fixture
def run_trial(server: Server, project: Project) -> Callable[..., Result]:
    def run(*arguments: str, **environ: str) -> Result:
        return start(server, project.path, *arguments, **environ)

    return run


def test_a_merge_of_three_and_four_branches_leads_back(project: Project, run_trial: Callable[..., Result]) -> None:
    project.linear(1)
    for name in ("a", "b", "c", "d"):
        project.revision(name, down="r0001", upgrade=CREATE.format(name), downgrade=f'op.drop_table("{name}")')
    project.revision("a2", down="a", upgrade=CREATE.format("a2"), downgrade='op.drop_table("a2")')
    project.revision("three", down=("a2", "b", "c"), upgrade=CREATE.format("m"), downgrade='op.drop_table("m")')
    project.revision("all", down=("three", "d"))
    result = run_trial("--json", "--fail", "downgrade")
    assert findings(result) == {}
    assert {c["verdict"] for c in cases(result) if c["check"] == "downgrade"} == {"passed"}


BOOK = """
def keeps_book(ctx, step, **_):
    ctx.connection.exec_driver_sql("INSERT INTO book (said) VALUES ('applied')")
"""


def test_rows_that_env_py_writes_itself_are_no_fault_of_a_revision(
    project: Project, run_trial: Callable[..., Result]
) -> None:
    made = 'op.execute("CREATE TABLE IF NOT EXISTS book (said text)")'
    project.revision("r1", upgrade=made, downgrade="pass", header='irreversible = "the book stays"')
    project.revision("r2", down="r1", upgrade=CREATE.format("a"), downgrade='op.drop_table("a")')
    written = "op.execute(\"INSERT INTO book VALUES ('by hand')\")"
    project.revision("r3", down="r2", upgrade=written, downgrade="pass")
    project.write_env(head=BOOK)
    text = project.env.read_text("utf-8")
    options = "target_metadata=target_metadata, on_version_apply=keeps_book"
    project.env.write_text(text.replace("target_metadata=target_metadata", options), "utf-8")
    assert "on_version_apply" in project.env.read_text("utf-8")
    result = run_trial("--json")
    assert set(findings(result)) == {("r3", "downgrade")}


# The models, as `alembic check` sees them

TABLE = """
op.create_table(
    "r1",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
    sa.Column("name", sa.Text, nullable=False),
)
op.create_table("hidden", sa.Column("id", sa.Integer, primary_key=True))
"""
MODELS = """
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, func

Table(
    "r1",
    target_metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime(timezone={0})),
    Column("name", Text{1}),
    {2}
)


def leaves_out_hidden(object_, name, type_, reflected, compare_to):
    return name != "hidden"


def leaves_names_out(name, type_, parents):
    return name != "hidden"


def empties(context, revision, directives):
    assert not getattr(context.config.cmd_opts, "autogenerate", False)
    directives[0].upgrade_ops.ops.clear()


def takes_away(context, revision, directives):
    directives[:] = []
"""


def models(result: Result) -> dict[str, Any]:
    return next(c for c in cases(result) if c["check"] == "models")


def write(
    project: Project, *, timezone: bool = True, nullable: str = ", nullable=False", more: str = "", options: str = ""
) -> None:
    project.write_env(head=MODELS.format(timezone, nullable, more))
    text = project.env.read_text("utf-8")
    project.env.write_text(
        text.replace("target_metadata=target_metadata", f"target_metadata=target_metadata{options}"), "utf-8"
    )


HIDES = ", include_object=leaves_out_hidden"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"options": HIDES}, []),
        ({"options": ", include_name=leaves_names_out"}, []),
        ({"options": ", process_revision_directives=empties", "more": 'Column("new", Text),'}, []),
        ({"options": ", process_revision_directives=takes_away", "more": 'Column("new", Text),'}, []),
        ({"options": HIDES + ", compare_type=False", "timezone": False}, []),
        (
            {"options": HIDES, "timezone": False},
            ["type of r1.at: TIMESTAMP(timezone=True) in the schema, DateTime() in the models"],
        ),
        (
            {"options": HIDES + ", compare_server_default=True"},
            ["default of r1.at: now() in the schema, None in the models"],
        ),
        (
            {"options": HIDES, "nullable": "", "more": 'Column("new", Text), Column("newer", Integer),'},
            [
                "column r1.new (Text()): in the models, not in the schema",
                "column r1.newer (Integer()): in the models, not in the schema",
                "nullable of r1.name: False in the schema, True in the models",
            ],
        ),
        ({}, ["table hidden: in the schema, not in the models"]),
    ],
    ids=str,
)
def test_the_models_are_what_alembic_check_says(
    project: Project,
    database: Database,
    run_trial: Callable[..., Result],
    change: dict[str, Any],
    said: list[str],
) -> None:
    project.revision("r1", upgrade=TABLE, downgrade='op.drop_table("r1"); op.drop_table("hidden")')
    write(project, **change)
    result = run_trial()
    told = [event for event in result.named("trial.finding") if event["check"] == "models"]
    assert len(told) == len(said), told
    assert all(event["finding"].startswith(text) for event, text in zip(told, said, strict=True)), told
    assert {event["file"] for event in told} <= {"migrations/env.py"}
    assert result.exit_code == (11 if said else 0)
    alembic(project, database, "upgrade", "head")
    if "takes_away" not in str(change):  # which Alembic's own check does not survive
        assert (alembic(project, database, "check", check=False).returncode != 0) is bool(said)
    if said:
        assert result.finished is not None
        assert "alembic revision --autogenerate" in result.finished["fix"]
        assert "more" not in result.finished["why"]
