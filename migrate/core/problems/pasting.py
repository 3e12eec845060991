"""A fix as it is printed: each command in it leads to the project of the run that prints it, and repeats that run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FIX_FIELDS: Final = frozenset({"fix", "left_fixes"})
_OF_ALEMBIC_TOO: Final = frozenset({"-c", "-n", "-x"})  # these are Alembic's own, by the same names
# A command and its arguments: up to the next command, or to the comment. In backticks stands the name of a verb.
_COMMAND: Final = re.compile(
    r"(?<![\w./`-])(?:migrate (?P<verb>[a-z]+)|alembic(?= [a-z-]))(?![\w.`-])"
    r"(?P<rest>(?:(?!(?<![\w./`-])migrate [a-z]|&&)[^;#\n])*)",
)
# What most fixes repeat; with flags it is another advice.
_UP: Final = re.compile(r"(?<![\w./`-])migrate up(?![\w.`-]| --)")


# The programs that our fixes begin with; a sentence begins with another word.
_PROGRAM: Final = re.compile(
    r"(?:[A-Z_]+=\S+ +)*(?:migrate|alembic|pg_dump|pg_restore|psql|createdb|pip|git|docker|ls|rm|kill|export|unset)(?= [^\s,.;]|$)"
)


def is_command(fix: str) -> bool:
    """Whether a fix is for a shell: a sentence of advice, or SQL, is not."""
    return _PROGRAM.match(fix) is not None


@dataclass(frozen=True, slots=True)
class ProjectFlag:
    """A flag without which a command would find another project; ``value`` is quoted for a shell."""

    names: tuple[str, ...]
    value: str
    verbs: tuple[str, ...]

    def is_in(self, arguments: str) -> bool:
        """Whether the arguments give it already."""
        return any(re.search(rf"(?<!\S){re.escape(name)}(?=[\s=]|$)", arguments) for name in self.names)


def pasteable(text: str, flags: Sequence[ProjectFlag]) -> str:
    """The text with the flags in each command of ``migrate`` or of ``alembic`` that takes them and has them not."""

    def completed(found: re.Match[str]) -> str:
        rest, verb = found["rest"], found["verb"]
        if "--help" in rest:
            return found[0]
        added = "".join(
            f" {flag.names[0]} {flag.value}"
            for flag in flags
            if not flag.is_in(rest) and (verb in flag.verbs if verb else flag.names[0] in _OF_ALEMBIC_TOO)
        )
        return f"{found[0].removesuffix(rest)}{added}{rest}"

    return _COMMAND.sub(completed, text) if flags else text


def with_pasteable_fixes(
    fields: Mapping[str, object], flags: Sequence[ProjectFlag], *, again: str = "migrate up"
) -> dict[str, object]:
    """A line's or a result's fields with every fix in them `pasteable`, those of listed checks too.

    ``again`` is the command that repeats the run, which stands in a fix in place of the catalogue's `migrate up`.
    """

    def of(key: str, value: object) -> object:
        match value:
            case str():
                return pasteable(_UP.sub(lambda _: again, value), flags) if key in _FIX_FIELDS else value
            case dict():
                return {name: of(name, each) for name, each in value.items()}
            case list():
                return [of(key, each) for each in value]
            case _:
                return value

    return {key: of(key, value) for key, value in fields.items()}
