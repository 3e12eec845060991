"""The revision files of an image, found by Alembic's own rules and read as text.

Never imports one.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import SourceFileLoader

from migrate.core.digest import sha256
from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.history.graph import Revision
from migrate.core.problems import advice
from migrate.core.quoting import word
from migrate.core.value import Value
from migrate.history.config import AlembicConfig
from migrate.history.declarations import NOT_COMPILABLE, declared_by, dynamic, not_compilable


class Scanned(Value):
    """What the revision files declare, in the order in which Alembic reads them."""

    revisions: tuple[Revision, ...]
    faults: tuple[HistoryFault, ...]
    """At most one per file; the file is then not in `revisions`."""
    paths: Mapping[str, str]
    """Real path of every file, by the name that `Revision.file` and `HistoryFault.files` give it."""


def scan(config: AlembicConfig) -> Scanned:
    """Read every file that Alembic would load as a revision.

    A file that computes its identifiers when it runs becomes a fault of kind `DYNAMIC`: only Alembic can read that
    history. A syntax error further down than the identifiers is not noticed; `check_syntax` finds it.
    """
    revisions: list[Revision] = []
    faults: list[HistoryFault] = []
    paths: dict[str, str] = {}
    read: set[str] = set()
    root = os.path.realpath(config.root)
    for location in config.version_locations:
        for found in _revision_files(str(location), root, config):
            if isinstance(found, HistoryFault):
                faults.append(found)
                continue
            file, path = found
            if path in read:
                continue
            read.add(path)
            paths[file] = path
            outcome = _read_revision(file, path)
            if isinstance(outcome, HistoryFault):
                faults.append(outcome)
            else:
                revisions.append(outcome)
    return Scanned(tuple(revisions), tuple(faults), paths)


def check_syntax(scanned: Scanned, revisions: Iterable[Revision]) -> tuple[HistoryFault, ...]:
    """Compile the files of `revisions`, without running them; return a fault for each that Python refuses."""
    faults: list[HistoryFault] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for revision in revisions:
            path = scanned.paths[revision.file]
            if _loads(path):
                continue
            try:
                data = _read_bytes(path)
                compile(data, revision.file, "exec", dont_inherit=True)
            except OSError as error:
                faults.append(_unreadable(revision.file, error.strerror))
            except NOT_COMPILABLE as error:
                faults.append(not_compilable(error, data, revision.file))
    return tuple(faults)


class _Loader(SourceFileLoader):
    """Python's own, which takes the byte code that is kept of a file, and is four times as fast where there is some."""

    def set_data(self, path: str, data: object, *, _mode: int = 0) -> None:
        """Keep none: who only looks leaves nothing behind."""


def _loads(path: str) -> bool:
    """Whether Python takes the file as it is, or the byte code that it will run in its place."""
    with suppress(Exception):  # a compiler's of any kind, and what is wrong with byte code
        return _Loader("revision", path).get_code("revision") is not None
    return False


def _revision_files(location: str, root: str, config: AlembicConfig) -> Iterator[tuple[str, str] | HistoryFault]:
    """Yield name and real path of each file that Alembic takes for a revision, in its order.

    As in Alembic, the name that decides is that of the file a link points to, and links to folders are not followed.
    """
    folders = [os.path.realpath(location)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield _unreadable(_shown(folder, root), error.strerror)
            continue
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        if config.recursive:
            folders.extend(reversed(inner))
        if folder.endswith("__pycache__"):
            continue
        # A link that goes round in a circle cannot be asked whether it is a folder.
        files = [entry for entry in entries if entry.is_symlink() or not entry.is_dir()]
        for entry in files:
            is_link = entry.is_symlink()
            path = os.path.realpath(entry.path) if is_link else entry.path
            if not _is_revision_file(path, sourceless=config.sourceless):
                continue
            if is_link and os.path.isdir(path):  # noqa: PTH112 - text only
                continue
            file = _shown(entry.path, root)
            # Of what is no link the listing knows the type; opening a pipe would wait for ever.
            if os.path.isfile(path) if is_link else entry.is_file():  # noqa: PTH113 - text only
                yield file, path
            else:
                yield _unreadable(file, "it is not a file" if os.path.lexists(path) else "the link points nowhere")
        if config.sourceless:
            sources = {entry.name.partition(".")[0] for entry in files}
            for path in _orphaned_byte_code(f"{folder}/__pycache__", sources):
                yield _shown(path, root), path


def _is_revision_file(path: str, *, sourceless: bool) -> bool:
    name = path.rpartition("/")[2]
    if name.startswith((".#", "__init__")) or "\n" in name:
        return False
    if name.endswith(".py"):
        return True
    # Byte code counts only where its source is not shipped, and a .pyo only without the .pyc.
    return (
        sourceless
        and name.endswith((".pyc", ".pyo"))
        and not os.path.exists(path[:-1])  # noqa: PTH110 - hot path, text only
        and not (name.endswith("o") and os.path.exists(path[:-1] + "c"))  # noqa: PTH110 - hot path, text only
    )


def _orphaned_byte_code(folder: str, sources: set[str]) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - text only
    except OSError:
        return
    for name in names:
        path = f"{folder}/{name}"
        if name.partition(".")[0] not in sources and _is_revision_file(path, sourceless=True):
            yield path


def _shown(path: str, root: str) -> str:
    """Return a path as people know it: relative to the project when inside, without what no log line should carry."""
    inside = path.removeprefix(f"{root}/")
    return inside if inside.isprintable() else repr(inside)[1:-1]


def _read_revision(file: str, path: str) -> Revision | HistoryFault:
    if not path.endswith(".py"):
        return dynamic(file, "is byte code")
    try:
        data = _read_bytes(path)
    except OSError as error:
        return _unreadable(file, error.strerror)
    declared = declared_by(data, file, path.rpartition("/")[2])
    if isinstance(declared, HistoryFault):
        return declared
    id_, down, depends_on, labels, message = declared  # by their places: thousands of files
    return Revision(id_, down, depends_on, labels, message, file, sha256(data).hexdigest())


def _read_bytes(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY)  # hot path: thousands of files
    try:
        data = b""
        while more := os.read(file, 65536):
            data += more
    finally:
        os.close(file)
    return data


def _unreadable(file: str, why: str | None) -> HistoryFault:
    return HistoryFault(
        FaultKind.UNREADABLE,
        f"{file} cannot be read: {why}",
        advice(f"make {word(file)} readable for the user that this runs as, or take it out of the folder"),
        files=(file,),
    )
