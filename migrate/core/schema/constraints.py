"""When a constraint or an index that is new or changed may refuse rows that a program was allowed to write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrate.core.schema.differences import parse_column
from migrate.core.schema.expressions import NULL, evaluate, inside, truth
from migrate.core.schema.implication import DOMAIN_VALUE, implies
from migrate.core.schema.pair import Key, is_unique, names

if TYPE_CHECKING:
    from migrate.core.schema.pair import Objects, Pair

_LITERAL = re.compile(r"'(?:[^']|'')*'")


def _is_new(pair: Pair) -> bool:
    """Whether the owner has no such constraint or index under another name in the program's schema."""
    return pair.added not in pair.beside(pair.programs, pair.identity.kind).values()


def can_collide(pair: Pair) -> bool:
    """Whether a new unique key can refuse the program's rows."""
    if not is_unique(pair.added) or is_unique(pair.program) or not _is_new(pair):
        return False
    key = Key.read(pair.added)
    return not key.leaves_out(pair) and not key.is_implied(pair)


def can_exclude(pair: Pair) -> bool:
    """Whether a new exclusion can refuse the program's rows."""
    if not pair.added.startswith("EXCLUDE") or not _is_new(pair):
        return False
    key = Key.read(pair.added)
    return not key.leaves_out(pair) and not key.is_implied(pair)


def can_dangle(pair: Pair) -> bool:
    """Whether a new foreign key can refuse the program's rows: not where they have NULL in one of its columns."""
    if not pair.added.startswith("FOREIGN KEY") or _is_unenforced(pair.added) or not _is_new(pair):
        return False
    suffices = all if "MATCH FULL" in pair.added else any
    if suffices(pair.written.get(part) == NULL for part in _key_columns(pair.added)):
        return False
    return not any(_is_laxer(pair, d, pair.added) for d in pair.beside(pair.programs, "constraint").values())


def _key_columns(definition: str) -> list[str]:
    return names(inside(definition)[0])


def can_fail(pair: Pair) -> bool:
    """Whether a new CHECK can refuse the program's rows.

    What is not understood, and about none but new columns, was validated with the values that these rows will have.
    """
    if not pair.added.startswith("CHECK") or _is_unenforced(pair.added) or not _is_new(pair):
        return False
    may_be = truth(evaluate(inside(pair.added)[0], pair.written))
    if False not in may_be or _is_implied(pair):
        return False
    is_about_new = bool(_columns_of(pair, pair.databases))
    return not is_about_new or bool(_columns_of(pair, pair.programs)) or len(may_be) == 1


def _columns_of(pair: Pair, objects: Objects) -> set[str]:
    """The columns of the owner, as one side has them, that a new or changed CHECK names."""
    words = names(_LITERAL.sub("", pair.added))
    return {word for word in words if pair.column_of(objects, word) is not None}


def _is_implied(pair: Pair) -> bool:
    """Whether a CHECK of one column, or of a domain's value, lets pass what the program's own did, under whatever names."""
    if f"domain {pair.owner}" in pair.databases.whole:
        column, identity = DOMAIN_VALUE, f"domain {pair.owner}"
    else:
        columns = _columns_of(pair, pair.databases)
        if len(columns) != 1:
            return False
        (column,) = columns
        identity = f"column {pair.owner}.{column}"
    known = [d for d in pair.beside(pair.programs, "constraint").values() if d.startswith("CHECK")]
    given = [inside(definition)[0] for definition in known if not _is_unenforced(definition)]
    types = {_compared_as(side, identity) for side in (pair.programs, pair.databases)}
    return all(implies(given, inside(pair.added)[0], column, type_) for type_ in types)


def _compared_as(objects: Objects, identity: str) -> str:
    """The type of a column's or a domain's values, without modifiers: under a collation, texts that differ may be equal."""
    column = parse_column(objects.whole.get(identity, ""))
    if column.collation:
        return "collated"
    domain = f"domain {column.type}"
    return _compared_as(objects, domain) if domain in objects.whole else column.type.partition("(")[0]


def _is_unenforced(definition: str) -> bool:
    return definition.endswith(" NOT ENFORCED")


def is_stricter(pair: Pair) -> bool:
    """Whether a CHECK, foreign key or exclusion that both have is another one, and not a laxer one."""
    if is_unique(pair.program) or is_unique(pair.added):
        return False
    program, database = pair.program or "", pair.added
    if _is_unenforced(database) or _is_laxer(pair, program, database):
        return False
    return not database.startswith("CHECK") or not _is_implied(pair)


_DONE = "( ON {} (?:CASCADE|RESTRICT|SET NULL|SET DEFAULT)(?: \\([^)]*\\))?)?"
_TAIL = re.compile(
    rf"{_DONE.format('UPDATE')}{_DONE.format('DELETE')}( DEFERRABLE(?: INITIALLY DEFERRED)?)?(?: NOT VALID)?$"
)


def _is_laxer(pair: Pair, program: str, database: str) -> bool:
    """Whether a constraint refuses nothing that another did not: the same, but for NOT VALID, DEFERRABLE and actions."""
    found = [_TAIL.search(text) for text in (program, database)]
    before, after = found
    assert before is not None
    assert after is not None  # it may be empty
    if program[: before.start()] != database[: after.start()] or before[3] not in {None, after[3]}:
        return False
    return all(_does_no_less(pair, before[each], after[each], before[3]) for each in (1, 2))


def _does_no_less(pair: Pair, program: str | None, database: str | None, deferred: str | None) -> bool:
    """Whether a key's action lets the program do what it did; where it was refused, nobody waits for the refusal."""
    if program == database or (database is None and (program or "").endswith(" RESTRICT")):
        return True
    if database is None or database.endswith(" RESTRICT") or deferred is not None:
        return False  # it refuses more, or acts before the end of a transaction that would have put things right
    if program is not None and not program.endswith(" RESTRICT"):
        return False  # what the program relies on is not done any more
    if " SET NULL" not in database:
        return True
    columns = names(inside(database)[0]) or _key_columns(pair.added)
    return all(not parse_column(pair.column_of(pair.databases, each) or "").not_null for each in columns)
