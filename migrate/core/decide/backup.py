"""When a backup is due, what it is called, and the command that leads back to it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from migrate.core.decide.plan import Adopt, Backup, Downgrade, Plan, Refusal, Upgrade
from migrate.core.decide.policy import BackupPolicy
from migrate.core.decide.state import Empty, Split, Untracked
from migrate.core.problems import migrate, problem, shell
from migrate.core.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from migrate.core.decide.plan import Decision
    from migrate.core.decide.policy import Policy
    from migrate.core.decide.state import Position, State
    from migrate.core.history.graph import Graph, Revision
    from migrate.core.image import Image
    from migrate.core.manifest.holding import Taken
    from migrate.core.manifest.manifest import Manifest

# An entry of a table of contents begins so: its number, and the oids of a catalogue and of an object.
_ENTRY: Final = re.compile(r"^\d+; \d+ \d+ ")
_DEPENDS: Final = re.compile(r";\s+depends on:((?: \d+)+)$")
_OF_NO_SCHEMA: Final = re.compile(r"[A-Z][A-Z ]* - (?!EXTENSION )")
_LONGEST_PART: Final = 60  # of a file name; file systems take 255 bytes in all


def with_backup(
    plan: Plan, image: Image, state: State, policy: Policy, *, has_place: bool, source_of: Callable[[Revision], str]
) -> Decision:
    """The plan with a backup before its first change where policy wants one; a refusal where there is no place for it.

    Version rows that are written and indexes that are rebuilt lose nothing; a backup is for revisions that run.
    ``source_of`` gives the text of a revision.
    """
    change = next((step for step in plan.steps if isinstance(step, Upgrade | Downgrade) and step.revisions), None)
    if change is None or policy.backup_policy is BackupPolicy.OFF:
        return plan
    reason = "policy requires one"
    if policy.backup_policy is BackupPolicy.DESTRUCTIVE:
        found = _destroyed(change, plan, image, state, source_of)
        if found is None:
            return plan
        reason = found
    if not has_place:
        return Refusal(
            problem(
                "not-permitted",
                f"a backup is due before the first change ({reason}), and no place for it is named",
                fix=shell(
                    migrate("up", "--backup DIR"), note="or --backup-command COMMAND; without: --backup-policy off"
                ),
            ),
        )
    return replace(plan, steps=(Backup(reason), *plan.steps))


def _destroyed(
    change: Upgrade | Downgrade, plan: Plan, image: Image, state: State, source_of: Callable[[Revision], str]
) -> str | None:
    """Why the plan's revisions may destroy something, in a few words; None where each is known to destroy nothing."""
    if image.manifest is None:
        return "without a manifest it is not known what is dropped"
    if isinstance(change, Downgrade):
        taken = change.taken
    else:
        adopted = next((step.rows for step in plan.steps if isinstance(step, Adopt)), None)
        rows = _rows_of(state.position) if adopted is None else adopted
        taken = destroyed(image.manifest, image.graph, rows, change.pending)
    if taken.gone:
        return f"{shortened(taken.gone)} will go"
    if taken.retyped:
        return f"{shortened(taken.retyped)} will have another type"
    from migrate.core.history.destruction import destroys_nothing

    function = "downgrade" if isinstance(change, Downgrade) else "upgrade"
    unknown = next((r for r in change.revisions if not destroys_nothing(source_of(r), function)), None)
    return f"{unknown.file} is not known to destroy nothing" if unknown is not None else None


def _rows_of(position: Position) -> tuple[str, ...]:
    """The version rows from which the plan's revisions start: of a split table, those that are kept."""
    match position:
        case Empty() | Untracked():
            return ()
        case Split(rows=rows, proven=proven):
            return rows if proven is None else proven
        case _:
            return position.rows


def destroyed(manifest: Manifest, graph: Graph, rows: Iterable[str], pending: Sequence[Revision]) -> Taken:
    """What pending revisions take, each for itself, of the tables and columns that are there at ``rows``.

    A rename counts: the manifest shows it as a drop beside an addition.
    """
    from migrate.core.manifest.holding import taken

    way = []
    reached = frozenset(rows)
    for revision in pending:
        reached = graph.rows_after(reached, revision.id)
        way.append(reached)
    return taken(manifest, rows, way)


def file_name(database: str, rows: Sequence[str], at: str, run_id: str) -> str:
    """The name of a dump: database, revision, time (``20261122T140353Z``) and run, in letters that every system takes."""
    parts = (database, "+".join(rows) or "base", at, run_id)
    return "-".join(_safe(part) for part in parts) + ".dump"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+]", "_", text)[:_LONGEST_PART].lstrip(".") or "_"


def restore_command(path: str, *, program: Sequence[str], schemas: Sequence[str], version_table: Sequence[str]) -> str:
    """What brings the backup back, for a shell in which the variable with the database's URL is set.

    ``program`` is how `migrate` is called there, ``version_table`` its schema and its name. All that it needs stands in
    the command: it may be run elsewhere than the project is.
    """
    where = [
        "--schemas",
        ",".join(schemas),
        "--version-table",
        version_table[1],
        "--version-table-schema",
        version_table[0],
    ]
    return shlex.join([*program, "restore", path, *where])


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dump's table of contents says: its lines, and for each the numbers of the entries that it needs."""

    lines: tuple[str, ...]
    needs: tuple[frozenset[str], ...]

    @classmethod
    def parse(cls, listing: str) -> Contents:
        """Read what `pg_restore --list --verbose` prints: below an entry, what it depends on."""
        lines: list[str] = []
        needs: list[frozenset[str]] = []
        for line in listing.splitlines():
            depends = _DEPENDS.match(line)
            if _ENTRY.match(line):
                lines.append(line)
                needs.append(frozenset())
            elif depends is not None and needs:
                needs[-1] = frozenset(depends[1].split())
        return cls(tuple(lines), tuple(needs))

    def holds(self, kind: str, name: str) -> bool:
        """Whether an object of the whole database is in it, e.g. ``EXTENSION`` or ``SCHEMA``."""
        return any(_ENTRY.sub("", line).startswith(f"{kind} - {name} ") for line in self.lines)

    @property
    def extensions(self) -> tuple[str, ...]:
        """The extensions that are in it."""
        found = (_ENTRY.sub("", line) for line in self.lines)
        return tuple(line.split(" ")[2] for line in found if line.startswith("EXTENSION - "))

    def of(self, schemas: Iterable[str], made: Iterable[str]) -> str:
        """The entries of what is in these schemas, and of extensions, as `pg_restore --use-list` takes them.

        So are those of what is in no schema and needs one of them, and went with it: event triggers, casts. ``made`` are the schemas that the dump itself must make.
        """
        inside = re.compile(rf"[A-Z][A-Z ]* (?:{'|'.join(map(re.escape, schemas))}) ")
        named = "|".join(map(re.escape, made))
        about = re.compile(rf"EXTENSION - |SCHEMA - (?:{named}) |(?:ACL|COMMENT) - SCHEMA (?:{named}) ")
        numbers = {line.partition(";")[0] for line in self.lines if inside.match(_ENTRY.sub("", line))}
        chosen = []
        for line, needs in zip(self.lines, self.needs, strict=True):  # what is needed stands before what needs it
            what = _ENTRY.sub("", line)
            if _OF_NO_SCHEMA.match(what) and numbers & needs:
                numbers.add(line.partition(";")[0])
                chosen.append(line)
            elif inside.match(what) or about.match(what):
                chosen.append(line)
        return "".join(f"{line}\n" for line in chosen)
