"""The manifest's file: where it is, what it holds, and whether it is that of the revision files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from migrate.core.digest import sha256
from migrate.core.problems import stop
from migrate.core.value import Value
from migrate.core.wording import clauses
from migrate.history.relative import shortest
from migrate.regular_files import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from migrate.core.history.graph import Revision
    from migrate.core.manifest.entries import MalformedManifest
    from migrate.core.manifest.manifest import FileFindings, GraphFindings, Manifest
    from migrate.history.config import AlembicConfig
    from migrate.history.scan import Scanned

FILE_NAME: Final = "manifest.json"


def manifest_path(config: AlembicConfig, named: Path | None) -> Path:
    """The file that the setting names, else `manifest.json` beside the versions folder, of several in the script's."""
    if named is not None:
        return named
    folders = config.version_locations
    return (folders[0].parent if len(folders) == 1 else config.script_location) / FILE_NAME


def load_manifest(path: Path) -> Manifest | None:
    """The manifest in the file; None where there is no such file. Raises Stop (`bad-manifest`, with the line)."""
    try:
        text = read(path).decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise stop(
            "bad-manifest", f"{shortest(path)} cannot be read: {error.strerror}", names={"manifest": shortest(path)}
        ) from error
    except UnicodeDecodeError as error:
        raise stop("bad-manifest", f"{shortest(path)} is not UTF-8 text", names={"manifest": shortest(path)}) from error
    from migrate.core.manifest.entries import MalformedManifest
    from migrate.core.manifest.manifest import Manifest

    try:
        return Manifest.parse(text)
    except MalformedManifest as fault:
        raise bad_manifest(path, fault) from fault


def bad_manifest(path: Path, fault: MalformedManifest) -> Exception:
    """The problem for a manifest whose lines do not hold together, wherever that is noticed."""
    return stop(
        "bad-manifest",
        f"{shortest(path)}, line {fault.line}: {fault.why}",
        names={"manifest": shortest(path)},
        file=str(path),
        line=fault.line,
    )


def hashes(scanned: Scanned, revisions: Iterable[Revision]) -> dict[str, str]:
    """The SHA-256 of every revision file, by the name that the scan gives it."""
    known = {revision.file: revision.sha256 for revision in revisions}
    return {
        file: known.get(file) or sha256(Path(path).read_bytes()).hexdigest() for file, path in scanned.paths.items()
    }


class Agreement(Value):
    """How the manifest stands to the files and to the history that they declare."""

    files: FileFindings
    history: GraphFindings

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.files or self.history)

    @property
    def is_other_history(self) -> bool:
        """Whether the manifest describes other revisions: then it says nothing about this image."""
        return bool(self.history)

    def sentences(self) -> list[str]:
        """What differs, with its names."""
        said = [f"{file} was added" for file in self.files.added]
        said += [f"{file} was edited" for file in self.files.edited]
        said += [f"{file} was removed" for file in self.files.removed]
        said += [f"revision {id_} moved in the history" for id_ in self.history.moved]
        if not said:
            said = [f"revision {id_} was added" for id_ in self.history.added]
            said += [f"revision {id_} was removed" for id_ in self.history.removed]
        return said

    def fields(self) -> dict[str, Any]:
        """The same for a log line."""
        return {
            "added": list(self.files.added),
            "edited": list(self.files.edited),
            "removed": list(self.files.removed),
        }


def compare_with_files(manifest: Manifest, files: Mapping[str, str], revisions: Iterable[Revision]) -> Agreement:
    """Hold the manifest against the files (name -> SHA-256) and the revisions that they declare."""
    return Agreement(manifest.check_files(files), manifest.check_revisions(revisions))


def check_for_release(path: Path, agreement: Agreement) -> tuple[str, ...]:
    """What a release is warned of: files with other bytes. Raises Stop (`stale-manifest`) for other revisions."""
    if not agreement:
        return ()
    said = agreement.sentences()
    why = f"{shortest(path)} does not match the revision files: {clauses(said)}"
    if agreement.is_other_history:
        raise stop("stale-manifest", why, names={"manifest": shortest(path)}, **agreement.fields())
    return (why,)
