"""The safe way that is advised does the same, and blocks nobody for long: tried in the throw-away database itself."""

from __future__ import annotations

import json

import pytest

from migrate.core.foresee.effects import Held, is_heavy, read
from migrate.core.manifest.manifest import Manifest

pytestmark = pytest.mark.deep

TABLES = """
op.execute('''
    CREATE SCHEMA "Other";
    CREATE TABLE customers (id bigint PRIMARY KEY, email text);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, state varchar(20), amount int, "Odd name" text);
    CREATE TABLE parts (number bigint NOT NULL, serial text);
    CREATE TABLE "Other"."Things" (id bigint PRIMARY KEY, customer_id bigint, "Name" text);
''')
"""
HAZARDS = {
    "index": "CREATE INDEX ix ON orders (state)",
    "index of a quoted column": 'CREATE INDEX "Ix odd" ON orders ("Odd name")',
    "index of an expression": "CREATE INDEX ix ON orders (lower(state)) WHERE amount > 0",
    "index of another method": "CREATE INDEX ix ON orders USING hash (state)",
    "unique index": "CREATE UNIQUE INDEX ix ON orders (state, amount)",
    "unique": "ALTER TABLE orders ADD CONSTRAINT uq UNIQUE (state)",
    "unique in another schema": 'ALTER TABLE "Other"."Things" ADD CONSTRAINT "Uq" UNIQUE ("Name")',
    "foreign key": "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE",
    "foreign key from another schema": (
        'ALTER TABLE "Other"."Things" ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers'
    ),
    "check": "ALTER TABLE orders ADD CONSTRAINT ck CHECK (state <> '\"')",
    "not null": "ALTER TABLE customers ALTER email SET NOT NULL",
    "primary key": "ALTER TABLE parts ADD CONSTRAINT parts_pkey PRIMARY KEY (number)",
    "primary key of a column that may be null": "ALTER TABLE parts ADD CONSTRAINT parts_pkey PRIMARY KEY (serial)",
    "not null of a quoted column": 'ALTER TABLE orders ALTER "Odd name" SET NOT NULL',
}


def manifest_of(project) -> Manifest:
    return Manifest.parse((project.versions.parent / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("hazard", HAZARDS.values(), ids=HAZARDS)
def test_the_safe_way_leads_to_the_same_and_blocks_nobody_for_long(project, run_migrate, hazard):
    project.revision("tables", upgrade=TABLES)
    file = project.revision("change", down="tables", upgrade=f"op.execute({hazard!r})")
    assert run_migrate("manifest").exit_code == 0
    before = manifest_of(project)
    told = json.loads(run_migrate("plan", "--format", "markdown", "--from", "tables", "--json").stdout)
    steps = [step for way in told["review"][0]["safer"] for step in way["revisions"]]
    assert steps
    file.unlink()
    last = "tables"
    for number, step in enumerate(steps):
        project.revision(f"safe{number}", down=last, upgrade=step["upgrade"], downgrade=step["downgrade"])
        last = f"safe{number}"
    result = run_migrate("manifest")
    assert result.exit_code == 0, result.stdout
    after = manifest_of(project)
    assert after.schema_at([last]) == before.schema_at(["change"])
    found = run_migrate("test", "--since", "tables").named("trial.finding")
    if "UNIQUE" in hazard or "PRIMARY" in hazard:  # a trial has duplicates for the key, as for the revision advised on
        found = [each for each in found if "a key of it is in the table more than once" not in each["message"]]
    assert [each["message"] for each in found] == []
    for entry in after.revisions[1:]:
        effects = [read(line) for line in entry.effects or ()]
        assert [each for each in effects if is_heavy(each) or isinstance(each, Held)] == []


def test_the_check_of_locks_warns_and_fails_only_where_that_is_asked(project, run_migrate):
    project.revision("tables", upgrade=TABLES)
    project.revision("change", down="tables", upgrade=f"op.execute({HAZARDS['index']!r})")
    assert run_migrate("manifest").exit_code == 0
    result = run_migrate("test")
    assert result.exit_code == 0, result.stdout
    (finding,) = [each for each in result.named("trial.finding") if each["check"] == "locks"]
    assert (finding["check"], finding["revision"]) == ("locks", "change")
    assert "blocks writes of orders: builds index ix" in finding["finding"]
    text = (project.path / finding["file"]).read_text().splitlines()
    assert "CREATE INDEX" in text[finding["line"] - 1]
    assert any("postgresql_concurrently=True" in line for line in finding["details"])
    failed = run_migrate("test", "--fail", "locks")
    assert failed.exit_code == 11


def test_plan_shows_it_below_the_effect(project, database, run_migrate):
    project.revision("tables", upgrade=TABLES)
    project.revision("change", down="tables", upgrade=f"op.execute({HAZARDS['index']!r})")
    assert run_migrate("manifest").exit_code == 0
    assert run_migrate("up", "--target", "tables", database=database).exit_code == 0
    text = run_migrate("plan", database=database, env={"MIGRATE_LOG_FORMAT": "text"}).stdout.decode()
    assert '    op.create_index("ix", "orders", ["state"], postgresql_concurrently=True, if_not_exists=True)' in text


@pytest.mark.parametrize(
    ("second", "warns"),
    [
        ("op.add_column('orders', sa.Column('b', sa.Text()))", False),
        ("op.execute('INSERT INTO kept SELECT id FROM orders')", True),
    ],
    ids=["both-at-once", "copies"],
)
def test_a_lock_that_is_held_while_nothing_takes_long_is_no_finding(project, run_migrate, second, warns):
    header = "import sqlalchemy as sa\n"
    project.revision(
        "start", upgrade="op.execute('CREATE TABLE orders (id int)')\nop.execute('CREATE TABLE kept (id int)')"
    )
    project.revision(
        "more", down="start", header=header, upgrade=f"op.add_column('orders', sa.Column('a', sa.Text()))\n{second}"
    )
    assert run_migrate("manifest").exit_code == 0
    result = run_migrate("test")
    assert result.exit_code == 0
    found = [
        each for each in result.named("trial.finding") if each["check"] == "locks" and "through" in each["finding"]
    ]
    assert bool(found) is warns
