"""The revision files as Alembic loads them: once for all tasks of a child, and anew for a revision that has run already.

What a revision's module keeps of one run must not reach the next: that may be in another database.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import load_python_file

if TYPE_CHECKING:
    from alembic.config import Config

    from migrate.child.protocol import Setup

_loaded: dict[tuple[object, ...], ScriptDirectory] = {}  # by the configuration that says where the files are
_ran: set[str] = set()  # the files of revisions


def script_directory(config: Config, setup: Setup) -> ScriptDirectory:
    """Alembic's revisions. Raises what a revision file raises when it is loaded."""
    key = (setup.config, setup.toml, setup.section, *setup.folders)
    if key not in _loaded:
        _loaded[key] = ScriptDirectory.from_config(config)
    return _loaded[key]


def fresh(step: RevisionStep) -> RevisionStep:
    """The step with a module that has not run."""
    path = PurePath(step.revision.path)
    if str(path) in _ran:
        step.revision.module = load_python_file(str(path.parent), path.name)
        step = RevisionStep(step.revision_map, step.revision, step.is_upgrade)
    _ran.add(str(path))
    return step
