"""The manifest is one text for one history, replays to the schema of any revision, and tells which one a database has."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.building import build, used_schemas
from migrate.core.manifest.conflicts import ManifestConflict
from migrate.core.manifest.entries import Baseline, Entry, MalformedManifest
from migrate.core.manifest.identification import distances_of
from migrate.core.manifest.manifest import FileFindings, GraphFindings, Manifest
from migrate.core.manifest.match import Exact, Nearest, Several
from migrate.core.schema.differences import Difference, Differences, Renamed, compare, fingerprint
from tests.support.changes import apply

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from pathlib import Path

Ops = dict[str, str | None]


def revision(id_: str, *down: str, depends_on: tuple[str, ...] = (), labels: tuple[str, ...] = ()) -> Revision:
    return Revision(id_, down, depends_on, labels, f"say {id_}", f"versions/{id_}.py", f"sha of {id_}")


def replayed(
    graph: Graph, ops: Mapping[str, Ops], target: str, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What Alembic's order of upgrades to the target makes of the base."""
    schema = dict(base or {})
    pending = graph.pending((), target)
    assert isinstance(pending, tuple), pending
    for applied in pending:
        for identity, definition in ops[applied.id].items():
            if definition is None:
                schema.pop(identity, None)
            else:
                schema[identity] = definition
    return schema


def manifest_of(history: Mapping[Revision, Ops], *, postgres: int = 17, baseline: Baseline | None = None) -> Manifest:
    graph = Graph(history)
    assert graph.faults == ()
    ops = {revision.id: ops for revision, ops in history.items()}
    base = apply({}, baseline.changes) if baseline is not None else None
    schemas = {revision.id: replayed(graph, ops, revision.id, base) for revision in graph}
    return build(postgres, graph, schemas, baseline)


ARTICLES: Ops = {"table articles": "", "column articles.title": "character varying not null"}
LINEAR = manifest_of(
    {
        revision("a1"): ARTICLES,
        revision("a2", "a1"): {},
        revision("a3", "a2"): {"column articles.title": "character varying"},
        revision("a4", "a3"): {"table articles": None, "column articles.title": None, "table news": ""},
    },
)
AT_A1 = {"table articles": "", "column articles.title": "character varying not null"}
AT_A3 = AT_A1 | {"column articles.title": "character varying"}
BASELINE = Baseline.of("baseline.sql", "sha of baseline", {"table old": ""})

# Two branches that know nothing of each other, and their merge.
FORKED = {
    revision("root"): {"table t": "", "column t.x": "integer"},
    revision("left", "root", labels=("west",)): {"column t.left": "integer"},
    revision("right", "root"): {"column t.right": "integer"},
}
MERGE = revision("merge", "left", "right")


# The text


def test_the_text_is_canonical_and_reads_as_what_was_done() -> None:
    small = manifest_of(
        {
            revision("b1", labels=("news", "ü")): {"table t": "", "function f()": "begin\nend"},
            revision("b2", "b1", depends_on=("news",)): {},
        },
        baseline=BASELINE,
    )
    assert small.serialise() == (
        "{\n"
        ' "baseline": {\n'
        '  "changes": [\n'
        '   "+ table old: "\n'
        "  ],\n"
        '  "file": "baseline.sql",\n'
        f'  "schema": "{fingerprint({"table old": ""})}",\n'
        '  "sha256": "sha of baseline"\n'
        " },\n"
        ' "format": 1,\n'
        ' "heads": ["b2"],\n'
        ' "postgres": 17,\n'
        ' "revisions": [\n'
        "  {\n"
        '   "changes": [\n'
        '    "+ function f(): begin\\nend",\n'
        '    "+ table t: "\n'
        "   ],\n"
        '   "depends_on": [],\n'
        '   "down": [],\n'
        '   "file": "versions/b1.py",\n'
        '   "id": "b1",\n'
        '   "labels": ["news", "ü"],\n'
        '   "message": "say b1",\n'
        f'   "schema": "{small.revisions[0].schema}",\n'
        '   "sha256": "sha of b1"\n'
        "  }, {\n"
        '   "changes": [],\n'
        '   "depends_on": ["news"],\n'
        '   "down": ["b1"],\n'
        '   "file": "versions/b2.py",\n'
        '   "id": "b2",\n'
        '   "labels": [],\n'
        '   "message": "say b2",\n'
        f'   "schema": "{small.revisions[0].schema}",\n'
        '   "sha256": "sha of b2"\n'
        "  }\n"
        " ]\n"
        "}\n"
    )
    assert Manifest.parse(small.serialise()) == small


def test_a_history_without_revisions_has_a_manifest() -> None:
    empty = build(17, Graph([]), {})
    assert Manifest.parse(empty.serialise()) == empty
    assert json.loads(empty.serialise()) == {"format": 1, "heads": [], "postgres": 17, "revisions": []}
    assert empty.identify({}, major=17) == Exact(())
    assert empty.identify({"table t": ""}, major=17) == Nearest(
        (), Differences(extra=(Difference("table t", None, ""),))
    )


def test_half_a_character_in_a_docstring_does_not_keep_the_file_from_being_written() -> None:
    odd = manifest_of({replace(revision("c1"), message="say \ud83d"): {}})
    assert Manifest.parse(odd.serialise().encode().decode()) == odd


def test_a_revision_more_adds_lines_and_changes_only_the_heads() -> None:
    longer = LINEAR.revisions[-1]
    before = replace(LINEAR, revisions=LINEAR.revisions[:-1]).serialise().splitlines()
    after = LINEAR.serialise().splitlines()
    added = [line for line in after if line not in before]
    assert '   "id": "a4",' in added
    assert f'   "schema": "{longer.schema}",' in added
    assert [line for line in before if line not in after] == [' "heads": ["a3"],']


@pytest.mark.skipif(shutil.which("git") is None, reason="git decides what conflicts")
def test_two_branches_that_both_add_a_revision_conflict_in_git_and_the_manifest_says_so(tmp_path: Path) -> None:
    base, left, right = (
        manifest_of({one: ops for one, ops in FORKED.items() if one.id in ids})
        for ids in ({"root"}, {"root", "left"}, {"root", "right"})
    )
    files = []
    for name, one in (("left", left), ("base", base), ("right", right)):
        files.append(tmp_path / name)
        files[-1].write_text(one.serialise(), encoding="utf-8")
    merged = subprocess.run(["git", "merge-file", "-p", *files], capture_output=True, check=False)
    assert merged.returncode > 0
    with pytest.raises(MalformedManifest, match=r"line 3: git left its conflict marker '<<<<<<< .*left'"):
        Manifest.parse(merged.stdout.decode())


GOOD = LINEAR.serialise()


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) >= 1
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "no JSON: Expecting value in column 1"),
        (changed('"heads": ["a4"],', '"heads": ["a4"]'), 4, "no JSON: Expecting ',' delimiter in column 2"),
        (changed('   "down"', '>>>>>>> theirs\n   "down"'), 12, "git left its conflict marker '>>>>>>> theirs'"),
        ("[" * 200_000, 1, "no JSON that can be read"),
        (changed("17", "1" * 5_000), 1, "no JSON that can be read"),
        ("\n[]", 2, "the manifest is not an object"),
        ("{}", 1, "the manifest has no format"),
        (changed('"format": 1', '"format": 2'), 2, r"format 2 is not one that this version reads \(1\)"),
        (changed(' "postgres"', ' "extra": 0,\n "postgres"'), 4, "the manifest has 'extra', which means nothing"),
        (changed("17", '"17"'), 4, "postgres is not a major version"),
        (changed(' "revisions": [', ' "schemas": "audit",\n "revisions": ['), 5, "schemas is not a list of strings"),
        (changed(' "revisions": [', ' "schemas": [1],\n "revisions": ['), 5, "schemas is not a list of strings"),
        (changed(' "heads": ["a4"],\n', ""), 1, "the manifest has no heads"),
        (changed('["a4"]', '["a3"]'), 3, r'heads is \["a3"\], but the heads of its revisions are \["a4"\]'),
        (changed('["a4"]', "7"), 3, "heads is 7"),
        ('{"format": 1,\n"heads": [], "postgres": 1,\n"revisions": {}}', 3, "revisions is not a list"),
        (
            '{"format": 1,\n"heads": [], "postgres": 1,\n"revisions": [0]}',
            3,
            "this member of revisions is not an object",
        ),
        (changed('   "id": "a1",\n', ""), 6, "this member of revisions has no id"),
        (changed('   "id": "a1",', '   "id": "a1",\n   "ID": "a1",'), 15, "this member of revisions has 'ID'"),
        (changed('"id": "a1"', '"id": 1'), 14, "id is not a string"),
        (changed('"down": []', '"down": "x"'), 12, "down is not a list of strings"),
        (changed('"down": []', '"down": [1]'), 12, "down is not a list of strings"),
        (changed('"down": []', '"down": ["a2"]'), 12, "a2, which revision a1 builds on, is not before it"),
        (changed('"depends_on": []', '"depends_on": ["b"]'), 11, "b, which revision a1 depends on, is not before it"),
        (changed('"id": "a2"', '"id": "a1"'), 24, "revision a1 is there twice"),
        (changed(' "format"', ' "baseline": [],\n "format"'), 2, "this member of baseline is not an object"),
    ],
)
def test_what_is_no_manifest_is_told_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(MalformedManifest, match=f"^line {line}: {why}") as caught:
        Manifest.parse(text)
    assert caught.value.line == line
    assert str(caught.value).endswith(caught.value.why)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (changed("+ table articles: ", "table articles"), 8, "not a line of changes: table articles"),
        (
            changed("+ table articles: ", "+ tabel articles: "),
            8,
            "not the identity of a database object: tabel articles",
        ),
        (changed("not null", "null"), 17, "the changes up to revision a1 do not lead to this schema"),
    ],
)
def test_changes_that_were_edited_by_hand_are_found_when_they_are_needed(text: str, line: int, why: str) -> None:
    edited = Manifest.parse(text)
    with pytest.raises(MalformedManifest, match=f"^line {line}: {why}"):
        edited.schema_at(("a1",))


def test_an_edited_baseline_is_found_when_it_is_needed() -> None:
    text = manifest_of({revision("b1"): {}}, baseline=BASELINE).serialise()
    with pytest.raises(MalformedManifest, match="line 7: the changes of the baseline do not lead to this schema"):
        Manifest.parse(changed("+ table old", "+ table new", text)).schema_at(())
    with pytest.raises(MalformedManifest, match="line 4: not a line of changes"):
        Manifest.parse(changed("+ table old", "! table old", text)).schema_at(())


def test_a_run_with_nothing_to_do_looks_into_no_line_of_changes() -> None:
    unread = Manifest.parse(changed("+ table articles: ", "nonsense"))
    assert unread.heads == ("a4",)
    assert unread.compare(("a4",), {"table news": ""}, major=17) == Differences()


# The history


def test_files_are_held_against_their_hashes() -> None:
    files = {entry.revision.file: entry.revision.sha256 for entry in LINEAR.revisions}
    assert not LINEAR.check_files(files)
    del files["versions/a1.py"]
    found = LINEAR.check_files(files | {"versions/a2.py": "other", "versions/new.py": "new"})
    assert found == FileFindings(("versions/new.py",), ("versions/a2.py",), ("versions/a1.py",))
    assert all(
        (FileFindings(added=("a",)), FileFindings(edited=("a",)), FileFindings(removed=("a",))),
    )


def test_ids_and_their_places_are_held_against_the_history_of_the_files() -> None:
    declared = [entry.revision for entry in LINEAR.revisions]
    edited = [replace(one, sha256="other", message="other", file="other") for one in declared]
    assert not LINEAR.check_revisions(edited)
    found = LINEAR.check_revisions([declared[0], replace(declared[1], labels=("new",)), declared[2], revision("a5")])
    assert found == GraphFindings(added=("a5",), moved=("a2",), removed=("a4",))
    moved = [replace(declared[1], down=("a3",)), replace(declared[2], depends_on=("a1",))]
    assert LINEAR.check_revisions([declared[0], *moved, declared[3]]).moved == ("a2", "a3")
    assert all((GraphFindings(added=("a",)), GraphFindings(moved=("a",)), GraphFindings(removed=("a",))))


def test_what_stands_as_it_stood_on_what_stood_need_not_be_replayed() -> None:
    declared = [entry.revision for entry in LINEAR.revisions]
    graph = Graph(declared)
    assert LINEAR.proven(graph, postgres=17, baseline=None) == {"a1", "a2", "a3", "a4"}
    assert LINEAR.proven(graph, postgres=18, baseline=None) == frozenset()
    assert LINEAR.proven(graph, postgres=17, baseline="sha") == frozenset()
    based = manifest_of({revision("b1"): {}}, baseline=BASELINE)
    assert based.proven(Graph([revision("b1")]), postgres=17, baseline=BASELINE.sha256) == {"b1"}
    assert based.proven(Graph([revision("b1")]), postgres=17, baseline=None) == frozenset()
    edited = Graph([declared[0], replace(declared[1], sha256="other"), *declared[2:]])
    assert LINEAR.proven(edited, postgres=17, baseline=None) == {"a1"}
    moved = Graph([*declared[:3], replace(declared[3], down=("a2",))])
    assert LINEAR.proven(moved, postgres=17, baseline=None) == {"a1", "a2", "a3"}
    assert LINEAR.proven(Graph(declared[:2]), postgres=17, baseline=None) == {"a1", "a2"}


def test_what_is_proven_is_taken_over_with_the_name_of_its_file() -> None:
    before = Manifest.parse(manifest_of(FORKED | {MERGE: {"column t.x": None}}).serialise())
    renamed = [replace(entry.revision, file="new name.py") for entry in before.revisions]
    top = revision("top", "merge")
    graph = Graph([*renamed, top])
    after_top = before.schema_at(("merge",)) | {"table top": ""}
    found = build(17, graph, {"top": after_top}, previous=before)
    assert found.revisions[:-1] == tuple(replace(e, revision=r) for e, r in zip(before.revisions, renamed, strict=True))
    assert found.revisions[-1] == Entry(top, fingerprint(after_top), ("+ table top: ",))
    with pytest.raises(KeyError, match="top"):
        build(17, graph, {}, previous=before)


# The schema at version rows


def test_the_schema_of_a_revision_is_the_fold_up_to_it() -> None:
    assert LINEAR.schema_at(()) == {}
    assert LINEAR.schema_at(("a1",)) == LINEAR.schema_at(("a2",)) == AT_A1
    assert LINEAR.schema_at(("a3",)) == AT_A3
    assert LINEAR.schema_at(["a4"]) == {"table news": ""}
    assert LINEAR.schema_at(["a3", "a1"]) == AT_A3
    assert [entry.changes for entry in LINEAR.revisions[1:3]] == [
        (),
        ("~ column articles.title: character varying not null -> character varying",),
    ]
    with pytest.raises(KeyError):
        LINEAR.schema_at(("nobody",))


def test_a_baseline_is_there_before_the_first_revision() -> None:
    based = manifest_of({revision("b1"): {"table t": "", "table old": None}, revision("c1"): {}}, baseline=BASELINE)
    assert based.schema_at(()) == {"table old": ""}
    assert based.schema_at(("b1",)) == {"table t": ""}
    assert based.schema_at(("c1",)) == {"table old": ""}
    assert [entry.changes for entry in based.revisions] == [("- table old: ", "+ table t: "), ()]


def test_branches_bring_what_they_bring_and_a_merge_nothing_of_its_own() -> None:
    forked = manifest_of(FORKED | {MERGE: {}})
    assert set(forked.schema_at(("left",))) == {"table t", "column t.x", "column t.left"}
    assert set(forked.schema_at(("right",))) == {"table t", "column t.x", "column t.right"}
    assert forked.schema_at(("left", "right")) == forked.schema_at(("merge",))
    assert forked.revisions[-1].changes == ()
    assert forked.conflicts(("left", "right")) == ()


def test_what_belongs_to_nothing_is_at_odds_with_no_table_that_another_branch_drops() -> None:
    ops = {
        revision("root"): {"table t": ""},
        revision("left", "root"): {"enum mood": "'sad'"},
        revision("right", "root"): {"table t": None},
    }
    assert manifest_of(ops).conflicts(("left", "right")) == ()


@pytest.mark.parametrize(
    ("revision_id", "lines"),
    [
        ("a1", ("- table articles: ", "- column articles.title: character varying not null")),
        ("a2", ()),
        ("a3", ("~ column articles.title: character varying -> character varying not null",)),
        ("a4", ("+ table articles: ", "+ column articles.title: character varying", "- table news: ")),
    ],
)
def test_the_way_back_from_a_revision(revision_id: str, lines: tuple[str, ...]) -> None:
    assert LINEAR.undone(revision_id) == lines


def test_the_way_back_from_a_merge_and_from_a_branch() -> None:
    forked = manifest_of(FORKED | {MERGE: {"table t": None, "column t.x": None, "table u": ""}})
    assert apply(forked.schema_at(("merge",)), forked.undone("merge")) == forked.schema_at(("left", "right"))
    assert forked.undone("left") == ("- column t.left: integer",)


@pytest.mark.parametrize("name", ["left", "west"])
def test_a_dependency_is_built_upon_by_id_and_by_label(name: str) -> None:
    dependent = manifest_of(FORKED | {revision("user", depends_on=(name,)): {"column t.user": "integer"}})
    assert set(dependent.schema_at(("user",))) == {"table t", "column t.x", "column t.left", "column t.user"}
    assert dependent.heads == ("left", "right", "user")  # as Alembic's heads, although user implies left
    text = dependent.serialise()
    assert Manifest.parse(text).schema_at(("user",)) == dependent.schema_at(("user",))


@pytest.mark.parametrize("first", ["left", "right"])
def test_branches_at_odds_are_said_to_be_and_either_may_have_won(first: str) -> None:
    odd = manifest_of(
        {
            revision("root"): {"table t": "", "column t.x": "integer"},
            revision("left", "root"): {"column t.x": "bigint", "column t.same": "text"},
            revision("right", "root"): {"column t.x": "numeric", "column t.same": "text"},
            revision("far", "right"): {"column t.x": None},
        },
    )
    conflict = ManifestConflict("column t.x", (("left", "bigint"), ("right", "numeric")))
    assert odd.conflicts(("left", "right")) == (conflict,)
    assert conflict.sentence() == (
        "column t.x depends on the order in which branches are applied: "
        "revision left makes it bigint, revision right makes it numeric"
    )
    won = {"left": "numeric", "right": "bigint"}[first]
    live = {"table t": "", "column t.x": won, "column t.same": "text"}
    assert odd.compare(("left", "right"), live, major=17) == Differences()
    wrong = odd.compare(("left", "right"), live | {"column t.x": "json"}, major=17)
    assert wrong.changed == (Difference("column t.x", "numeric", "json"),)
    (dropped,) = odd.conflicts(("left", "far"))
    assert dropped.sentence().endswith("revision left makes it bigint, revision far drops it")
    gone = {"table t": "", "column t.same": "text"}
    assert odd.compare(("far", "left"), gone, major=17) == Differences()
    assert odd.compare(("far", "left"), gone | {"column t.x": "bigint"}, major=17) == Differences()
    assert odd.conflicts(("left",)) == odd.conflicts(("root", "left")) == ()


SETTLED = build(
    17,
    Graph(
        [
            revision("root"),
            revision("left", "root"),
            revision("right", "root"),
            MERGE,
            revision("other", "root"),
            revision("third", "root"),
        ]
    ),
    {
        "root": {"column t.x": "integer"},
        "left": {"column t.x": "bigint"},
        "right": {"column t.x": "numeric"},
        "merge": {"column t.x": "numeric"},
        "other": {"column t.x": "integer", "column t.y": "integer"},
        "third": {"column t.x": "json"},
    },
)


def test_a_merge_settles_what_its_branches_left_open_even_without_a_line() -> None:
    assert [entry.revision.id for entry in SETTLED.revisions] == ["root", "left", "other", "right", "merge", "third"]
    assert SETTLED.revisions[4].changes == ()
    assert SETTLED.schema_at(("merge",)) == {"column t.x": "numeric"}
    assert SETTLED.conflicts(("merge", "other")) == ()
    (conflict,) = SETTLED.conflicts(("merge", "third"))
    assert conflict.definitions == (("merge", "numeric"), ("third", "json"))


@pytest.mark.parametrize("entry", SETTLED.revisions, ids=lambda entry: entry.revision.id)
def test_branches_at_odds_do_not_lead_identification_astray(entry: Entry) -> None:
    rows = (entry.revision.id,)
    same = [rows] if rows[0] not in {"right", "merge"} else [("right",), ("merge",)]
    for major in (15, 17):  # along the changes, and by the fingerprint
        match = SETTLED.identify(SETTLED.schema_at(rows), major=major)
        assert match == (Exact(rows) if len(same) == 1 else Several(tuple(same)))


def test_a_merge_leaves_alone_what_it_does_not_build_on() -> None:
    history = {
        revision("root"): {"column t.x": "integer"},
        revision("a", "root"): {"column t.x": "bigint"},
        revision("b", "root"): {"column t.x": "numeric"},
        revision("c", "root"): {"column t.y": "integer"},
        revision("m", "b", "c"): {},
    }
    (conflict,) = manifest_of(history).conflicts(("a", "m"))
    assert conflict.definitions == (("a", "bigint"), ("b", "numeric"))


def test_a_table_that_one_branch_drops_and_another_one_alters_is_at_odds() -> None:
    root = {"table t": "", "column t.x": "integer"}
    drop = dict.fromkeys(root)
    odd = manifest_of(
        {
            revision("root"): root,
            revision("drop", "root"): drop,
            revision("grow", "root"): {"column t.y": "integer"},
            revision("view", "drop"): {"view t": "select 1", "column t.z": "integer"},
            revision("tidy", "root"): {"index t.i": None, "column u.x": "integer"},
        },
    )
    found = odd.conflicts(("drop", "grow"))
    assert found == (ManifestConflict("column t.y", (("drop", None), ("grow", "integer"))),)
    assert odd.compare(("drop", "grow"), {}, major=17) == Differences()
    # Dropped and made anew as something else on one branch: nobody contradicts.
    assert odd.conflicts(("view", "tidy")) == ()


def test_the_text_of_a_view_counts_within_one_major_version_only() -> None:
    views = manifest_of({revision("v1"): {"view v": "select t.id from t", "column v.id": "integer"}})
    live = {"view v": "select id from t", "column v.id": "integer"}
    assert len(views.compare(("v1",), live, major=17)) == 1
    assert views.compare(("v1",), live, major=15) == Differences()
    assert views.compare(("v1",), live, major=17, ignore=["view v"]) == Differences()
    assert views.identify(live, major=15) == Exact(("v1",))
    assert views.identify(live, major=17) == Nearest(("v1",), views.compare(("v1",), live, major=17))


# Identification


def test_a_schema_that_one_revision_has_is_that_revision() -> None:
    assert LINEAR.identify(AT_A3, major=17) == Exact(("a3",))
    assert LINEAR.identify(AT_A3, major=18) == Exact(("a3",))
    assert LINEAR.identify(AT_A3 | {"table tmp_1": ""}, major=17, ignore=["table tmp_*"]) == Exact(("a3",))
    assert LINEAR.identify({}, major=17) == Exact(())


def test_revisions_that_change_data_only_cannot_be_told_apart() -> None:
    assert LINEAR.identify(AT_A1, major=17) == Several((("a1",), ("a2",)))
    assert LINEAR.identify(AT_A1, major=15) == Several((("a1",), ("a2",)))


def test_the_nearest_revision_differs_least_and_its_equals_are_named() -> None:
    extra = Differences(extra=(Difference("table tmp", None, ""),))
    assert LINEAR.identify(AT_A3 | {"table tmp": ""}, major=17) == Nearest(("a3",), extra)
    assert LINEAR.identify(AT_A1 | {"table tmp": ""}, major=17) == Nearest(("a2",), extra, ties=(("a1",),))


def test_an_index_that_has_another_name_is_one_difference() -> None:
    named = manifest_of(
        {
            revision("a1"): {"table a": "", "index a.i": "btree (x)", "table old": ""},
            revision("a2", "a1"): {"index a.i": None, "index a.j": "btree (x)"},
            revision("a3", "a2"): {"index a.k": "btree (y)"},
        }
    )
    renamed = Differences(renamed=(Renamed("index a.j", "index a.z"),))
    live = {"table a": "", "index a.z": "btree (x)"}
    assert named.identify(live, major=17, ignore=["table old"]) == Nearest(("a2",), renamed, ties=(("a1",),))


def test_a_database_with_nothing_of_the_history_is_near_to_the_base_and_others_are_only_near_to_a_baseline() -> None:
    stranger = {f"table s{number}": "" for number in range(3)}
    foreign = Differences(extra=tuple(Difference(identity, None, "") for identity in stranger))
    assert LINEAR.identify(stranger, major=17) == Nearest((), foreign)
    assert LINEAR.identify(stranger | {"column articles.title": "text"}, major=17).rows == ("a4",)
    # a first revision that makes nothing cannot be told from the base
    silent = manifest_of({revision("a1"): {}, revision("a2", "a1"): ARTICLES})
    assert silent.identify(stranger, major=17) == Nearest(("a1",), foreign, ties=((),))
    based = manifest_of({revision("b1"): ARTICLES}, baseline=BASELINE)
    assert based.identify({"table old": ""}, major=17) == Exact(())
    assert based.identify({"table old": ""} | stranger, major=17) == Nearest(
        (), Differences(extra=tuple(Difference(identity, None, "") for identity in stranger))
    )


def test_all_heads_at_once_are_a_position() -> None:
    forked = manifest_of(FORKED)
    rows = ("left", "right")
    both = forked.schema_at(rows)
    assert forked.identify(both, major=17) == Exact(rows)
    assert forked.identify(both, major=15) == Exact(rows)
    assert forked.identify(both | {"table tmp": ""}, major=17) == Nearest(
        rows, Differences(extra=(Difference("table tmp", None, ""),))
    )
    idle = manifest_of({one: ops for one, ops in FORKED.items() if one.id != "right"} | {revision("data", "root"): {}})
    assert idle.identify(idle.schema_at(("left",)), major=17) == Several((("left",), ("data", "left")))
    silent = manifest_of(FORKED | {revision("data", "root"): {}})
    assert silent.identify(silent.schema_at(("root",)), major=17) == Several((("root",), ("data",)))


# What holds for every history

IDENTITIES = (
    "table a",
    "column a.x",
    "column a.y",
    "index a.i",
    "index a.j",
    "constraint a.c",
    "constraint a.d",
    "constraint b.c",
    "view v",
    "column v.x",
    "function f(text, integer)",
)
DEFINITIONS = ("1", "2", "a -> b", "x: y")
SCHEMAS = st.dictionaries(st.sampled_from(IDENTITIES), st.sampled_from(DEFINITIONS), max_size=8)


@st.composite
def histories(draw: st.DrawFn, *, merges: bool = True) -> dict[Revision, Ops]:
    count = draw(st.integers(1, 8))
    ids = draw(st.permutations([f"r{number}" for number in range(count)]))
    # A small world, where branches often meet, or a wide one.
    pool = st.sampled_from(IDENTITIES[: draw(st.sampled_from([2, len(IDENTITIES)]))])
    ops = st.dictionaries(pool, st.sampled_from((None, *DEFINITIONS)), max_size=4)
    history: dict[Revision, Ops] = {}
    for at, id_ in enumerate(ids):
        below = st.lists(st.sampled_from(ids[:at]), max_size=2 if merges else 1, unique=True) if at else st.just([])
        down = draw(below)
        depends_on = draw(st.lists(st.sampled_from(ids[:at]), max_size=1)) if at and merges else []
        history[revision(id_, *down, depends_on=tuple(depends_on))] = draw(ops)
    return history


@settings(max_examples=40)
@given(histories(), st.none() | SCHEMAS)
def test_the_manifest_replays_to_the_schema_of_every_revision(history: dict[Revision, Ops], base: Ops | None) -> None:
    baseline = Baseline.of("b.sql", "sha", base) if base is not None else None
    written = manifest_of(history, baseline=baseline)
    read = Manifest.parse(written.serialise())
    assert read == written
    assert read.serialise() == written.serialise()
    graph = Graph(history)
    ops = {one.id: each for one, each in history.items()}
    for one in history:
        expected = replayed(graph, ops, one.id, base)
        assert read.schema_at((one.id,)) == expected
        assert read.compare((one.id,), expected, major=17) == Differences()
        assert read.conflicts((one.id,)) == ()
        match = read.identify(expected, major=17)
        assert (one.id,) in (match.candidates if isinstance(match, Several) else (match.rows,))


@settings(max_examples=100)
@given(
    histories(), st.none() | SCHEMAS, SCHEMAS, st.sampled_from([15, 17]), st.sampled_from([(), ("table a",), ("*x",)])
)
def test_the_way_along_the_history_counts_what_a_comparison_at_each_revision_counts(
    history: dict[Revision, Ops], base: Ops | None, live: dict[str, str], major: int, ignore: tuple[str, ...]
) -> None:
    baseline = Baseline.of("b.sql", "sha", base) if base is not None else None
    one = manifest_of(history, baseline=baseline)
    distances = distances_of(one, live, major=major, ignore=ignore)
    naive = {
        rows: len(compare(one.schema_at(rows), live, same_major=major == 17, ignore=ignore))
        for rows in [(), *((entry.revision.id,) for entry in one.revisions)]
    }
    all_heads = Graph(history).resolve("heads")
    assert isinstance(all_heads, tuple)
    if len(all_heads) > 1:
        rows = tuple(entry.revision.id for entry in one.revisions if entry.revision.id in all_heads)
        naive[rows] = len(one.compare(rows, live, major=major, ignore=ignore))
    between = distances.keys() - naive.keys()  # where several branches have gone as far as each has
    assert all(len(rows) > 1 and not Graph(history).split(rows) for rows in between)
    naive |= {rows: len(one.compare(rows, live, major=major, ignore=ignore)) for rows in distances if rows in between}
    assert distances == naive
    match = one.identify(live, major=major, ignore=ignore)
    exact = tuple(rows for rows, distance in naive.items() if not distance)
    if exact:
        assert match == (Several(exact) if len(exact) > 1 else Exact(exact[0]))
        return
    if baseline is None and one.identities & live.keys():
        del naive[()]
    least = min(naive.values())
    nearest = [rows for rows, distance in naive.items() if distance == least]
    assert match == Nearest(
        nearest[-1], one.compare(nearest[-1], live, major=major, ignore=ignore), tuple(nearest[:-1])
    )


@settings(max_examples=40)
@given(histories(merges=False), st.randoms(use_true_random=False))
def test_where_no_conflict_is_named_any_order_of_the_branches_makes_the_same_schema(
    history: dict[Revision, Ops], rng: random.Random
) -> None:
    one = manifest_of(history)
    rows = tuple(Graph(history).heads)
    named = {conflict.identity for conflict in one.conflicts(rows)}
    lines = {entry.revision.id: entry.changes for entry in one.revisions}
    waiting = {entry.revision.id: set(entry.revision.down) for entry in one.revisions}
    schema: dict[str, str] = {}
    while waiting:
        next_ = rng.choice(sorted(id_ for id_, down in waiting.items() if not down & waiting.keys()))
        del waiting[next_]
        schema = apply(schema, lines[next_])
    differences = compare(one.schema_at(rows), schema, same_major=True)
    differing = {each.identity for each in (*differences.missing, *differences.changed, *differences.extra)}
    differing |= {i for pair in differences.renamed for i in (pair.expected_identity, pair.actual_identity)}
    assert differing <= named


@settings(max_examples=40)
@given(histories(), histories())
def test_revisions_on_top_change_nothing_of_what_is_there(
    history: dict[Revision, Ops], more: dict[Revision, Ops]
) -> None:
    before = manifest_of(history)
    ids = [one.id for one in history]
    grown = dict(history)
    for number, (one, ops) in enumerate(more.items()):
        down = tuple({f"n{id_}" for id_ in one.down} or {ids[number % len(ids)]})
        grown[replace(revision(f"n{one.id}", *down), file=f"{one.id}.py")] = ops
    after = manifest_of(grown)
    assert [entry for entry in after.revisions if entry.revision.id in ids] == list(before.revisions)
    taken = {entry.revision.id: after.schema_at((entry.revision.id,)) for entry in after.revisions}
    fresh = {id_: schema for id_, schema in taken.items() if id_ not in ids}
    assert build(17, Graph(grown), fresh, previous=before) == after


@pytest.mark.parametrize("base", [None, Baseline.of("b.sql", "sha", {"extension hstore": "installed"})])
@pytest.mark.parametrize("major", [17, 18])
def test_extensions_that_no_revision_made_are_the_providers(base: Baseline | None, major: int) -> None:
    manifest = manifest_of(
        {revision("a1"): ARTICLES, revision("a2", "a1"): {"extension citext": "installed"}}, baseline=base
    )
    provided = {"extension pg_stat_statements": "installed", "extension hstore": "installed"}
    at_a1 = AT_A1 | provided
    at_a2 = at_a1 | {"extension citext": "installed"}
    assert manifest.identify(at_a1, major=major) == Exact(("a1",))
    assert manifest.identify(at_a2, major=major) == Exact(("a2",))
    assert not manifest.compare(("a2",), at_a2, major=major)
    assert manifest.compare(("a2",), at_a1, major=major).sentences() == ["extension citext is missing in the database"]
    assert manifest.compare(("a1",), at_a2, major=major).sentences() == ["extension citext is not in the manifest"]


# Other schemas than the default one

ELSEWHERE = {
    revision("s1"): {"schema billing": "schema", "table billing.bills": "", "column billing.bills.x": "integer"},
    revision("s2", "s1"): {"table t": "", "column t.x": "integer", "extension citext": "installed"},
}


def uses(
    history: Mapping[Revision, Ops], base: Mapping[str, str] | None = None, *, only: str | None = None
) -> set[str]:
    graph = Graph(history)
    ops = {revision.id: ops for revision, ops in history.items()}
    schemas = {r.id: replayed(graph, ops, r.id, base) for r in graph if only is None or r.id == only}
    return set(used_schemas(graph, schemas, base or {}))


def test_a_history_uses_the_schemas_in_which_its_revisions_make_change_or_drop_something() -> None:
    assert uses(ELSEWHERE) == {"billing"}
    assert uses({revision("only"): {"schema empty": "schema", "table t": ""}}) == set()
    base = {"table auth.users": "", "table audit.log": "", "table old.things": "", "schema auth": "schema"}
    touched: Ops = {"column audit.log.x": "integer", "table old.things": None}
    assert uses({revision("r"): touched}, base) == {"audit", "old"}
    assert uses({revision("r"): {"table t": ""}}, base) == set()


def test_what_a_merge_brings_together_is_no_use_of_its_own() -> None:
    base = {"table auth.users": ""}
    history: dict[Revision, Ops] = {
        revision("root"): {},
        revision("left", "root"): {"table left.t": ""},
        revision("right", "root"): {"table right.t": ""},
        revision("merge", "left", "right"): {"table left.t": None},
    }
    assert uses(history, base) == {"left", "right"}
    assert uses({**history, revision("merge", "left", "right"): {}}, base, only="root") == set()


def test_the_manifest_names_the_schemas_that_its_history_uses() -> None:
    graph = Graph(ELSEWHERE)
    ops = {revision.id: ops for revision, ops in ELSEWHERE.items()}
    schemas = {revision.id: replayed(graph, ops, revision.id) for revision in graph}
    found = build(17, graph, schemas, used=uses(ELSEWHERE))
    text = found.serialise()
    assert text.endswith('  }\n ],\n "schemas": ["billing"]\n}\n')
    assert Manifest.parse(text) == found
    assert Manifest.parse(text).serialise() == text
    assert found.schema_at(["s2"]) == schemas["s2"]


def test_a_schema_that_was_there_before_the_history_says_nothing_of_it() -> None:
    older = manifest_of({revision("s1"): {"table billing.bills": ""}})  # as one that was written for named schemas
    live = {"table billing.bills": "", "schema billing": "schema"}
    assert older.identify(live, major=17) == Exact(("s1",))
    assert not older.compare(("s1",), live, major=17)
    known = manifest_of(ELSEWHERE)
    without = known.schema_at(["s2"]).keys() - {"schema billing"}
    found = known.compare(("s2",), dict.fromkeys(without, ""), major=17)
    assert "schema billing is missing in the database" in found.sentences()


BRANCHES = manifest_of(
    {
        revision("root"): {"table t": ""},
        revision("l1", "root"): {"table l1": ""},
        revision("l2", "l1"): {"table l2": ""},
        revision("l3", "l2"): {"table l3": ""},
        revision("r1", "root"): {"table r1": ""},
        revision("r2", "r1"): {},
        revision("m1", "root"): {"table m1": ""},
    }
)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (("l3", "r2", "m1"), Exact(("l3", "m1", "r2"))),
        (("l2", "r1"), Several((("l2", "r1"), ("l2", "r2")))),
        (("l1", "m1"), Exact(("l1", "m1"))),
        (("l2", "m1"), Exact(("l2", "m1"))),
        (("l3",), Exact(("l3",))),
    ],
)
def test_each_branch_may_have_gone_as_far_as_it_has(rows: tuple[str, ...], found: object) -> None:
    live = BRANCHES.schema_at(rows)
    assert BRANCHES.identify(live, major=15) == found


def test_the_nearest_may_be_the_rows_of_several_branches() -> None:
    live = BRANCHES.schema_at(("l2", "m1")) | {"table more": ""}
    match = BRANCHES.identify(live, major=17)
    assert isinstance(match, Nearest)
    assert match.rows == ("l2", "m1")


def test_two_branches_from_nothing() -> None:
    lone = manifest_of({revision("a1"): {"table a": ""}, revision("b1"): {"table b": ""}})
    assert lone.identify({"table a": "", "table b": ""}, major=15) == Exact(("a1", "b1"))
    assert lone.identify({"table b": ""}, major=15) == Exact(("b1",))


# Siblings that build on each other without `depends_on`

SIBLINGS = {
    revision("root"): {"table t": ""},
    revision("a1", "root"): {"table a": ""},
    revision("a2", "a1"): {"column z.a": "integer"},
    revision("a3", "a2"): {"table more": ""},
    revision("z1", "root"): {"table z": ""},
    revision("z2", "z1"): {"table zz": ""},
}


@pytest.fixture
def following() -> Manifest:
    """a2 adds a column to the table that z1 makes."""
    graph = Graph(SIBLINGS)
    ops = {revision.id: ops for revision, ops in SIBLINGS.items()}
    applied = {
        "root": ("root",),
        "a1": ("root", "a1"),
        "a2": ("root", "a1", "z1", "a2"),
        "a3": ("root", "a1", "z1", "a2", "a3"),
        "z1": ("root", "z1"),
        "z2": ("root", "z1", "z2"),
    }
    schemas = {id_: {key: text for one in below for key, text in ops[one].items()} for id_, below in applied.items()}
    return build(17, graph, schemas, after={"a2": ("z1",)})


def test_what_a_revision_follows_is_written_and_counts_as_what_it_builds_on(following):
    text = following.serialise()
    assert text.count('"after": ["z1"]') == 1
    assert Manifest.parse(text) == following
    assert Manifest.parse(text).after == {"a2": ("z1",)}
    (a2,) = [entry for entry in following.revisions if entry.revision.id == "a2"]
    assert a2.changes == ("+ column z.a: integer",)
    assert following.undone("a2") == ("- column z.a: integer",)
    assert following.heads == ("a3", "z2")
    assert not following.conflicts(["a3", "z2"])
    assert "table z" in following.schema_at(["a2"])


def test_rows_that_lack_a_sibling_are_known_to_lack_it(following):
    assert following.lacking(["a1"]) == ()
    assert following.lacking(["a2", "z1"]) == ()
    assert following.lacking(["a3"]) == (("a2", "z1"),)
    assert following.with_siblings(["a3"]) == ("z1", "a3")
    assert "column z.a" in following.schema_at(["a3"])
    assert LINEAR.lacking(["a2"]) == ()


@pytest.mark.parametrize("rows", [("a1",), ("z1", "a2"), ("z1", "a3"), ("a1", "z1"), ("z2", "a2"), ("z2", "a3")])
@pytest.mark.parametrize("major", [17, 16])
def test_a_schema_is_of_rows_that_can_be_there(following, rows, major):
    live = following.schema_at(rows)
    found = following.identify(live, major=major)
    assert isinstance(found, Exact)
    assert set(found.rows) == set(rows)


def test_what_is_followed_must_stand_before(following):
    text = following.serialise().replace('"after": ["z1"]', '"after": ["zz"]')
    with pytest.raises(MalformedManifest, match="zz, which revision a2 follows, is not before it"):
        Manifest.parse(text)
    with pytest.raises(MalformedManifest, match="after is not a list of strings"):
        Manifest.parse(following.serialise().replace('"after": ["z1"]', '"after": "z1"'))


def test_with_what_a_revision_follows_it_is_proven_no_more(following):
    again = [replace(one, sha256="other") if one.id == "z1" else one for one in SIBLINGS]
    assert following.proven(Graph(again), postgres=17, baseline=None) == {"root", "a1"}
    assert following.after_of(Graph(again), {"a2", "a3", "z1", "z2"}) == {}
    assert following.after_of(Graph(SIBLINGS)) == {"a2": ("z1",)}
    without = Graph(one for one in SIBLINGS if one.id[0] != "a")
    assert following.after_of(without) == {}
    kept = build(17, Graph(SIBLINGS), {}, previous=following, after=following.after)
    assert kept == following
