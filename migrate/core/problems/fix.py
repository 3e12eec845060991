"""What a person does about a problem: commands, SQL or a sentence of advice, as values that know where commands stand."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from migrate.core.quoting import Quoted, identifier, word, words
from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_OF_ALEMBIC_TOO: Final = frozenset({"-c", "-n", "-x"})  # these are Alembic's own, by the same names


class ProjectFlag(Value):
    """A flag without which a command would find another project; ``value`` is quoted for a shell."""

    names: tuple[str, ...]
    value: str
    verbs: tuple[str, ...]


class Invocation(Value):
    """A run of `migrate`, or of `alembic` where there is no verb; it is given the flags that lead to the project.

    ``arguments`` are ready for a shell, each flag together with its value. One that ``repeats`` stands for the command
    that is to be run again, whichever that is.
    """

    verb: str = ""
    arguments: tuple[str, ...] = ()
    repeats: bool = False

    def text(self, flags: Sequence[ProjectFlag] = ()) -> str:
        """The command, with those of the flags that it takes and does not have."""
        given = {argument.partition(" ")[0].partition("=")[0] for argument in self.arguments}
        taken = [
            f"{flag.names[0]} {flag.value}"
            for flag in flags
            if given.isdisjoint(flag.names)
            and (self.verb in flag.verbs if self.verb else flag.names[0] in _OF_ALEMBIC_TOO)
        ]
        return " ".join((f"migrate {self.verb}" if self.verb else "alembic", *taken, *self.arguments))


Piece = str | Invocation
Pieces = tuple[Piece, ...]


class Language(StrEnum):
    """What a part of a fix is for; the values are the languages of Markdown's blocks of code."""

    SHELL = "sh"
    SQL = "sql"
    ADVICE = "text"


_COMMENT: Final = {Language.SHELL: "# ", Language.SQL: "-- ", Language.ADVICE: ""}


class Part(Value):
    """A command, SQL or a sentence; the note beside it is a comment there. In SQL it may stand alone."""

    language: Language
    pieces: Pieces
    note: Pieces = ()

    def __str__(self) -> str:
        """The part as it is pasted."""
        said, note = ("".join(map(_shown, pieces)) for pieces in (self.pieces, self.note))
        return "   ".join(filter(None, (said, note and f"{_COMMENT[self.language]}{note}")))

    def mapped(self, of: Callable[[Piece], Piece]) -> Part:
        """The part with other pieces."""
        return replace(self, pieces=tuple(map(of, self.pieces)), note=tuple(map(of, self.note)))


class Fix(Value):
    """What to do, in order; false where there is nothing."""

    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        """The fix as it is pasted, for whoever finds the project without flags."""
        return "\n".join(map(str, self.parts))

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.parts)

    def completed(self, flags: Sequence[ProjectFlag], again: Invocation) -> Fix:
        """The fix whose commands lead to the project of ``flags``; ``again`` is what its runs that repeat stand for."""

        def of(piece: Piece) -> Piece:
            if isinstance(piece, Invocation):
                run = replace(again, arguments=(*again.arguments, *piece.arguments)) if piece.repeats else piece
                return run.text(flags)
            return piece

        return Fix(tuple(part.mapped(of) for part in self.parts))

    def shown(self, redact: Callable[[str], str]) -> tuple[tuple[Language, str], ...]:
        """Each part as it is pasted, without secrets, and what it is for."""
        return tuple((part.language, redact(str(part))) for part in self.parts)

    def filled(self, names: Mapping[str, object]) -> Fix:
        """The fix, whose pieces are format strings, with these names quoted for where they stand.

        A name that is missing stays visible: a fix with a gap is better than a crash while reporting.
        """

        def in_part(part: Part) -> Part:
            spelled = Blanks({name: _spelled(value, part.language) for name, value in names.items()})

            def of(piece: Piece) -> Piece:
                if isinstance(piece, Invocation):
                    verb, *arguments = (text.format_map(spelled) for text in (piece.verb, *piece.arguments))
                    return replace(piece, verb=verb, arguments=tuple(arguments))
                return piece.format_map(spelled)

            return part.mapped(of)

        return Fix(tuple(map(in_part, self.parts)))


class Blanks(dict[str, object]):
    """The names of a format string; one that is not there is shown as ``<name>``."""

    def __missing__(self, key: str) -> str:
        """What stands in its place."""
        return f"<{key}>"


def _shown(piece: Piece) -> str:
    return piece.text() if isinstance(piece, Invocation) else piece


def _spelled(value: object, language: Language) -> object:
    if language is Language.SQL and not isinstance(value, Quoted):
        return identifier(str(value))
    return words(value) if isinstance(value, (tuple, list)) else word(value)


def migrate(verb: str, *arguments: str) -> Invocation:
    """A run of `migrate` in a fix; arguments are ready for a shell, each flag together with its value."""
    return Invocation(verb, arguments)


def alembic(*arguments: str) -> Invocation:
    """A run of `alembic` in a fix; its command is the first argument that is no flag."""
    return Invocation("", arguments)


def again(*arguments: str) -> Invocation:
    """The command that ran, once more, with these arguments too; in the catalogue `migrate up`."""
    return Invocation("up", arguments, repeats=True)


def shell(*pieces: Piece, note: Piece | Pieces = ()) -> Fix:
    """A command, with a comment behind it."""
    return Fix((Part(Language.SHELL, pieces, _pieces(note)),))


def sql(*pieces: Piece, note: Piece | Pieces = ()) -> Fix:
    """Statements of SQL, with a comment behind them, or a comment alone."""
    return Fix((Part(Language.SQL, pieces, _pieces(note)),))


def advice(*pieces: Piece) -> Fix:
    """One sentence of advice."""
    return Fix((Part(Language.ADVICE, pieces),))


AGAIN: Final = again()
NOTHING: Final = Fix()


def in_order(fixes: Iterable[Fix]) -> Fix:
    """Several of them, each once, one after the other."""
    return Fix(tuple(part for fix in dict.fromkeys(fixes) for part in fix.parts))


def _pieces(note: Piece | Pieces) -> Pieces:
    return note if isinstance(note, tuple) else (note,)


def with_completed_fixes(
    fields: Mapping[str, object], flags: Sequence[ProjectFlag], again: Invocation
) -> dict[str, object]:
    """A line's or a result's fields with every fix in them completed, those of listed checks too."""

    def of(value: object) -> object:
        match value:
            case Fix():
                return value.completed(flags, again)
            case dict():
                return {name: of(each) for name, each in value.items()}
            case list():
                return [of(each) for each in value]
            case _:
                return value

    return {name: of(value) for name, value in fields.items()}
