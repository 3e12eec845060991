"""The exit codes: what a platform acts on."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """What a platform acts on; the decade says what to do (docs/reference/exit-codes.md)."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    PENDING = 3
    CONFIG = 10
    HISTORY = 11
    POLICY = 12
    TARGET = 13
    ACCESS = 14
    STATE = 15
    AHEAD = 16
    DRIFT = 17
    DATA = 18
    UNREACHABLE = 20
    BUSY = 21
    BLOCKED = 22
    LOST = 23
    RESOURCES = 24
    DEADLINE = 25
    FAILED = 30
    PARTIAL = 31
    UNPROVEN = 32
    UNKNOWN = 40
    GUARD_LOST = 41
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def label(self) -> str:
        """The name as log lines and pages spell it, e.g. ``guard-lost``."""
        return self.name.lower().replace("_", "-")

    @property
    def retryable(self) -> bool:
        """True where nothing of the failing revision is in the database and the same run may succeed later."""
        return self in _RETRYABLE


_RETRYABLE: Final = frozenset(
    {
        ExitCode.UNREACHABLE,
        ExitCode.BUSY,
        ExitCode.BLOCKED,
        ExitCode.LOST,
        ExitCode.RESOURCES,
        ExitCode.DEADLINE,
        ExitCode.INTERRUPTED,
        ExitCode.TERMINATED,
    },
)

EXIT_MEANINGS: Final[Mapping[ExitCode, str]] = MappingProxyType(
    {
        ExitCode.OK: "at the target: applied and proven, nothing to do, or ahead and compatible",
        ExitCode.INTERNAL: "a bug in migrate",
        ExitCode.USAGE: "wrong flags or arguments",
        ExitCode.PENDING: "revisions are pending (only from --exit-code)",
        ExitCode.CONFIG: "a setting is missing or malformed",
        ExitCode.HISTORY: "the image is at fault: its revisions, its manifest, or an edited file",
        ExitCode.POLICY: "policy does not allow what the plan needs",
        ExitCode.TARGET: "this is the wrong database",
        ExitCode.ACCESS: "authentication or privilege",
        ExitCode.STATE: "the state of the database needs a person: untracked, unknown, split, residue",
        ExitCode.AHEAD: "the database is newer than this image and not compatible with it",
        ExitCode.DRIFT: "the schema does not match its revision",
        ExitCode.DATA: "existing rows would make a pending revision fail; nothing of it was changed",
        ExitCode.UNREACHABLE: "the server could not be reached",
        ExitCode.BUSY: "another run holds the job lock",
        ExitCode.BLOCKED: "a lock was not granted in time",
        ExitCode.LOST: "the connection was lost and the revision rolled back",
        ExitCode.RESOURCES: "the server ran out of disk, memory or connections",
        ExitCode.DEADLINE: "the job ran out of time before the next revision, or before the database was ready",
        ExitCode.FAILED: "a revision raised and was rolled back",
        ExitCode.PARTIAL: "a revision failed after a part of it was committed",
        ExitCode.UNPROVEN: "it ran without error, but the proof failed",
        ExitCode.UNKNOWN: "it is not known whether the last commit succeeded",
        ExitCode.GUARD_LOST: "the job lock was lost in the middle of the run",
        ExitCode.INTERRUPTED: "SIGINT, rollback confirmed",
        ExitCode.TERMINATED: "SIGTERM, rollback confirmed",
    },
)
