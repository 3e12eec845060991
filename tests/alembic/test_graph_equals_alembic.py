"""The revision graph and the reading of revision files against Alembic itself, on generated histories written as files."""

from __future__ import annotations

import io
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.config import Config
from alembic.runtime.migration import HeadMaintainer, MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.history.graph import Graph, Revision
from migrate.history import AlembicConfig, load_config, scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMES = ("head", "heads", "base", "", "a", "ab", "aba", "ab1_", "f", "fea", "feat", "missing")
LABELS = ("feature", "feat-ure", "feat", "b1", "abxx")
# What Alembic raises for a name that it cannot resolve: the AssertionError is its answer to the empty name.
REFUSALS = (CommandError, AssertionError)


@st.composite
def histories(draw: st.DrawFn) -> list[Revision]:
    """Branches, merges, several bases, labels, dependencies by id and label, in an order of files unlike that of revisions."""
    ids = draw(st.lists(st.text("ab1_", min_size=1, max_size=6), min_size=1, max_size=12, unique=True))
    labels = [label for label in LABELS if label not in ids]
    named: list[str] = []
    revisions = []
    for at, id_ in enumerate(ids):
        earlier = ids[max(0, at - 3) : at] if draw(st.booleans()) else ids[:at]
        wanted = draw(st.sampled_from([0, 1, 1, 1, 1, 2, 3]))
        down = tuple(draw(st.permutations(earlier))[:wanted])
        on: list[str] = []
        if at and draw(st.booleans()):
            on = draw(st.lists(st.sampled_from(ids[:at] + named), max_size=3, unique=True))
        own = [labels.pop()] if labels and draw(st.integers(0, 4)) == 0 else []
        named += own
        message = draw(st.sampled_from(["", "add a thing", "über \"quotes\" and 'more'", "a\\nb"]))
        revisions.append(Revision(id_, down, tuple(on), tuple(own), message, file="", sha256=""))
    order = draw(st.permutations(range(len(ids))))
    return [replace(revisions[at], file=f"{number:02}.py") for number, at in enumerate(order)]


def declared(values: Sequence[str]) -> str:
    return repr(tuple(values) if len(values) > 1 else values[0] if values else None)


def write(folder: Path, revisions: Iterable[Revision]) -> AlembicConfig:
    versions = folder / "scripts" / "versions"
    versions.mkdir(parents=True)
    (folder / "scripts" / "env.py").touch()
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/scripts\npath_separator = os\n")
    for revision in revisions:
        (versions / revision.file).write_text(
            f"{revision.message!r}\nfrom typing import Union\n\n# revision identifiers, used by Alembic.\n"
            f"revision: str = {revision.id!r}\ndown_revision: Union[str, None] = {declared(revision.down)}\n"
            f"branch_labels = {declared(revision.labels)}\ndepends_on = {declared(revision.depends_on)}\n\n"
            f"def upgrade():\n    pass\n\ndef downgrade():\n    pass\n",
            encoding="utf-8",
        )
    config = load_config(None, folder)
    assert isinstance(config, AlembicConfig), config
    return config


def both(folder: Path, revisions: Iterable[Revision]) -> tuple[ScriptDirectory, Graph]:
    """Load the same files by Alembic and by us."""
    ours = scan(write(folder, revisions))
    assert ours.faults == ()
    script = ScriptDirectory.from_config(Config(str(folder / "alembic.ini")))
    theirs = script.revision_map._revision_map
    for revision in ours.revisions:
        # A set's order, so it changes with the hash seed: take the one of Alembic's orders that we promise.
        order = [theirs[name].revision for name in revision.depends_on]
        loaded = theirs[revision.id]
        loaded._normalized_resolved_dependencies = tuple(
            sorted(loaded._normalized_resolved_dependencies, key=order.index)
        )
    graph = Graph(ours.revisions)
    assert graph.faults == ()
    return script, graph


def targets(revisions: Sequence[Revision]) -> list[str]:
    ids = [revision.id for revision in revisions]
    labels = [label for revision in revisions for label in revision.labels]
    plain = [*NAMES, *ids, *labels]
    branches = [*labels, *ids[:3], "fea", "a", "missing"]
    return plain + [f"{branch}@{name}" for branch in branches for name in ("head", "heads", "base", *ids[:4], "a", "f")]


def resolved(script: ScriptDirectory, target: str) -> tuple[str, ...] | None:
    """Return the ids that Alembic takes a name for; None when it refuses."""
    try:
        return tuple(revision.revision for revision in script.get_revisions(target))
    except REFUSALS:
        return None


def answer(ours: tuple[str, ...] | HistoryFault) -> tuple[str, ...] | None:
    return None if isinstance(ours, HistoryFault) else ours


def rows_as_applied(script: ScriptDirectory, rows: Iterable[str], steps: Sequence[RevisionStep]) -> list[set[str]]:
    """Return the version rows after each step, kept by the class that keeps them in a real run."""
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": io.StringIO(), "script": script}
    )
    maintainer = HeadMaintainer(context, rows)
    seen = []
    for step in steps:
        maintainer.update_to_step(step)
        seen.append(set(maintainer.heads))
    return seen


@settings(max_examples=80)
@given(histories())
def test_loading_heads_bases_and_every_name(revisions: list[Revision]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        script, graph = both(Path(folder), revisions)

        assert [revision.id for revision in graph] == [
            revision.revision for revision in script.revision_map._generator()
        ]
        for revision in graph:
            theirs: Any = script.get_revision(revision.id)
            assert revision.message == theirs.doc.split("\n")[0]
            assert set(revision.labels) == set(theirs._orig_branch_labels)
        assert graph.heads == tuple(script.get_heads())
        for target in targets(revisions):
            assert answer(graph.resolve(target)) == resolved(script, target), target


@settings(max_examples=120)
@given(histories(), st.data())
def test_what_is_left_to_apply_in_which_order_and_the_rows_it_leaves(
    revisions: list[Revision], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        script, graph = both(Path(folder), revisions)
        ids = [revision.id for revision in revisions]

        for _ in range(6):
            rows = tuple(data.draw(st.lists(st.sampled_from(ids), max_size=3), label="rows"))
            target = data.draw(st.sampled_from(targets(revisions)), label="target")
            ours = graph.pending(rows, target)
            overlap = graph.split(rows)
            try:
                steps: Any = script._upgrade_revs(target, rows)  # type: ignore[arg-type]
            except REFUSALS:
                assert overlap.ancestors or isinstance(ours, HistoryFault)
                continue
            assert not overlap.ancestors
            assert isinstance(ours, tuple), ours
            assert [revision.id for revision in ours] == [step.revision.revision for step in steps]
            assert graph.ancestors(rows) == {
                revision.revision for revision in script.revision_map._get_ancestor_nodes(script.get_revisions(rows))
            }
            check_rows(script, graph, rows, target, steps)


def check_rows(
    script: ScriptDirectory, graph: Graph, rows: Sequence[str], target: str, steps: list[RevisionStep]
) -> None:
    try:
        expected = rows_as_applied(script, rows, steps)
    except KeyError:
        # Alembic's own fault: it deletes the row of a parent that another parent, which has the row, implies.
        assert any(
            graph.is_ancestor(lower, upper)
            for step in steps
            for lower in step.from_revisions
            for upper in step.from_revisions
        )
        return
    after = frozenset(rows)
    for step, theirs in zip(steps, expected, strict=True):
        after = graph.rows_after(after, step.revision.revision)
        assert after == theirs
    if not rows:
        assert graph.rows_at(target) == after
    reached: Any = script._upgrade_revs(target, tuple(after))  # type: ignore[arg-type]
    assert reached == []
    assert graph.pending(after, target) == ()


def revision(id_: str, *down: str, on: tuple[str, ...] = (), labels: tuple[str, ...] = (), file: str = "") -> Revision:
    return Revision(id_, down, on, labels, "", file or f"{id_.strip('-')}.py", "")


@pytest.mark.parametrize(
    ("kind", "revisions"),
    [
        (FaultKind.DUPLICATE_ID, [revision("a"), revision("b", "a", file="b1.py"), revision("b", "a", file="b2.py")]),
        (FaultKind.MISSING_PARENT, [revision("a"), revision("b", "gone")]),
        (FaultKind.MISSING_PARENT, [revision("a", labels=("web",)), revision("b", "web")]),
        (FaultKind.MISSING_DEPENDENCY, [revision("a"), revision("b", "a", on=("gone",))]),
        (FaultKind.MISSING_DEPENDENCY, [revision("abcdef"), revision("b", on=("abcd",))]),
        (FaultKind.SELF_LOOP, [revision("a"), revision("b", "b")]),
        (FaultKind.SELF_LOOP, [revision("a"), revision("b", "a", on=("b",))]),
        (FaultKind.SELF_LOOP, [revision("a"), revision("b", "a", on=("web",), labels=("web",))]),
        (FaultKind.CYCLE, [revision("a"), revision("b", "c"), revision("c", "b")]),
        (FaultKind.CYCLE, [revision("a"), revision("b", "a", on=("c",)), revision("c", "b")]),
        (FaultKind.LABEL_CLASH, [revision("a", labels=("web",)), revision("b", "a", labels=("web",))]),
        (FaultKind.LABEL_CLASH, [revision("a"), revision("b", "a", labels=("a",))]),
        (FaultKind.ILLEGAL_ID, [revision("a-")]),
    ],
)
def test_what_is_a_fault_to_us_alembic_refuses_or_warns_of(
    tmp_path: Path, kind: FaultKind, revisions: list[Revision]
) -> None:
    ours = scan(write(tmp_path, revisions))
    assert ours.faults == ()
    assert [fault.kind for fault in Graph(ours.revisions).faults] == [kind]

    script = ScriptDirectory.from_config(Config(str(tmp_path / "alembic.ini")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((CommandError, KeyError, UserWarning)):
            script.get_revisions("heads")


@pytest.mark.parametrize("symbol", ["base", "head", "heads"])
def test_an_id_that_is_a_symbol_to_alembic_is_a_fault_to_us(tmp_path: Path, symbol: str) -> None:
    ours = scan(write(tmp_path, [revision(symbol), revision("b", symbol), revision("c", "b")]))
    assert [fault.kind for fault in Graph(ours.revisions).faults] == [FaultKind.ILLEGAL_ID]
    script = ScriptDirectory.from_config(Config(str(tmp_path / "alembic.ini")))
    assert [found.revision for found in script.get_revisions(symbol) if found] != [symbol]


def test_a_cycle_between_a_base_and_a_head_is_one_that_alembic_overlooks(tmp_path: Path) -> None:
    tangle = [revision("a0"), revision("b", "a0", "d"), revision("c", "b"), revision("d", "c"), revision("e", "d")]
    ours = scan(write(tmp_path, tangle))

    (fault,) = Graph(ours.revisions).faults
    assert fault.kind is FaultKind.CYCLE
    assert set(fault.revisions) == {"b", "c", "d"}
    assert ScriptDirectory.from_config(Config(str(tmp_path / "alembic.ini"))).get_heads() == ["e"]
