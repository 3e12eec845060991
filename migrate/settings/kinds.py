"""The types of settings: how each reads a flag, a variable or a key, says what it accepts, and shows a value.

`read` takes a flag's or a variable's text, and what tomllib gives for a key. It raises ValueError with the end of a sentence
that begins with the value.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from migrate.core.fleet.shard import Shard
from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

# PostgreSQL keeps its timeouts as a 32-bit number of milliseconds, about 596 hours.
_LONGEST_S: Final = 500 * 3600.0


class ValueKind(Protocol):
    """A type of settings: how its values are read and shown."""

    @property
    def values(self) -> str:
        """What is accepted, for a help text and the reference page."""

    @property
    def metavar(self) -> str:
        """How a flag's value is called in --help."""

    def read(self, value: object) -> object:
        """Read a flag, a variable or a key of the table."""

    def show(self, value: Any) -> str:
        """Spell a value as a person would write it into a variable."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text in quotation marks")  # noqa: TRY004 - the one way in which a kind refuses
    return value


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise ValueError("has a quotation mark that is never closed") from None


class Text(Value):
    """One word or name; never empty."""

    metavar: str = "TEXT"
    values: str = "text"

    def read(self, value: object) -> str:
        """Any text but white space."""
        text = _text(value).strip()
        if not text:
            raise ValueError("is empty")
        return text

    def show(self, value: str) -> str:
        """As it is."""
        return value


class Secret(Text):
    """A text that is never shown; what it must be is checked where it is used."""

    def show(self, value: str) -> str:
        """Only that there is one."""
        del value
        return "***"


class Choice(Value):
    """One of the values of an enumeration."""

    of: type[StrEnum]

    @property
    def values(self) -> str:
        """The words that are accepted."""
        return ", ".join(self.of)

    @property
    def metavar(self) -> str:
        """As click writes a choice."""
        return f"[{'|'.join(self.of)}]"

    def read(self, value: object) -> StrEnum:
        """The word in any case."""
        word = _text(value).strip().lower()
        try:
            return self.of(word)
        except ValueError:
            raise ValueError(f"is not one of {self.values}") from None

    def show(self, value: StrEnum) -> str:
        """The word."""
        return str(value)


class Duration(Value):
    """A time in seconds; a bare number means seconds."""

    minimum_s: float = 0.0
    zero_means: str = ""
    metavar: str = "TIME"

    @property
    def values(self) -> str:
        """The range, and what 0 stands for."""
        zero = f"; 0: {self.zero_means}" if self.zero_means else ""
        return f"time such as 2, 2s, 500ms, 5m, 1h, from {self.show(self.minimum_s)} to {self.show(_LONGEST_S)}{zero}"

    def read(self, value: object) -> float:
        """A number of seconds, or a number with one of the units ms, s, m, h."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = f"{value:f}" if value >= 0 else str(value)
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|)", _text(value).strip(), re.ASCII)
        if found is None:
            raise ValueError("is not a time such as 2, 2s, 500ms, 5m or 1h")
        seconds = float(found[1]) * {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}[found[2]]
        if 0 < seconds < 0.001:  # noqa: PLR2004 - a millisecond
            raise ValueError("is shorter than 1ms, the shortest time that PostgreSQL knows")
        if not self.minimum_s <= seconds <= _LONGEST_S:
            raise ValueError(f"is not between {self.show(self.minimum_s)} and {self.show(_LONGEST_S)}")
        return seconds

    def show(self, value: float) -> str:
        """In the largest unit that needs no fraction."""
        milliseconds = round(value * 1000)
        for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
            if milliseconds % size == 0 and milliseconds >= size:
                return f"{milliseconds // size}{unit}"
        return f"{milliseconds}ms" if milliseconds else "0"


class Size(Value):
    """A number of bytes, in the units of PostgreSQL, each 1024 of the one before; a bare number means bytes."""

    metavar: str = "SIZE"
    values: str = "size such as 500MB, 1GB, 2TB, from 0 to 1024TB"

    def read(self, value: object) -> int:
        """A number, or a number with one of the units kB, MB, GB, TB, in any case."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
        found = re.fullmatch(r"([0-9]{1,16}(?:\.[0-9]{1,6})?)\s*(b|kb|mb|gb|tb|)", text.strip().lower(), re.ASCII)
        if found is None:
            raise ValueError("is not a size such as 500MB, 1GB or 2TB")
        unit: int = 1024 ** _UNITS.index(found[2] or "b")
        number = round(float(found[1]) * unit)
        if number > 1024**5:
            raise ValueError("is more than 1024TB")
        return number

    def show(self, value: int) -> str:
        """In the largest unit that needs no fraction."""
        power = next((at for at in range(len(_UNITS) - 1, 0, -1) if value and value % 1024**at == 0), 0)
        unit = ("", "kB", "MB", "GB", "TB")[power]
        return f"{value // 1024**power}{unit}"


_UNITS: Final = ("b", "kb", "mb", "gb", "tb")


class Number(Value):
    """A whole number."""

    minimum: int
    maximum: int
    metavar: str = "NUMBER"

    @property
    def values(self) -> str:
        """The range."""
        return f"whole number from {self.minimum} to {self.maximum}"

    def read(self, value: object) -> int:
        """An integer, or digits."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
        if not re.fullmatch(r"[0-9]{1,9}", text.strip(), re.ASCII):
            raise ValueError("is not a whole number")
        number = int(text)
        if not self.minimum <= number <= self.maximum:
            raise ValueError(f"is not between {self.minimum} and {self.maximum}")
        return number

    def show(self, value: int) -> str:
        """Digits."""
        return str(value)


class Switch(Value):
    """Yes or no; a flag without a value, with a `--no-` form to overrule the environment."""

    metavar: str = ""
    values: str = "true, false (in a variable also 1/0, yes/no, on/off)"

    def read(self, value: object) -> bool:
        """A boolean, or one of the usual words."""
        word = str(value).strip().lower()
        if word in {"1", "true", "yes", "on"}:
            return True
        if word in {"0", "false", "no", "off"}:
            return False
        raise ValueError("is not one of 1, 0, true, false, yes, no, on, off")

    def show(self, value: bool) -> str:  # noqa: FBT001 - the value of a switch
        """As TOML spells it."""
        return "true" if value else "false"


class Words(Value):
    """A list, with commas in between; a flag may be repeated."""

    metavar: str
    values: str

    def divided(self, text: str) -> tuple[str, ...]:
        """Divide at commas; those inside of parentheses belong to the word: `function f(integer, text)`."""
        words = (word.strip() for word in re.split(r",(?![^()]*\))", text))
        return tuple(word for word in words if word)

    def read(self, value: object) -> tuple[str, ...]:
        """An array of texts, or a text that is divided."""
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(word.strip() for word in value if word.strip())
        if isinstance(value, str):
            return self.divided(value)
        raise ValueError("is not an array of strings")

    def show(self, value: Iterable[str]) -> str:
        """With commas."""
        return ",".join(value)


class Narrowing(Words):
    """Words without which all are meant: a flag that a shell has left empty must not mean them."""

    def read(self, value: object) -> tuple[str, ...]:
        """As `Words`, but that a text has one."""
        found = super().read(value)
        if isinstance(value, str) and not found:
            raise ValueError("names none")
        return found


class Selection(Words):
    """Several values of one enumeration."""

    of: type[StrEnum]

    def read(self, value: object) -> tuple[str, ...]:
        """Each word in any case."""
        words = self.divided(",".join(super().read(value)))
        try:
            return tuple(self.of(word.lower()) for word in words)
        except ValueError:
            raise ValueError(f"is not one of {', '.join(self.of)}") from None


class Addresses(Words):
    """URLs that hold secrets, with white space in between: a comma is a part of some."""

    def divided(self, text: str) -> tuple[str, ...]:
        """Divide at white space."""
        found = tuple(text.split())
        if any("://" not in address for address in found):
            raise ValueError("is not a list of URLs")
        return found

    def show(self, value: Iterable[str]) -> str:
        """Only how many there are."""
        return ",".join("***" for _ in value)


class Arguments(Words):
    """Arguments for another program: each flag is one of them, a variable holds several as a shell would divide them."""

    def divided(self, text: str) -> tuple[str, ...]:
        """Divide at white space; quotation marks and backslashes work as in a shell."""
        return _split(text)

    def show(self, value: Iterable[str]) -> str:
        """As a variable has them."""
        return shlex.join(value)


class Fraction(Value):
    """One of several equal parts: I/N."""

    metavar: str
    values: str

    def read(self, value: object) -> Shard:
        """Two numbers with a slash in between."""
        return Shard.parse(_text(value).strip())

    def show(self, value: Shard) -> str:
        """The same."""
        return f"{value.index}/{value.count}"


class Command(Value):
    """A program and its arguments, divided as a shell would; no shell ever sees it."""

    metavar: str = "COMMAND"
    values: str = "program and arguments"

    def read(self, value: object) -> tuple[str, ...]:
        """An array of texts, or a text that is divided at white space as in a shell."""
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            return tuple(value)
        words = _split(_text(value))
        if not words or not words[0]:
            raise ValueError("is empty")
        return words

    def show(self, value: Iterable[str]) -> str:
        """The program alone: arguments may hold what is not to be seen."""
        return f"{next(iter(value))} …"


SECRET_KINDS: Final = (Secret, Addresses, Command)
"""Those whose values are not shown when they are malformed: a command may carry a password in an argument."""


class File(Value):
    """A path: relative to the working directory, and in pyproject.toml relative to that file's folder."""

    metavar: str = "FILE"
    values: str = "path"

    def read(self, value: object) -> Path:
        """Any path."""
        return Path(Text().read(value))

    def show(self, value: Path) -> str:
        """As it is."""
        return str(value)
