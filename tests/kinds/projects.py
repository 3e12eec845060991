"""The kinds: each writes a project of its sort and names what may come out otherwise than all is well."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from textwrap import dedent
from typing import TYPE_CHECKING, Final

from tests.support.transactions import ENVIRONMENTS, HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.project import Project

STAGES: Final = ("manifest", "up", "again", "verified", "adopted", "tested", "back")
# What comes out where nothing is special about a kind.
WELL: Final[Mapping[str, str]] = {
    "manifest": "written",
    "up": "applied",
    "again": "noop",
    "verified": "equal",
    "adopted": "adopted",
    "tested": "nothing found",
    "back": "downgraded",
}


@dataclass(frozen=True)
class Kind:
    """One row of the page; `but` is what comes out otherwise, and `because` says why that is right."""

    name: str
    of: str  # "env.py" or "history"
    write: Callable[[Project], None]
    flags: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    but: Mapping[str, str] = field(default_factory=dict)
    because: str = ""
    baseline: str | None = None

    @property
    def expected(self) -> dict[str, str]:
        """What comes out of each stage."""
        return {**WELL, **self.but}


KINDS: Final[list[Kind]] = []
SEVERAL: Final = {"adopted": "several (15)"}
ONE_SCHEMA: Final = "the last two revisions leave one schema: it proves neither"


def kind(name: str, of: str, **options: object) -> Callable[[Callable[[Project], None]], Callable[[Project], None]]:
    """Declare the function that writes a kind's project."""

    def declare(write: Callable[[Project], None]) -> Callable[[Project], None]:
        KINDS.append(Kind(name, of, write, **options))  # type: ignore[arg-type]
        return write

    return declare


def env(project: Project, body: str, head: str = HEAD) -> None:
    """Write an env.py of one's own, on an ordinary line of three revisions."""
    project.env.write_text(head + body, encoding="utf-8")
    line(project)


def line(project: Project) -> None:
    """Three ordinary revisions: a table, a column, an index."""
    project.revision(
        "a1",
        message="orders",
        upgrade='op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True),'
        ' sa.Column("number", sa.String(20), nullable=False))',
        downgrade='op.drop_table("orders")',
    )
    project.revision(
        "a2",
        down="a1",
        message="state",
        upgrade='op.add_column("orders", sa.Column("state", sa.String(10), server_default="new"))',
        downgrade='op.drop_column("orders", "state")',
    )
    project.revision(
        "a3",
        down="a2",
        message="index",
        upgrade='op.create_index("ix_orders_number", "orders", ["number"])',
        downgrade='op.drop_index("ix_orders_number")',
    )


# env.py


@kind("as `alembic init` writes it, URL from the environment", "env.py")
def _(project: Project) -> None:
    project.write_env(fileconfig=True)
    line(project)


@kind("URL from `sqlalchemy.url` of the ini file", "env.py")
def _(project: Project) -> None:
    project.write_env(url="ini")
    line(project)


@kind("URL from a settings object that is read at import", "env.py")
def _(project: Project) -> None:
    project.write_env(url="settings")
    line(project)


@kind("psycopg 3", "env.py")
def _(project: Project) -> None:
    project.write_env(driver="psycopg")
    line(project)


@kind("asyncpg, `run_sync`", "env.py")
def _(project: Project) -> None:
    project.write_env(engine="async")
    line(project)


@kind("psycopg 3, async", "env.py")
def _(project: Project) -> None:
    project.write_env(engine="async", driver="psycopg")
    line(project)


# The transactions that env.py makes, told as tests/support/transactions.py has them: of what `migrate` makes of each with
# every kind of revision, tests/alembic says more.
for _name, _environment in (
    ("`engine.begin()`", "engine.begin()"),
    ("`transaction_per_migration=True`", "transaction_per_migration"),
    ("`SET search_path` before `configure()`, a commit at the end", "SQL before configure, and a commit at the end"),
    ("`SET search_path`, committed before `configure()`", "SQL before configure, committed there"),
    ("`connection.begin()` by hand", "connection.begin() by hand"),
    ("an AUTOCOMMIT engine", "an engine that commits each statement"),
    ("a lock of its own (`pg_advisory_xact_lock`)", "an advisory lock of the transaction"),
):
    kind(_name, "env.py")(partial(env, body=dedent(ENVIRONMENTS[_environment])))


@kind("REPEATABLE READ", "env.py")
def _(project: Project) -> None:
    env(
        project,
        """
engine = engine.execution_options(isolation_level="REPEATABLE READ")
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
""",
    )


@kind("the application's own engine, with its pool", "env.py")
def _(project: Project) -> None:
    (project.path / "app_db.py").write_text(HEAD.replace(", poolclass=pool.NullPool", ", pool_size=2"), "utf-8")
    env(
        project,
        """
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
""",
        head="from alembic import context\nfrom app_db import engine\n",
    )


@kind("a session lock on a second connection", "env.py")
def _(project: Project) -> None:
    env(
        project,
        """
with engine.connect() as lock, engine.connect() as connection:
    lock.execute(text("SELECT pg_advisory_lock(43)"))
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
""",
    )


@kind("another version table", "env.py")
def _(project: Project) -> None:
    project.write_env(version_table="schema_versions")
    line(project)


@kind("a version table in a schema of its own", "env.py")
def _(project: Project) -> None:
    project.write_env(
        version_table_schema="ops",
        head="""
        with create_engine(url).begin() as first:
            first.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS ops")
        """,
    )
    line(project)


@kind("a version table that env.py widens", "env.py")
def _(project: Project) -> None:
    env(
        project,
        """
with engine.connect() as connection:
    connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(128) PRIMARY KEY)"))
    connection.commit()
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
""",
    )
    project.revision(
        "20260301_add_a_note_to_each_order_because_of_audits", down="a3", message="note",
        upgrade='op.add_column("orders", sa.Column("note", sa.Text))', downgrade='op.drop_column("orders", "note")',
    )  # fmt: skip


@kind("models in `target_metadata`, with `include_object`", "env.py")
def _(project: Project) -> None:
    env(
        project,
        """
from sqlalchemy import Column, Index, Integer, MetaData, String, Table

metadata = MetaData()
Table("orders", metadata, Column("id", Integer, primary_key=True), Column("number", String(20), nullable=False),
    Column("state", String(10), server_default="new"), Index("ix_orders_number", "number"))


def include_object(object, name, type_, reflected, compare_to):
    return not (type_ == "table" and name.startswith("legacy_"))


with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, include_object=include_object)
    with context.begin_transaction():
        context.run_migrations()
""",
    )
    project.revision(
        "a4", down="a3", message="legacy",
        upgrade='op.create_table("legacy_a", sa.Column("id", sa.Integer, primary_key=True))',
        downgrade='op.drop_table("legacy_a")',
    )  # fmt: skip


@kind("`-x schema=...`, `search_path` set from it", "env.py", flags=("-x", "schema=public"))
def _(project: Project) -> None:
    env(
        project,
        """
schema = context.get_x_argument(as_dictionary=True)["schema"]
with engine.connect() as connection:
    connection.exec_driver_sql(f'SET search_path = "{schema}"')
    connection.commit()
    connection.dialect.default_schema_name = schema
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
""",
    )


@kind("`pyproject.toml` with `[tool.alembic]`, no ini file", "env.py")
def _(project: Project) -> None:
    project.ini.unlink()
    (project.path / "pyproject.toml").write_text(
        '[tool.alembic]\nscript_location = "%(here)s/migrations"\nprepend_sys_path = ["."]\n', encoding="utf-8"
    )
    env(
        project,
        """
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
""",
    )


@kind("loggers silenced by `fileConfig`, prints of its own", "env.py")
def _(project: Project) -> None:
    project.write_env(fileconfig=True, head='print("starting", flush=True)')
    line(project)


@kind(
    "several targets in a loop",
    "env.py",
    but={
        "manifest": "refused (13)",
        "up": "refused (13)",
        "again": "refused (13)",
        "verified": "-",
        "adopted": "-",
        "tested": "refused (13)",
        "back": "-",
    },
    because="one run proves one target: run it once for each",
)
def _(project: Project) -> None:
    env(
        project,
        """
for table in ("versions_a", "versions_b"):
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=None, version_table=table)
        with context.begin_transaction():
            context.run_migrations()
""",
    )


# histories


@kind("raw SQL: tables, views, functions, triggers, policies", "history")
def _(project: Project) -> None:
    project.revision(
        "b1",
        upgrade="""
        op.execute('''
            CREATE TABLE t (id serial PRIMARY KEY, label varchar(20) CHECK (label IN ('a', 'b')), changed timestamptz);
            CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := now(); RETURN NEW; END $$;
            CREATE TRIGGER touched BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
        ''')
        """,
        downgrade='op.execute("DROP TABLE t; DROP FUNCTION touch()")',
    )
    project.revision(
        "b2",
        down="b1",
        upgrade="""
        op.execute('''
            CREATE VIEW labels AS SELECT label, count(*) AS n FROM t GROUP BY label;
            CREATE MATERIALIZED VIEW all_labels AS SELECT * FROM labels;
            ALTER TABLE t ENABLE ROW LEVEL SECURITY;
            CREATE POLICY everybody ON t USING (true);
        ''')
        """,
        downgrade="""
        op.execute('''DROP MATERIALIZED VIEW all_labels; DROP VIEW labels; DROP POLICY everybody ON t;
            ALTER TABLE t DISABLE ROW LEVEL SECURITY''')
        """,
    )


@kind("CREATE INDEX CONCURRENTLY in an autocommit block", "history")
def _(project: Project) -> None:
    line(project)
    project.revision(
        "c1",
        down="a3",
        upgrade="""
        with op.get_context().autocommit_block():
            op.create_index("ix_state", "orders", ["state"], postgresql_concurrently=True, if_not_exists=True)
        """,
        downgrade="""
        with op.get_context().autocommit_block():
            op.drop_index("ix_state", postgresql_concurrently=True, if_exists=True)
        """,
    )


@kind(
    "an enum value added in an autocommit block, used in the next revision", "history", but=SEVERAL, because=ONE_SCHEMA
)
def _(project: Project) -> None:
    project.revision(
        "d1",
        upgrade="""op.execute("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE people (id int, mood mood)")""",
        downgrade='op.execute("DROP TABLE people; DROP TYPE mood")',
    )
    project.revision(
        "d2",
        down="d1",
        header='irreversible = "PostgreSQL drops no enum label"',
        upgrade="""
        with op.get_context().autocommit_block():
            op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'happy'")
        """,
    )
    project.revision("d3", down="d2", upgrade="""op.execute("UPDATE people SET mood = 'happy'")""")


@kind("an embedded COMMIT", "history")
def _(project: Project) -> None:
    line(project)
    project.revision(
        "e1",
        down="a3",
        upgrade="""
        op.execute("CREATE TABLE IF NOT EXISTS one (id integer)")
        op.execute("COMMIT")
        op.execute("CREATE TABLE IF NOT EXISTS two (id integer)")
        """,
        downgrade='op.execute("DROP TABLE one, two")',
    )


@kind("a backfill, then NOT NULL in the next revision", "history")
def _(project: Project) -> None:
    line(project)
    project.revision("f1", down="a3", upgrade="""op.execute("UPDATE orders SET state = 'new' WHERE state IS NULL")""")
    project.revision(
        "f2",
        down="f1",
        upgrade='op.alter_column("orders", "state", nullable=False)',
        downgrade='op.alter_column("orders", "state", nullable=True)',
    )


@kind("data written through the ORM", "history", but=SEVERAL, because=ONE_SCHEMA)
def _(project: Project) -> None:
    line(project)
    project.revision(
        "g1",
        down="a3",
        header="from sqlalchemy.orm import Session, declarative_base",
        upgrade="""
        base = declarative_base()

        class Order(base):
            __tablename__ = "orders"
            id = sa.Column(sa.Integer, primary_key=True)
            state = sa.Column(sa.String(10))

        session = Session(bind=op.get_bind())
        for order in session.query(Order).filter(Order.state.is_(None)):
            order.state = "new"
        session.flush()
        """,
    )


@kind("`op.get_bind()` and inspection", "history")
def _(project: Project) -> None:
    line(project)
    project.revision(
        "h1",
        down="a3",
        upgrade="""
        if "note" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("orders")}:
            op.add_column("orders", sa.Column("note", sa.Text))
        """,
        downgrade='op.drop_column("orders", "note")',
    )


@kind("SQL from files beside the revisions", "history")
def _(project: Project) -> None:
    (project.path / "migrations" / "sql").mkdir()
    (project.path / "migrations" / "sql" / "one.sql").write_text("CREATE TABLE one (id integer);\n", encoding="utf-8")
    project.revision(
        "i1",
        header="import pathlib",
        upgrade='op.execute((pathlib.Path(__file__).parents[1] / "sql" / "one.sql").read_text())',
        downgrade='op.execute("DROP TABLE one")',
    )


@kind("a branch and its merge", "history")
def _(project: Project) -> None:
    line(project)
    for id_, table in (("j1", "left_table"), ("j2", "right_table")):
        project.revision(
            id_, down="a3",
            upgrade=f'op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True))',
            downgrade=f'op.drop_table("{table}")',
        )  # fmt: skip
    project.revision("j3", down=("j1", "j2"), message="merge")


@kind("three branches merged at once", "history")
def _(project: Project) -> None:
    line(project)
    for number in (1, 2, 3):
        project.revision(
            f"k{number}", down="a3",
            upgrade=f'op.create_table("side_{number}", sa.Column("id", sa.Integer, primary_key=True))',
            downgrade=f'op.drop_table("side_{number}")',
        )  # fmt: skip
    project.revision("k4", down=("k1", "k2", "k3"), message="merge")


@kind("sibling branches that build on each other without `depends_on`", "history")
def _(project: Project) -> None:
    line(project)
    project.revision(
        "l1", down="a3",
        upgrade='op.create_table("base_table", sa.Column("id", sa.Integer, primary_key=True))',
        downgrade='op.drop_table("base_table")',
    )  # fmt: skip
    project.revision("l2", down="a3", message="nothing")
    project.revision("l3", down=("l1", "l2"), message="merge")
    project.revision(
        "l4", down="l3",
        upgrade='op.add_column("base_table", sa.Column("more", sa.Text))',
        downgrade='op.drop_column("base_table", "more")',
    )  # fmt: skip


@kind("two bases, with labels and `depends_on`", "history", flags=("--target", "heads"))
def _(project: Project) -> None:
    line(project)
    project.revision(
        "m1", labels=("billing",), depends_on="a2",
        upgrade='op.create_table("bills", sa.Column("id", sa.Integer, primary_key=True),'
        ' sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id")))',
        downgrade='op.drop_table("bills")',
    )  # fmt: skip


@kind("labels and ids that are computed", "history")
def _(project: Project) -> None:
    line(project)
    path = project.revision(
        "n1", down="a3",
        upgrade='op.create_table("computed", sa.Column("id", sa.Integer, primary_key=True))',
        downgrade='op.drop_table("computed")',
    )  # fmt: skip
    text = path.read_text(encoding="utf-8").replace("branch_labels = None", 'branch_labels = ("lab" + "el",)')
    path.write_text(text, encoding="utf-8")


@kind("tables in several schemas", "history")
def _(project: Project) -> None:
    project.revision(
        "o1",
        upgrade='op.execute("CREATE SCHEMA billing; CREATE TABLE billing.bills (id int); CREATE TABLE here (id int)")',
        downgrade='op.execute("DROP SCHEMA billing CASCADE; DROP TABLE here")',
    )
    project.revision(
        "o2", down="o1",
        upgrade='op.add_column("bills", sa.Column("total", sa.Numeric), schema="billing")',
        downgrade='op.drop_column("bills", "total", schema="billing")',
    )  # fmt: skip


@kind("partitioned tables", "history")
def _(project: Project) -> None:
    project.revision(
        "p1",
        upgrade="""
        op.execute('''
            CREATE TABLE readings (taken date NOT NULL, meter int) PARTITION BY RANGE (taken);
            CREATE TABLE readings_2026 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        ''')
        """,
        downgrade='op.execute("DROP TABLE readings")',
    )
    project.revision(
        "p2", down="p1",
        upgrade='op.create_index("ix_readings_meter", "readings", ["meter"])',
        downgrade='op.drop_index("ix_readings_meter")',
    )  # fmt: skip


@kind("batch operations, renames, type changes", "history")
def _(project: Project) -> None:
    line(project)
    project.revision(
        "q1",
        down="a3",
        upgrade="""
        with op.batch_alter_table("orders") as batch:
            batch.alter_column("state", new_column_name="status", existing_type=sa.String(10), type_=sa.String(30))
        op.rename_table("orders", "purchases")
        """,
        downgrade="""
        op.rename_table("purchases", "orders")
        with op.batch_alter_table("orders") as batch:
            batch.alter_column("status", new_column_name="state", existing_type=sa.String(30), type_=sa.String(10))
        """,
    )


@kind("a table that the history fills itself", "history", but=SEVERAL, because=ONE_SCHEMA)
def _(project: Project) -> None:
    project.revision(
        "r1",
        upgrade="""
        op.create_table("roles", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, unique=True))
        op.bulk_insert(sa.table("roles", sa.column("name", sa.Text)), [{"name": "admin"}, {"name": "user"}])
        """,
        downgrade='op.drop_table("roles")',
    )
    project.revision(
        "r2",
        down="r1",
        upgrade="""op.execute("INSERT INTO roles (name) SELECT 'auditor' WHERE NOT EXISTS (SELECT FROM roles WHERE name = 'auditor')")""",
        downgrade="""op.execute("DELETE FROM roles WHERE name = 'auditor'")""",
    )


@kind("an extension", "history")
def _(project: Project) -> None:
    project.revision(
        "s1",
        upgrade="""
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        op.execute("CREATE TABLE names (name text)")
        op.execute("CREATE INDEX ix_trgm ON names USING gin (name gin_trgm_ops)")
        """,
        downgrade='op.execute("DROP TABLE names; DROP EXTENSION pg_trgm")',
    )


@kind("a role that only the target's cluster has", "history")
def _(project: Project) -> None:
    project.revision(
        "t1",
        upgrade='op.execute("CREATE TABLE t (id int); GRANT SELECT ON t TO pg_monitor")',
        downgrade='op.execute("DROP TABLE t")',
    )


@kind("umlauts, latin-1, CRLF in revision files", "history")
def _(project: Project) -> None:
    path = project.revision(
        "u1", message="größe", filename="u1_größe.py",
        upgrade="op.execute(\"CREATE TABLE größen (id int); COMMENT ON TABLE größen IS 'Maß'\")",
        downgrade='op.execute("DROP TABLE größen")',
    )  # fmt: skip
    text = "# -*- coding: latin-1 -*-\n" + path.read_text(encoding="utf-8")
    path.write_bytes(text.replace("\n", "\r\n").encode("latin-1"))


@kind("an empty revision at the end", "history", but=SEVERAL, because=ONE_SCHEMA)
def _(project: Project) -> None:
    line(project)
    project.revision("v1", down="a3", message="nothing")


@kind(
    "a downgrade that raises",
    "history",
    but={"tested": "warned: downgrade", "back": "failed (30)"},
    because='`irreversible = "why"` in the file says that it is meant',
)
def _(project: Project) -> None:
    line(project)
    project.revision(
        "w1", down="a3",
        upgrade='op.add_column("orders", sa.Column("w", sa.Text))', downgrade='raise NotImplementedError("no way back")',
    )  # fmt: skip


@kind(
    "a history that starts from a schema which something else made",
    "history",
    baseline="CREATE TABLE customers (id integer PRIMARY KEY);",
    because="`up --adopt exact`, once: the schema proves that the history has not begun",
)
def _(project: Project) -> None:
    project.revision(
        "x1",
        upgrade='op.add_column("customers", sa.Column("mail", sa.Text))',
        downgrade='op.drop_column("customers", "mail")',
    )


@kind("its own timeouts in revisions", "history")
def _(project: Project) -> None:
    line(project)
    project.revision(
        "y1",
        down="a3",
        upgrade="""
        op.execute("SET lock_timeout = '10s'")
        op.execute("SET LOCAL statement_timeout = '60s'")
        op.add_column("orders", sa.Column("y", sa.Text))
        """,
        downgrade='op.drop_column("orders", "y")',
    )


@kind(
    "`op.get_bind().commit()`, then an autocommit block, `transaction_per_migration`",
    "history",
    but={
        "manifest": "failed (30)",
        "up": "failed (31)",
        "again": "refused (15)",
        "verified": "-",
        "adopted": "-",
        "tested": "found: upgrade",
        "back": "-",
    },
    because="plain Alembic exits 0 and stays at the revision before: the commit has ended its transaction",
)
def _(project: Project) -> None:
    project.write_env(transaction_per_migration=True)
    line(project)
    project.revision(
        "z1",
        down="a3",
        upgrade="""
        op.execute("ALTER TABLE orders ADD COLUMN IF NOT EXISTS z text")
        op.get_bind().commit()
        with op.get_context().autocommit_block():
            op.create_index("ix_z", "orders", ["z"], postgresql_concurrently=True, if_not_exists=True)
        """,
        downgrade='op.drop_column("orders", "z")',
    )
