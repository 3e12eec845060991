"""Drift that the environment explains: the revisions made another schema here than where the manifest was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate.core.decide.plan import Refusal
from migrate.core.problems import problem
from migrate.core.wording import clauses

if TYPE_CHECKING:
    from collections.abc import Sequence


def of_environment(refusal: Refusal, differing: Sequence[str]) -> Refusal:
    """The refusal for drift, where these variables are other ones than the manifest's."""
    if not differing:
        return refusal
    found = refusal.problem
    facts: dict[str, Any] = dict(found.facts)
    return Refusal(problem("other-environment", f"{clauses(differing)}; {found.why}", **facts))
