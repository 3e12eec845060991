"""What a trial of a history found: one case for each revision and check; every rendering is made from it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from migrate.core.history.libraries import LIBRARIES
from migrate.core.history.python_source import parsed
from migrate.core.schema.differences import compare
from migrate.core.trial_checks import OF_HISTORY, OF_REVISIONS, TrialCheck
from migrate.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from migrate.core.history.graph import Revision
    from migrate.core.schema.differences import Schema

LISTED: Final = 20  # details of one finding
_SHOWN: Final = 20  # characters of a word that is too long to be read
# Longer than any name of PostgreSQL's: a value, as a rule one that fills its column.
_LONG_WORD: Final = re.compile(r"\w{65,}")
# Operations of Alembic that change definitions, and send no other statement.
_DEFINING: Final = frozenset(
    {
        *(
            "add_column",
            "alter_column",
            "drop_column",
            "create_table",
            "drop_table",
            "rename_table",
            "batch_alter_table",
        ),
        *("create_index", "drop_index", "drop_constraint", "create_check_constraint", "create_exclude_constraint"),
        *("create_foreign_key", "create_primary_key", "create_unique_constraint", "create_table_comment"),
        *("drop_table_comment", "f"),
    }
)
_WORD: Final = re.compile(r"\w+")
_ADDRESS: Final = re.compile(r" at 0x[0-9A-Fa-f]+")  # of an object, in its repr()


def _listed(check: TrialCheck) -> int | None:
    """How many details a finding has; of what is to be pasted, all."""
    return None if check in {TrialCheck.MODELS, TrialCheck.LOCKS} else LISTED


def legible(text: str) -> str:
    """What is said, without what nobody reads: the rest of a long value, and addresses that differ from run to run."""
    stable = _ADDRESS.sub("", text)
    return _LONG_WORD.sub(lambda found: f"{found[0][:_SHOWN]}… ({counted(len(found[0]), 'character')})", stable)


class CaseStatus(StrEnum):
    """How a case ended; a warning is a finding that policy lets pass, an accepted one is meant to be so."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    ACCEPTED = "accepted"
    SKIPPED = "skipped"


FOUND: Final = frozenset({CaseStatus.FAILED, CaseStatus.WARNED, CaseStatus.ACCEPTED})


@dataclass(frozen=True, slots=True)
class Case:
    """One check of one revision, or of the history (``revision`` None); ``line`` is 1-based."""

    check: TrialCheck
    verdict: CaseStatus
    revision: str | None = None
    file: str | None = None
    line: int | None = None
    why: str = ""
    details: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The case for people and for test reports."""
        return f"{self.revision or 'history'}-{self.check}"

    @property
    def place(self) -> str:
        """File and line, as editors and compilers write them; empty where there is no file."""
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def to_json(self) -> dict[str, object]:
        """The fields of a finding and of ``--json``."""
        return {
            "check": str(self.check),
            "verdict": str(self.verdict),
            "revision": self.revision,
            "file": self.file,
            "line": self.line,
            "finding": self.why,
            "details": list(self.details),
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """Every case, in the order of the history."""

    cases: tuple[Case, ...]

    def with_verdict(self, *verdicts: CaseStatus) -> tuple[Case, ...]:
        """The cases that ended so."""
        return tuple(case for case in self.cases if case.verdict in verdicts)

    @property
    def counts(self) -> dict[str, int]:
        """How many cases ended how."""
        return {str(verdict): len(self.with_verdict(verdict)) for verdict in CaseStatus}

    @property
    def summary(self) -> str:
        """The counts in words; a check that has nothing to look at has not passed."""
        passed, failed, warned, accepted, skipped = self.counts.values()
        said = [f"{counted(passed, 'check')} passed", f"{failed or 'none'} failed"]
        if warned:
            said.append(counted(warned, "warning"))
        if accepted:
            said.append(f"{accepted} accepted")
        if skipped:
            said.append(f"{skipped} skipped (not applicable or not reached)")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a revision's text says to a trial; lines are 1-based, 1 where a function is not found.

    ``irreversible`` is the reason that a module-level ``irreversible = "…"`` gives, ``accepted`` those that
    ``accepted = {"kept": "…"}`` gives for findings of checks.
    """

    upgrade_line: int = 1
    downgrade_line: int = 1
    irreversible: str | None = None
    accepted: Mapping[str, str] = field(default_factory=dict)
    statements: tuple[tuple[int, frozenset[str]], ...] = field(default=(), compare=False)  # upgrade()'s: line and words
    only_defines: bool = field(default=False, compare=False)  # upgrade() calls nothing but what changes definitions

    def line_about(self, names: Iterable[str]) -> int:
        """The first statement of upgrade() that names most of these, or the function itself where none names any."""
        wanted = {word for name in names for word in _WORD.findall(name)}
        named = [(len(wanted & words), -line) for line, words in self.statements if wanted & words]
        return -max(named)[1] if named else self.upgrade_line

    @classmethod
    def read(cls, text: str) -> Remarks:
        """Read it without running it. A text that is no Python, or computes its reason, says nothing."""
        try:
            module = parsed(text)
        except (SyntaxError, ValueError):
            return cls()
        lines: dict[str, int] = {}
        statements: tuple[tuple[int, frozenset[str]], ...] = ()
        only_defines = False
        reason = None
        accepted: dict[str, str] = {}
        for node in module.body:
            match node:
                case ast.FunctionDef(name=name) if name in {"upgrade", "downgrade"}:
                    lines[f"{name}_line"] = node.lineno
                    if name == "upgrade":
                        statements, only_defines = _statements(node, text), _only_defines(node, _imported(module))
                case (
                    ast.Assign(targets=[ast.Name(id="irreversible")], value=ast.Constant(value=str() as said))
                    | ast.AnnAssign(target=ast.Name(id="irreversible"), value=ast.Constant(value=str() as said))
                ) if said.strip():
                    reason = " ".join(said.split())
                case (
                    ast.Assign(targets=[ast.Name(id="accepted")], value=ast.Dict(keys=keys, values=values))
                    | ast.AnnAssign(target=ast.Name(id="accepted"), value=ast.Dict(keys=keys, values=values))
                ):
                    accepted |= _reasons(keys, values)
                case _:
                    pass
        return cls(**lines, irreversible=reason, accepted=accepted, statements=statements, only_defines=only_defines)


def _imported(module: ast.Module) -> frozenset[str]:
    """The names that the libraries of a revision bring into its module."""
    found: set[str] = set()
    for node in module.body:
        match node:
            case ast.ImportFrom(module=str() as origin) if origin.partition(".")[0] in LIBRARIES:
                found |= {each.asname or each.name for each in node.names}
            case ast.Import(names=names):
                tops = ((each, each.name.partition(".")[0]) for each in names)
                found |= {each.asname or top for each, top in tops if top in LIBRARIES}
            case _:
                pass
    return frozenset(found)


def _only_defines(function: ast.FunctionDef, imported: frozenset[str]) -> bool:
    """Whether it calls nothing but operations that change definitions, and what their arguments are made of.

    What such an operation takes for long (a rewrite, a scan, an index) is seen as an effect of its own.
    """
    operations = {"op"} & imported | {
        item.optional_vars.id
        for node in ast.walk(function)
        if isinstance(node, ast.With)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name)
    }
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        root = node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name):
            return False
        if root.id in operations:
            if not isinstance(node.func, ast.Attribute) or node.func.attr not in _DEFINING:
                return False
        elif root.id not in imported:
            return False
    return True


def _statements(function: ast.FunctionDef, text: str) -> tuple[tuple[int, frozenset[str]], ...]:
    """The statements that have none inside, each with its words."""
    lines = text.splitlines()
    found = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and not hasattr(node, "body")]
    return tuple(
        (node.lineno, frozenset(_WORD.findall("\n".join(lines[node.lineno - 1 : node.end_lineno])))) for node in found
    )


def _reasons(keys: Iterable[ast.expr | None], values: Iterable[ast.expr]) -> dict[str, str]:
    """The checks and reasons of a dictionary's text; what is computed, or gives no reason, accepts nothing."""
    found = {}
    for key, value in zip(keys, values, strict=True):
        match key, value:
            case ast.Constant(value=str() as check), ast.Constant(value=str() as reason) if reason.strip():
                found[check] = " ".join(reason.split())
            case _:
                pass
    return found


@dataclass(slots=True)
class Findings:
    """Collects the cases of a trial; ``fail`` are the checks whose findings fail the run."""

    fail: Collection[str]
    files: Mapping[str, str]  # revision -> its file, for people
    sources: Mapping[str, Remarks]
    _cases: dict[tuple[str | None, TrialCheck], Case] = field(default_factory=dict)

    def found(
        self,
        check: TrialCheck,
        revision: str | None,
        why: str,
        details: Iterable[str] = (),
        *,
        file: str | None = None,
        line: int | None = None,
        is_sure: bool = True,
    ) -> None:
        """A finding; a second one of the same revision and check is added to the details of the first.

        One that is not ``is_sure`` fails nothing: it may be the synthetic rows that are at fault.
        """
        why, details = legible(why), tuple(map(legible, details))
        before = self._cases.get((revision, check))
        if before is not None and before.verdict in FOUND:
            added = (*before.details, why, *details)[: _listed(check)]
            self._cases[revision, check] = replace(before, details=added)
            return
        source = self.sources.get(revision or "")
        reason = source.accepted.get(str(check)) if source is not None else None
        if reason is not None:
            verdict, why, details = CaseStatus.ACCEPTED, f"accepted: {reason}", (why, *details)
        else:
            verdict = CaseStatus.FAILED if is_sure and str(check) in self.fail else CaseStatus.WARNED
        place = self._line(check, revision) if line is None and file is None else line
        shown = file if file is not None else self.files.get(revision or "")
        self._cases[revision, check] = Case(check, verdict, revision, shown, place, why, details[: _listed(check)])

    def passed(self, check: TrialCheck, revision: str | None = None) -> None:
        """Nothing was found, unless something was already."""
        self._put(check, revision, CaseStatus.PASSED, "")

    def skipped(self, check: TrialCheck, revision: str | None, reason: str) -> None:
        """It was not tried, unless something was said about it already."""
        self._put(check, revision, CaseStatus.SKIPPED, reason)

    def skip_rest(self, revision: str, reason: str) -> None:
        """None of the revision's other checks can be tried."""
        for check in OF_REVISIONS:
            self.skipped(check, revision, reason)

    def of(self, revision: str | None) -> tuple[Case, ...]:
        """The cases of one revision, None for those of the history."""
        return tuple(case for (about, _), case in self._cases.items() if about == revision)

    def trial(self, order: Iterable[Revision]) -> Trial:
        """Everything, the revisions in the given order and the history last."""
        names = [*(revision.id for revision in order), None]
        checks = list(TrialCheck)
        return Trial(
            tuple(case for name in names for case in sorted(self.of(name), key=lambda case: checks.index(case.check)))
        )

    def _put(self, check: TrialCheck, revision: str | None, verdict: CaseStatus, why: str) -> None:
        if (revision, check) not in self._cases:
            file = self.files.get(revision or "")
            line = self._line(check, revision) if file is not None else None
            self._cases[revision, check] = Case(check, verdict, revision, file, line, why)

    def _line(self, check: TrialCheck, revision: str | None) -> int | None:
        source = self.sources.get(revision or "")
        if source is None:
            return None
        return source.downgrade_line if check is TrialCheck.DOWNGRADE else source.upgrade_line


def planned(revisions: Iterable[Revision]) -> tuple[tuple[str | None, TrialCheck], ...]:
    """Which cases a trial of these revisions has, in their order."""
    of_revisions = [(revision.id, check) for revision in revisions for check in OF_REVISIONS]
    return (*of_revisions, *((None, check) for check in OF_HISTORY))


# What was counted


@dataclass(frozen=True, slots=True)
class Counted:
    """The rows of one table; ``id`` stays what it is when the table is renamed."""

    id: int
    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A database at one moment."""

    rows: tuple[str, ...]  # of the version table
    schema: Mapping[str, str]
    counts: tuple[Counted, ...]


def rows_lost(before: Iterable[Counted], after: Iterable[Counted]) -> list[str]:
    """The tables that are still there, under their name or under another, with fewer rows, as sentences.

    A table that is gone lost its rows with it: that is what dropping one is for.
    """
    ids = {one.id: one for one in after}
    names = {one.name: one for one in ids.values()}
    found = []
    for one in before:
        now = ids.get(one.id) or names.get(one.name)
        if now is not None and now.rows < one.rows:
            found.append(f"table {now.name}: {counted(one.rows, 'row')} before, {now.rows} after")
    return found


def rows_left(before: Iterable[Counted], after: Iterable[Counted]) -> list[str]:
    """The tables that have more rows than before, as sentences."""
    ids = {one.id: one.rows for one in before}
    return [
        f"table {one.name}: {counted(ids[one.id], 'row')} before, {one.rows} after"
        for one in after
        if one.id in ids and one.rows > ids[one.id]
    ]


def rows_of_env_py(
    before: Iterable[Counted], after: Iterable[Counted], undone: Iterable[Counted], source: str
) -> set[int]:
    """The tables that got rows on the way up and on the way back, though the revision names them nowhere.

    So it is where env.py keeps a book of what it does (``on_version_apply``), or a trigger does.
    """
    ups, downs = ({one.id: one.rows for one in counts} for counts in (before, after))
    return {
        one.id
        for one in undone
        if ups.get(one.id, one.rows) < downs.get(one.id, 0) < one.rows
        and re.search(rf"\b{re.escape(one.name.rpartition('.')[2])}\b", source) is None
    }


def traces(before: Schema, after: Schema) -> list[str]:
    """What a way there and back has changed, as sentences."""
    found = compare(before, after, same_major=True).without_members()
    said = [f"{one.identity} is left behind" for one in found.extra]
    said += [f"{one.identity} is lost" for one in found.missing]
    for one in found.changed:
        is_short = one.expected is not None and one.actual is not None and "\n" not in one.expected + one.actual
        said.append(
            f"{one.identity} is {one.actual}, was {one.expected}" if is_short else f"{one.identity} has changed"
        )
    said += [f"{one.expected_identity} has become {one.actual_identity}" for one in found.renamed]
    return said


def with_effect(after: Schema, before: Schema, filled: Schema) -> Schema:
    """``after`` where something had made ``filled`` of ``before`` first: what the way from there left alone is as it was."""
    found = dict(after)
    for one in {*before, *filled}:
        if before.get(one) == filled.get(one) or before.get(one) != after.get(one):
            continue
        if one in filled:
            found[one] = filled[one]
        else:
            del found[one]
    return found
