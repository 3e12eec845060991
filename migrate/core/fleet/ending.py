"""What a fleet came to: one exit code and one last line for all of its tenants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from migrate.core.decide.outcome import LISTED_IDS, Result
from migrate.core.problems import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OPERATOR: Final = frozenset({ExitCode.PARTIAL, ExitCode.UNPROVEN, ExitCode.UNKNOWN, ExitCode.GUARD_LOST})


@dataclass(frozen=True, slots=True)
class TenantEnd:
    """How one tenant ended."""

    tenant: str
    result: Result
    exit_code: ExitCode
    problem: str | None = None  # its code in the catalogue
    applied: int = 0
    pending: int = 0
    rows: Sequence[str] = ()  # of its version table, at the end
    is_there: bool = True  # it is listed, and its schema or its database is yet to be made: that is no fault


def most_serious(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that stands for all: a person's first, then what no retry mends, then what one may mend, then 0.

    Among those of one kind the highest, as the later a run fails, the more it has done.
    """
    return max(codes, key=lambda code: (weight(code), code), default=ExitCode.OK)


def fields_of(ends: Sequence[TenantEnd], not_begun: Sequence[str]) -> dict[str, object]:
    """The fleet's part of ``run.finished``: counts, and the names of those that are not where they should be."""
    failed = sorted(end.tenant for end in ends if end.exit_code is not ExitCode.OK)
    absent = sorted(end.tenant for end in ends if not end.is_there)
    behind = sorted({*not_begun, *(end.tenant for end in ends if end.exit_code is ExitCode.OK and end.pending)})
    counts = Counter(str(end.result) for end in ends if end.is_there)
    counts |= Counter({"not_begun": len(not_begun), "not_provisioned": len(absent)})
    return {
        "tenants": len(ends) + len(not_begun),
        "tenants_by_outcome": {name: count for name, count in sorted(counts.items()) if count},
        "tenants_failed": failed[:LISTED_IDS],
        "tenants_failed_count": len(failed),
        "tenants_pending": behind[:LISTED_IDS],
        "tenants_pending_count": len(behind),
        **({"tenants_not_provisioned": absent[:LISTED_IDS]} if absent else {}),
    }


def is_tried_again(code: ExitCode) -> bool:
    """Whether a fleet takes a tenant that ended so once more, at its end.

    That of which a run cannot tell whether it is there, or whether it still had the lock, is what the next run looks at
    before all else, under a lock of its own.
    """
    return code.retryable or code in {ExitCode.UNKNOWN, ExitCode.GUARD_LOST}


def weight(code: ExitCode) -> int:
    """How serious a code is: 0 where all is well."""
    if code in _OPERATOR:
        return 3
    if code is ExitCode.OK:
        return 0
    return 1 if code.retryable else 2
