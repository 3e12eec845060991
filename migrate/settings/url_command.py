"""The URL from a program: where the password is a token that expires, each connection needs a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.target import UrlUnavailable
from migrate.core.url import DatabaseUrl, MalformedUrl
from migrate.settings.program_output import NoOutput, output_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class UrlCommand:
    """Runs the program, without a shell; ``learn`` is told the secrets of each URL before anybody else sees it."""

    words: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path
    learn: Callable[[Iterable[str]], None]

    def __call__(self) -> DatabaseUrl:
        """The URL that it prints. Raises UrlUnavailable, which never shows what was printed."""
        try:
            text = output_of(self.words, self.environ, self.cwd, purpose="which prints the URL").strip()
        except NoOutput as error:
            raise UrlUnavailable(str(error)) from None
        self.learn([text])
        try:
            url = DatabaseUrl.parse(text)
        except MalformedUrl as error:
            raise UrlUnavailable(f"{self.words[0]} printed no PostgreSQL URL. {error}") from None
        self.learn(url.secrets)
        return url
