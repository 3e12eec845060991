"""A revision that may mend rows from elsewhere, or out of sight, is never proven to need that there are none."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.deep

BEFORE = """
op.execute('''
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN short AS text;
    CREATE TABLE customers (id bigint PRIMARY KEY, email text);
    CREATE TABLE orders (
        id bigint PRIMARY KEY, customer_id bigint, number text, state varchar(20), amount bigint, mood mood, code short,
        room int4range
    );
    CREATE TABLE payments (order_id bigint, customer_id bigint);
''')
"""
NO_NULL = "no NULL in orders.customer_id"
NO_DUPLICATES = "no duplicates of orders (number)"
LABEL = (
    "ALTER TYPE mood RENAME TO old; CREATE TYPE mood AS ENUM ('good');"
    " ALTER TABLE orders ALTER mood TYPE mood USING mood::text::mood; DROP TYPE old"
)
# kind -> what fails on some rows; what mends them before; what may mend them from elsewhere; the line
KINDS = {
    "not_null": (
        "ALTER TABLE orders ALTER customer_id SET NOT NULL",
        "UPDATE orders SET customer_id = 0 WHERE customer_id IS NULL",
        "UPDATE orders SET customer_id = p.customer_id FROM payments p WHERE p.order_id = orders.id",
        NO_NULL,
    ),
    "new_column": (
        "ALTER TABLE orders ADD kind text NOT NULL",
        "DELETE FROM orders",
        "DELETE FROM orders USING payments p WHERE p.order_id = orders.id",
        "no row in orders (kind is not null and has no default)",
    ),
    "unique": (
        "ALTER TABLE orders ADD CONSTRAINT uq UNIQUE (number)",
        "UPDATE orders SET number = id::text",
        "UPDATE orders SET number = p.order_id::text FROM payments p WHERE p.order_id = orders.id",
        NO_DUPLICATES,
    ),
    "unique_index_of_some": (
        "CREATE UNIQUE INDEX uq ON orders (lower(number)) WHERE state = 'open'",
        "UPDATE orders SET state = 'done'",
        "UPDATE orders SET state = 'done' FROM payments p WHERE p.order_id = orders.id",
        "no duplicates of orders (lower(number)) where ((state)::text = 'open'::text)",
    ),
    "check": (
        "ALTER TABLE orders ADD CONSTRAINT ck CHECK (amount > 100)",
        "UPDATE orders SET amount = 101",
        "UPDATE orders SET amount = 101 FROM payments p WHERE p.order_id = orders.id",
        "every row of orders fulfils CHECK ((amount > 100))",
    ),
    "check_of_domain": (
        "ALTER DOMAIN short ADD CONSTRAINT ck CHECK (length(VALUE) < 5)",
        "UPDATE orders SET code = left(code, 4)",
        "UPDATE orders SET code = 'a' FROM payments p WHERE p.order_id = orders.id",
        "every value of orders.code fulfils CHECK ((length(VALUE) < 5))",
    ),
    "foreign_key": (
        "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers",
        "UPDATE orders SET customer_id = NULL",
        "UPDATE orders SET customer_id = NULL FROM payments p WHERE p.order_id = orders.id",
        "every orders (customer_id) has its parent in customers (id)",
    ),
    "exclusion": (
        "ALTER TABLE orders ADD CONSTRAINT ex EXCLUDE USING gist (room WITH &&)",
        "UPDATE orders SET room = NULL",
        "UPDATE orders SET room = NULL FROM payments p WHERE p.order_id = orders.id",
        "no overlap in orders for EXCLUDE USING gist (room WITH &&)",
    ),
    "narrower_text": (
        "ALTER TABLE orders ALTER state TYPE varchar(5)",
        "UPDATE orders SET state = left(state, 5)",
        "UPDATE orders SET state = 'a' FROM payments p WHERE p.order_id = orders.id",
        "every value of orders.state fits character varying(5)",
    ),
    "narrower_number": (
        "ALTER TABLE orders ALTER amount TYPE integer",
        "UPDATE orders SET amount = 1",
        "UPDATE orders SET amount = 1 FROM payments p WHERE p.order_id = orders.id",
        "every value of orders.amount fits integer",
    ),
    "text_to_number": (
        "ALTER TABLE orders ALTER number TYPE integer USING number::integer",
        "UPDATE orders SET number = '1'",
        "UPDATE orders SET number = '1' FROM payments p WHERE p.order_id = orders.id",
        "every value of orders.number fits integer",
    ),
    "label": (
        LABEL,
        "UPDATE orders SET mood = 'good'",
        "UPDATE orders SET mood = 'good' FROM payments p WHERE p.order_id = orders.id",
        "no row of orders.mood uses enum label 'bad'",
    ),
}


def needs_of(project, run_migrate, statements: list[str], *, before: str = BEFORE) -> list[str]:
    project.revision("tables", upgrade=before)
    body = "\n".join(f"op.execute({statement!r})" for statement in statements)
    project.revision("change", down="tables", upgrade=body)
    result = run_migrate("manifest")
    result.check_clean()
    assert result.exit_code == 0, result.stdout
    written = json.loads((project.versions.parent / "manifest.json").read_text(encoding="utf-8"))
    needs: list[str] = written["revisions"][-1]["needs"]
    return needs


@pytest.mark.parametrize("kind", KINDS)
def test_a_revision_that_may_mend_them_from_another_table_is_not_proven_to_need_it(project, run_migrate, kind):
    change, _, may_mend, line = KINDS[kind]
    assert needs_of(project, run_migrate, [may_mend, change]) == [f"not proven: {line}"]


def test_what_a_block_or_an_autocommit_block_writes_is_not_seen_and_so_nothing_is_proven(project, run_migrate):
    change, _, may_mend, line = KINDS["not_null"]
    block = f"DO $$ BEGIN IF EXISTS (SELECT FROM orders) THEN {may_mend}; END IF; {change}; END $$"
    assert needs_of(project, run_migrate, [block]) == [f"not proven: {line}"]


def test_a_revision_that_looks_and_refuses_by_itself_is_not_proven_by_its_own_error(project, run_migrate):
    project.revision("tables", upgrade=BEFORE)
    body = (
        'if op.get_bind().execute(sa.text("SELECT count(*) FROM orders WHERE customer_id IS NULL")).scalar():\n'
        '    raise RuntimeError("mend the orders first")\n'
        "op.execute('ALTER TABLE orders ALTER customer_id SET NOT NULL')"
    )
    project.revision("change", down="tables", upgrade=body)
    assert run_migrate("manifest").exit_code == 0
    written = json.loads((project.versions.parent / "manifest.json").read_text(encoding="utf-8"))
    assert written["revisions"][-1]["needs"] == [f"not proven: {NO_NULL}"]


REACHED = {
    "a row that it belongs to is deleted": (
        (
            "CREATE TABLE owners (id bigint PRIMARY KEY, legacy boolean);"
            " CREATE TABLE things (id bigint, owner_id bigint REFERENCES owners ON DELETE CASCADE, name text)"
        ),
        "DELETE FROM owners WHERE legacy",
    ),
    "and so on upwards": (
        (
            "CREATE TABLE roots (id bigint PRIMARY KEY, legacy boolean);"
            " CREATE TABLE owners (id bigint PRIMARY KEY, root_id bigint REFERENCES roots ON DELETE CASCADE);"
            " CREATE TABLE things (id bigint, owner_id bigint REFERENCES owners ON DELETE CASCADE, name text)"
        ),
        "DELETE FROM roots WHERE legacy",
    ),
    "a trigger of another table": (
        (
            "CREATE TABLE notes (thing_id bigint, name text); CREATE TABLE things (id bigint, name text);"
            " CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN"
            " UPDATE things SET name = NEW.name WHERE id = NEW.thing_id; RETURN NEW; END $f$;"
            " CREATE TRIGGER tell AFTER UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION tell()"
        ),
        "UPDATE notes SET name = coalesce(name, '-')",
    ),
    "a partition": (
        (
            "CREATE TABLE things (id bigint, name text, other bigint) PARTITION BY RANGE (id);"
            " CREATE TABLE things_1 PARTITION OF things FOR VALUES FROM (0) TO (1000000);"
            " CREATE TABLE sources (id bigint, name text)"
        ),
        "UPDATE things_1 SET name = s.name FROM sources s WHERE s.id = things_1.other",
    ),
}


@pytest.mark.parametrize("way", REACHED)
def test_rows_may_be_mended_through_another_table(project, run_migrate, way):
    tables, mends = REACHED[way]
    found = needs_of(
        project, run_migrate, [mends, "ALTER TABLE things ALTER name SET NOT NULL"], before=f"op.execute({tables!r})"
    )
    assert "not proven: no NULL in things.name" in found
    assert all(line.startswith("not proven: ") for line in found), "its partitions are asked, too"


def test_a_cursor_of_the_driver_may_mend_them(project, run_migrate):
    project.revision("tables", upgrade=BEFORE)
    body = (
        "cursor = op.get_bind().connection.cursor()\n"
        'cursor.execute("UPDATE orders SET customer_id = p.customer_id FROM payments p WHERE p.order_id = orders.id")\n'
        'op.alter_column("orders", "customer_id", nullable=False)'
    )
    project.revision("change", down="tables", upgrade=body)
    assert run_migrate("manifest").exit_code == 0
    written = json.loads((project.versions.parent / "manifest.json").read_text(encoding="utf-8"))
    assert written["revisions"][-1]["needs"] == [f"not proven: {NO_NULL}"]
