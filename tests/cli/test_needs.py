"""What a revision needs of the rows is tried while the manifest is written, and stands in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.conftest import RunMigrate
    from tests.support.project import Project
    from tests.support.server import Server


class Kind(NamedTuple):
    """A kind of need: a table (`T`), what asks its rows, the SQL that mends them first, and the line."""

    table: str
    asks: str
    mends: str
    line: str


KINDS = {
    "null": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a text)",
        "ALTER TABLE T ALTER a SET NOT NULL",
        "UPDATE T SET a = '' WHERE a IS NULL",
        "no NULL in T.a",
    ),
    "row": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY)",
        "ALTER TABLE T ADD a text NOT NULL",
        "DELETE FROM T",
        "no row in T (a is not null and has no default)",
    ),
    "duplicates": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a text NOT NULL)",
        "ALTER TABLE T ADD UNIQUE (a)",
        "UPDATE T SET a = id::text",
        "no duplicates of T (a)",
    ),
    "unique_index": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a text, b boolean NOT NULL)",
        "CREATE UNIQUE INDEX ON T (lower(a)) WHERE b",
        "UPDATE T SET a = id::text",
        "no duplicates of T (lower(a)) where (b)",
    ),
    "check": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a integer)",
        "ALTER TABLE T ADD CHECK (a > 100000000)",
        "UPDATE T SET a = NULL",
        "every row of T fulfils CHECK ((a > 100000000))",
    ),
    "parent": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a bigint)",
        "ALTER TABLE T ADD FOREIGN KEY (a) REFERENCES parents",
        "UPDATE T SET a = NULL",
        "every T (a) has its parent in parents (id)",
    ),
    "overlap": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a int4range)",
        "ALTER TABLE T ADD EXCLUDE USING gist (a WITH &&)",
        "UPDATE T SET a = NULL",
        "no overlap in T for EXCLUDE USING gist (a WITH &&)",
    ),
    "longer": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a varchar(20))",
        "ALTER TABLE T ALTER a TYPE varchar(5)",
        "UPDATE T SET a = left(a, 5)",
        "every value of T.a fits character varying(5)",
    ),
    "number": Kind(
        "CREATE TABLE T (id bigint PRIMARY KEY, a text)",
        "ALTER TABLE T ALTER a TYPE integer USING a::integer",
        "UPDATE T SET a = '1'",
        "every value of T.a fits integer",
    ),
    "label": Kind(
        "CREATE TYPE T_state AS ENUM ('old', 'new'); CREATE TABLE T (id bigint PRIMARY KEY, a T_state)",
        "ALTER TYPE T_state RENAME TO T_gone; CREATE TYPE T_state AS ENUM ('new');"
        " ALTER TABLE T ALTER a TYPE T_state USING a::text::T_state; DROP TYPE T_gone",
        "UPDATE T SET a = 'new'",
        "no row of T.a uses enum label 'old'",
    ),
}
# A row that nobody can put in: the trial cannot be made.
SHUT = """
    CREATE FUNCTION T_shut() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not by hand'; END$$;
    CREATE TRIGGER shut BEFORE INSERT ON T FOR EACH ROW EXECUTE FUNCTION T_shut()
"""
WAYS = ("fails", "cleans", "shut")


def needs(
    project: Project, server: Server, run_migrate: RunMigrate, tables: str, bodies: dict[str, str]
) -> dict[str, list[str] | None]:
    """What the manifest says of revisions that each follow the one with the tables, on a branch of their own."""
    project.revision("tables", upgrade=f"op.execute('''{tables}''')")
    for id_, body in bodies.items():
        project.revision(id_, down="tables", upgrade=body)
    ended = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()}, timeout_seconds=300)
    assert ended.exit_code == 0, ended.stdout
    return recorded(project)


def recorded(project: Project) -> dict[str, list[str] | None]:
    """The needs that stand in the manifest; None where they are not known."""
    revisions = json.loads((project.versions.parent / "manifest.json").read_text())["revisions"]
    return {each["id"]: each.get("needs") for each in revisions}


@pytest.mark.parametrize("kind", KINDS)
def test_a_need_is_proven_where_the_revision_fails_and_none_where_it_cleans_up_first(
    project: Project, server: Server, run_migrate: RunMigrate, kind: str
) -> None:
    asked = KINDS[kind]
    names = {way: f"{kind}_{way}" for way in WAYS}
    tables = ";".join(
        ["CREATE TABLE parents (id bigint PRIMARY KEY)"]
        + [_of(asked.table, name) for name in names.values()]
        + [_of(SHUT, names["shut"])]
    )
    found = needs(
        project,
        server,
        run_migrate,
        tables,
        {
            "fails": f'op.execute("{_of(asked.asks, names["fails"])}")',
            "cleans": f'op.execute("{_of(asked.mends, names["cleans"])}")\nop.execute("{_of(asked.asks, names["cleans"])}")',
            "shut": f'op.execute("{_of(asked.asks, names["shut"])}")',
        },
    )
    assert found == {
        "tables": [],
        "fails": [_of(asked.line, names["fails"])],
        "cleans": [],
        "shut": [f"not proven: {_of(asked.line, names['shut'])}"],
    }


def _of(text: str, name: str) -> str:
    """A text about a table of that name."""
    return re.sub(r"\bT(?=\b|_)", name, text)


BACKFILLS = {
    "from_another_table": """
op.execute("UPDATE orders SET customer_id = p.customer_id FROM payments p WHERE p.order_id = orders.id")
op.alter_column("orders", "customer_id", nullable=False)
""",
    "row_by_row": """
for (id_,) in op.get_bind().exec_driver_sql("SELECT id FROM orders").fetchall():
    op.execute(f"UPDATE orders SET customer_id = (SELECT customer_id FROM payments WHERE order_id = {id_})")
op.alter_column("orders", "customer_id", nullable=False)
""",
    "committed": """
with op.get_context().autocommit_block():
    op.execute("UPDATE orders SET customer_id = (SELECT customer_id FROM payments WHERE order_id = orders.id)")
op.alter_column("orders", "customer_id", nullable=False)
""",
}


def test_a_backfill_that_finds_nothing_here_is_a_need_that_is_not_proven(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    tables = """
        CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint);
        CREATE TABLE payments (order_id bigint NOT NULL REFERENCES orders, customer_id bigint NOT NULL)
    """
    found = needs(project, server, run_migrate, tables, BACKFILLS)
    assert found == {"tables": []} | {id_: ["not proven: no NULL in orders.customer_id"] for id_ in BACKFILLS}


def test_several_needs_of_one_revision_and_parents_of_its_table_are_told_apart(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    tables = """
        CREATE TABLE customers (id bigint PRIMARY KEY);
        CREATE TABLE orders (
            id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, state text, number text
        )
    """
    several = """
op.alter_column("orders", "state", nullable=False)
op.alter_column("orders", "number", nullable=False)
op.create_unique_constraint("uq", "orders", ["number"])
op.create_check_constraint("ck", "orders", "state IN ('open', 'shut')")
"""
    concurrently = """
with op.get_context().autocommit_block():
    op.create_index("ix", "orders", ["state"], unique=True, postgresql_concurrently=True)
"""
    found = needs(project, server, run_migrate, tables, {"several": several, "concurrently": concurrently})
    assert found["several"] == [
        "every row of orders fulfils CHECK ((state = ANY (ARRAY['open'::text, 'shut'::text])))",
        "no NULL in orders.number",
        "no NULL in orders.state",
        "no duplicates of orders (number)",
    ]
    assert found["concurrently"] == ["no duplicates of orders (state)"]


def test_only_revisions_that_are_new_or_edited_are_tried(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    environment = {"MIGRATE_SHADOW_URL": server.url()}
    path = project.versions.parent / "manifest.json"
    made = {"null": 'op.alter_column("t", "a", nullable=False)'}
    assert needs(project, server, run_migrate, "CREATE TABLE t (id bigint PRIMARY KEY, a text, b text)", made) == {
        "tables": [],
        "null": ["no NULL in t.a"],
    }
    # as a version wrote it that knew no needs: it is up to date, and says that they are not known
    before = re.sub(r',?\n\s*"needs": \[[^\]]*\]', "", path.read_text())
    path.write_text(before)
    assert recorded(project) == {"tables": None, "null": None}
    assert run_migrate("manifest", "--check").exit_code == 0
    project.revision("new", down="null", upgrade='op.alter_column("t", "b", nullable=False)')
    assert run_migrate("manifest", env=environment, timeout_seconds=120).exit_code == 0
    assert recorded(project) == {"tables": None, "null": None, "new": ["no NULL in t.b"]}
    assert run_migrate("manifest", "--full", env=environment, timeout_seconds=120).exit_code == 0
    assert recorded(project) == {"tables": [], "null": ["no NULL in t.a"], "new": ["no NULL in t.b"]}


def test_a_revision_that_renames_a_column_needs_of_its_rows_what_they_are_under_the_old_name(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    names = ("absent", "keyed", "mended", "other", "filled")
    tables = "; ".join(f"CREATE TABLE {each} (id bigint PRIMARY KEY, a text)" for each in names)
    renamed = {each: f"ALTER TABLE {each} RENAME a TO b" for each in names}
    found = needs(
        project,
        server,
        run_migrate,
        tables,
        {
            "absent": f'op.execute("{renamed["absent"]}; ALTER TABLE absent ALTER b SET NOT NULL")',
            "keyed": f'op.execute("{renamed["keyed"]}; ALTER TABLE keyed ADD UNIQUE (b)")',
            "mended": f"op.execute(\"{renamed['mended']}; UPDATE mended SET b = '' WHERE b IS NULL\")\n"
            'op.execute("ALTER TABLE mended ALTER b SET NOT NULL")',
            "other": 'op.execute("ALTER TABLE other DROP a, ADD b text NOT NULL")',
            "filled": "op.execute(\"ALTER TABLE filled ADD b text NOT NULL DEFAULT ''; ALTER TABLE filled DROP a\")",
        },
    )
    assert found == {
        "tables": [],
        "absent": ["no NULL in absent.a"],
        "keyed": ["no duplicates of keyed (a)"],
        "mended": [],
        "other": ["no row in other (b is not null and has no default)"],
        "filled": [],
    }


def test_a_rule_that_is_validated_is_a_need_of_the_rows_from_before_it(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    tables = """
        CREATE TABLE parents (id bigint PRIMARY KEY);
        CREATE TABLE checked (id bigint PRIMARY KEY, a text);
        ALTER TABLE checked ADD CONSTRAINT has_a CHECK (a IS NOT NULL) NOT VALID;
        CREATE TABLE referring (id bigint PRIMARY KEY, parent bigint);
        ALTER TABLE referring ADD CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parents ON DELETE CASCADE NOT VALID;
        CREATE TABLE keyed (id bigint PRIMARY KEY, a text);
        CREATE UNIQUE INDEX keyed_a ON keyed (a)
    """
    found = needs(
        project,
        server,
        run_migrate,
        tables,
        {
            "checked": 'op.execute("ALTER TABLE checked VALIDATE CONSTRAINT has_a")',
            "referring": 'op.execute("ALTER TABLE referring VALIDATE CONSTRAINT fk")',
            "mended": "op.execute(\"UPDATE checked SET a = '' WHERE a IS NULL\")\n"
            'op.execute("ALTER TABLE checked VALIDATE CONSTRAINT has_a")',
            "keyed": 'op.execute("ALTER TABLE keyed ADD UNIQUE USING INDEX keyed_a")',
        },
    )
    assert found == {
        "tables": [],
        "checked": ["every row of checked fulfils CHECK ((a IS NOT NULL))"],
        "referring": ["every referring (parent) has its parent in parents (id)"],
        "mended": [],
        "keyed": [],
    }


MENDED_UNSEEN = {
    "loop over another table": """
for (t,) in op.get_bind().exec_driver_sql("SELECT id FROM tenants").fetchall():
    op.execute(f"UPDATE orders SET customer_id = 1 WHERE id = {t}")
op.alter_column("orders", "customer_id", nullable=False)
""",
    "batches": """
while True:
    ids = op.get_bind().exec_driver_sql("SELECT id FROM tenants LIMIT 100").fetchall()
    if not ids:
        break
    op.execute("UPDATE orders SET customer_id = 1")
op.alter_column("orders", "customer_id", nullable=False)
""",
    "a block": """
op.execute("DO $$ DECLARE t int; BEGIN FOR t IN SELECT id FROM tenants LOOP UPDATE orders SET customer_id = 1; END LOOP; END $$")
op.alter_column("orders", "customer_id", nullable=False)
""",
    "a function": """
op.execute("SELECT tidy(id) FROM tenants")
op.alter_column("orders", "customer_id", nullable=False)
""",
    "rebuilt": '''
op.execute("""
    CREATE TABLE orders2 (id bigint PRIMARY KEY, customer_id bigint NOT NULL)
""")
op.execute("INSERT INTO orders2 SELECT o.id, coalesce(o.customer_id, t.id) FROM orders o LEFT JOIN tenants t ON t.id = o.id")
op.execute("DROP TABLE orders")
op.execute("ALTER TABLE orders2 RENAME TO orders")
''',
    "another connection": """
import os
import sqlalchemy
if os.environ.get("BACKFILL_URL"):
    sqlalchemy.create_engine(os.environ["BACKFILL_URL"])
op.alter_column("orders", "customer_id", nullable=False)
""",
}


def test_what_a_revision_does_only_where_another_table_has_rows_makes_its_needs_not_proven(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    tables = """
        CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint);
        CREATE TABLE tenants (id bigint PRIMARY KEY);
        CREATE FUNCTION tidy(bigint) RETURNS void LANGUAGE sql AS 'UPDATE orders SET customer_id = 1'
    """
    bodies = {name.replace(" ", "_"): body for name, body in MENDED_UNSEEN.items()}
    constant = 'for column in ("customer_id",):\n    op.alter_column("orders", column, nullable=False)'
    found = needs(project, server, run_migrate, tables, bodies | {"constant": constant})
    unproven = ["not proven: no NULL in orders.customer_id"]
    assert found == {"tables": [], "constant": ["no NULL in orders.customer_id"]} | dict.fromkeys(bodies, unproven)


def test_a_parent_that_the_revision_writes_makes_the_need_not_proven(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    tables = """
        CREATE TABLE par (id bigint PRIMARY KEY);
        CREATE TABLE legacy (id bigint);
        CREATE TABLE ch (id bigint PRIMARY KEY, par bigint)
    """
    body = (
        'op.execute("INSERT INTO par SELECT id FROM legacy")\nop.create_foreign_key("fk", "ch", "par", ["par"], ["id"])'
    )
    found = needs(project, server, run_migrate, tables, {"filled": body})
    assert found["filled"] == ["not proven: every ch (par) has its parent in par (id)"]


@pytest.mark.parametrize(
    ("type_", "using"),
    [
        ("integer", "nullif(a, '')::integer"),
        ("date", "to_date(a, 'DD/MM/YYYY')"),
        ("varchar(3)", "trim(a)"),
        ("boolean", "translate(a, 'JN', 'YN')::boolean"),
    ],
)
def test_values_that_are_made_anew_are_not_judged_by_what_they_were(
    project: Project, server: Server, run_migrate: RunMigrate, type_: str, using: str
) -> None:
    body = f'op.execute("ALTER TABLE t ALTER a TYPE {type_} USING {using}")'
    found = needs(project, server, run_migrate, "CREATE TABLE t (id bigint PRIMARY KEY, a text)", {"typed": body})
    assert [each.startswith("not proven: every value of t.a fits ") for each in found["typed"] or ()] == [True]


def test_the_schema_of_the_tables_need_not_be_that_of_the_version_table(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    project.revision(
        "tables", upgrade='op.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, a int)")'
    )
    project.revision("change", down="tables", upgrade='op.alter_column("t", "a", nullable=False, schema="app")')
    for schemas, line in (
        ("app,public", "no NULL in t.a"),
        ("public,app", "no NULL in app.t.a"),
        ("", "no NULL in app.t.a"),
    ):
        environ = {"MIGRATE_SHADOW_URL": server.url(), **({"MIGRATE_SCHEMAS": schemas} if schemas else {})}
        ended = run_migrate("manifest", "--full", env=environ, timeout_seconds=300)
        assert ended.exit_code == 0, ended.stdout
        assert recorded(project)["change"] == [line], schemas


def test_what_a_partition_asks_of_a_row_too_does_not_stand_in_the_way_of_its_table(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    tables = """
        CREATE TABLE whole (k int NOT NULL, a int) PARTITION BY LIST (k);
        CREATE TABLE part PARTITION OF whole FOR VALUES IN (1)
    """
    body = 'op.alter_column("whole", "a", nullable=False)'
    found = needs(project, server, run_migrate, tables, {"required": body})
    assert found["required"] == ["not proven: no NULL in part.a", "no NULL in whole.a"], (
        "rows are put in through the table"
    )
