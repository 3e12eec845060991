"""What the operator allows, and how long things may take; every default is the safe one."""

from __future__ import annotations

from enum import StrEnum

from migrate.core.value import Value


class AdoptPolicy(StrEnum):
    """Whether `up` may stamp an untracked database."""

    OFF = "off"
    EXACT = "exact"
    EQUIVALENT = "equivalent"


class AheadPolicy(StrEnum):
    """When a database that is newer than the image may stand."""

    PROVEN = "proven"
    COMPATIBLE = "compatible"
    ACCEPT = "accept"
    REFUSE = "refuse"


class Judgement(StrEnum):
    """What a finding does to the run."""

    FAIL = "fail"
    WARN = "warn"
    IGNORE = "ignore"


class EditedPolicy(StrEnum):
    """What the edited file of an applied revision does to the run."""

    REFUSE = "refuse"
    WARN = "warn"


class Stale(StrEnum):
    """What a pending revision whose file is not the manifest's does to the run."""

    REFUSE = "refuse"
    WARN = "warn"


class BreakingPolicy(StrEnum):
    """What a pending change that breaks the running release does to the run."""

    ALLOW = "allow"
    WARN = "warn"
    REFUSE = "refuse"
    HOLD = "hold"


class DataPolicy(StrEnum):
    """What rows against which a pending revision would fail do to the run."""

    REFUSE = "refuse"
    WARN = "warn"
    OFF = "off"


class HeavyPolicy(StrEnum):
    """What a pending revision that blocks others for as long as a large table takes does to the run."""

    WARN = "warn"
    REFUSE = "refuse"
    ALLOW = "allow"


class Transaction(StrEnum):
    """How revisions are grouped into transactions."""

    REVISION = "revision"
    ALL = "all"


class BackupPolicy(StrEnum):
    """When a backup is taken before the first change."""

    OFF = "off"
    REQUIRED = "required"
    DESTRUCTIVE = "destructive"


class Policy(Value):
    """The operator's permissions (docs/reference/settings.md says each in words)."""

    target: str = "head"
    transaction: Transaction = Transaction.REVISION
    adopt: AdoptPolicy = AdoptPolicy.OFF
    ahead: AheadPolicy = AheadPolicy.PROVEN
    drift: Judgement = Judgement.FAIL
    extra: Judgement = Judgement.WARN
    ignore: tuple[str, ...] = ()
    edited: EditedPolicy = EditedPolicy.REFUSE
    stale: Stale = Stale.REFUSE
    breaking: BreakingPolicy = BreakingPolicy.WARN
    data: DataPolicy | None = None  # None: as `refuse`, but for what nobody knows
    heavy: HeavyPolicy = HeavyPolicy.WARN
    heavy_over: int = 1 << 30  # bytes
    backup_policy: BackupPolicy = BackupPolicy.OFF
    strict: bool = False
    heal: bool = False
    allow_empty_history: bool = False


class Limits(Value):
    """How long each part of a run may take, in seconds; 0 means without limit where the field says so."""

    connect_s: float = 60.0
    guard_s: float = 900.0
    lock_s: float = 2.0
    statement_s: float = 0.0  # 0: no statement_timeout
    lock_tries: int = 8
    lock_budget_s: float = 300.0
    deadline_s: float = 0.0  # 0: no deadline
    wait_s: float = 600.0
    backup_s: float = 3600.0  # 0: no limit
    data_s: float = 10.0  # of one question

    def deadline_at(self, started_s: float) -> float:
        """When the deadline comes, on the clock on which the run started at ``started_s``; infinity without one."""
        return started_s + self.deadline_s if self.deadline_s else float("inf")
