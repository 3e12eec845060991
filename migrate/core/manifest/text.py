"""The text of a manifest: read with the line of whatever is wrong in it, written so that a diff says what changed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from migrate.core.history.graph import Revision
from migrate.core.manifest.entries import Baseline, Entry, MalformedManifest, ManifestFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from migrate.core.manifest.json_position import Path

FORMAT: Final = 1

_KEYS: Final = frozenset({"format", "heads", "postgres", "revisions"})
_OPTIONAL: Final = frozenset({"baseline", "environ", "schemas"})
_TEXTS: Final = frozenset({"file", "id", "message", "schema", "sha256"})
_LISTS: Final = frozenset({"changes", "depends_on", "down", "labels"})
_OPTIONAL_LISTS: Final = frozenset({"after", "effects", "needs"})
_LINE_BY_LINE: Final = frozenset({"changes", "effects", "needs"})
_BASELINE_TEXTS: Final = frozenset({"file", "schema", "sha256"})
_BASELINE_LISTS: Final = frozenset({"changes"})

_CONFLICT_MARKER = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?: .*)?$", re.MULTILINE)


class Content(NamedTuple):
    """What the text says, or is to say."""

    postgres: int
    revisions: tuple[Entry, ...]
    baseline: Baseline | None
    schemas: tuple[str, ...]
    heads: object  # as it stands there
    environ: tuple[str, ...] = ()


def read(text: str) -> Content:
    """What the text says; lines of changes are not looked into.

    Raises MalformedManifest where it is no JSON, and ManifestFault for what is in it.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        marker = _CONFLICT_MARKER.search(text)
        if marker is not None:
            raise MalformedManifest(
                text.count("\n", 0, marker.start()) + 1,
                f"git left its conflict marker {marker[0]!r}; let one revision follow the other, or merge the two, "
                "and write the manifest anew",
            ) from None
        raise MalformedManifest(error.lineno, f"no JSON: {error.msg} in column {error.colno}") from None
    except (RecursionError, ValueError) as error:  # nested too deep; a number of thousands of digits
        raise MalformedManifest(1, f"no JSON that can be read: {error}") from None
    found = document.get("format") if type(document) is dict else None
    if found is not None and found != FORMAT:
        raise ManifestFault(("format",), f"format {found!r} is not one that this version reads ({FORMAT})")
    _check_keys(document, _KEYS, _OPTIONAL, (), "the manifest")
    if type(document["postgres"]) is not int:
        raise ManifestFault(("postgres",), "postgres is not a major version")
    baseline = None
    if "baseline" in document:
        item = document["baseline"]
        _check_values(item, _BASELINE_TEXTS, _BASELINE_LISTS, ("baseline",))
        baseline = Baseline(item["file"], item["sha256"], item["schema"], tuple(item["changes"]))
    listed: dict[str, tuple[str, ...]] = {}
    for key in ("environ", "schemas"):
        found = document.get(key, [])
        if type(found) is not list or not all(type(each) is str for each in found):
            raise ManifestFault((key,), f"{key} is not a list of strings")
        listed[key] = tuple(found)
    if type(document["revisions"]) is not list:
        raise ManifestFault(("revisions",), "revisions is not a list")
    return Content(
        document["postgres"],
        tuple(_entry(item, at) for at, item in enumerate(document["revisions"])),
        baseline,
        listed["schemas"],
        document["heads"],
        listed["environ"],
    )


def serialise(content: Content) -> str:
    """The canonical text: sorted keys, one change a line, LF.

    The line between two revisions belongs to the later one, so that a revision more is nothing but added lines. Two
    branches that both add one change the line of the heads, and so conflict.
    """
    lines = ["{"]
    if content.baseline is not None:
        base = content.baseline
        members: dict[str, str | tuple[str, ...]] = {
            "changes": base.changes,
            "file": base.file,
            "schema": base.schema,
            "sha256": base.sha256,
        }
        lines += [' "baseline": {', *_members(members, "  "), " },"]
    if content.environ:
        lines += [' "environ": [', ",\n".join(f"  {_json(each)}" for each in content.environ), " ],"]
    lines += [
        f' "format": {FORMAT},',
        f' "heads": {_json(content.heads)},',
        f' "postgres": {content.postgres},',
        ' "revisions": [',
    ]
    for at, entry in enumerate(content.revisions):
        lines.append("  }, {" if at else "  {")
        revision = entry.revision
        members = {
            "changes": entry.changes,
            "depends_on": revision.depends_on,
            "down": revision.down,
            "file": revision.file,
            "id": revision.id,
            "labels": revision.labels,
            "message": revision.message,
            "schema": entry.schema,
            "sha256": revision.sha256,
        }
        optional = {"after": entry.after or None, "effects": entry.effects, "needs": entry.needs}
        members |= {key: value for key, value in optional.items() if value is not None}
        lines += _members(members, "   ")
    if content.revisions:
        lines.append("  }")
    lines += [f' ],\n "schemas": {_json(content.schemas)}' if content.schemas else " ]", "}", ""]
    # A lone surrogate, from an escape in somebody's docstring, is no UTF-8; this spelling of it is JSON's too.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _members(values: Mapping[str, str | tuple[str, ...]], indent: str) -> Iterator[str]:
    last = len(values) - 1
    for at, key in enumerate(sorted(values)):
        value = values[key]
        comma = "," if at < last else ""
        if key not in _LINE_BY_LINE or not value:
            yield f"{indent}{_json(key)}: {_json(value)}{comma}"
            continue
        yield f'{indent}"{key}": ['
        yield ",\n".join(f"{indent} {_json(line)}" for line in value)
        yield f"{indent}]{comma}"


def _entry(item: Any, at: int) -> Entry:
    _check_values(item, _TEXTS, _LISTS, ("revisions", at), _OPTIONAL_LISTS)
    revision = Revision(
        item["id"],
        tuple(item["down"]),
        tuple(item["depends_on"]),
        tuple(item["labels"]),
        item["message"],
        item["file"],
        item["sha256"],
    )
    effects, needs = (tuple(item[key]) if key in item else None for key in ("effects", "needs"))
    return Entry(revision, item["schema"], tuple(item["changes"]), tuple(item.get("after", ())), effects, needs)


def _check_values(
    item: Any, texts: frozenset[str], lists: frozenset[str], path: Path, optional: frozenset[str] = frozenset()
) -> None:
    if type(item) is not dict or item.keys() != texts | lists:
        _check_keys(item, texts | lists, optional, path, f"this member of {path[0]}")
    for key in texts:
        if type(item[key]) is not str:
            raise ManifestFault((*path, key), f"{key} is not a string")
    for key in lists | (optional & item.keys()):
        value = item[key]
        if type(value) is not list or not all(type(each) is str for each in value):
            raise ManifestFault((*path, key), f"{key} is not a list of strings")


def _check_keys(item: Any, required: frozenset[str], optional: frozenset[str], path: Path, name: str) -> None:
    if type(item) is not dict:
        raise ManifestFault(path, f"{name} is not an object")
    for key in sorted(required - item.keys()):
        raise ManifestFault(path, f"{name} has no {key}")
    for key in sorted(item.keys() - required - optional):
        raise ManifestFault((*path, key), f"{name} has {key!r}, which means nothing")
