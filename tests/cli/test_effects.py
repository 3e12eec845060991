"""What a revision does to a table that was there stands in the manifest, whichever way the revision says it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import RunMigrate
    from tests.support.project import Project
    from tests.support.server import Server

TABLES = """
op.execute('''
    CREATE TABLE customers (id bigint PRIMARY KEY, email text);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, state varchar(20), amount int);
    CREATE INDEX ix_old ON orders (amount);
    ALTER TABLE orders ADD CONSTRAINT ck_there CHECK (amount > 0) NOT VALID;
    ALTER TABLE orders ADD CONSTRAINT fk_there FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;
    CREATE TABLE apart (id bigint PRIMARY KEY, customer_id bigint, CONSTRAINT has CHECK (customer_id IS NOT NULL));
    CREATE TABLE going (id bigint PRIMARY KEY);
    CREATE MATERIALIZED VIEW sums AS SELECT sum(amount) AS amount FROM orders;
''')
"""
# What is done, in SQL; the same by an operation, where there is one; what the manifest says of it.
HAZARDS = {
    "index": (
        "CREATE INDEX ix ON orders (state)",
        'op.create_index("ix", "orders", ["state"])',
        ["blocks writes of orders: builds index ix"],
    ),
    "drop_index": (
        "DROP INDEX ix_old",
        'op.drop_index("ix_old", "orders")',
        ["blocks reads and writes of orders: brief (drops index ix_old)"],
    ),
    "unique": (
        "ALTER TABLE orders ADD CONSTRAINT uq UNIQUE (state)",
        'op.create_unique_constraint("uq", "orders", ["state"])',
        ["blocks reads and writes of orders: builds index uq"],
    ),
    "exclude": (
        "ALTER TABLE orders ADD CONSTRAINT ex EXCLUDE USING btree (state WITH =)",
        None,
        ["blocks reads and writes of orders: builds index ex"],
    ),
    "foreign_key": (
        "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers",
        'op.create_foreign_key("fk", "orders", "customers", ["customer_id"], ["id"])',
        [
            "blocks writes of customers: foreign key fk of orders",
            "blocks writes of orders: foreign key fk to customers",
        ],
    ),
    "check": (
        "ALTER TABLE orders ADD CONSTRAINT ck CHECK (amount < 9)",
        'op.create_check_constraint("ck", "orders", "amount < 9")',
        ["blocks reads and writes of orders: scan (ck is added)"],
    ),
    "not_null": (
        "ALTER TABLE customers ALTER email SET NOT NULL",
        'op.alter_column("customers", "email", nullable=False)',
        ["blocks reads and writes of customers: scan (email is made not null)"],
    ),
    "volatile_default": (
        "ALTER TABLE orders ADD code uuid DEFAULT gen_random_uuid()",
        'op.add_column("orders", sa.Column("code", sa.Text, server_default=sa.text("gen_random_uuid()::text")))',
        ["blocks reads and writes of orders: rewrite"],
    ),
    "stored": (
        "ALTER TABLE orders ADD twice int GENERATED ALWAYS AS (amount * 2) STORED",
        None,
        ["blocks reads and writes of orders: rewrite"],
    ),
    "type": (
        "ALTER TABLE orders ALTER state TYPE varchar(5)",
        'op.alter_column("orders", "state", type_=sa.String(5))',
        ["blocks reads and writes of orders: rewrite"],
    ),
    "unlogged": (
        "ALTER TABLE apart SET UNLOGGED",
        None,
        ["blocks reads and writes of apart: rewrite"],
    ),
    "refresh": (
        "REFRESH MATERIALIZED VIEW sums",
        None,
        ["blocks reads and writes of sums: rewrite"],
    ),
    "trigger": (
        "ALTER TABLE orders DISABLE TRIGGER USER",
        None,
        ["blocks writes of orders: brief"],
    ),
    "update": (
        "INSERT INTO customers SELECT g, 'x' FROM generate_series(1, 3) g",
        None,
        ["writes rows of customers"],
    ),
    "truncate": (
        "TRUNCATE apart",
        None,
        ["blocks reads and writes of apart: brief", "writes rows of apart (all are removed)"],
    ),
    "lock_timeout": (
        "SET LOCAL lock_timeout = '60s'",
        None,
        ["raises lock_timeout to 60s"],
    ),
    "dropped": (
        "DROP TABLE going",
        'op.drop_table("going")',
        ["blocks reads and writes of going: brief"],
    ),
}
SAFE = {
    "concurrent_index": (
        'with op.get_context().autocommit_block():\n    op.create_index("ix", "orders", ["state"], postgresql_concurrently=True)',
        ["concurrent build of index ix on orders"],
    ),
    "check_not_valid": (
        'op.execute("ALTER TABLE orders ADD CONSTRAINT ck CHECK (amount < 9) NOT VALID")',
        ["blocks reads and writes of orders: brief"],
    ),
    "check_validated": (
        'op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_there")',
        ["concurrent scan of orders (ck_there is validated)"],
    ),
    "key_validated": (
        'op.execute("ALTER TABLE orders VALIDATE CONSTRAINT fk_there")',
        ["concurrent scan of orders (foreign key fk_there is validated)"],
    ),
    "not_null_by_check": (
        'op.alter_column("apart", "customer_id", nullable=False)',
        ["blocks reads and writes of apart: brief"],
    ),
    "constant_default": (
        'op.add_column("orders", sa.Column("kind", sa.Text, server_default="x", nullable=False))',
        ["blocks reads and writes of orders: brief"],
    ),
    "wider": (
        'op.alter_column("orders", "state", type_=sa.String(50))',
        ["blocks reads and writes of orders: brief"],
    ),
    "new_table": (
        'op.create_table("made", sa.Column("id", sa.Integer, primary_key=True))\nop.create_index("ix_made", "made", ["id"])',
        [],
    ),
}
WAYS = ("op", "execute", "helper")


def effects(
    project: Project, server: Server, run_migrate: RunMigrate, bodies: dict[str, str], header: str = ""
) -> dict[str, list[str]]:
    """What the manifest says of revisions that each follow the one with the tables, on a branch of their own.

    The replay also runs all branches together, so that none may stand in the way of another.
    """
    project.revision("tables", upgrade=TABLES)
    for id_, body in bodies.items():
        project.revision(id_, down="tables", upgrade=body, header=header)
    ended = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()}, timeout_seconds=120)
    assert ended.exit_code == 0, ended.stdout
    revisions = json.loads((project.versions.parent / "manifest.json").read_text())["revisions"]
    return {each["id"]: each["effects"] for each in revisions}


@pytest.mark.parametrize("way", WAYS)
def test_each_hazard_is_named_whichever_way_it_is_said(
    project: Project, server: Server, run_migrate: RunMigrate, way: str
) -> None:
    bodies = {}
    for id_, (sql, operation, _) in HAZARDS.items():
        if way == "op" and operation is None:
            continue
        bodies[id_] = {"op": operation or "", "execute": f'op.execute("{sql}")', "helper": f'through("{sql}")'}[way]
    header = "def through(sql):\n    op.get_bind().exec_driver_sql(sql)\n"
    found = effects(project, server, run_migrate, bodies, header)
    assert found == {"tables": []} | {id_: HAZARDS[id_][2] for id_ in bodies}


def test_the_safe_forms_block_nobody_for_long(project: Project, server: Server, run_migrate: RunMigrate) -> None:
    found = effects(project, server, run_migrate, {id_: body for id_, (body, _) in SAFE.items()})
    assert found == {"tables": []} | {id_: lines for id_, (_, lines) in SAFE.items()}


def test_a_lock_that_is_held_while_more_runs_says_through_how_many_statements(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    body = (
        'op.execute("ALTER TABLE orders ADD x int")\nop.execute("SELECT 1")\nop.execute("UPDATE customers SET id = id")'
    )
    found = effects(project, server, run_migrate, {"held": body})
    assert found["held"] == [
        "writes rows of customers",
        "blocks reads and writes of orders: brief",
        "blocks reads and writes of orders through 2 more statements",
    ]


def test_rows_are_written_though_none_is_there_and_not_by_who_only_reads_them(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    project.revision("next", down="first", upgrade='op.execute("SELECT count(*) FROM customers")')
    body = "op.execute(\"UPDATE customers SET email = 'x' WHERE email IS NULL\")"
    found = effects(project, server, run_migrate, {"first": body})
    assert (found["first"], found["next"]) == (["writes rows of customers"], [])


def test_what_commits_by_itself_is_never_called_harmless_for_want_of_a_lock(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    def alone(*statements: str) -> str:
        return "with op.get_context().autocommit_block():\n" + "\n".join(
            f'    op.execute("{one}")' for one in statements
        )

    found = effects(
        project,
        server,
        run_migrate,
        {
            "not_null": alone("ALTER TABLE customers ALTER email SET NOT NULL"),
            "check": alone("ALTER TABLE orders ADD CONSTRAINT ck CHECK (amount < 9)"),
            "foreign_key": alone("ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers"),
            "validated": alone("ALTER TABLE orders VALIDATE CONSTRAINT ck_there"),
            "looked_up": alone("ALTER TABLE orders VALIDATE CONSTRAINT fk_there"),
        },
    )
    assert found == {
        "tables": [],
        "not_null": ["blocks reads and writes of customers: scan (email is made not null)"],
        "check": ["blocks reads and writes of orders: scan (ck is added)"],
        "foreign_key": [
            "blocks writes of customers: foreign key fk of orders",
            "blocks writes of orders: foreign key fk to customers",
        ],
        "validated": ["concurrent scan of orders (ck_there is validated)"],
        "looked_up": ["concurrent scan of orders (foreign key fk_there is validated)"],
    }


@pytest.mark.parametrize(
    ("engine", "driver"), [("sync", "psycopg"), ("async", "psycopg"), ("async", "asyncpg"), ("begin", "psycopg2")]
)
def test_every_driver_hears_what_the_server_says(
    project: Project, server: Server, run_migrate: RunMigrate, engine: Any, driver: str
) -> None:
    project.write_env(engine=engine, driver=driver)
    # one statement each: asyncpg prepares them
    tables = (
        "CREATE TABLE customers (id bigint PRIMARY KEY, email text)",
        "CREATE TABLE orders (id bigint, state text)",
    )
    project.revision("tables", upgrade="\n".join(f'op.execute("{one}")' for one in tables))
    body = 'op.alter_column("customers", "email", nullable=False)\nop.create_index("ix", "orders", ["state"])'
    project.revision("change", down="tables", upgrade=body)
    ended = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()}, timeout_seconds=120)
    assert ended.exit_code == 0, ended.stdout
    (_, change) = json.loads((project.versions.parent / "manifest.json").read_text())["revisions"]
    assert change["effects"] == [
        "blocks reads and writes of customers: scan (email is made not null)",
        "blocks reads and writes of customers through 1 more statement",
        "blocks writes of orders: builds index ix",
    ]
    assert change["needs"] == ["no NULL in customers.email"]


MORE_TABLES = """
    CREATE TABLE logs (id bigint NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);
    CREATE TABLE logs_old PARTITION OF logs FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    CREATE TABLE logs_new (id bigint NOT NULL, at date NOT NULL);
    CREATE UNLOGGED TABLE fast (id bigint PRIMARY KEY);
    CREATE DOMAIN code AS text;
    CREATE TABLE coded (id bigint PRIMARY KEY, c code);
    CREATE TABLE keyless (id bigint, name text);
    CREATE TABLE clustered (id bigint PRIMARY KEY);
    CREATE TABLE checked (a int CHECK (a > 0));
"""
# Rules of linters that no message names alone; what is said of each.
MORE_HAZARDS = {
    "reindex": (
        "REINDEX TABLE keyed",
        ["blocks reads and writes of keyed: builds index keyed_pkey"],
    ),
    "primary_key": (
        "ALTER TABLE keyless ADD PRIMARY KEY (id)",
        [
            "blocks reads and writes of keyless: scan (id is made not null)",
            "blocks reads and writes of keyless: builds index keyless_pkey",
        ],
    ),
    "type_with_check": ("ALTER TABLE checked ALTER a TYPE bigint", ["blocks reads and writes of checked: rewrite"]),
    "serial": ("ALTER TABLE orders ADD n serial", ["blocks reads and writes of orders: rewrite"]),
    "required": (
        "ALTER TABLE orders ADD kind text NOT NULL",
        ["blocks reads and writes of orders: scan (kind is new and not null)"],
    ),
    "set_logged": ("ALTER TABLE fast SET LOGGED", ["blocks reads and writes of fast: rewrite"]),
    "cluster": ("CLUSTER clustered USING clustered_pkey", ["blocks reads and writes of clustered: rewrite"]),
    "attach": (
        "ALTER TABLE logs ATTACH PARTITION logs_new FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
        ["blocks reads and writes of logs_new: scan (it becomes a partition)"],
    ),
    "detach": (
        "ALTER TABLE logs DETACH PARTITION logs_old",
        ["blocks reads and writes of logs: brief", "blocks reads and writes of logs_old: brief"],
    ),
    "domain": (
        "ALTER DOMAIN code ADD CONSTRAINT short CHECK (length(VALUE) < 9)",
        ["blocks writes of coded: scan (code is asked for more)"],
    ),
    "delete": ("DELETE FROM orders", ["writes rows of orders"]),
    "truncate_cascade": (
        "TRUNCATE customers CASCADE",
        [
            "blocks reads and writes of customers: brief",
            "writes rows of customers (all are removed)",
            "blocks reads and writes of orders: brief",
            "writes rows of orders (all are removed)",
        ],
    ),
    "block": (
        "DO $$ BEGIN CREATE INDEX ix ON orders (state); END $$",
        ["blocks writes of orders: builds index ix"],
    ),
    "partitioned_index": (
        "CREATE INDEX ix_logs ON logs (id)",
        ["blocks writes of logs: brief", "blocks writes of logs_old: builds index logs_old_id_idx"],
    ),
    "partitioned_column": (
        "ALTER TABLE logs ADD x uuid DEFAULT gen_random_uuid()",
        ["blocks reads and writes of logs: brief", "blocks reads and writes of logs_old: rewrite"],
    ),
    "row_security": ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", ["blocks reads and writes of orders: brief"]),
}
MORE_TABLES += "CREATE TABLE keyed (id bigint PRIMARY KEY);"
ALONE = {
    "vacuum_full": ("VACUUM FULL keyed", ["blocks reads and writes of keyed: builds index keyed_pkey"]),
    "reindex_beside": ("REINDEX TABLE CONCURRENTLY keyed", ["concurrent build of index keyed_pkey on keyed"]),
}


def test_the_rules_of_linters_that_a_run_can_show_are_shown(
    project: Project, server: Server, run_migrate: RunMigrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "TABLES", TABLES.replace("''')", f"{MORE_TABLES}''')"))
    bodies = {id_: f"op.execute({sql!r})" for id_, (sql, _) in MORE_HAZARDS.items()}
    bodies |= {
        id_: f"with op.get_context().autocommit_block():\n    op.execute({sql!r})" for id_, (sql, _) in ALONE.items()
    }
    found = effects(project, server, run_migrate, bodies)
    expected = {id_: lines for id_, (_, lines) in {**MORE_HAZARDS, **ALONE}.items()}
    assert found == {"tables": []} | expected


def test_a_table_is_known_under_the_name_that_it_has_by_then(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    bodies = {
        "renamed": """
op.execute("ALTER TABLE orders RENAME TO sales")
op.execute("ALTER TABLE sales ADD other float DEFAULT random()")
op.execute("CREATE INDEX ix_state ON sales (state)")
""",
        "anew": """
op.execute("DROP TABLE going")
op.execute("CREATE TABLE going (id bigint PRIMARY KEY)")
""",
        "silenced": """
op.execute("SET client_min_messages = error")
op.execute("ALTER TABLE apart ADD other float DEFAULT random()")
""",
    }
    found = effects(project, server, run_migrate, bodies)
    assert "blocks reads and writes of orders: rewrite" in found["renamed"]
    assert "blocks reads and writes of orders: builds index ix_state" in found["renamed"]
    assert [line for line in found["anew"] if "index" in line] == []
    assert "blocks reads and writes of apart: rewrite" in found["silenced"]
    assert [line for line in found["silenced"] if "removed" in line] == []


def test_a_table_that_is_gone_is_not_taken_for_a_new_one_of_its_name(
    project: Project, server: Server, run_migrate: RunMigrate
) -> None:
    """As many tables as before, none of them changed: it is by the number of those that are not newer that one is missed."""
    project.revision("first", down="tables", upgrade='op.execute("CREATE TABLE gone (id int)")')
    swaps = 'op.execute("DROP TABLE gone; CREATE TABLE come (id int)")'
    project.revision("second", down="first", upgrade=swaps)
    again = 'op.execute("CREATE TABLE gone (id int); ALTER TABLE gone ALTER id TYPE text")'
    project.revision("third", down="second", upgrade=again)
    found = effects(project, server, run_migrate, {})
    assert found["third"] == []
