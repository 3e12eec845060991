"""The URL from a program: where the password is a token that expires, each connection needs a new one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from migrate.core.target import UrlUnavailable
from migrate.core.url import DatabaseUrl, MalformedUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class UrlCommand:
    """Runs the program, without a shell; ``learn`` is told the secrets of each URL before anybody else sees it."""

    words: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path
    learn: Callable[[Iterable[str]], None]

    def __call__(self) -> DatabaseUrl:
        """The URL that it prints. Raises UrlUnavailable, which never shows what was printed."""
        program = self.words[0]
        try:
            done = subprocess.run(
                self.words,
                env=dict(self.environ),
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise UrlUnavailable(f"{program}, which prints the URL, cannot be run: {said}") from None
        except subprocess.TimeoutExpired:
            raise UrlUnavailable(f"{program}, which prints the URL, did not end within {LIMIT_S:.0f} s") from None
        if done.returncode != 0:
            raise UrlUnavailable(f"{program}, which prints the URL, ended with code {done.returncode}")
        text = done.stdout.decode("utf-8", "replace").strip()
        self.learn([text])
        try:
            url = DatabaseUrl.parse(text)
        except MalformedUrl as error:
            raise UrlUnavailable(f"{program} printed no PostgreSQL URL. {error}") from None
        self.learn(url.secrets)
        return url
