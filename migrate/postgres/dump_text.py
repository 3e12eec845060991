"""What the text of a dump says of definitions: the spelling of the database that it came from.

Executed, a dump shows what a restore makes of an expression, and no longer how its own database prints it; but that is
what pg_dump wrote. What is found here is a proposal: whoever asks executes it and compares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from migrate.core.schema.differences import name, parse, parse_column
from migrate.core.schema.spelling import may_be_respelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrate.core.schema.differences import Identity, Schema

_TOKEN: Final = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<tag>\$\w*\$).*?(?P=tag)|--[^\n]*|[\w$]+|\s+|.", re.DOTALL
)
_NAME: Final = re.compile(r"\w[\w$]*|\"(?:[^\"]|\"\")*\"")
_STATE: Final = re.compile(r" (?:disabled|enabled replica|enabled always)\Z")
_NOT_NULL: Final = r"(?:(?: CONSTRAINT (?:\w+|\"(?:[^\"]|\"\")*\"))? NOT NULL(?: NO INHERIT)?)?\Z"
_DEFAULT: Final = re.compile(rf" DEFAULT (.*?){_NOT_NULL}", re.DOTALL)
_GENERATED: Final = re.compile(rf" GENERATED ALWAYS AS (\(.*\))(?: STORED| VIRTUAL)?{_NOT_NULL}", re.DOTALL)
_STORED: Final = re.compile(r"(generated always as )\(.*\)( stored| virtual)\Z", re.DOTALL)
_ATOMIC: Final = re.compile(r"\n *(BEGIN ATOMIC\n.*?\nEND)(?=;|\Z)", re.DOTALL)
_RETURN: Final = re.compile(r"\n *(RETURN [^\n]*?)(?=;\n|\Z)")


def proposals(sql: str, schema: Schema, unqualified: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Definitions that the dump spells otherwise than the schema does that it made, by object.

    `unqualified` are the schemas whose names are left out of definitions.
    """
    text = _without_schemas(sql, unqualified)
    for identity, definition in schema.items():
        if may_be_respelled(identity, definition):
            for found in _spelled(text, parse(identity), definition):
                if found != definition:
                    yield identity, found


def _without_schemas(sql: str, schemas: Sequence[str]) -> str:
    spellings = {spelling for schema in schemas for spelling in (name(schema), f'"{schema}"')}
    tokens = [found[0] for found in _TOKEN.finditer(sql)]
    kept: list[str] = []
    at = 0
    while at < len(tokens):
        is_first = not kept or kept[-1] != "."
        if is_first and tokens[at] in spellings and tokens[at + 1 : at + 2] == ["."]:
            at += 2
            continue
        kept.append(tokens[at])
        at += 1
    text = "".join(kept)
    for spelling in spellings:  # the one literal that holds a name
        text = re.sub(rf"'{re.escape(spelling)}\.([^']*'::regclass)", r"'\1", text)
    return text


def without_state(definition: str) -> tuple[str, str]:
    """The definition of a trigger or a rule without its state, and that: nothing where it is as by default."""
    state = _STATE.search(definition)
    return (definition, "") if state is None else (definition[: state.start()], state[0])


def _until(text: str, start: int, *, item: bool) -> str:
    """What stands from there to the end of the statement, or of an item of a list."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in ("(", "["):
            depth += 1
        elif token[0] in (")", "]"):
            depth -= 1
        if depth < 0 or (depth == 0 and (token[0] == ";" or (item and token[0] == ","))):
            return text[start : token.start()].strip()
    return text[start:].strip()


def _sql(path: Sequence[str]) -> str:
    """A pattern for a name as a dump writes it, which may quote a key word."""
    quoted = (re.escape('"' + part.replace('"', '""') + '"') for part in path)
    return r"\.".join(
        f"(?:{re.escape(name(part))}|{alternative})" for part, alternative in zip(path, quoted, strict=True)
    )


def _spelled(text: str, identity: Identity, definition: str) -> Iterator[str]:
    own, owner = _sql(identity.path[-1:]), _sql(identity.owner)
    match identity.kind:
        case "constraint":
            for found in re.finditer(rf"\bCONSTRAINT {own} (?=CHECK |EXCLUDE )", text):
                yield _before_constraint(_until(text, found.end(), item=True))
        case "domain":
            head = definition[: -len(parse_column(definition).default or "")]
            for found in re.finditer(rf"\bDOMAIN {_sql(identity.path)} AS ", text):
                said = _DEFAULT.search(_before_constraint(_until(text, found.end(), item=False)))
                if said is not None:
                    yield f"{head}{said[1]}"
        case "index":
            unique = "unique " if definition.startswith("unique ") else ""
            for found in re.finditer(rf"\bINDEX {own} ON (?:ONLY )?{owner} USING ", text):
                yield unique + _until(text, found.end(), item=False)
        case "view" | "materialized view":
            for found in re.finditer(rf"\bVIEW {_sql(identity.path)}(?: WITH \([^)]*\))? AS\s", text):
                body = _until(text, found.end(), item=False)
                yield re.sub(r"\s+WITH (?:NO DATA|(?:CASCADED|LOCAL) CHECK OPTION)\Z", "", body)
        case "policy":
            for found in re.finditer(rf"\bPOLICY {own} ON {owner} ", text):
                yield _policy(_until(text, found.end(), item=False), definition)
        case "rule":
            for found in re.finditer(rf"\bRULE {own} AS\s+ON (\w+) TO {owner}(?=\s)", text):
                blank = "\n   " if text[found.end()] == "\n" else " "
                yield f"on {found[1].lower()}{blank}{_until(text, found.end(), item=False)};{without_state(definition)[1]}"
        case "trigger":
            constraint = "constraint " if definition.startswith("constraint ") else ""
            for found in re.finditer(rf"\bCREATE {constraint.upper()}TRIGGER {own} ", text):
                yield f"{constraint}{_until(text, found.end(), item=False)}{without_state(definition)[1]}"
        case "statistics":
            kinds = definition.partition(" on ")[0]
            for found in re.finditer(rf"\bSTATISTICS {_sql(identity.path)}(?: \([^)]*\))? ON ", text):
                items, _, table = _until(text, found.end(), item=False).rpartition(" FROM ")
                yield f"{kinds} on {_sorted(items)} from {table}"
        case "function" | "procedure":
            for found in re.finditer(rf"\bCREATE {identity.kind.upper()} {_sql(identity.path)}\(", text):
                yield _routine(text, found.end(), definition)
        case "table":
            for found in re.finditer(rf"\bCREATE TABLE {_sql(identity.path)} (?=\()", text):
                key = _until(text, found.end(), item=False).rpartition("PARTITION BY ")[2]
                yield f"{definition.rpartition(' partition by ')[0]} partition by {key}"
        case "column":
            yield from _column(text, own, owner, definition)
        case _:
            pass


def _sorted(items: str) -> str:
    """Columns of statistics by name, as the catalog reader has them, and then the expressions."""
    found: list[str] = []
    at = 0
    while at < len(items):
        found.append(_until(items, at, item=True))
        at = items.index(found[-1], at) + len(found[-1]) + 1
    columns = {each.strip('"').replace('""', '"'): each for each in found if _NAME.fullmatch(each)}
    return ", ".join(
        [*(columns[each] for each in sorted(columns)), *(each for each in found if not _NAME.fullmatch(each))]
    )


def _before_constraint(said: str) -> str:
    """What stands before the next constraint of a domain, which no comma separates."""
    return said.partition("\n\tCONSTRAINT ")[0]


def _routine(text: str, start: int, definition: str) -> str:
    """The definition with the dump's arguments and body; what stands between is laid out in another way there."""
    arguments = f"({_until(text, start, item=False)})"
    between = definition[definition.index("\n LANGUAGE ") :]
    if "\n RETURNS " in definition:
        between = definition[definition.index("\n RETURNS ") :]
    for body in (_ATOMIC, _RETURN):
        own, dumped = body.search(between), body.search(text, start)
        if own is not None and dumped is not None:
            between = between[: own.start(1)] + dumped[1]
    return arguments + between


def _policy(said: str, definition: str) -> str:
    using = re.search(r"(?:\A|\s)USING (?=\()", said)
    check = re.search(r"(?:\A|\s)WITH CHECK (?=\()", said)
    head = re.split(r" (?:using|with check) \(", definition, maxsplit=1)[0]
    parts = [head]
    for word, found in (("using", using), ("with check", check)):
        if found is not None:
            inner = _until(said, found.end() + 1, item=False)
            parts.append(f"{word} ({inner})")
    return " ".join(parts)


def _column(text: str, own: str, owner: str, definition: str) -> Iterator[str]:
    column = parse_column(definition)
    items: list[str] = []
    for table in re.finditer(rf"\bTABLE (?:ONLY )?{owner} (?:(?:PARTITION )?OF \S+ )?\(", text):
        body = f"\n    {_until(text, table.end(), item=False)}"
        items += [_until(body, at.end(), item=True) for at in re.finditer(rf"\n\s+{own} (?=\S)", body)]
    for item in items:
        said = _DEFAULT.search(f" {item}") if column.default is not None else _GENERATED.search(f" {item}")
        if said is None:
            continue
        if column.default is not None:
            yield f"{definition[: -len(column.default)]}{said[1]}"
        else:
            kept = _STORED.search(definition)
            assert kept is not None
            yield f"{definition[: kept.end(1)]}{said[1]}{kept[2]}"
    if column.default is not None:
        for found in re.finditer(rf"\bALTER (?:TABLE (?:ONLY )?|VIEW ){owner} ALTER COLUMN {own} SET DEFAULT ", text):
            blank = "\n" if text[found.end()] == "\n" else ""
            yield f"{definition[: -len(column.default)]}{blank}{_until(text, found.end(), item=False)}"
