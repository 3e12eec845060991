"""Makes a manifest of what a replay has read."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from migrate.core.foresee.candidates import candidates
from migrate.core.foresee.effects import line
from migrate.core.foresee.needs import canonical
from migrate.core.foresee.needs import line as line_of_need
from migrate.core.foresee.observed import effects_of
from migrate.core.history.siblings import with_siblings
from migrate.core.manifest.entries import Baseline, Entry, Foreseen, OtherSpellings
from migrate.core.manifest.manifest import Manifest
from migrate.core.schema.differences import changes, fingerprint, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from migrate.core.foresee.needs import Condition, Need
    from migrate.core.foresee.observed import Observed
    from migrate.core.history.graph import Graph
    from migrate.core.schema.differences import Schema


def build(
    postgres: int,
    graph: Graph,
    schemas: Mapping[str, Schema],
    baseline: Baseline | None = None,
    previous: Manifest | None = None,
    used: Iterable[str] = (),
    *,
    spellings: OtherSpellings = MappingProxyType({}),
    after: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    foreseen: Mapping[str, Foreseen] = MappingProxyType({}),
    observed: Mapping[str, Observed] = MappingProxyType({}),
    environ: tuple[str, ...] = (),
) -> Manifest:
    """The manifest of a history, from the schema that a replay to exactly each revision left.

    `used` are the schemas beside the default one that `used_schemas` found, `spellings` how else the definitions are
    printed, `after` which siblings revisions build on without `depends_on`, `foreseen` what is known of the revisions
    that were run, `observed` what they did, from which their effects follow, `environ` the lines of `migrate.core.manifest.variables`. Revisions without a schema are taken from `previous`, which must have proven them (`Manifest.proven`). `graph` has no
    faults. Raises KeyError where a revision is in neither, and MalformedManifest where `previous` proves nothing.
    """
    known = {entry.revision.id: entry for entry in previous.revisions} if previous is not None else {}
    entries: list[Entry] = []
    declared = {revision.id: revision for revision in graph}
    for id_, parents in _ordered(with_siblings(graph, after)):
        revision, schema = declared[id_], schemas.get(id_)
        if schema is None:
            entries.append(replace(known[revision.id], revision=revision, after=after.get(revision.id, ())))
            continue
        if len(parents) == 1 and parents[0] in schemas:
            before = schemas[parents[0]]
        else:
            before = Manifest(postgres, tuple(entries), baseline).schema_at(parents)
        # Sorting is for the few objects that the revision changed, not for the whole schema.
        differing = {identity for identity, _ in before.items() ^ schema.items()}
        old, new = ({i: some[i] for i in differing if i in some} for some in (before, schema))
        lines = changes(old, new, spellings)
        seen = foreseen.get(revision.id, Foreseen())
        if revision.id in observed:
            effects = effects_of(observed[revision.id], before, schema)
            seen = replace(seen, effects=tuple(map(line, effects)))
        siblings = after.get(revision.id, ())
        entries.append(Entry(revision, fingerprint(schema), tuple(lines), siblings, seen.effects, seen.needs))
    return Manifest(postgres, tuple(entries), baseline, tuple(sorted(used)), environ=environ)


def candidates_of(
    built: Manifest, graph: Graph, schemas: Mapping[str, Schema], revisions: Collection[str]
) -> dict[str, tuple[Condition, ...]]:
    """The needs that these revisions may have, by revision, from the schemas that a replay has left; those without are left out."""
    found = {}
    for id_, parents in _ordered(with_siblings(graph, built.after)):
        if id_ in revisions and id_ in schemas:
            before = schemas[parents[0]] if len(parents) == 1 and parents[0] in schemas else built.schema_at(parents)
            conditions = candidates(before, schemas[id_])
            if conditions:
                found[id_] = conditions
    return found


def with_needs(
    built: Manifest, needs: Mapping[str, Sequence[Need]], revisions: Collection[str], previous: Manifest | None
) -> Manifest:
    """The manifest with what these revisions need, and what `previous` says of others whose files are the same."""
    known = {entry.revision.id: entry for entry in previous.revisions} if previous is not None else {}
    entries = []
    for entry in built.revisions:
        id_ = entry.revision.id
        if id_ in revisions:
            lines = tuple(map(line_of_need, canonical(needs.get(id_, ()))))
            entries.append(replace(entry, needs=lines))
        else:
            was = known.get(id_)
            is_same = was is not None and was.revision.sha256 == entry.revision.sha256
            entries.append(replace(entry, needs=was.needs) if was is not None and is_same else entry)
    return replace(built, revisions=tuple(entries))


def used_schemas(graph: Graph, schemas: Mapping[str, Schema], base: Schema) -> frozenset[str]:
    """The schemas beside the default one in which a revision that was read makes, changes or drops an object.

    `base` is what is there before the first revision: a dump brings other people's schemas along, too.
    """
    named = {identity for schema in (base, *schemas.values()) for identity in schema}
    elsewhere = {identity: place for identity in named if (place := place_of(identity)) and identity[:7] != "schema "}
    if not elsewhere:
        return frozenset()
    found: set[str] = set()
    for id_, parents in _ordered(graph):
        if id_ in schemas:
            after = _items(schemas[id_], elsewhere)
            before = [_items(schemas[parent], elsewhere) for parent in parents if parent in schemas]
            before = before or [_items(base, elsewhere)]
            made = after.difference(*before)
            gone = before[0].intersection(*before) - after
            found |= {elsewhere[identity] for identity, _ in made | gone}
    return frozenset(found)


def _items(schema: Schema, identities: Iterable[str]) -> set[tuple[str, str]]:
    return {(identity, schema[identity]) for identity in identities if identity in schema}


def _ordered(graph: Graph) -> list[tuple[str, tuple[str, ...]]]:
    """The ids of the revisions with those of what they build on: parents first, one branch to its end before the next one.

    The order of what is there never changes when revisions are added on top, whatever their ids and files: the diff of
    the manifest stays as small as the change, and the lines of a merge, which count on the order, stay true.
    """
    parents = {revision.id: graph.parents(revision.id) for revision in graph}
    children: dict[str, list[str]] = {id_: [] for id_ in parents}
    for id_ in sorted(parents, reverse=True):
        for parent in parents[id_]:
            children[parent].append(id_)
    missing = {id_: len(above) for id_, above in parents.items()}
    ready = [id_ for id_ in sorted(parents, reverse=True) if not parents[id_]]
    ordered: list[tuple[str, tuple[str, ...]]] = []
    while ready:
        id_ = ready.pop()
        ordered.append((id_, parents[id_]))
        for child in children[id_]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    return ordered
