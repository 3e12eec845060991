"""Whether a program that was written for one schema is served by a database that has another.

It answers the rollback (the image's head against the live schema) and the forward question (the manifest where the
database is, against head: does the pending change break the release that is still running).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migrate.core.schema.differences import OWNERS, parse
from migrate.core.schema.pair import Objects, Pair, is_unique
from migrate.core.schema.rules import RULES
from migrate.core.schema.spelling import AS_PRINTED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from migrate.core.schema.differences import Difference, Schema
    from migrate.core.schema.spelling import Spellings


@dataclass(frozen=True, slots=True)
class Break:
    """One thing in the database that the program does not work with; `rule` names the row of the table of rules."""

    identity: str
    rule: str
    why: str


def serves(program: Schema, database: Schema, spelled: Spellings = AS_PRINTED) -> tuple[Break, ...]:
    """What in `database` a program that was written for `program` does not work with, by table; empty: it is served.

    `spelled` has what is printed in more than one way: the program is served where any spelling of its own would be.

    What is not in `RULES` is served: a dropped NOT NULL, CHECK, foreign key, exclusion or index that is not unique, a
    wider type, another default, another body of a function or view, and whatever is new and not on a table that the
    program knows.
    """
    programs, databases = Objects(program, spelled), Objects(database, spelled)
    return tuple(_breaks({*programs.whole, *databases.whole}, programs, databases, spelled))


def refused_by_extra(
    program: Schema, extra: Iterable[Difference], spelled: Spellings = AS_PRINTED
) -> tuple[Break, ...]:
    """Those of the objects beside a schema for which the program that it was written for is not served."""
    additions = {each.identity: each.actual for each in extra if each.actual is not None}
    return serves(program, {**program, **additions}, spelled) if additions else ()


def first_breaking(
    program: Schema,
    steps: Iterable[Mapping[str, str | None]],
    among: Collection[Break],
    spelled: Spellings = AS_PRINTED,
) -> dict[Break, int]:
    """Which of the steps is the first after which the database has each of these breaks, whatever it looked like then.

    Beside them are those of the same owners that others have taken the place of on the way: a CHECK that a NOT NULL
    replaced, an index that became a constraint. Those that no step leads to are left out.

    The database is `program`'s own before the first step; a step is what it makes of objects, None where it drops them.
    Whether an object breaks the program depends on what has the same owner, and on domains: only those are looked at again.
    """
    programs, databases = Objects(program, spelled), Objects(program, spelled)
    asked = {_owner(parse(broken.identity).owner, broken.identity) for broken in among}
    found: dict[tuple[str, str], tuple[Break, int]] = {}
    for at, step in enumerate(steps):
        touched = set()
        for text, definition in step.items():
            identity = parse(text)
            databases.put(text, definition)
            touched |= asked if identity.kind == "domain" else {_owner(identity.owner, text)}
        texts = (text for owner in touched & asked for text in _of(owner, programs, databases))
        for broken in _breaks(texts, programs, databases, spelled):
            found.setdefault((broken.identity, broken.rule), (broken, at))
    last = {(broken.identity, broken.rule): broken for broken in among}
    return {last.get(key, broken): at for key, (broken, at) in found.items()}


def _owner(path: tuple[str, ...], text: str) -> tuple[str, ...] | str:
    """What is judged in one: all that has an owner, or an object that has none by itself."""
    return path or text


def _of(owner: tuple[str, ...] | str, *sides: Objects) -> Iterable[str]:
    return (owner,) if isinstance(owner, str) else {text for side in sides for text in side.of(owner)}


def _breaks(texts: Iterable[str], programs: Objects, databases: Objects, spelled: Spellings) -> Iterator[Break]:
    different = [text for text in texts if programs.whole.get(text) != databases.whole.get(text)]
    for text in sorted(different, key=_by_owner):
        before, after = programs.whole.get(text), databases.whole.get(text)
        pair = Pair(parse(text), before, after, programs, databases)
        event = "gone" if after is None else "new" if before is None else "changed"
        if _is_told_of_its_owner(pair):
            continue
        pairs = [replace(pair, program=each) for each in spelled.of(text, before)] if before is not None else [pair]
        program, database = (_line(side.printed.get(text)) for side in (programs, databases))
        for rule in RULES:
            if event in rule.events and pair.identity.kind in rule.kinds and all(rule.breaks(each) for each in pairs):
                yield Break(text, rule.name, rule.why.format(identity=text, program=program, database=database))


def words(program: Schema, database: Schema, spelled: Spellings = AS_PRINTED) -> tuple[str, ...]:
    """What the program may trip over, though `database` serves what it asks of tables: unique keys of another name."""
    programs, databases = Objects(program, spelled), Objects(database, spelled)
    found = []
    for text in sorted(programs.whole.keys() - databases.whole.keys()):
        pair = Pair(parse(text), programs.whole[text], None, programs, databases)
        is_key = pair.identity.kind == "constraint" and is_unique(pair.program) and not _is_told_of_its_owner(pair)
        if is_key and pair.finds_its_key:
            said = (
                f"{text} ({_line(program[text])}) has another name there: ON CONFLICT finds it by its columns, not by"
            )
            found.append(f"{said} ON CONSTRAINT {pair.identity.path[-1]}")
    return tuple(found)


_BREAK = re.compile(r"\s*\n\s*")


def _line(definition: str | None) -> str:
    return _BREAK.sub(" ", definition or "")


def _by_owner(text: str) -> tuple[tuple[str, ...], str]:
    identity = parse(text)
    return identity.owner or identity.path, text


def _is_told_of_its_owner(pair: Pair) -> bool:
    """Whether the object goes or comes with a table, view or domain, which alone is worth a word."""
    if pair.identity.kind in OWNERS or not pair.identity.owner:
        return False
    path = pair.owner
    owners = [f"{kind} {path}" for kind in OWNERS]
    return not any(owner in pair.programs.whole and owner in pair.databases.whole for owner in owners)
