"""Whether a column of one type takes and gives whatever one of another type does."""

from __future__ import annotations

import re

# On both sides of a type's name stand its modifiers: `timestamp(3) with time zone`.
_TYPE = re.compile(r"([^(\[]+?)(?:\(([-\d,]+)\))?( [^(\[]*)?((?:\[\])*)")
_WIDER = frozenset(
    {
        ("smallint", "integer"),
        ("smallint", "bigint"),
        ("integer", "bigint"),
        ("real", "double precision"),
        ("character varying", "text"),
        ("text", "character varying"),
        ("json", "jsonb"),
    },
)
_LIMITED = (
    "bit varying",
    "character varying",
    "interval",
    "time with time zone",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
)


def is_served_by(program: str, database: str) -> bool:
    """Whether a column of type `database` takes and gives whatever one of type `program` does."""
    if program == database:
        return True
    found = _TYPE.fullmatch(program), _TYPE.fullmatch(database)
    if found[0] is None or found[1] is None or found[0][4] != found[1][4]:
        return False  # of a type of the user's, or arrays of other dimensions
    bases = found[0][1] + (found[0][3] or ""), found[1][1] + (found[1][3] or "")
    narrow, wide = ([int(number) for number in match[2].split(",")] if match[2] else [] for match in found if match)
    if bases[0] != bases[1]:
        return bases in _WIDER and not wide
    if not wide or not narrow:
        return not wide and bases[0] in (*_LIMITED, "numeric")
    if bases[0] == "numeric":
        return wide[1] >= narrow[1] and wide[0] - wide[1] >= narrow[0] - narrow[1]
    return bases[0] in _LIMITED and wide >= narrow
