"""Manifests whose needs a test sets, as `migrate manifest` would write them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.core.manifest.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def set_needs(manifest: Path, needs: Mapping[str, Sequence[str]]) -> None:
    """Give the revisions of a manifest these needs, and the others none."""
    read = Manifest.parse(manifest.read_text(encoding="utf-8"))
    revisions = tuple(replace(each, needs=tuple(needs.get(each.revision.id, ()))) for each in read.revisions)
    manifest.write_text(replace(read, revisions=revisions).serialise(), encoding="utf-8")


def forget(manifest: Path) -> None:
    """Make the manifest one that an older version has written, which knows neither effects nor needs."""
    read = Manifest.parse(manifest.read_text(encoding="utf-8"))
    revisions = tuple(replace(each, needs=None, effects=None) for each in read.revisions)
    manifest.write_text(replace(read, revisions=revisions).serialise(), encoding="utf-8")
