"""Where in a revision's file a statement is that names something."""

from __future__ import annotations

import pytest

from migrate.core.history.statement_lines import line_of

SOURCE = """from alembic import op

def helper():
    op.execute("ix_elsewhere")

def upgrade():
    op.add_column("orders", "state")
    with op.batch_alter_table("orders") as batch:
        batch.create_index("ix_state", ["state"])
    try:
        op.execute("UPDATE orders SET total = 1")
    except ValueError:
        op.execute("SELECT late")
"""


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("ix_state",), 9),
        (("total", "orders"), 11),
        (("late",), 13),
        (("orders",), 6),  # two name it
        (("missing", "ix_state"), 9),
        (("ix_elsewhere",), 6),  # not in upgrade()
        (("public.ix_state",), 6),
        ((), 6),
    ],
)
def test_it_is_the_one_statement_that_names_it_else_the_function(names, line):
    assert line_of(SOURCE, names) == line


@pytest.mark.parametrize("source", ["x = 1", "def (", "a\0b"])
def test_without_the_function_there_is_no_line(source):
    assert line_of(source) is None
