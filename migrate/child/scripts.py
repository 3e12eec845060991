"""The revision files as Alembic loads them: once for all tasks of a child, and anew for a revision that has run already.

What a revision's module keeps of one run must not reach the next: that may be in another database.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import alembic.util
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionMap
from alembic.util import load_python_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from alembic.config import Config
    from alembic.script import Script

    from migrate.child.protocol import Setup
    from migrate.history.declarations import Declaration

_loaded: dict[tuple[object, ...], ScriptDirectory] = {}  # by the configuration that says where the files are
_ran: set[str] = set()  # the files of revisions


_FEW: Final = 64  # the patterns that read a file as text take as long to compile as so many files to load


class _Unloaded(ModuleType):
    """A revision file of which only the header was read, as running it has no effect but for its functions.

    It is loaded when somebody asks for anything else, which is as good as never unless the revision is to run.
    """

    def __init__(self, folder: str, file: str, declared: Declaration) -> None:
        super().__init__(file, declared.message)
        self.revision = declared.id
        self.down_revision = declared.down or None
        self.branch_labels = declared.labels or None
        self.depends_on = declared.depends_on or None
        self._place = folder, file

    def __getattr__(self, name: str) -> Any:
        """What the file defines. Raises AttributeError, and what the file raises when it is loaded."""
        if name == "_alembic_source_encoding":  # of Python 2; Alembic asks it of each revision that it names
            raise AttributeError(name)
        place = self.__dict__.pop("_place", None)
        if place is not None:
            self.__dict__.update(load_python_file(*place).__dict__)
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(name) from None


def _revisions(directory: ScriptDirectory) -> Iterator[Script]:
    """The revisions as Alembic finds them; of many, those that need not be loaded are not."""
    found = 0

    def load(dir_: str | PathLike[str], filename: str | PathLike[str]) -> ModuleType:
        nonlocal found
        found += 1
        if found > _FEW and str(filename).endswith(".py"):
            from migrate.history.declarations import declared_without_effect

            declared = declared_without_effect((Path(dir_) / filename).read_bytes())
            if declared is not None:
                return _Unloaded(str(dir_), str(filename), declared)
        return load_python_file(dir_, filename)

    alembic.util.load_python_file = load
    try:
        yield from directory._load_revisions()  # noqa: SLF001 - what its own map of revisions is made from
    finally:
        alembic.util.load_python_file = load_python_file


def script_directory(config: Config, setup: Setup) -> ScriptDirectory:
    """Alembic's revisions. Raises what a revision file raises when it is loaded."""
    key = (setup.config, setup.toml, setup.section, *setup.folders)
    if key not in _loaded:
        directory = _loaded[key] = ScriptDirectory.from_config(config)
        directory.revision_map = RevisionMap(lambda: _revisions(directory))
    return _loaded[key]


def fresh(step: RevisionStep) -> RevisionStep:
    """The step with a module that has not run."""
    path = PurePath(step.revision.path)
    if str(path) in _ran:
        step.revision.module = load_python_file(str(path.parent), path.name)
        step = RevisionStep(step.revision_map, step.revision, step.is_upgrade)
    _ran.add(str(path))
    return step
