"""The run that compares the live schema with what it should be, or with another one; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from migrate.core.decide.decision import decide
from migrate.core.decide.findings import fix_of_stale_rows, problem_of_incomparable
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.plan import Adopt, Plan, Refusal
from migrate.core.decide.policy import Judgement
from migrate.core.decide.state import AtHead, Behind, Drifted, Empty, classify, incomparable
from migrate.core.events import Event, Level, Name
from migrate.core.problems import Fix, Stop, advice, in_order, migrate, sql, stop
from migrate.core.schema.compatibility import serves
from migrate.core.schema.differences import Differences, compare, parse
from migrate.core.schema.repair_sql import repairs
from migrate.core.schema.spelling import AS_PRINTED
from migrate.core.wording import clauses
from migrate.job.look import connected, look, needed_manifest, refuse_image_faults, rows_named, settled
from migrate.job.progress import Progress, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from migrate.core.decide.observation import Observation
    from migrate.core.decide.policy import Policy
    from migrate.core.history.graph import Graph
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.schema.differences import Difference, Fact
    from migrate.core.schema.spelling import Spellings
    from migrate.core.target import Target
    from migrate.steps.order import Order


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its name for people, its schema, and the server's major version that printed it."""

    name: str
    schema: Mapping[str, str]
    major: int
    rows: tuple[str, ...] | None = None  # of the manifest, where the schema is recorded in one
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class AgainstRevision:
    """Another revision of this image."""

    spelled: str


@dataclass(frozen=True, slots=True)
class AgainstManifest:
    """The head of another image, by its manifest."""

    spelled: str
    manifest: Manifest
    graph: Graph


@dataclass(frozen=True, slots=True)
class AgainstDatabase:
    """Another database; ``spelled`` names the variable that holds its URL."""

    spelled: str
    target: Target


Against = AgainstRevision | AgainstManifest | AgainstDatabase


@dataclass(frozen=True, slots=True)
class Verified:
    """A comparison of two schemas: what ``actual`` differs in from ``expected``."""

    actual: Side
    expected: Side
    differences: Differences
    accepted: Differences  # that were recorded as meant: they fail nothing
    newer: Differences = field(
        default_factory=Differences
    )  # what newer revisions than this image's may have added: they fail nothing

    @classmethod
    def of(
        cls, actual: Side, expected: Side, policy: Policy, spelled: Spellings, accepted: frozenset[Fact] = frozenset()
    ) -> Verified:
        """Compare; a manifest knows of extensions and branches what two plain schemas do not tell.

        ``spelled``: what the image knows to be printed in more than one way.
        """
        if expected.manifest is not None and expected.rows is not None:
            spelled = expected.manifest.spellings
            rows, major = expected.rows, actual.major
            found = expected.manifest.compare(rows, actual.schema, major=major, ignore=policy.ignore)
        else:
            same_major = actual.major == expected.major
            found = compare(
                expected.schema,
                actual.schema,
                same_major=same_major,
                ignore=policy.ignore,
                canonical=spelled.canonical,
            )
        return cls(
            actual, replace(expected, schema=spelled.as_in(expected.schema, actual.schema)), *found.divided(accepted)
        )

    @property
    def expected_by(self) -> str:
        """What says what is expected, for sentences."""
        return "the manifest" if self.expected.manifest is not None else self.expected.name

    def beside_newer(self, breaks: Collection[str]) -> Verified:
        """The same of a database that is ahead and stands: what is added there is taken for the newer revisions'.

        ``breaks`` are the objects of which the image is not served: those differ whoever made them.
        """

        def is_added(difference: Difference) -> bool:
            grows = difference.expected is None or parse(difference.identity).kind == "enum"
            return grows and difference.identity not in breaks

        found = self.differences
        left = replace(
            found,
            changed=tuple(each for each in found.changed if not is_added(each)),
            extra=tuple(each for each in found.extra if not is_added(each)),
        )
        newer = Differences(changed=tuple(filter(is_added, found.changed)), extra=tuple(filter(is_added, found.extra)))
        return replace(self, differences=left, newer=newer)

    @property
    def fix(self) -> Fix:
        """The SQL that repairs what a simple statement does, or else how a person goes on."""
        statements = repairs(self.differences, self.expected.schema, self.actual.schema)
        return in_order(sql(text) for _, text in statements) or advice(
            "fix the schema by hand, or write the change as a new revision; to release all the same: ",
            migrate("up", "--drift warn"),
        )

    def failing(self, policy: Policy) -> list[str]:
        """The differences that fail: unlike an upgrade, a verification tolerates what is extra only when told to."""
        kept = self.differences
        if policy.extra is Judgement.IGNORE:
            kept = replace(kept, extra=())
        if policy.drift is not Judgement.FAIL:
            kept = replace(kept, missing=(), changed=(), renamed=())
        return kept.sentences(self.expected_by, self.actual.name)


def verify(
    order: Order, progress: Progress, at: str | None = None, against: Against | None = None
) -> tuple[Verified | None, Outcome]:
    """Compare the live schema with the manifest where the version rows say that it is, or at a revision.

    With ``against`` it is compared with something else, and ``at`` takes the manifest's schema for the live one.
    """
    order = replace(order, policy=replace(order.policy, target="heads"))  # a comparison is not about where to go
    verified: Verified | None = None
    with outcomes(progress):
        refuse_image_faults(order)
        if isinstance(against, AgainstManifest):
            order = replace(order, target=order.target.using({*order.target.used, *against.manifest.schemas}))
        ahead: Plan | None = None
        observation: Observation | None = None
        if against is None:
            needed_manifest(order)  # before a connection is made for nothing
        if against is not None and at is not None:
            recorded = recorded_schema(needed_manifest(order), rows_named(order, at), f"revision {at}")
            found = Verified.of(recorded, other_side(order, against), order.policy, _spelled(order))
        else:
            with connected(order) as connection:
                other = other_side(order, against) if against is not None else None
                observation, (found, ahead) = settled(
                    order,
                    connection,
                    lambda seen: _compared(order, seen, at, other),
                    lambda told: bool(told[0].failing(order.policy)),
                    with_schema=True,
                )
        verified, rows = found, observation.rows if observation is not None else ()
        for warning in ahead.warnings if ahead is not None else ():
            order.context.emit(Event(Name.STATE_FINDING, warning, Level.WARN))
        failing = found.failing(order.policy)
        blind = incomparable(observation) if observation is not None else None
        if failing and blind is not None:
            raise Stop(problem_of_incomparable(blind))
        if failing:
            why = f"{found.actual.name} does not match {found.expected.name}: {clauses(failing)}"
            if against is None:
                fix = found.fix
                exact = exactly(order, observation) if at is None and observation is not None else None
                if exact is not None:
                    why, fix = (
                        f"{why}; it is exactly the schema of {', '.join(exact) or 'base'}",
                        fix_of_stale_rows(exact),
                    )
                raise stop("drift", why, fix=fix, differences=failing[:20])
            raise stop("schemas-differ", why, names={"against": against.spelled}, differences=failing[:20])
        return verified, Outcome(
            Result.AHEAD if ahead is not None else Result.NOOP, from_revision=rows, to_revision=rows
        )
    return verified, progress.outcome()


def _compared(
    order: Order, observation: Observation, at: str | None, other: Side | None
) -> tuple[Verified, Plan | None]:
    """The live schema against ``other``, else the manifest's; and the plan for a newer database that stands.

    Raises Stop as `rows_to_verify` does.
    """
    actual = Side("the database", observation.schema or {}, observation.server.major)
    spelled = _spelled(order)
    if other is not None:
        return Verified.of(actual, other, order.policy, spelled), None
    asked, ahead = (rows_named(order, at), None) if at is not None else rows_to_verify(order, observation)
    expected = recorded_schema(needed_manifest(order), asked, named_revisions(asked))
    verified = Verified.of(actual, expected, order.policy, spelled, observation.meant)
    if ahead is not None:
        verified = verified.beside_newer({each.identity for each in serves(expected.schema, actual.schema, spelled)})
    return verified, ahead


def _spelled(order: Order) -> Spellings:
    return order.image.manifest.spellings if order.image.manifest is not None else AS_PRINTED


def named_revisions(rows: tuple[str, ...]) -> str:
    """Version rows in a sentence."""
    return f"revision{'s' if len(rows) > 1 else ''} {', '.join(rows)}" if rows else "base"


def exactly(order: Order, observation: Observation) -> tuple[str, ...] | None:
    """The other version rows whose schema is exactly the live one; None where the recorded ones are not known or true."""
    findings = classify(order.image, observation, order.policy.target, order.policy.ignore).findings
    return next((finding.exact for finding in findings if isinstance(finding, Drifted)), None)


def other_side(order: Order, against: Against) -> Side:
    """The schema that ``against`` names. Raises Stop or Interrupted."""
    if isinstance(against, AgainstRevision):
        return recorded_schema(
            needed_manifest(order), rows_named(order, against.spelled), f"revision {against.spelled}"
        )
    if isinstance(against, AgainstManifest):
        tips = tuple(sorted(against.graph.tips(revision.id for revision in against.graph)))
        return recorded_schema(against.manifest, tips, against.spelled)
    target = against.target.using(order.target.used)
    quiet = replace(order.context, bind=lambda **_: None)  # what the last line says of a server is of the run's own
    aimed = replace(order, target=target, context=quiet)
    with connected(aimed) as connection:
        observation = look(aimed, connection, with_schema=True)
    return Side(f"the database of {against.target.url_from}", observation.schema or {}, observation.server.major)


def recorded_schema(manifest: Manifest, rows: tuple[str, ...], name: str) -> Side:
    """The schema that a manifest has at these version rows."""
    return Side(name, manifest.schema_at(rows), manifest.postgres, rows, manifest)


def rows_to_verify(order: Order, observation: Observation) -> tuple[tuple[str, ...], Plan | None]:
    """Where the manifest is asked: the version rows, this image's heads for a newer database that stands, with that plan.

    Raises Stop for a position that `up` would refuse.
    """
    state = classify(order.image, observation, order.policy.target, order.policy.ignore)
    if isinstance(state.position, (AtHead, Behind, Empty)):
        return observation.rows, None
    decision = decide(order.image, state, order.policy)
    if isinstance(decision, Refusal):
        raise Stop(decision.problem)
    adopted = next((step.rows for step in decision.steps if isinstance(step, Adopt)), None)
    if adopted is not None:
        return adopted, None
    return tuple(order.image.graph.heads), decision if decision.result is Result.AHEAD else None
