"""The safe way to what blocks others: code of Alembic's with the user's own names."""

from __future__ import annotations

import pytest

from migrate.core.foresee.advice import KINDS, Advice, Step, advice, example
from migrate.core.foresee.effects import (
    Blocks,
    Brief,
    ForeignKey,
    Held,
    IndexBuild,
    Raised,
    Rewrite,
    RowsWritten,
    Scan,
)

AFTER = {
    "index orders.ix": "btree (state)",
    "index orders.uix": 'unique btree (state, "Odd")',
    "index orders.ex": "btree (lower(state)) WHERE (amount > 0)",
    "constraint orders.uq": "UNIQUE (number)",
    "constraint orders.excl": "EXCLUDE USING gist (room WITH &&)",
    "constraint other.things.pk": "PRIMARY KEY (id)",
    "constraint orders.fk": "FOREIGN KEY (customer_id) REFERENCES crm.customers(id) ON DELETE SET NULL",
    "constraint orders.ck": "CHECK ((state <> 'a\"b'::text))",
    "constraint orders.odd": "TRIGGER",
}
BUILDS = "with op.get_context().autocommit_block():\n    "


def code(effect) -> tuple[str, ...]:
    found = advice(effect, AFTER)
    assert found is not None
    return tuple(step.upgrade for step in found.revisions)


def back(effect) -> tuple[str, ...]:
    found = advice(effect, AFTER)
    assert found is not None
    return tuple(step.downgrade for step in found.revisions)


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (
            IndexBuild("orders", Blocks.WRITES, "ix"),
            (BUILDS + 'op.create_index("ix", "orders", ["state"], postgresql_concurrently=True, if_not_exists=True)',),
        ),
        (
            IndexBuild("orders", Blocks.WRITES, "uix"),
            (
                BUILDS + 'op.create_index("uix", "orders", ["state", "Odd"], unique=True, postgresql_concurrently=True,'
                " if_not_exists=True)",
            ),
        ),
        (
            IndexBuild("orders", Blocks.WRITES, "ex"),
            (
                BUILDS
                + 'op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON orders USING btree (lower(state)) WHERE (amount > 0)")'.replace(
                    " ix ", " ex "
                ),
            ),
        ),
        (
            IndexBuild("orders", Blocks.ALL, "uq"),
            (
                BUILDS
                + 'op.create_index("uq", "orders", ["number"], unique=True, postgresql_concurrently=True, if_not_exists=True)',
                'op.execute("ALTER TABLE orders ADD CONSTRAINT uq UNIQUE USING INDEX uq")',
            ),
        ),
        (
            IndexBuild("other.things", Blocks.ALL, "pk"),
            (
                BUILDS
                + 'op.create_index("pk", "things", ["id"], unique=True, schema="other", postgresql_concurrently=True,'
                " if_not_exists=True)",
                'op.execute("ALTER TABLE other.things ADD CONSTRAINT pk PRIMARY KEY USING INDEX pk")',
            ),
        ),
        (
            ForeignKey("orders", Blocks.WRITES, "fk", "crm.customers"),
            (
                (
                    'op.create_foreign_key("fk", "orders", "customers", ["customer_id"], ["id"], ondelete="SET NULL",'
                    ' referent_schema="crm", postgresql_not_valid=True)'
                ),
                'op.execute("ALTER TABLE orders VALIDATE CONSTRAINT fk")',
            ),
        ),
        (
            Scan("orders", Blocks.ALL, "it becomes a partition, ck is added"),
            (
                'op.create_check_constraint("ck", "orders", \'(state <> \\\'a"b\\\'::text)\', postgresql_not_valid=True)',
                'op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck")',
            ),
        ),
        (
            Scan("other.things", Blocks.ALL, "email is made not null"),
            (
                (
                    'op.create_check_constraint("things_email_not_null", "things", "email IS NOT NULL", schema="other",'
                    " postgresql_not_valid=True)"
                ),
                (
                    "# First give the rows that have none a value, in batches: UPDATE other.things SET email = ... WHERE ...\n"
                    'op.execute("ALTER TABLE other.things VALIDATE CONSTRAINT things_email_not_null")'
                ),
                'op.alter_column("things", "email", nullable=False, schema="other")',
                'op.drop_constraint("things_email_not_null", "things", schema="other")',
            ),
        ),
        (
            Brief("orders", Blocks.ALL, "drops index ix, other_ix"),
            (
                BUILDS + 'op.drop_index("ix", table_name="orders", postgresql_concurrently=True, if_exists=True)\n'
                '    op.drop_index("other_ix", table_name="orders", postgresql_concurrently=True, if_exists=True)',
            ),
        ),
    ],
    ids=str,
)
def test_the_code_has_the_users_own_names(effect, expected):
    assert code(effect) == expected


@pytest.mark.parametrize(
    "effect",
    [
        IndexBuild("orders", Blocks.NOTHING, "ix"),
        IndexBuild("orders", Blocks.ALL, "excl"),
        IndexBuild("orders", Blocks.ALL, "gone"),
        Scan("orders", Blocks.NOTHING, "ck is validated"),
        Scan("orders", Blocks.ALL, "fk is added"),
        Scan("orders", Blocks.ALL),
        ForeignKey("customers", Blocks.WRITES, "fk", "orders", is_parent=True),
        ForeignKey("orders", Blocks.WRITES, "odd", "customers"),
        Brief("orders", Blocks.ALL),
        RowsWritten("orders"),
        Raised("lock_timeout", "1min"),
    ],
    ids=str,
)
def test_nothing_is_advised_where_nothing_blocks_for_long_or_nothing_better_is_known(effect):
    assert advice(effect, AFTER) is None


def test_what_no_code_can_say_is_a_sentence():
    for effect, word in (
        (Rewrite("orders", Blocks.ALL), "orders"),
        (Held("orders", Blocks.ALL, 1), "put the statement after it"),
        (Held("orders", Blocks.WRITES, 3), "put the 3 statements after it"),
    ):
        found = advice(effect, AFTER)
        assert found is not None
        assert word in found.sentence
        assert found.lines() == (found.sentence,)


def test_each_step_has_its_way_back():
    assert back(IndexBuild("other.things", Blocks.ALL, "pk")) == (
        BUILDS
        + 'op.drop_index("pk", table_name="things", schema="other", postgresql_concurrently=True, if_exists=True)',
        'op.drop_constraint("pk", "things", schema="other")\n'
        + BUILDS
        + 'op.create_index("pk", "things", ["id"], unique=True, schema="other", postgresql_concurrently=True, if_not_exists=True)',
    )
    assert back(Scan("orders", Blocks.ALL, "email is made not null")) == (
        'op.drop_constraint("orders_email_not_null", "orders")',
        (
            'op.drop_constraint("orders_email_not_null", "orders")\n'
            'op.create_check_constraint("orders_email_not_null", "orders", "email IS NOT NULL", postgresql_not_valid=True)'
        ),
        'op.alter_column("orders", "email", nullable=True)',
        'op.create_check_constraint("orders_email_not_null", "orders", "email IS NOT NULL")',
    )
    (dropped,) = back(Brief("orders", Blocks.ALL, "drops index ix"))
    assert dropped.startswith("raise NotImplementedError")


def test_steps_are_revisions_of_their_own():
    assert Advice("Do.", (Step("one()", "back()"), Step("two()\nthree()", "pass"))).lines() == (
        "Do.",
        "# revision 1 of 2",
        "def upgrade() -> None:", "    one()", "", "def downgrade() -> None:", "    back()",
        "",
        "# revision 2 of 2",
        "def upgrade() -> None:", "    two()", "    three()", "", "def downgrade() -> None:", "    pass",
    )  # fmt: skip
    assert Advice("Do.", (Step("one()", "pass"),)).lines()[:3] == ("Do.", "def upgrade() -> None:", "    one()")
    assert Advice("Do.").lines() == ("Do.",)


@pytest.mark.parametrize("word", KINDS)
def test_every_kind_has_an_example_with_its_safe_way(word):
    effect, way = example(word)
    assert "orders" in effect
    assert way.sentence
    assert bool(way.revisions) == (word not in {"rewrite", "held-lock"})
