"""Takes secrets out of everything that leaves the process, in whatever encoding they appear.

Never a reason to print a value that holds one: it is the last net, under code that does not print secrets.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PLACEHOLDER: Final = "***"

# The letters of a shorter secret are everywhere ("a"): it is taken out only where it stands alone, as it does in a
# quoted or delimited value, and not looked for in base64. From this length on it is taken out of longer words too.
SHORTEST_ANYWHERE: Final = 4

# So many encoders in a row: quoted twice (a URL inside a URL), the repr of a libpq string, a repr in JSON.
_DEPTH: Final = 2

# What a fix tells people to type must survive; a password that is really this word is one of the known secrets.
_TYPED_BY_PEOPLE: Final = "PASSWORD"

# All that could be URLs, without a blank or a quote between them: each "://" in it begins one.
_URLS: Final = re.compile(r"""://[^\s"'<>]*""")

# password=x of a DSN, a query string or keywords, "password": "x" of JSON (also of JSON in JSON), PGPASSWORD=,
# sslpassword=, and SQL's PASSWORD 'x'. A quoted value ends at its quote, a bare one at a space or an ampersand. No
# character fits two parts that follow each other, so a megabyte costs one pass.
_NAMED: Final = re.compile(
    r"""(passw(?:or)?d|passphrase)
        (\\?["']?\s*[=:]\s* | \s+(?=e?'))
        (?: (e?')(?:[^'\\]|\\.|'')*'? | (")(?:[^"\\]|\\.)*"? | (\\")(?:[^"\\]|\\[^"])*(?:\\")?
          | (?:[^\s&\\]|\\.)+ )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_AUTHORIZATION: Final = re.compile(
    r"""(authorization\\?["']?\s*[=:]\s*\\?["']?)[^\s"'\\][^\r\n"'\\]*""",
    re.IGNORECASE,
)

# Rows of the user's, as PostgreSQL's errors carry them: what libpq and asyncpg write behind the primary message, and the
# fields D (detail) and W (where) of pg8000's dictionary, also in the repr of an error that wraps it.
_ROWS: Final = re.compile(r"(DETAIL: {2}|CONTEXT: {2}(?:COPY|unnamed portal|portal) )[^\n]*")
_WORDS: Final = ("://", "passw", "passphrase", "authorization", "detail: ", "context: ", "'c")
_PG8000: Final = re.compile(r"'C\\*': \\*'[0-9A-Z]{5}\\*'")
_PG8000_ROWS: Final = re.compile(r"('[DW]\\*': )[^\n]*")


class Redactor:
    """Replaces every occurrence of the secrets by ``***``; made once per process, then called for every line.

    A secret is found as it is, URL-quoted (once or twice, with any of the usual safe characters, either case of hex),
    escaped as by repr, JSON, libpq, SQL, CSV, HTML, XML or a shell, in hex, and in base64 at any offset (so also base64 of ``user:password`` or
    of a whole URL). Passwords in URLs, ``password=...`` and ``Authorization: ...`` are replaced whoever's they are, and so
    are the rows in a driver's error.
    Empty and blank secrets are left out: there would be nothing to read. So are passwords that are names which are shown
    anyway (`DatabaseUrl.secrets`): these are replaced only where they stand as a password.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None  # made when a text may have one of them
        self._traces: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Replace these, too, from now on."""
        every = self._secrets.union(secrets)
        if every == self._secrets:
            return
        self._secrets, self._known = every, None
        anywhere, alone = self._spelled
        self._traces = (
            *_longest_first(anywhere | alone),
            *(trace for secret in anywhere for trace in _traces_in_base64(_as_bytes(secret))),
        )

    @property
    def _spelled(self) -> tuple[set[str], set[str]]:
        """The secrets that are taken out of longer words too, and those that are not."""
        spellings = {spelling for secret in self._secrets for spelling in _spellings(secret)}
        anywhere = {secret for secret in spellings if len(secret) >= SHORTEST_ANYWHERE}
        return anywhere, spellings - anywhere

    def _made(self) -> re.Pattern[str]:
        """What finds every secret."""
        anywhere, alone = self._spelled
        patterns = [
            *map(re.escape, _longest_first(anywhere)),
            # Beside a star it is a part of a placeholder, or would become one: the secret "*" would never settle.
            *(f"(?<![\\w*]){re.escape(form)}(?![\\w*])" for form in _longest_first(alone)),
            *dict.fromkeys(
                pattern
                for secret in sorted(anywhere, key=lambda secret: (-len(secret), secret))
                for pattern in _in_references(secret)
            ),
            *(pattern for secret in sorted(anywhere) for pattern in _inside_base64(_as_bytes(secret))),
        ]
        return re.compile("|".join(patterns))

    def text(self, text: str) -> str:
        """`text` without the secrets; the same again when it is given its own result."""
        # Again, because a replacement can bring the two halves of another secret together. It ends: each change leaves
        # fewer characters other than stars, or makes a run of stars three long.
        while (clean := self._once(text)) != text:
            text = clean
        return text

    def value(self, value: object) -> object:
        """`value` with every string in it redacted, keys too, to any depth of dict, list and tuple.

        Other objects come back as they are: who turns one into text gives that text to `text`.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self.value(entry) for entry in value]
        if isinstance(value, tuple):
            return tuple(self.value(entry) for entry in value)
        return value

    def _once(self, text: str) -> str:
        # The known ones first: a pattern that ends at a space would take the half of a secret with a space in it.
        if self._may_have_one(text):
            self._known = self._known or self._made()
            text = self._known.sub(PLACEHOLDER, text)
        if _is_harmless(text):
            return text
        text = _URLS.sub(_without_passwords, text)
        text = _NAMED.sub(_without_value, text)
        text = without_rows(text)
        return _AUTHORIZATION.sub(rf"\1{PLACEHOLDER}", text)

    def _may_have_one(self, text: str) -> bool:
        """Whether a secret can stand in a text: nearly none has a trace of one, and to look for that costs little."""
        return bool(self._traces) and ("&" in text or any(trace in text for trace in self._traces))


def _is_harmless(text: str) -> bool:
    """Whether none of the patterns that know no secret can fit: each has one of these words."""
    if not text.isascii():  # other letters have small forms that count as these
        return False
    small = text.lower()
    return not any(word in small for word in _WORDS)


def without_rows(text: str) -> str:
    """`text` without the user's rows that a driver's error shows; before its line feeds are taken out."""
    text = _ROWS.sub(rf"\1{PLACEHOLDER}", text)
    return _PG8000_ROWS.sub(rf"\1{PLACEHOLDER}", text) if _PG8000.search(text) else text


def _without_passwords(urls: re.Match[str]) -> str:
    return "://".join(map(_without_password, urls[0].split("://")))


def _without_password(url: str) -> str:
    """A URL without its password; `url` is what follows its "://"."""
    # The last @ ends the password, even behind a slash: people do paste passwords into URLs without quoting them.
    userinfo, at, rest = url.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if not (at and colon) or password == _TYPED_BY_PEOPLE:
        return url
    return f"{user}:{PLACEHOLDER}@{rest}"


def _without_value(named: re.Match[str]) -> str:
    # The quotes stay: bare, the value would reach up to the next space when it is read again.
    opening = named[3] or named[4] or named[5] or ""
    return f"{named[1]}{named[2]}{opening}{PLACEHOLDER}{opening.lstrip('eE')}"


def _spellings(secret: str) -> set[str]:
    # A secret that was cut out of a URL may still be quoted; then what it means is a secret as well.
    meanings = (decode(secret, errors="surrogateescape") for decode in (unquote, unquote_plus))
    return {spelling for spelling in (secret, *meanings) if spelling.strip()}


def _longest_first(secrets: set[str]) -> list[str]:
    # The order matters: an alternation takes the first that fits, and would leave the tail of a longer one.
    return sorted({form for secret in secrets for form in _encoded(secret)}, key=lambda form: (-len(form), form))


def _encoded(secret: str) -> set[str]:
    """Every form of `secret` as a literal text: itself, and up to `_DEPTH` encoders one after the other."""
    as_hex = _as_bytes(secret).hex()
    forms = newest = {secret}
    for _ in range(_DEPTH):
        newest = {form for text in newest for encode in _ENCODERS for form in encode(text)} - forms
        forms = forms | newest
    shown = {form for encode in _LAST_ENCODERS for form in encode(secret)} - forms
    around = {form for text in shown for encode in (_represented, _in_json) for form in encode(text)}
    return forms | shown | around | {as_hex, as_hex.upper()}


def _as_bytes(text: str) -> bytes:
    # Bytes of the environment that are not UTF-8 stand in a str as lone surrogates (PEP 383).
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _percent(text: str) -> Iterator[str]:
    as_bytes = _as_bytes(text)
    for quoted in (quote_plus(as_bytes), *(quote(as_bytes, unquoted) for unquoted in _UNQUOTED)):
        yield quoted
        yield _PERCENT_BYTE.sub(lambda byte: byte[0].lower(), quoted)


# Nothing; urllib's default; SQLAlchemy's; the userinfo of RFC 3986.
_UNQUOTED: Final = ("", "/", " +", "!$&'()*+,;=")
_PERCENT_BYTE: Final = re.compile("%[0-9A-F]{2}")


def _represented(text: str) -> Iterator[str]:
    # repr escapes ' only where the whole string also holds ", as another part of it may do.
    quotes = "'\""
    as_bytes = repr(_as_bytes(text + quotes))[1:]
    for escaped in (literal[1:-4] for literal in (repr(text + quotes), ascii(text + quotes), as_bytes)):
        yield escaped
        yield escaped.replace("\\'", "'")


def _in_json(text: str) -> Iterator[str]:
    for ensure_ascii in (True, False):
        escaped = json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")


def _in_quotes(text: str) -> Iterator[str]:
    yield text.replace("\\", "\\\\").replace("'", "\\'")  # libpq's connection strings
    yield text.replace("'", "''")  # SQL's literals
    yield text.replace('"', '""')  # SQL's names, and CSV
    yield text.replace("%", "%%")  # configparser (Alembic's Config) and drivers' format strings


def _in_markup(text: str) -> Iterator[str]:
    # html.escape, its form for texts, Markup and Django's, xml.sax.saxutils, and attributes of theirs
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield escaped
    for double in ("&quot;", "&#34;"):
        for single in ("&#x27;", "&#39;", "&apos;", "'"):
            yield escaped.replace('"', double).replace("'", single)


def _in_shell(text: str) -> Iterator[str]:
    yield text.replace("'", "'\"'\"'")  # shlex.quote
    yield text.replace("'", "'\\''")
    yield _SHELLS.sub(r"\\\g<0>", text)  # printf %q
    yield _IN_DOUBLE_QUOTES.sub(r"\\\g<0>", text)
    yield _IN_DOUBLE_QUOTES.sub(r"\\\g<0>", text).replace("\\!", "!")  # a script's, which has no history


def _in_references(secret: str) -> Iterator[str]:
    """Patterns that find `secret` where any of its characters are HTML's or XML's references by number.

    One for each way to write the others: as they are, and as JSON and a repr do. In each, no two ways to write a
    character begin alike (but for &, which goes back once), so that no text costs more than one pass.
    """
    written = [[character, *_in_json(character), *_represented(character)] for character in secret]
    for way in zip(*written, strict=True):
        yield "".join(map(_as_reference, secret, way))


def _as_reference(character: str, written: str) -> str:
    number = ord(character)
    digits = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{number:x}")
    named = f"{_NAMED_REFERENCES[character]}|" if character in _NAMED_REFERENCES else ""
    return f"(?:&#(?:0{{0,6}}{number}|[xX]0{{0,6}}{digits});|{named}{re.escape(written)})"


_NAMED_REFERENCES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_SHELLS: Final = re.compile(r"[^\w@%+=:,./-]")
_IN_DOUBLE_QUOTES: Final = re.compile(r'[$`"\\!]')
_ENCODERS: Final = (_percent, _represented, _in_json, _in_quotes)
_LAST_ENCODERS: Final = (_in_markup, _in_shell)  # what only a repr or JSON is put around

_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URLSAFE: Final = {"+": "+-", "/": "/_"}


def _inside_base64(secret: bytes) -> Iterator[str]:
    """Patterns that find `secret` in the base64 of any text that holds it: one per offset in the groups of 3 bytes.

    The first and last character also carry bits of the neighbours, so each of them is a class: all the characters that
    have the secret's bits.
    """
    bits = 8 * len(secret)
    for offset in (0, 8, 16):
        first, end = offset // 6, -(-(offset + bits) // 6)
        after = 6 * end - offset - bits
        value = int.from_bytes(secret, "big") << after
        mask = ((1 << bits) - 1) << after
        yield "".join(
            _base64_class(value >> place & 63, mask >> place & 63) for place in range(6 * (end - first - 1), -1, -6)
        )


def _traces_in_base64(secret: bytes) -> Iterator[str]:
    """Of each of these patterns the longest part that has one spelling: it stands in whatever the pattern fits."""
    for before in range(3):
        written = b2a_base64(bytes(before) + secret, newline=False).decode()
        whole = written[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]
        yield max(whole.replace("/", "+").split("+"), key=len)


def _base64_class(value: int, mask: int) -> str:
    fitting = "".join(character for number, character in enumerate(_BASE64) if number & mask == value)
    both_alphabets = "".join(_URLSAFE.get(character, character) for character in fitting)
    return both_alphabets if len(both_alphabets) == 1 else f"[{re.escape(both_alphabets)}]"
