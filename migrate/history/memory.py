"""The graph of a history that computes its ids, kept beside Python's byte code: loading it takes every file's import."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from migrate.core.history.graph import Revision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from migrate.history.config import AlembicConfig

_FILE_NAME: Final = "migrate-graph.json"
_LISTS: Final = ("down", "depends_on", "labels")


def recall(config: AlembicConfig, files: Mapping[str, str]) -> tuple[Revision, ...] | None:
    """The revisions that were found in exactly these files (name -> SHA-256); None where nothing is kept of them."""
    try:
        kept = json.loads(_path(config).read_bytes())
        if kept["files"] != dict(files) or list(kept["files"]) != list(files):
            return None
        return tuple(Revision(**{**item, **{name: tuple(item[name]) for name in _LISTS}}) for item in kept["revisions"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(config: AlembicConfig, files: Mapping[str, str], revisions: tuple[Revision, ...]) -> None:
    """Keep them, where Python would keep its byte code; a file system that takes none is no fault."""
    if sys.dont_write_bytecode:
        return
    path = _path(config)
    unfinished = path.with_name(f"{_FILE_NAME}.{os.getpid()}")
    kept = {"files": dict(files), "revisions": [asdict(revision) for revision in revisions]}
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        unfinished.write_text(json.dumps(kept), encoding="utf-8")
        unfinished.replace(path)


def _path(config: AlembicConfig) -> Path:
    return config.version_locations[0] / "__pycache__" / _FILE_NAME
