"""Names in commands and in SQL, ours and what people paste: quoted, so that nothing runs what a name says."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONTROL: Final = re.compile("[\0-\x1f\x7f\x85\u2028\u2029]+")
# Every key word but the unreserved ones, of PostgreSQL 14 to 18 together: what `quote_ident` quotes on one of them.
_KEYWORDS: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast
    char character check coalesce collate collation column concurrently constraint create cross current_catalog
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable
    desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group
    grouping having ilike in initially inner inout int integer intersect interval into is isnull join json json_array
    json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value
    lateral leading least left like limit localtime localtimestamp merge_action national natural nchar none normalize
    not notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision
    primary real references returning right row select session_user setof similar smallint some substring symmetric
    system_user table tablesample then time timestamp to trailing treat trim true union unique user using values varchar
    variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
    xmlparse xmlpi xmlroot xmlserialize xmltable
    """.split(),  # noqa: SIM905 - a list literal would be four pages
)


class Quoted(str):
    """A text that stands in a fix as it is: words of our own, or quoted for where it stands."""

    __slots__ = ()


def word(name: object) -> str:
    """The name as a word of a shell on one line; a plain one is itself."""
    if isinstance(name, Quoted):
        return name
    return shlex.quote(_CONTROL.sub(" ", str(name)))


def words(names: Iterable[object]) -> str:
    """Several names as words of a shell."""
    return " ".join(map(word, names))


def identifier(name: str) -> str:
    """A name as SQL wants it: quoted where any supported server would read it as something else."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified(*names: str) -> str:
    """A name with its schema, or any other path, as SQL wants it."""
    return ".".join(map(identifier, names))


def literal(text: str) -> str:
    """A text as SQL's literals are written; with standard_conforming_strings, which every supported server has on."""
    return "'" + text.replace("'", "''") + "'"
