"""The parts of a manifest: what it has of each revision and of what is there before the first one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from migrate.core.schema.differences import Schema, changes, fingerprint

if TYPE_CHECKING:
    from migrate.core.history.graph import Revision
    from migrate.core.manifest.json_position import Path

OtherSpellings = Mapping[tuple[str, str], tuple[str, ...]]
"""How else definitions are printed, by the object and its definition; nothing for what is printed in one way."""


class MalformedManifest(ValueError):  # noqa: N818 - the name says what the text is, as the problem's code does
    """The text is no manifest that this version can use; `line` is 1-based."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


class ManifestFault(Exception):  # noqa: N818 - the manifest's, not the program's
    """A value that cannot be right; `path` leads to it from the document."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(why)
        self.path = path
        self.why = why


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision as the manifest knows it."""

    revision: Revision
    schema: str  # fingerprint of the schema of a database at exactly this revision
    changes: tuple[str, ...]
    after: tuple[str, ...] = ()  # of other branches: what it builds on, though `depends_on` does not say so
    effects: tuple[str, ...] | None = None  # as lines, see `Manifest.effects_of`; None: not known
    needs: tuple[str, ...] | None = None  # as lines, see `Manifest.needs_of`; None: not known


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What was seen of a revision, as lines; None: not known."""

    effects: tuple[str, ...] | None = None
    needs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is there before the first revision, for a history that does not start from an empty database."""

    file: str
    sha256: str
    schema: str  # its fingerprint
    changes: tuple[str, ...]  # from nothing

    @classmethod
    def of(cls, file: str, sha256: str, schema: Schema, spellings: OtherSpellings = MappingProxyType({})) -> Baseline:
        """The baseline that the file makes of an empty database."""
        return cls(file, sha256, fingerprint(schema), tuple(changes({}, schema, spellings)))
