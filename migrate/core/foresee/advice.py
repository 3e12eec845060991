"""The safe way to what a revision does, in Alembic's own words, for each kind of effect that blocks others for long.

Where the way has several steps, each is a revision of its own: a lock that one of them takes ends with its transaction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

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
    line,
)
from migrate.core.quoting import identifier
from migrate.core.schema.differences import parse
from migrate.core.schema.expressions import inside, parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.foresee.effects import Effect

_PLAIN: Final = re.compile(r'[a-z_][a-z0-9_]*|"(?:[^"]|"")+"')
_REFERENCES: Final = re.compile(r" REFERENCES (?P<parent>.+?)\((?P<columns>[^)]*)\)(?P<more>.*)", re.DOTALL)
_ACTION: Final = re.compile(r"ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT|RESTRICT)")
_NOT_NULL: Final = " is made not null"
_NO_WAY_BACK: Final = 'raise NotImplementedError("make the index anew, concurrently, as it was")'


class Step(NamedTuple):
    """One revision of a safe way: the bodies of its two functions."""

    upgrade: str
    downgrade: str

    def lines(self) -> tuple[str, ...]:
        """Both functions, to be pasted into a revision's file."""
        return (
            "def upgrade() -> None:",
            *(f"    {line}" for line in self.upgrade.splitlines()),
            "",
            "def downgrade() -> None:",
            *(f"    {line}" for line in self.downgrade.splitlines()),
        )


class Advice(NamedTuple):
    """A sentence, and the revisions that take the place of one; none: only advice."""

    sentence: str
    revisions: tuple[Step, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The sentence, then the code, with a comment before each revision where they are several."""
        found = [self.sentence]
        for number, step in enumerate(self.revisions, start=1):
            if len(self.revisions) > 1:
                found += [f"# revision {number} of {len(self.revisions)}"]
            found += [*step.lines(), ""]
        return tuple(found[:-1] if self.revisions else found)

    def to_json(self) -> dict[str, object]:
        """With the bodies of both functions of each revision."""
        return {"sentence": self.sentence, "revisions": [step._asdict() for step in self.revisions]}


_EXAMPLE: Final = {
    "index orders.ix_orders_state": "btree (state)",
    "constraint orders.uq_orders_number": "UNIQUE (number)",
    "constraint orders.fk_orders_customer": "FOREIGN KEY (customer_id) REFERENCES customers(id)",
    "constraint orders.ck_orders_amount": "CHECK ((amount > 0))",
}
KINDS: Final[Mapping[str, Effect]] = {
    "index": IndexBuild("orders", Blocks.WRITES, "ix_orders_state"),
    "unique": IndexBuild("orders", Blocks.ALL, "uq_orders_number"),
    "foreign-key": ForeignKey("orders", Blocks.WRITES, "fk_orders_customer", "customers"),
    "check": Scan("orders", Blocks.ALL, "ck_orders_amount is added"),
    "not-null": Scan("orders", Blocks.ALL, "customer_id is made not null"),
    "rewrite": Rewrite("orders", Blocks.ALL),
    "held-lock": Held("orders", Blocks.ALL, 2),
}
"""By the word that `migrate explain` takes: an example of each kind of effect that blocks others for long."""


def example(word: str) -> tuple[str, Advice]:
    """The line of the example's effect, and the safe way. ``word`` is one of `KINDS`."""
    found = advice(KINDS[word], _EXAMPLE)
    assert found is not None
    return line(KINDS[word]), found


def advice(effect: Effect, after: Mapping[str, str]) -> Advice | None:
    """How the same is done without blocking others for long; ``after`` is the schema that the revision leads to.

    None where nothing blocks for long, or nothing better is known.
    """
    match effect:
        case IndexBuild(blocks=Blocks.NOTHING) | Scan(blocks=Blocks.NOTHING) | RowsWritten() | Raised():
            return None
        case IndexBuild(table=table, index=index):
            return _of_index(table, index, after)
        case ForeignKey(is_parent=True):
            return None  # said of the table that refers
        case ForeignKey(table=table, constraint=constraint):
            return _of_foreign_key(table, constraint, after)
        case Scan(table=table, why=why):
            return _of_scan(table, why, after)
        case Rewrite(table=table):
            return Advice(
                f"Add a new column to {table} that may be NULL, fill it in batches that commit, let the service write both,"
                " and switch over in a later release: a rewrite cannot be made without its lock."
            )
        case Held(table=table, blocks=blocks, statements=statements):
            return Advice(
                f"Let the statement that blocks {blocks} of {table} be the last of its revision: put the"
                f" {'statement after it into a revision of its' if statements == 1 else f'{statements} statements after it into a revision of their'} own."
            )
        case Brief(table=table, why=why):
            gone = why.removeprefix("drops index ") if why.startswith("drops index ") else ""
            if not gone:
                return None
            drops = _concurrently(*(_drop_index(name, table) for name in gone.split(", ")))
            return Advice(f"Drop the index of {table} concurrently.", (Step(drops, _NO_WAY_BACK),))
        case _:
            assert_never(effect)


def _of_index(table: str, index: str, after: Mapping[str, str]) -> Advice | None:
    constraint = after.get(f"constraint {table}.{index}")
    if constraint is not None:
        kind, listed = constraint.partition(" (")[0], inside(constraint)[0]
        if kind not in {"UNIQUE", "PRIMARY KEY"} or not _are_plain(listed):
            return None
        build = _concurrently(_create_index(index, table, listed, "unique=True"))
        use = f"ALTER TABLE {_sql(table)} ADD CONSTRAINT {_sql(index)} {kind} USING INDEX {_sql(index)}"
        return Advice(
            f"Build the index of {index} concurrently, which fails if there are duplicates; then make it the constraint:"
            " that changes the catalog alone.",
            (
                Step(build, _concurrently(_drop_index(index, table))),
                Step(f"op.execute({_text(use)})", f"{_drop_constraint(index, table)}\n{build}"),
            ),
        )
    definition = after.get(f"index {table}.{index}")
    if definition is None:
        return None
    listed, rest = inside(definition)
    unique = "unique=True" if definition.startswith("unique ") else ""
    sentence = f"Build {index} concurrently: readers and writers of {table} go on."
    method = definition.removeprefix("unique ").partition(" (")[0]
    if _are_plain(listed) and not rest and method == "btree":
        made = _create_index(index, table, listed, unique)
        return Advice(sentence, (Step(_concurrently(made), _concurrently(_drop_index(index, table))),))
    kind = "UNIQUE INDEX" if unique else "INDEX"
    statement = (
        f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {_sql(index)} ON {_sql(table)} USING {method} ({listed}){rest}"
    )
    built = _concurrently(f"    op.execute({_text(statement)})")
    return Advice(sentence, (Step(built, _concurrently(_drop_index(index, table))),))


def _of_foreign_key(table: str, constraint: str, after: Mapping[str, str]) -> Advice | None:
    definition = after.get(f"constraint {table}.{constraint}", "")
    found = _REFERENCES.search(definition)
    if found is None or not definition.startswith("FOREIGN KEY"):
        return None
    columns, parent, references = inside(definition)[0], found["parent"], found["columns"]
    actions = "".join(f", on{when.lower()}={_text(what)}" for when, what in _ACTION.findall(found["more"]))
    made = (
        f"op.create_foreign_key({_text(_name(constraint))}, {_text(_name(table))}, {_text(_name(parent))},"
        f" {_listed(columns)}, {_listed(references)}{actions}{_schema(table, 'source_schema')}"
        f"{_schema(parent, 'referent_schema')}, postgresql_not_valid=True)"
    )
    return _in_two(table, constraint, made, "the values that are there are looked up")


def _of_scan(table: str, why: str, after: Mapping[str, str]) -> Advice | None:
    for each in why.split(", "):
        if each.endswith(_NOT_NULL):
            return _of_not_null(table, each.removesuffix(_NOT_NULL))
        name, _, what = each.rpartition(" is ")
        definition = after.get(f"constraint {table}.{name}", "")
        if what == "added" and definition.startswith("CHECK"):
            condition = inside(definition)[0]
            made = (
                f"op.create_check_constraint({_text(_name(name))}, {_text(_name(table))}, {_text(condition)}"
                f"{_schema(table, 'schema')}, postgresql_not_valid=True)"
            )
            return _in_two(table, name, made, "the rows that are there are read")
    return None


def _of_not_null(table: str, column: str) -> Advice:
    check, schema = f"{_name(table)}_{_name(column)}_not_null", _schema(table, "schema")
    has_value = _text(f"{_sql(column)} IS NOT NULL")
    made = f"op.create_check_constraint({_text(check)}, {_text(_name(table))}, {has_value}{schema}"
    not_valid = f"{made}, postgresql_not_valid=True)"
    alter = f"op.alter_column({_text(_name(table))}, {_text(_name(column))}, nullable={{}}{schema})"
    drop = _drop_constraint(check, table)
    update = f"UPDATE {_sql(table)} SET {_sql(column)} = ... WHERE ...".replace(
        "\n", "\\n"
    )  # a name may have any character
    fill = f"# First give the rows that have none a value, in batches: {update}"
    return Advice(
        f"Prove by a CHECK that {column} has no NULL: revision 1 refuses new ones at once, so the release that is running"
        " must not write any; revision 2 reads the rows while readers and writers go on, and fails if one is NULL; then"
        " SET NOT NULL reads no row. Four revisions, as a lock lasts until its transaction ends.",
        (
            Step(not_valid, drop),
            Step(f"{fill}\n{_validate(table, check)}", f"{drop}\n{not_valid}"),
            Step(alter.format("False"), alter.format("True")),
            Step(drop, f"{made})"),
        ),
    )


def _in_two(table: str, constraint: str, made: str, what: str) -> Advice:
    drop = _drop_constraint(constraint, table)
    return Advice(
        f"Add {constraint} as NOT VALID: new rows must fulfil it at once, those of the release that is running, too. Mend"
        f" the rows that do not, and validate it: {what} while readers and writers go on.",
        (Step(made, drop), Step(_validate(table, constraint), f"{drop}\n{made}")),
    )


def _validate(table: str, constraint: str) -> str:
    return f"op.execute({_text(f'ALTER TABLE {_sql(table)} VALIDATE CONSTRAINT {_sql(constraint)}')})"


def _create_index(index: str, table: str, listed: str, unique: str) -> str:
    more = f", {unique}" if unique else ""
    return (
        f"    op.create_index({_text(_name(index))}, {_text(_name(table))}, {_listed(listed)}{more}"
        f"{_schema(table, 'schema')}, postgresql_concurrently=True, if_not_exists=True)"
    )


def _drop_index(index: str, table: str) -> str:
    return (
        f"    op.drop_index({_text(_name(index))}, table_name={_text(_name(table))}{_schema(table, 'schema')},"
        " postgresql_concurrently=True, if_exists=True)"
    )


def _drop_constraint(constraint: str, table: str) -> str:
    return f"op.drop_constraint({_text(_name(constraint))}, {_text(_name(table))}{_schema(table, 'schema')})"


def _concurrently(*lines: str) -> str:
    return "\n".join(("with op.get_context().autocommit_block():", *lines))


def _are_plain(listed: str) -> bool:
    return all(_PLAIN.fullmatch(each) for each in parts(listed))


def _listed(listed: str) -> str:
    return f"[{', '.join(_text(_name(each)) for each in parts(listed))}]"


def _path(name: str) -> tuple[str, ...]:
    return parse(f"table {name}").path


def _name(name: str) -> str:
    """The bare name, as Python and Alembic want it."""
    return _path(name)[-1]


def _schema(table: str, key: str) -> str:
    path = _path(table)
    return f", {key}={_text(path[0])}" if len(path) > 1 else ""


def _sql(name: str) -> str:
    return ".".join(map(identifier, _path(name)))


def _text(text: str) -> str:
    """A Python string, in double quotes where that needs no escape."""
    return f'"{text}"' if '"' not in text and "\\" not in text and "\n" not in text else repr(text)
